"""What a sitemap or feed in XML lists, read by a scanner that forgives faults.

A parser that keeps to the rules gives up at a file's first fault. This one knows tags and text alone, and each tag that is
missing or too many costs no more than the entry that it is in. It resolves no entities but HTML's own.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import urljoin

MAX_DEPTH = 64  # a sitemap needs 3, a feed some more
_MAX_FIELD_CHARS = 4_096

_DATES = frozenset(("lastmod", "updated", "pubdate", "published", "date"))
_IDENTIFIERS = ("guid", "id")  # often the address, where a feed's entry has no link
_LEAVES = frozenset(("loc", "link", "guid", *_DATES, "changefreq", "priority", "title", "id"))  # they hold text alone
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_HTTP = re.compile(r"https?://", re.IGNORECASE)

_NAME = r"([A-Za-z_][\w.:-]{0,100}+)"
_TAG = re.compile(rf"""<(/?){_NAME}((?:[^<>"']|"[^"<]*"|'[^'<]*')*+)>""")
_TAG_WITH_STRAY_QUOTES = re.compile(rf"<(/?){_NAME}([^<>]*+)>")
_ATTRIBUTE = re.compile(r"""([A-Za-z_][\w.:-]{0,100})\s{0,20}=\s{0,20}(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))""")
_MAX_ATTRIBUTES_CHARS = 20_000
_REFERENCE = re.compile(r"&#?\w{1,32};")
_SPANS = {"!": ("<!--", "-->"), "?": ("<?", "?>")}
_CDATA = "<![CDATA["


class EntryKind(Enum):
    PAGE = auto()
    SITEMAP = auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """``loc`` is as written but for ``xml:base``, ``lastmod`` as written."""

    kind: EntryKind
    loc: str
    lastmod: str


@dataclass(slots=True)
class Collected:
    """``root`` is the local name, in lower case, of the first element that a sitemap or feed may begin with, else of the first.
    ``nameless`` counts entries without an address. Reading ended early if it ``is_truncated`` or ``is_too_deep``."""

    root: str = ""
    elements: int = 0
    entries: list[Entry] = field(default_factory=list)
    nameless: int = 0
    is_truncated: bool = False
    is_too_deep: bool = False


_OF_SITEMAPS = {"url": EntryKind.PAGE, "sitemap": EntryKind.SITEMAP}
_OF_FEEDS = {"item": EntryKind.PAGE, "entry": EntryKind.PAGE}
FEEDS = frozenset(("rss", "rdf", "feed"))
ROOTS = frozenset(("urlset", "sitemapindex")) | FEEDS


def read_entries(text: str, *, max_entries: int) -> Collected:
    """Gather ``<url>``, ``<sitemap>`` (sitemaps.org), ``<item>`` (RSS) and ``<entry>`` (Atom), under whatever root, in one pass.

    Names are compared without case, whatever their prefix stands for, as sites misspell namespaces; but an entry's address has
    the prefix of the entry, lest an image's be taken for it. References that end in ";" are resolved as HTML's; "&" and "<" that
    begin nothing are text.
    """
    collector = _Collector(max_entries=max_entries)
    try:
        _scan(text, collector)
        collector.close()
    except _StopReading:
        pass
    return collector.collected


class _StopReading(Exception):
    """There are as many entries as may be taken, or elements lie deeper than any sitemap's."""


class _Element(NamedTuple):
    name: str
    prefix: str
    local: str
    base: str


class _Collector:
    """What :func:`_scan` finds, tag by tag."""

    def __init__(self, *, max_entries: int) -> None:
        self.collected = Collected()
        self._max_entries = max_entries
        self._kinds = _OF_SITEMAPS
        self._names: dict[str, tuple[str, str]] = {}  # prefix and local name, in lower case
        self._stack: list[_Element] = []
        self._entry: int | None = None  # where in the stack the entry lies that is being read
        self._found: dict[str, str] = {}
        self._text: list[str] | None = None  # of the field that is being read

    def start(self, name: str, written: str) -> None:
        """A start tag; ``written`` are its attributes as they stand there."""
        prefix, local = self._names.get(name) or self._split(name)
        self.collected.elements += 1
        if self.collected.root not in ROOTS:
            self._note_root(local)
        is_entry = local in self._kinds
        if self._stack and self._stack[-1].local in _LEAVES and (local in _LEAVES or is_entry):
            self._pop(len(self._stack) - 1)  # its end tag is missing
        if is_entry and self._entry is not None and self._stack[self._entry].prefix == prefix:
            self._pop(self._entry)  # entries hold no entries: the end tag is missing
        if len(self._stack) >= MAX_DEPTH:
            self.collected.is_too_deep = True
            raise _StopReading
        base = self._stack[-1].base if self._stack else ""
        if "xml:base" in written:
            base = _joined(base, _attributes(written).get("xml:base", "").strip())
        self._stack.append(_Element(name, prefix, local, base))
        if self._entry is None:
            if is_entry:
                self._entry, self._found = len(self._stack) - 1, {}
        elif len(self._stack) == self._entry + 2:  # directly within an entry
            self._start_field(self._stack[-1], self._stack[self._entry], written)

    def data(self, text: str, *, is_verbatim: bool = False) -> None:
        if self._text is not None:
            self._text.append(text if is_verbatim else _unescaped(text))

    def end(self, name: str) -> None:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place].name == name:
                self._pop(place)
                return

    def close(self) -> None:
        """The end of the file. A field that is still open may have been cut off, so it is dropped."""
        self._text = None
        if not self._found.get("loc"):
            self._entry = None
        self._pop(0)

    def _split(self, name: str) -> tuple[str, str]:
        prefix, _, local = name.lower().rpartition(":")
        if len(self._names) < 1_000:
            self._names[name] = prefix, local
        return prefix, local

    def _note_root(self, local: str) -> None:
        if local in ROOTS:  # what stands before it is junk
            self.collected.root = local
            self._kinds = _OF_FEEDS if local in FEEDS else _OF_SITEMAPS
        elif not self.collected.root:
            self.collected.root = local

    def _start_field(self, element: _Element, entry: _Element, written: str) -> None:
        if element.local in _DATES:
            self._text = []
        elif element.prefix != entry.prefix:
            return
        elif element.local == "loc" and entry.local in _OF_SITEMAPS:
            self._text = []
        elif element.local == "link" and entry.local in _OF_FEEDS:
            attributes = _attributes(written)
            href = attributes.get("href", "").strip()
            if href and attributes.get("rel", "alternate").strip().lower() == "alternate":
                self._keep("loc", href)
            elif not href:
                self._text = []
        elif element.local == "guid" and entry.local == "item":
            self._text = [] if _attributes(written).get("isPermaLink", "true").strip().lower() != "false" else None
        elif element.local == "id" and entry.local == "entry":
            self._text = []

    def _pop(self, place: int) -> None:
        """Close the elements from ``place`` on."""
        if self._entry is not None and place <= self._entry + 1 < len(self._stack):
            self._end_field(self._stack[self._entry + 1].local)
        if self._entry is not None and place <= self._entry:
            self._end_entry()
        del self._stack[place:]

    def _end_field(self, local: str) -> None:
        if self._text is None:
            return
        text, self._text = _CONTROL.sub("", "".join(self._text)[:_MAX_FIELD_CHARS]).strip(), None
        if local in _IDENTIFIERS and not _HTTP.match(text):
            return
        if text:
            self._keep("loc" if local in ("loc", "link") else "guid" if local in _IDENTIFIERS else "lastmod", text)

    def _keep(self, name: str, text: str) -> None:
        if name != "lastmod":
            text = _joined(self._stack[-1].base, text)
        self._found.setdefault(name, text)

    def _end_entry(self) -> None:
        entry = self._stack[self._entry or 0]
        self._entry = None
        loc = self._found.get("loc") or self._found.get("guid")
        if not loc or "\ufffd" in loc:
            self.collected.nameless += 1
            return
        if len(self.collected.entries) >= self._max_entries:
            self.collected.is_truncated = True
            raise _StopReading
        self.collected.entries.append(Entry(self._kinds[entry.local], loc, self._found.get("lastmod", "")))


def _scan(text: str, collector: _Collector) -> None:
    """Hand on the tags and texts of a file, however they nest, from its first character to its last tag."""
    at = 0
    while (opening := text.find("<", at)) >= 0:
        if opening > at:
            collector.data(text[at:opening])
        kind = text[opening + 1 : opening + 2]
        if kind in _SPANS and text.startswith(_SPANS[kind][0], opening):  # a comment or a processing instruction
            begins, ends = _SPANS[kind]
            closing = text.find(ends, opening + len(begins))
            if closing < 0:
                return
            at = closing + len(ends)
        elif kind == "!" and text.startswith(_CDATA, opening):
            closing = text.find("]]>", opening)
            if closing < 0:
                return
            collector.data(text[opening + len(_CDATA) : closing], is_verbatim=True)
            at = closing + 3
        elif tag := _TAG.match(text, opening) or _TAG_WITH_STRAY_QUOTES.match(text, opening):
            closes, name, written = tag.groups()
            if closes:
                collector.end(name)
            else:
                collector.start(name, written)
                if written.endswith("/"):
                    collector.end(name)
            at = tag.end()
        else:
            collector.data("<")
            at = opening + 1


def _attributes(written: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(written[:_MAX_ATTRIBUTES_CHARS])
    return {name: _unescaped(double or single or bare) for name, double, single, bare in reversed(found)}


def _unescaped(text: str) -> str:
    return _REFERENCE.sub(lambda found: html.unescape(found[0]), text) if "&" in text else text


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference) if base else reference
    except ValueError:  # such as an unclosed IPv6 bracket
        return reference
