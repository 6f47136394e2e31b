"""Takes parts out of a page and remembers them, so that each can be shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lxml.html import HtmlElement

from ingest.extract.html.elements import LEFT_OUT
from ingest.extract.html.words import PageWords

OUTSIDE = "outside the main content"


@dataclass(frozen=True, slots=True)
class Part:
    """Something visible that was left out."""

    reason: str
    words: int
    link_words: int
    text: str


@dataclass(slots=True)
class MainContent:
    """``root`` holds the content; ``inside`` what was left out within it, by the placeholder that stands there; ``before`` and
    ``after`` what was left out around it; ``words`` all that a reader sees of the page; None where
    nothing is left out."""

    root: HtmlElement
    words: PageWords | None = None
    inside: dict[HtmlElement, Part] = field(default_factory=dict)
    before: list[Part] = field(default_factory=list)
    after: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class LeftOutParts:
    """The parts that are left out of a body, each with a placeholder in its place.

    Args:
        words: the words of the body; those of parts that go are counted no more.
        shown_words: how many words of each part are given as its text; None: all.
    """

    def __init__(self, body: HtmlElement, words: PageWords, *, shown_words: int | None) -> None:
        self._body = body
        self._words = words
        self._shown_words = shown_words
        self._parts: dict[HtmlElement, Part] = {}  # by placeholder

    def add(self, element: HtmlElement, reason: str) -> None:
        """Take an element out, for a reason."""
        part = self._part(element, reason)
        parent = element.getparent()
        if parent is None:
            return
        placeholder = element.makeelement(LEFT_OUT)
        placeholder.tail, element.tail = element.tail, None
        parent.replace(element, placeholder)
        self._words.remove(element, under=parent)
        self._parts[placeholder] = part

    def _part(self, element: HtmlElement, reason: str) -> Part:
        words = self._words
        return Part(reason, words.count(element), words.in_links(element), words.text(element, max_words=self._shown_words))

    def add_all_but(self, root: HtmlElement, kept: Sequence[HtmlElement], reason: str) -> None:
        """Take out what stands under a root beside the elements that are kept."""
        chosen, holders = set(kept), holders_of(kept)
        for holder in [e for e in root.iter() if e in holders]:
            for child in list(holder):
                if child not in holders and child not in chosen and self._words.count(child):
                    self.add(child, reason)

    def content(self, root: HtmlElement, *, notes: list[str]) -> MainContent:
        """The root as the content, with all that was left out within it and around it."""
        result = MainContent(root, self._words, notes=notes)
        inside = set(root.iter(LEFT_OUT))
        place = result.before
        for element in self._around(root):
            if element is root:
                place = result.after
                continue
            if element not in self._parts and self._words.count(element):
                place.append(self._part(element, OUTSIDE))
            place.extend(self._parts[placeholder] for placeholder in element.iter(LEFT_OUT) if placeholder in self._parts)
        result.inside = {placeholder: part for placeholder, part in self._parts.items() if placeholder in inside}
        return result

    def _around(self, root: HtmlElement) -> Iterator[HtmlElement]:
        """What stands beside the root, level by level, in document order, with the root in its place."""
        path = {root, *root.iterancestors()}

        def visit(element: HtmlElement) -> Iterator[HtmlElement]:
            if element is root or element not in path:
                yield element
                return
            for child in element:
                yield from visit(child)

        return visit(self._body)


def holders_of(elements: Iterable[HtmlElement]) -> set[HtmlElement]:
    """All that is around any of these. Looks at each element above them once."""
    holders: set[HtmlElement] = set()
    for element in elements:
        for above in element.iterancestors():
            if above in holders:
                break
            holders.add(above)
    return holders
