"""The text of a part of a page by plain means, as what extraction is held against: every text node in order, and no rule.

It shares no code with the extraction that is measured, so that a fault there can't hide itself here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lxml import etree
from lxml.html import HtmlElement

from bench.extraction.measures import words_of

MIN_CODE_CHARS = 3
# fmt: off
_INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "time", "tt", "u", "var", "wbr",
))
# Nothing of these is text that a reader sees, or it is what a form's control says.
_UNREAD = frozenset((
    "script", "style", "template", "noscript", "svg", "math", "select", "textarea", "input", "iframe", "object", "audio", "video",
))
# fmt: on
_UNSEEN = re.compile("[\xad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]")
_SPACE = re.compile(r"\s+")
_MARKUP = re.compile(r"[`*~^\\_;]")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_MARKER = re.compile(r"\s*(?:[-*+]|\(?(?:\d{1,4}|[A-Za-z]|[ivxlcdmIVXLCDM]{1,7})[.)])[ \t]+(?:\[[ xX]\] )?")
_EDGE = "\0"  # no page's text holds one
_EDGES = re.compile("(\\A|\n)\0+|\0+")
_LINE_PREFIX = re.compile(r"[\s>]*")


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    element: HtmlElement


def text_of(root: HtmlElement) -> str:
    """All of its text, a space at each border of an element that isn't inline."""
    return "".join(text for text, _ in _nodes(root, lambda element: False))


def words_under(roots: Sequence[HtmlElement], *, is_chrome: Callable[[HtmlElement], bool]) -> list[Word]:
    """The words of some parts of a page, each with the element that its first letter stands in."""
    texts: list[str] = []
    found: list[Word] = []
    at: HtmlElement | None = None

    def flush() -> None:
        if at is not None:
            found.extend(Word(word, at) for word in words_of("".join(texts)))
        texts.clear()

    for root in roots:
        for text, element in _nodes(root, is_chrome):
            # A word may go on over the border of an inline element, so texts are cut where there is space alone.
            if texts and (text[:1].isspace() or texts[-1][-1:].isspace()):
                flush()
            if text:
                if not texts:
                    at = element
                texts.append(text)
        flush()
    return found


def unmarked(text: str) -> str:
    """An extractor's Markdown without what no page shows as text: the language after a fence, the number of a list's item."""
    lines, fence = [], ""
    for line in text.split("\n"):
        if (match := _FENCE.match(line)) and (not fence or line.strip() == fence):
            fence = "" if fence else match[1]
        else:
            lines.append(line if fence or not (marker := _MARKER.match(line)) else line[marker.end() :])
    return "\n".join(lines)


def path_of(element: HtmlElement, steps: int = 4) -> str:
    """Where an element stands, by tags and classes: ``div.section > ul > li``."""
    chain = [element, *element.iterancestors()][:steps]
    return " > ".join(
        one.tag + "".join(f".{name}" for name in one.get("class", "").split()[:3]) for one in reversed(chain) if one.tag != "html"
    )


def code_of(element: HtmlElement, *, is_chrome: Callable[[HtmlElement], bool], as_shown: bool = False) -> list[str]:
    """The lines of a ``<pre>``, without blank ones around them, white space at line ends, and the line numbers beside them.

    Args:
        as_shown: a block in the code begins and ends a line, as browsers show it, not only where its text does.
    """
    # Doxygen: a div a line, with or without line breaks between; in a pre, line breaks are those of its text.
    rows = [] if element.tag == "pre" else [child for child in element if child.tag == "div"]
    edge = _EDGE if as_shown else ""
    text = "\n".join(
        "".join("\n" if node.tag == "br" else text for text, node in _nodes(row, is_chrome, edge=edge))
        for row in rows or [element]
    )
    text = _EDGES.sub(lambda match: match[1] or "\n", text)
    lines = [line.rstrip() for line in _UNSEEN.sub("", text).replace("\r\n", "\n").replace("\xa0", " ").split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def stored_lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\xa0", " ").split("\n")]


def stands_as_code(code: Sequence[str], stored: Sequence[str], places: dict[str, list[int]]) -> bool:
    """Whether the lines stand in the stored text, one after the other, indented or quoted as one.

    Args:
        places: where each line of ``stored`` stands (:func:`places_of`).
    """
    for place in places.get(_key(code[0]), ()):
        block = stored[place : place + len(code)]
        prefix = _prefix(block[0], code[0])
        if (
            prefix is not None
            and len(block) == len(code)
            and all(line == (prefix + wanted).rstrip() or line == wanted for line, wanted in zip(block, code, strict=True))
        ):
            return True
    return False


def places_of(stored: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for i, line in enumerate(stored):
        places.setdefault(_key(line), []).append(i)
    return places


def rows_of(table: HtmlElement, *, is_chrome: Callable[[HtmlElement], bool]) -> list[list[str]]:
    """The rows of a table of data, as the texts of those cells that hold any; none of a table that only lays something out."""
    if next(table.iterdescendants("table", "pre"), None) is not None:
        return []
    rows = [[cell for cell in row if cell.tag in ("td", "th")] for row in table.iter("tr") if not is_chrome(row)]
    rows = [row for row in rows if len(row) > 1]
    if len(rows) < 2:
        return []
    texts = ([flat("".join(text for text, _ in _nodes(cell, is_chrome))) for cell in row] for row in rows)
    return [cells for row in texts if len(cells := [cell for cell in row if cell]) > 1]


def flat(text: str) -> str:
    """Without the marks by which Markdown shows code, emphasis and position or parts a cell's lines, and without spaces."""
    return _SPACE.sub("", _MARKUP.sub("", _UNSEEN.sub("", text)))


def stands_in(cells: Sequence[str], line: str) -> bool:
    """Whether a written row holds all the cells' texts, in order."""
    at = 0
    for cell in cells:
        found = line.find(cell, at)
        if found < 0:
            return False
        at = found + len(cell)
    return True


def _key(line: str) -> str:
    """A line without indentation and marks of quotation."""
    return _LINE_PREFIX.sub("", line, count=1)


def _prefix(line: str, code: str) -> str | None:
    """What stands before the code in a stored line: nothing but white space and marks of quotation, or None."""
    if not line.endswith(code):
        return None
    prefix = line.removesuffix(code)
    return prefix if _LINE_PREFIX.fullmatch(prefix) else None


def _is_inline(node: HtmlElement) -> bool:
    """Whether a word may go on over its border: an exponent stands apart (10⁶ isn't 106), an ordinal's letters don't (1ˢᵗ)."""
    return node.tag in _INLINE or (node.tag == "sup" and (node.text or "")[:1].isalpha())


def _nodes(root: HtmlElement, is_chrome: Callable[[HtmlElement], bool], *, edge: str = " ") -> Iterator[tuple[str, HtmlElement]]:
    """Each text with the element it stands in.

    Args:
        edge: what stands at the borders of elements that aren't inline; nothing for code, whose spaces are all in its text.
    """
    walker = etree.iterwalk(root, events=("start", "end"))
    for event, node in walker:
        if not isinstance(node.tag, str):
            if event == "end" and node.tail and node is not root:
                yield node.tail, node.getparent()
            continue
        is_edge = bool(edge) and not _is_inline(node) and node.tag != "br"
        if event == "start":
            if is_edge:
                yield edge, node
            if node.tag in _UNREAD or is_chrome(node):
                walker.skip_subtree()
            elif node.tag == "br":
                yield (" " if edge == " " else ""), node
            elif node.text:
                yield node.text, node
        else:
            if is_edge:
                yield edge, node
            if node.tail and node is not root:
                yield node.tail, node.getparent()
