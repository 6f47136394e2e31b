"""Makes blocks of the lines of a PDF: headings, paragraphs, list items and code, by type size and place. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from ingest.extract.page_text import PageTextBuilder, one_line

_HEADING_RATIO = 1.15  # how much larger than the body a heading's type is
_MAX_HEADING_CHARS = 200
_MAX_TITLE_CHARS = 90  # of a heading that is only bold
_MAX_HEADING_LINES = 3
_MARGIN_SHARE = 0.12  # of the page's height, where running heads and page numbers stand
_MIN_RUNNING_PAGES = 3
_NEW_PARAGRAPH_GAP = 1.25  # of the usual distance between lines
_BULLET = re.compile(r"(?:[•◦▪‣●○■□∙·–—]|[-*](?=\s))\s*(?=\S)")
_NUMBER = re.compile(r"(?P<marker>\(?\d{1,3}[.)])\s+(?=\S)")
_NUMBERED_TITLE = re.compile(r"\d+(?:\.\d+)*\.?\s+[^\W\d].*\.$")
_LEADER = re.compile(r"(?:\s?\.){4,}\s*(?=\S{1,6}$)")  # from a title to its page in a table of contents
_SENTENCE_END = re.compile(r"""[.!?:;。！？]["')\]”’»]*$""")
_BROKEN_WORD = re.compile(r"[^\W\d_]{2}-$")
_DIGITS = re.compile(r"\d+")
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text. Distances in points from the page's left and upper edge; ``top`` < ``bottom``.

    ``page_share``: how far down the page it stands, 0 to 1. A word broken at the line's end is marked by a soft hyphen.
    With ``rows`` it is a table, as high as all of it.
    """

    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float
    is_bold: bool = False
    is_code: bool = False
    page_share: float = 0.5
    rows: tuple[tuple[str, ...], ...] = ()
    has_header: bool = False


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """``page`` counts from 0, ``rank`` from 1."""

    title: str
    rank: int
    page: int


def write_lines(builder: PageTextBuilder, pages: Sequence[Sequence[Line]], *, outline: Sequence[OutlineEntry]) -> None:
    pages = [_without_lone_code(lines) for lines in _without_running_lines(pages)]
    headings = _headings_by_outline(pages, outline) or _headings_by_size(pages)
    writer = _Writer(builder, usual_step=_usual_step(pages))
    for number, lines in enumerate(pages):
        if not headings and len(pages) > 1 and lines:
            writer.end()
            builder.heading(2, f"Page {number + 1}")
        writer.page(lines, headings.get(number, {}))
    writer.end()


def largest_type(pages: Sequence[Sequence[Line]]) -> str:
    """The first page's line in the largest type, with those that continue it; "" if it is no larger than the rest."""
    first = [line for line in next((lines for lines in pages if lines), []) if any(char.isalnum() for char in line.text)]
    largest = max((line.size for line in first), default=0.0)
    if largest < _HEADING_RATIO * body_size(pages):
        return ""
    start = next(i for i, line in enumerate(first) if line.size == largest)
    end = start
    while end < len(first) and end - start < _MAX_HEADING_LINES and first[end].size == largest:
        end += 1
    return one_line(_joined(first[start:end]))


def body_size(pages: Sequence[Sequence[Line]]) -> float:
    """The type size of most of the text."""
    chars: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            chars[line.size] += len(line.text)
    return max(chars, key=lambda size: (chars[size], size), default=0.0)


def _without_running_lines(pages: Sequence[Sequence[Line]]) -> Iterator[list[Line]]:
    """Without the lines that, but for their numbers, stand in the same place in the margins of several pages."""
    seen: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for number, lines in enumerate(pages):
        for line in lines:
            if _is_in_margin(line):
                seen[_running_key(line)].add(number)
    for lines in pages:
        yield [line for line in lines if not (_is_in_margin(line) and len(seen[_running_key(line)]) >= _MIN_RUNNING_PAGES)]


