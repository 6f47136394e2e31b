"""CSS selectors as people give them, checked before anything is done with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import ada_url

from corpus.errors import InvalidInput
from corpus.model import ContentSelectors

MAX_SELECTORS = 20
MAX_SELECTOR_CHARS = 500
NO_SELECTORS = ContentSelectors()
_SHOWN_CHARS = 80


class Selectors(Protocol):
    @property
    def keep(self) -> Sequence[str]: ...

    @property
    def drop(self) -> Sequence[str]: ...


def check_selectors(texts: Iterable[str]) -> tuple[str, ...]:
    """CSS selectors that are sure to compile, without the white space around them.

    Args:
        texts: selectors of level 3, and what cssselect reads of level 4 (``:is``, ``:where``, ``:has``). One text may hold
            several with commas between them.

    Raises:
        InvalidInput: one can't be read or is longer than :data:`MAX_SELECTOR_CHARS`, and the message names it; or there are
            more than :data:`MAX_SELECTORS`.
    """
    selectors = tuple(text.strip() for text in texts)
    if len(selectors) > MAX_SELECTORS:
        few = f"{MAX_SELECTORS} are the most. Join several in one with commas, such as: nav, .ad"
        raise InvalidInput(f"{len(selectors)} CSS selectors were given; {few}")
    for selector in selectors:
        _check(selector)
    return selectors


def _check(selector: str) -> None:
    from lxml import etree
    from lxml.cssselect import CSSSelector, SelectorError

    shown = selector if len(selector) <= _SHOWN_CHARS else f"{selector[:_SHOWN_CHARS]}…"
    if len(selector) > MAX_SELECTOR_CHARS:
        raise InvalidInput(f'The CSS selector "{shown}" is longer than {MAX_SELECTOR_CHARS} characters. Shorten it.')
    try:
        CSSSelector(selector, translator="html")(etree.Element("html"))  # namespace prefixes fail only when it is applied
    except (SelectorError, etree.XPathError, RecursionError, ValueError) as exc:
        why = "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc).rstrip(".")
        raise InvalidInput(
            f'The CSS selector "{shown}" can\'t be read: {why}. Write it as in a style sheet: main, #content > article, div.ad.'
        ) from exc


class SiteSelectors:
    """The setting ``ingest.selectors``: which CSS selectors are in force where.

    Args:
        by_site: by host (``docs.example.com``, on any port, or ``docs.example.com:8000``) or by URL prefix, which counts by whole
            path segments. Of several that fit a URL the longest prefix counts, then the host with its port, then the host.
    """

    def __init__(self, by_site: Mapping[str, Selectors]) -> None:
        spelled = {site_key(site): ContentSelectors(tuple(given.keep), tuple(given.drop)) for site, given in by_site.items()}
        self._hosts = {site: selectors for site, selectors in spelled.items() if "://" not in site}
        prefixes = {site: selectors for site, selectors in spelled.items() if "://" in site}
        self._prefixes = dict(sorted(prefixes.items(), key=lambda item: len(item[0]), reverse=True))

    def of(self, url: str, *, own: ContentSelectors = NO_SELECTORS) -> ContentSelectors:
        """The selectors for a normalised URL. ``own``: what the job's source says, which takes the place of the setting's."""
        if own != NO_SELECTORS or not (self._hosts or self._prefixes):
            return own
        for prefix, selectors in self._prefixes.items():
            if url == prefix or url.startswith(prefix if prefix.endswith("/") else (f"{prefix}/", f"{prefix}?")):
                return selectors
        parsed = ada_url.URL(url)
        return self._hosts.get(parsed.host) or self._hosts.get(parsed.hostname) or NO_SELECTORS


def site_key(site: str) -> str:
    """A key of ``ingest.selectors`` in the spelling that URLs are compared in. Raises: InvalidInput, if it is none."""
    is_host = "://" not in site
    if is_host and "/" in site.removesuffix("/"):
        raise _no_site(site)
    try:
        parsed = ada_url.URL(f"http://{site}/" if is_host else site)
    except ValueError:
        parsed = None
    if parsed is None or parsed.protocol not in ("http:", "https:") or parsed.username or parsed.password or parsed.hash:
        raise _no_site(site)
    if not is_host:
        return str(parsed.href)
    if parsed.pathname != "/" or parsed.search:
        raise _no_site(site)
    return str(parsed.host)


def _no_site(site: str) -> InvalidInput:
    return InvalidInput(
        f"{site[:_SHOWN_CHARS]!r} is neither a host nor a URL. Give docs.example.com, or where its pages begin: "
        "https://docs.example.com/guide/."
    )
