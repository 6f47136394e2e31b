"""When a page says that it was published and last changed.

Only statements made for machines count: JSON-LD about an article, ``<meta>``, ``<time>`` marked as one of the two, and the
metadata of a document. Dates that merely stand in the text are not guessed at, a date without its day is none, and sources
that contradict each other about what the page is (a list of many articles) say nothing: no date is better than a wrong one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from lxml.html import HtmlElement

from ingest.extract.html.elements import word_set

_MAX_JSON_CHARS = 1_000_000
_MAX_JSON_NODES = 5_000
_EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)  # what lies at or before the epoch is a field left at zero
_CLOCK_SKEW = timedelta(days=1)

_ISO = re.compile(
    r"(?P<year>\d{4})(?P<sep>[-/.]?)(?P<month>\d{2})(?P=sep)(?P<day>\d{2})"
    r"(?:(?:T|\s+)(?P<hour>\d{2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,]\d{1,9})?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?",
    re.IGNORECASE,
)
_PDF = re.compile(r"(?:D:)?(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})?)?\s*(?:(Z)|([+-]\d{2})'?(\d{2})?'?)?")
_PUBLISHED_NAMES = (
    "article:published_time",
    "og:article:published_time",
    "datepublished",
    "citation_publication_date",
    "citation_online_date",
    "dcterms.issued",
    "dc.date.issued",
    "dcterms.created",
    "dc.date.created",
    "dc.date",
    "dcterms.date",
    "parsely-pub-date",
    "sailthru.date",
    "pubdate",
    "publish-date",
    "publish_date",
)
_MODIFIED_NAMES = (
    "article:modified_time",
    "og:article:modified_time",
    "og:updated_time",
    "datemodified",
    "dcterms.modified",
    "dc.date.modified",
    "last-modified",
    "revised",
)
# hAtom, microformats2 and what WordPress themes write
_PUBLISHED_CLASSES = word_set("published dt-published")
_MODIFIED_CLASSES = word_set("updated modified dt-updated")
_ARTICLE_TYPES = re.compile(r"(?:Article|Posting|Report|Book|Chapter|HowTo|Course|Dataset|QAPage|Recipe)$")
_PAGE_TYPES = re.compile(r"(?:WebPage|FAQPage|AboutPage|ItemPage|CreativeWork|WebContent)$")


@dataclass(frozen=True, slots=True)
class Dates:
    """Aware, UTC; None where the page doesn't say. A time without a zone is read as UTC."""

    published_at: datetime | None = None
    modified_at: datetime | None = None

    def before(self, now: datetime) -> Dates:
        """Without dates that can't be: from before the epoch, or after ``now``."""
        return Dates(*(at if at and _EARLIEST < at < now + _CLOCK_SKEW else None for at in (self.published_at, self.modified_at)))


def dates_of(root: HtmlElement) -> Dates:
    """What an HTML page says: JSON-LD first, then ``<meta>``, then ``<time>`` and other elements with ``itemprop``."""
    linked = _linked_data(root)
    metas = _metas(root)
    published = linked.published_at or next((at for name in _PUBLISHED_NAMES if (at := parse_date(metas.get(name)))), None)
    modified = linked.modified_at or next((at for name in _MODIFIED_NAMES if (at := parse_date(metas.get(name)))), None)
    return Dates(
        published or _marked(root, "datePublished", _PUBLISHED_CLASSES),
        modified or _marked(root, "dateModified", _MODIFIED_CLASSES),
    )


def parse_date(text: str | None) -> datetime | None:
    """A date of the forms of ISO 8601 or RFC 9110 (HTTP), to the day at least; None for anything else."""
    text = (text or "").strip()
    if not 8 <= len(text) <= 64:
        return None
    if found := _ISO.fullmatch(text):
        clock = (int(found[part] or 0) for part in ("year", "month", "day", "hour", "minute", "second"))
        return _datetime(*clock, zone=found["zone"])
    if not text[0].isalpha():
        return None
    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def parse_pdf_date(text: str | None) -> datetime | None:
    """``D:YYYYMMDDHHmmSSOHH'mm'`` (ISO 32000-1, 7.9.4), to the day at least."""
    found = _PDF.fullmatch((text or "").strip())
    if not found:
        return parse_date(text)
    clock = (int(part or 0) for part in found.groups()[:6])
    return _datetime(*clock, zone=f"{found[8]}:{found[9] or '00'}" if found[8] else "Z")


def _datetime(year: int, month: int, day: int, hour: int, minute: int, second: int, *, zone: str | None) -> datetime | None:
    offset = timedelta()
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _metas(root: HtmlElement) -> dict[str, str]:
    """The first content under each name, in lower case."""
    metas: dict[str, str] = {}
    for meta in root.iter("meta"):
        for attribute in ("name", "property", "itemprop", "http-equiv"):
            if name := meta.get(attribute):
                metas.setdefault(name.strip().lower(), meta.get("content", ""))
    return metas


def _marked(root: HtmlElement, property_name: str, classes: frozenset[str]) -> datetime | None:
    """The date of the elements marked with it; None if they disagree, as on a page that lists several articles."""
    found = set()
    for element in root.iter("time", "span", "p", "div", "abbr", "meta"):
        is_marked = property_name in element.get("itemprop", "").split()
        if element.tag == "time":
            is_marked = is_marked or not classes.isdisjoint(element.get("class", "").split())
            is_marked = is_marked or (property_name == "datePublished" and element.get("pubdate") is not None)
        if is_marked:
            text = element.get("datetime") or element.get("content") or element.get("title") or element.text
            found.add(parse_date(text))
    return found.pop() if len(found) == 1 else None


def _linked_data(root: HtmlElement) -> Dates:
    """The dates of the one article that the JSON-LD describes, else of the page itself.

    Several articles with different dates make a list, whose items' dates aren't the page's.
    """
    articles: set[Dates] = set()
    pages: set[Dates] = set()
    for script in root.iter("script"):
        if script.get("type", "").strip().lower() != "application/ld+json" or len(script.text or "") > _MAX_JSON_CHARS:
            continue
        try:
            document = json.loads(script.text or "")
        except (ValueError, RecursionError):
            continue
        for node in _nodes(document):
            dates = Dates(_date_in(node.get("datePublished")), _date_in(node.get("dateModified")))
            if dates == Dates():
                continue
            types = node.get("@type")
            names = [name for name in (types if isinstance(types, list) else [types]) if isinstance(name, str)]
            if any(_ARTICLE_TYPES.search(name) for name in names):
                articles.add(dates)
            elif any(_PAGE_TYPES.search(name) for name in names):
                pages.add(dates)
    for candidates in (articles, pages):
        if candidates:
            return candidates.pop() if len(candidates) == 1 else Dates()
    return Dates()


def _nodes(document: Any) -> Iterator[dict[str, Any]]:
    """The objects that may describe the page: at the top, in lists and graphs, and as the main entity. Not what they hold."""
    waiting = [document]
    for _ in range(_MAX_JSON_NODES):
        if not waiting:
            return
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            yield node
            waiting += [
                node[key] for key in ("@graph", "mainEntity", "mainEntityOfPage") if isinstance(node.get(key), (dict, list))
            ]


def _date_in(value: Any) -> datetime | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return parse_date(value) if isinstance(value, str) else None