def _without_lone_code(lines: Sequence[Line]) -> list[Line]:
    """A line in a fixed pitch amid a sentence is a long name or address in it, not a listing."""
    found = list(lines)
    for i, line in enumerate(found[1:], 1):
        above = found[i - 1]
        is_lone = line.is_code and not above.is_code and not (i + 1 < len(found) and found[i + 1].is_code)
        if is_lone and not above.rows and 0 < _step(above, line) < 1.4 and not _SENTENCE_END.search(above.text):
            found[i] = replace(line, is_code=False, size=above.size)
    return found


def _is_in_margin(line: Line) -> bool:
    return not _MARGIN_SHARE < line.page_share < 1 - _MARGIN_SHARE


def _running_key(line: Line) -> tuple[str, int]:
    return _DIGITS.sub("0", line.text.casefold()), round(line.top / 4)


Headings = dict[int, dict[int, tuple[int, int]]]  # page → first line → rank, lines


def _headings_by_outline(pages: Sequence[Sequence[Line]], outline: Sequence[OutlineEntry]) -> Headings:
    """Where the outline's titles stand on the pages that it names; a title may take several lines."""
    found: Headings = {}
    for entry in outline:
        if not 0 <= entry.page < len(pages):
            continue
        lines = pages[entry.page]
        taken = found.setdefault(entry.page, {})
        free = [i for i in range(len(lines)) if i not in taken]
        if place := _place_of(_letters(entry.title), lines, free):
            taken[place[0]] = (min(entry.rank, 6), place[1])
    return {page: lines for page, lines in found.items() if lines}


def _place_of(wanted: str, lines: Sequence[Line], starts: Sequence[int]) -> tuple[int, int] | None:
    """The first line that reads as a title, and over how many lines it goes; the page may number what the outline doesn't."""
    with_number: tuple[int, int] | None = None
    for start in starts if wanted else ():
        text = ""
        for count, line in enumerate(lines[start : start + _MAX_HEADING_LINES], 1):
            text += _letters(line.text)
            if text == wanted:
                return start, count
            if with_number is None and text.endswith(wanted) and text[: -len(wanted)].isdigit():
                with_number = start, count
            if len(text) > len(wanted) + 8:
                break
    return with_number


def _letters(text: str) -> str:
    return _NOT_WORD.sub("", text.casefold())


def _headings_by_size(pages: Sequence[Sequence[Line]]) -> Headings:
    """Short runs of lines in larger type than the body; the larger the type, the higher the rank."""
    body = body_size(pages)
    found: dict[int, list[tuple[int, int, float]]] = {}
    for number, lines in enumerate(pages):
        i = 0
        while i < len(lines):
            run = i + 1
            while run < len(lines) and lines[run].size == lines[i].size:
                run += 1
            text = _joined(lines[i:run])
            is_short = run - i <= _MAX_HEADING_LINES and len(text) <= _MAX_HEADING_CHARS and any(c.isalpha() for c in text)
            if body and lines[i].size >= _HEADING_RATIO * body and is_short:
                found.setdefault(number, []).append((i, run - i, lines[i].size))
            i = run
        if body and (bold := [(i, 1, 0.0) for i in range(len(lines)) if _is_bold_title(lines, i, body)]):
            found.setdefault(number, []).extend(bold)
    sizes = sorted({size for runs in found.values() for _, _, size in runs}, reverse=True)
    return {number: {i: (min(sizes.index(size) + 1, 6), count) for i, count, size in runs} for number, runs in found.items()}


def _is_bold_title(lines: Sequence[Line], i: int, body: float) -> bool:
    """Whether a short line in the body's size, but bold, stands apart and before text that isn't bold."""
    line = lines[i]
    if not line.is_bold or line.is_code or line.rows or not 0.95 * body <= line.size < _HEADING_RATIO * body:
        return False
    above, below = lines[i - 1] if i else None, lines[i + 1] if i + 1 < len(lines) else None
    if below is None or below.is_bold or below.top <= line.top or (above is not None and above.is_bold):
        return False
    is_apart = above is None or above.top >= line.top or bool(above.rows) or _step(above, line) > _NEW_PARAGRAPH_GAP * 1.1
    is_title = line.text[-1] not in ".,;" or bool(_NUMBERED_TITLE.match(line.text))
    return is_apart and is_title and len(line.text) <= _MAX_TITLE_CHARS and any(c.isalpha() for c in line.text)


