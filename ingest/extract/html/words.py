"""Counts the words of a page by element: how many there are, how many in links, how many another extractor kept."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.elements import BLOCKS
from ingest.extract.page_text import clean

SHINGLE_WORDS = 4
_LINE_WORDS = 15  # menus, captions and headings have shorter lines
_LINK_SHARE = 0.3  # of a line's words that running text may have in links
_NOTHING = (0, 0)

# Scripts without spaces between words count by characters, so that a Chinese paragraph is not one word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words_of(text: str) -> list[str]:
    """The words of a text, cleaned of what a reader can't see (soft hyphens, zero-width characters)."""
    return _WORD.findall(clean(text))


class PageWords:
    """The words under an element, in the order in which a reader meets them, and the ranges in which each element has them.

    They are split from the running text, not node by node: ``<b>J</b>ohn`` is one word. The counts are those of the moment at
    which the object was made, less what :meth:`remove` was given since.
    """

    def __init__(self, root: HtmlElement) -> None:
        self.root = root
        pieces: list[str] = []
        length = 0
        spans: dict[HtmlElement, tuple[int, int]] = {}
        starts: dict[HtmlElement, int] = {}
        links: list[tuple[int, int]] = []
        borders = [0]

        def add(text: str | None) -> None:
            nonlocal length
            if text:
                cleaned = text if text.isascii() else clean(text)
                pieces.append(cleaned)
                length += len(cleaned)

        for event, element in etree.iterwalk(root, events=("start", "end")):
            is_block = element.tag in BLOCKS or element.tag == "br"
            if is_block:
                add(" ")
                borders.append(length)
            if event == "start":
                starts[element] = length
                add(element.text)
            else:
                spans[element] = (starts.pop(element), length)
                if element.tag == "a" and element.get("href") is not None:
                    links.append(spans[element])
                if element is not root:
                    add(element.tail)
        text = "".join(pieces)
        found = [(word.start(), word[0]) for word in _WORD.finditer(text)]
        self.words = [word for _, word in found]
        self._begins = [begin for begin, _ in found]
        self._spans = spans
        self._in_links = self._marked(links)
        self._links = self._totals(self._in_links)
        self._prose_marks = self._prose_lines([*borders, length])
        self._paragraphs = self._totals(self._prose_marks)
        self._kept = [0] * (len(self.words) + 1)
        self._text = text
        self._ranges_gone: list[tuple[int, int]] = []
        self._gone: dict[HtmlElement, list[int]] = {}  # words and link words that were removed from under an element

    def range_of(self, element: HtmlElement) -> tuple[int, int]:
        """The half-open range of an element's words; empty for one that came into the tree later."""
        start, end = self._spans.get(element, (0, 0))
        return bisect_left(self._begins, start), bisect_left(self._begins, end)

    def count(self, element: HtmlElement) -> int:
        start, end = self.range_of(element)
        return end - start - self._removed(element)[0]

    def in_links(self, element: HtmlElement) -> int:
        start, end = self.range_of(element)
        return self._links[end] - self._links[start] - self._removed(element)[1]

    def kept(self, element: HtmlElement) -> int:
        """Words that stand in the text given to :meth:`vote`."""
        start, end = self.range_of(element)
        return self._kept[end] - self._kept[start]

    def kept_range(self, element: HtmlElement) -> tuple[int, int]:
        """The half-open range from the first to the last kept word of an element; all of it if none was kept."""
        return self._range_in(self._kept, element)

    def paragraph_range(self, element: HtmlElement) -> tuple[int, int]:
        """As :meth:`kept_range`, for the words that :meth:`paragraphs` counts."""
        return self._range_in(self._paragraphs, element)

    def _range_in(self, totals: Sequence[int], element: HtmlElement) -> tuple[int, int]:
        start, end = self.range_of(element)
        if totals[start] == totals[end]:
            return start, end
        return bisect_left(totals, totals[start] + 1) - 1, bisect_left(totals, totals[end])

    def remove(self, element: HtmlElement, *, under: HtmlElement) -> None:
        """Count an element no more in those that held it: ``under``, and all above that."""
        count, links = self.count(element), self.in_links(element)
        for above in (under, *under.iterancestors()):
            gone = self._gone.setdefault(above, [0, 0])
            gone[0] += count
            gone[1] += links
        self._ranges_gone.append(self.range_of(element))

    def _removed(self, element: HtmlElement) -> Sequence[int]:
        return self._gone.get(element, _NOTHING)

    def prose(self, element: HtmlElement) -> int:
        """Words outside of links."""
        return self.count(element) - self.in_links(element)

    def text(self, element: HtmlElement, *, max_words: int | None = None) -> str:
        """The text of an element on one line; with ``max_words`` its beginning."""
        start, end = self._spans.get(element, (0, 0))
        first, last = self.range_of(element)
        if max_words is not None and last - first > max_words:
            return " ".join(self._text[start : self._begins[first + max_words]].split()) + " …"
        return " ".join(self._text[start:end].split())

    def discount(self, elements: Iterable[HtmlElement]) -> None:
        """Count nothing in these elements as paragraphs."""
        for element in elements:
            start, end = self.range_of(element)
            self._prose_marks[start:end] = bytes(end - start)
        self._paragraphs = self._totals(self._prose_marks)

    def paragraphs(self, element: HtmlElement) -> int:
        """Words that stand in running text: in lines of some length that are not made of links."""
        start, end = self.range_of(element)
        return self._paragraphs[end] - self._paragraphs[start]

    def vote(self, extracted: str) -> None:
        """Mark the words that stand in a text, too: those of each run of four that both have."""
        wanted = set(_shingles(words_of(extracted)))
        kept = bytearray(len(self.words))
        for i, shingle in enumerate(_shingles(self.words)):
            if shingle in wanted:
                kept[i : i + SHINGLE_WORDS] = b"\1" * SHINGLE_WORDS
        for start, end in self._ranges_gone:
            kept[start:end] = bytes(end - start)
        self._kept = self._totals(kept)

    def _prose_lines(self, borders: Sequence[int]) -> bytearray:
        """Marks on the words of each line, which is what stands between two borders of blocks, that reads as prose."""
        marks = bytearray(len(self.words))
        first = 0
        for border in borders[1:]:
            last = bisect_left(self._begins, border)
            count = last - first
            if count >= _LINE_WORDS and sum(self._in_links[first:last]) <= _LINK_SHARE * count:
                marks[first:last] = b"\1" * count
            first = last
        return marks

    def _marked(self, spans: Iterable[tuple[int, int]]) -> bytearray:
        marks = bytearray(len(self.words))
        for start, end in spans:
            first, last = bisect_left(self._begins, start), bisect_left(self._begins, end)
            marks[first:last] = b"\1" * (last - first)
        return marks

    @staticmethod
    def _totals(marks: bytearray) -> list[int]:
        return [0, *accumulate(marks)]


def _shingles(words: list[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[i:] for i in range(SHINGLE_WORDS)), strict=False)
