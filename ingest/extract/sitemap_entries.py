"""What a sitemap or feed in XML lists: one collector of entries, fed by a strict parser or by a scanner that forgives faults."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol
from urllib.parse import urljoin

MAX_DEPTH = 64  # a sitemap needs 3, a feed some more
_MAX_FIELD_CHARS = 4_096

_BASE_ATTRIBUTES = ("xml:base", "{http://www.w3.org/XML/1998/namespace}base")
_DATES = ("lastmod", "updated", "pubdate", "published", "date")
_LEAVES = frozenset(("loc", "link", "guid", *_DATES, "changefreq", "priority", "title", "id"))  # they hold text alone
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_HTTP = re.compile(r"https?://", re.IGNORECASE)

_TAG = re.compile(r"<(/?)([A-Za-z_][\w.:-]{0,100}+)([^<>]*+)>")
_ATTRIBUTE = re.compile(r"""([A-Za-z_][\w.:-]{0,100})\s{0,20}=\s{0,20}(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))""")
_MAX_ATTRIBUTES_CHARS = 20_000
_REFERENCE = re.compile(r"&#?\w{1,32};")
_SPANS = (("<!--", "-->"), ("<?", "?>"))
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
    ``nameless`` counts entries without an address."""

    root: str = ""
    elements: int = 0
    entries: list[Entry] = field(default_factory=list)
    nameless: int = 0
    is_truncated: bool = False


class StopReading(Exception):
    """There are as many entries as may be taken, or elements lie deeper than any sitemap's."""


class HasDoctype(Exception):
    """A DOCTYPE reached the parser."""


class Target(Protocol):
    """What lxml calls a parser target."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None: ...
    def data(self, text: str) -> None: ...
    def end(self, name: str) -> None: ...


_OF_SITEMAPS = {"url": EntryKind.PAGE, "sitemap": EntryKind.SITEMAP}
_OF_FEEDS = {"item": EntryKind.PAGE, "entry": EntryKind.PAGE}
FEEDS = frozenset(("rss", "rdf", "feed"))
ROOTS = frozenset(("urlset", "sitemapindex")) | FEEDS


@dataclass(slots=True)
class _Element:
    name: str
    local: str
    base: str


class EntryCollector:
    """Gathers ``<url>``, ``<sitemap>`` (sitemaps.org), ``<item>`` (RSS) and ``<entry>`` (Atom), under whatever root.

    Names are compared without case, in any namespace, for sites misspell theirs; but an entry's address is in the namespace of
    the entry, lest an image's be taken for it. A tag that is missing or too many costs no more than the entry that it is in.
    """

    def __init__(self, *, max_entries: int) -> None:
        self.collected = Collected()
        self._max_entries = max_entries
        self._kinds = _OF_SITEMAPS
        self._stack: list[_Element] = []
        self._entry: int | None = None  # where in the stack the entry lies that is being read
        self._found: dict[str, str] = {}
        self._text: list[str] | None = None  # of the field that is being read

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        local = _local(name)
        self._note_root(local)
        is_entry = local in self._kinds
        if self._stack and self._stack[-1].local in _LEAVES and (local in _LEAVES or is_entry):
            self._pop(len(self._stack) - 1)  # its end tag is missing
        if is_entry and self._entry is not None and _qualifier(self._stack[self._entry].name) == _qualifier(name):
            self._pop(self._entry)  # entries hold no entries: the end tag is missing
        if len(self._stack) >= MAX_DEPTH:
            raise StopReading
        base = next((attributes[key] for key in _BASE_ATTRIBUTES if attributes.get(key)), None)
        around = self._stack[-1].base if self._stack else ""
        self._stack.append(_Element(name, local, _joined(around, base.strip()) if base else around))
        if self._entry is None:
            if is_entry:
                self._entry, self._found = len(self._stack) - 1, {}
        elif len(self._stack) == self._entry + 2:  # directly within an entry
            self._start_field(name, local, attributes)

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, name: str) -> None:
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place].name == name:
                self._pop(place)
                return

    def close(self) -> Collected:
        """The end of the file. A field that is still open may have been cut off, so it is dropped."""
        self._text = None
        if not self._found.get("loc"):
            self._entry = None
        self._pop(0)
        return self.collected

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """lxml comes here before anything is declared."""
        raise HasDoctype

    def _note_root(self, local: str) -> None:
        collected = self.collected
        collected.elements += 1
        if local in ROOTS and collected.root not in ROOTS:  # what stands before it is junk
            collected.root = local
            self._kinds = _OF_FEEDS if local in FEEDS else _OF_SITEMAPS
        elif not collected.root:
            collected.root = local

    def _start_field(self, name: str, local: str, attributes: Mapping[str, str]) -> None:
        entry = self._stack[self._entry or 0]
        if local in _DATES:
            self._text = []
        elif _qualifier(name) != _qualifier(entry.name):
            return
        elif local == "loc" and entry.local in ("url", "sitemap"):
            self._text = []
        elif local == "link" and entry.local in ("item", "entry"):
            href = attributes.get("href", "").strip()
            if href and attributes.get("rel", "alternate").strip().lower() == "alternate":
                self._keep("loc", href)
            elif not href:
                self._text = []
        elif local == "guid" and entry.local == "item" and attributes.get("isPermaLink", "true").strip().lower() != "false":
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
        if local == "guid" and not _HTTP.match(text):
            return
        if text:
            self._keep("loc" if local in ("loc", "link") else "guid" if local == "guid" else "lastmod", text)

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
            raise StopReading
        self.collected.entries.append(Entry(self._kinds[entry.local], loc, self._found.get("lastmod", "")))


def scan(text: str, target: Target) -> None:
    """Find tags and text, however they nest, and hand them on: what a strict parser gives up on, from its first character to its
    last. References that end in ";" are resolved as HTML's; "&" and "<" that begin nothing are text. In one pass.
    """
    at, end = 0, len(text)
    while at < end:
        opening = text.find("<", at)
        if opening < 0:
            return  # text after the last tag: a file that was cut off, or junk
        if opening > at:
            target.data(_unescaped(text[at:opening]))
        if text.startswith(_CDATA, opening):
            closing = text.find("]]>", opening)
            if closing < 0:
                return
            target.data(text[opening + len(_CDATA) : closing])
            at = closing + 3
        elif span := next((span for span in _SPANS if text.startswith(span[0], opening)), None):
            closing = text.find(span[1], opening + len(span[0]))
            if closing < 0:
                return
            at = closing + len(span[1])
        elif tag := _TAG.match(text, opening):
            closes, name, rest = tag.groups()
            if closes:
                target.end(name)
            else:
                target.start(name, _attributes(rest) if "=" in rest else {})
                if rest.endswith("/"):
                    target.end(name)
            at = tag.end()
        else:
            target.data("<")
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


def _local(name: str) -> str:
    return name.rpartition("}")[2].rpartition(":")[2].lower()


def _qualifier(name: str) -> str:
    """The namespace, or the prefix where no parser resolved it."""
    namespace, brace, rest = name.rpartition("}")
    return namespace if brace else rest.rpartition(":")[0]