def _usual_step(pages: Sequence[Sequence[Line]]) -> float:
    steps: Counter[float] = Counter()
    for lines in pages:
        for above, below in pairwise(lines):
            if below.top > above.top and above.size and abs(above.size - below.size) < 1:
                steps[round(_step(above, below), 1)] += 1
    return max(steps, key=lambda step: (steps[step], -step), default=1.2)


def _step(above: Line, below: Line) -> float:
    """The distance from one line to the next, in line heights."""
    return 1 + (below.top - above.bottom) / (above.size or 1)


def _joined(lines: Sequence[Line]) -> str:
    """One running text: words broken at a line's end are whole again."""
    text = ""
    for line in lines:
        if text.endswith("\xad") or (_BROKEN_WORD.search(text[-3:]) and line.text[:1].islower()):
            text = text[:-1] + line.text
        else:
            text += f" {line.text}" if text else line.text
    return text


@dataclass(slots=True)
class _Writer:
    """Gathers lines into the block that they make."""

    builder: PageTextBuilder
    usual_step: float
    lines: list[Line] = field(default_factory=list)

    def page(self, lines: Sequence[Line], headings: dict[int, tuple[int, int]]) -> None:
        i = 0
        is_first = True
        while i < len(lines):
            if i in headings:
                rank, count = headings[i]
                self.end()
                self.builder.heading(rank, _joined(lines[i : i + count]).replace("\xad", ""))
                i += count
            else:
                if self.lines and (lines[i].rows or self._begins_block(lines[i], on_new_page=is_first)):
                    self.end()
                if lines[i].rows:
                    self.builder.table([list(row) for row in lines[i].rows], has_header=lines[i].has_header)
                else:
                    self.lines.append(lines[i])
                i += 1
            is_first = False

    def _begins_block(self, line: Line, *, on_new_page: bool) -> bool:
        above = self.lines[-1]
        if line.is_code != above.is_code or abs(line.size - above.size) > 1:
            return True
        if line.is_code:
            return False
        if above.text.endswith("\xad"):
            return False
        if _marker(line.text) or _LEADER.search(above.text):
            return True
        if on_new_page or line.top <= above.top:  # a new page or column: a sentence may run on
            return bool(_SENTENCE_END.search(above.text)) or not (line.text[0].islower() or above.text.endswith("\xad"))
        is_indented = above.left + 0.8 * line.size < line.left < above.left + 4 * line.size
        if is_indented and _SENTENCE_END.search(above.text):
            return True
        return _step(above, line) > _NEW_PARAGRAPH_GAP * self.usual_step or (
            line.is_bold != above.is_bold and len(self.lines) == 1
        )

    def end(self) -> None:
        """Write what was gathered."""
        lines, self.lines = self.lines, []
        if not lines:
            return
        if lines[0].is_code:
            self.builder.code(_code(lines))
            return
        text = _LEADER.sub(" … ", _joined(lines))
        if found := _BULLET.match(text):
            self.builder.list_item("-", text[found.end() :], depth=0)
        elif found := _NUMBER.match(text):
            self.builder.list_item(found["marker"], text[found.end() :], depth=0)
        else:
            self.builder.paragraph(text)


def _marker(text: str) -> bool:
    return bool(_BULLET.match(text) or _NUMBER.match(text))


def _code(lines: Sequence[Line]) -> str:
    """Lines in a fixed pitch, indented as they stand on the page, with blank lines where the page leaves room for them."""
    margin = min(line.left for line in lines)
    written: list[str] = []
    above: Line | None = None
    for line in lines:
        pitch = (line.right - line.left) / len(line.text) if line.right > line.left else 0.0
        indent = round((line.left - margin) / pitch) if pitch > 0.5 else 0
        if above is not None and line.size and line.top > above.top:
            written += [""] * min(3, round(_step(above, line) / 1.2) - 1)
        written.append(" " * min(indent, 200) + line.text.replace("\xad", "-"))
        above = line
    return "\n".join(written)
