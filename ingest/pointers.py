"""Where a page says that its content is: ``Refresh`` and canonical address, in its headers and in its head. Pure."""

from __future__ import annotations

import re
from contextlib import suppress

from corpus.errors import IngestError, PermanentError
from ingest.extract.document import ExtractedPage
from ingest.extract.html.head import refresh_target
from ingest.extract.html.words import words_of
from ingest.fetch import Response
from ingest.urls import normalise, resolve_link

MAX_REFRESH_WORDS = 30  # "You are being redirected. If nothing happens, click here": no text of its own

_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_LINK_RELATION = re.compile(r";\s*rel\s*=\s*\"?([^\";,]*)", re.IGNORECASE)


def canonical_named(response: Response, extracted: ExtractedPage) -> str | None:
    """The canonical URL that a page names in its head or, as documents without one do, in a Link header (RFC 6596, RFC 8288)."""
    if extracted.canonical:
        return extracted.canonical
    for header in response.headers.get_list("link"):
        for target, parameters in _LINK.findall(header):
            relation = _LINK_RELATION.search(parameters)
            if relation and "canonical" in relation[1].lower().split():
                with suppress(IngestError):
                    return resolve_link(response.final_url, target)
    return None


def _refresh_header(response: Response) -> str | None:
    value = response.headers.get("refresh", "")
    return refresh_target(value, response.final_url, response.final_url) if value else None


def refresh_from(response: Response, extracted: ExtractedPage | None) -> str | None:
    """Where a page sends its reader at once, having nothing to show. ``extracted`` is None if it holds nothing at all.

    Raises: PermanentError, if that is no URL, or a step down from https.
    """
    url = response.final_url
    refresh = _refresh_header(response) or (extracted.refresh if extracted else None)
    if not refresh or (extracted and len(words_of(extracted.page.text)) > MAX_REFRESH_WORDS):
        return None
    target = normalise(refresh)
    if target == url:
        return None
    if url.startswith("https:") and target.startswith("http:"):
        raise PermanentError(f"{url} refreshes to plain http, which is not followed from https.", reason="https_downgrade")
    return target
