"""Cuts a piece of page text into the units that an answer can cite: sentences, table rows, code blocks.

The input is the Markdown-like text that extraction writes, or any contiguous piece of it: a chunk may begin or end in the
middle of a block, so the kind of each line is read from the text itself. Sentence boundaries come from sentencex
(Wikimedia's segmenter, which knows abbreviations and the full stops of most scripts), freed of breaks inside identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import sentencex

MAX_UNIT_CHARS = 600

Span = tuple[int, int]

_FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<language>[\w+#.-]*)[^\S\n]*$")
_TABLE_ROW = re.compile(r"^[^\S\n]*\|.*\|[^\S\n]*$")
_TABLE_SEPARATOR = re.compile(r"^[^\S\n]*\|(?:[^\S\n]*:?-{3,}:?[^\S\n]*\|)+[^\S\n]*$")
_HEADING = re.compile(r"^#{1,6} \S")
_MARKER = re.compile(r"[^\S\n]*(?:(?:[-*+]|\d{1,9}[.)])[^\S\n]+|>[^\S\n]?)")
_LETTER = re.compile(r"[^\S\n]*(?:[A-Za-z]{1,2}|[ivxlcdm]{1,7}|[IVXLCDM]{1,7})\.[^\S\n]+")
_STRUCK = re.compile(r"~~(?=\S)[^~]{1,600}~~")
_STRUCK_SENTENCE = re.compile(r"~~(?=\S)[^~]{1,600}[.!?。！？]~~")
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
_CJK_END = re.compile(r"[。！？｡．…」』）”’][\"')\]”’」』）]*$")
_WORDY = re.compile(r"[^\W_]{2}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Where an over-long sentence may be cut, best first; the cut comes after the match.
_CLAUSE_ENDS = (re.compile(r"[;；]\s*"), re.compile(r"[:：—–]\s+|[，、]"), re.compile(r",\s+"), re.compile(r"\s+"))


def sentence_spans(text: str) -> list[Span]:
    """Spans ``(start, end)`` of the citable units in ``text``: ordered, disjoint, non-empty, without outer white space.

    Sentences of paragraphs, list items and quotes, without their markers (but with a letter or a box that says something,
    "b." or "[x]"); each data row of a table; each code block with its fences, or its blank-line-separated parts where it is
    longer than ``MAX_UNIT_CHARS``. Headings, and the header and separator rows of tables, are no units. Longer sentences are
    cut at clause ends.
    """
    units: list[Span] = []
    for kind, start, end in _regions(text):
        if kind == "code":
            units += _code_units(text, start, end)
        elif kind == "row":
            units.append((start, end))
        else:
            units += _prose_units(text, start, end)
    return [span for span in (_stripped(text, *unit) for unit in units) if span]


def table_spans(text: str) -> list[tuple[int, int, int]]:
    """``(start, header_end, end)`` of each table in ``text`` that has a header: its header row is ``text[start:header_end]``."""
    tables: list[tuple[int, int, int]] = []
    lines = _lines(text)
    opened: Span | None = None
    for i, (start, end) in enumerate(lines):
        is_row = bool(_TABLE_ROW.match(text[start:end]))
        if is_row and opened is None and i + 1 < len(lines) and _TABLE_SEPARATOR.match(text[slice(*lines[i + 1])]):
            opened = (start, end)
        elif opened is not None and not is_row:
            tables.append((*opened, start))
            opened = None
    if opened is not None:
        tables.append((*opened, len(text)))
    return tables


def _regions(text: str) -> Iterator[tuple[str, int, int]]:
    """Consecutive stretches of one kind: a whole code block, one table row, or a run of prose lines."""
    lines = _lines(text)
    fences = _fenced_blocks(text, lines)
    prose: list[Span] = []
    i = 0
    while i < len(lines):
        start, end = lines[i]
        line = text[start:end]
        row = bool(_TABLE_ROW.match(line))
        begins_item = bool(_MARKER.match(line)) or bool(_LETTER.match(line))
        begins_other = i in fences or row or not line.strip() or bool(_HEADING.match(line)) or begins_item
        if prose and begins_other:
            yield "prose", prose[0][0], prose[-1][1]
            prose = []
        if i in fences:
            yield "code", start, lines[fences[i]][1]
            i = fences[i]
        elif row:
            leads_separator = i + 1 < len(lines) and _TABLE_SEPARATOR.match(text[slice(*lines[i + 1])])
            if not leads_separator and not _TABLE_SEPARATOR.match(line):
                yield "row", start, end
        elif line.strip() and not _HEADING.match(line):
            marker = _MARKER.match(line)
            prose.append((start + marker.end() if marker else start, end))
        i += 1
    if prose:
        yield "prose", prose[0][0], prose[-1][1]


def _lines(text: str) -> list[Span]:
    spans, start = [], 0
    for line in text.split("\n"):
        spans.append((start, start + len(line)))
        start += len(line) + 1
    return spans


def _fenced_blocks(text: str, lines: list[Span]) -> dict[int, int]:
    """First line → last line of each code block, fences included.

    A fence that follows text without a blank line can only be a closing one, so a piece that begins inside a code block
    is told from one that ends inside it.
    """
    blocks: dict[int, int] = {}
    opened: int | None = None
    fence = ""
    for i, (start, end) in enumerate(lines):
        found = _FENCE.match(text[start:end])
        if opened is not None:
            if found and found["ticks"] == fence and not found["language"]:
                blocks[opened] = i
                opened = None
        elif found and not found["language"] and not blocks and i > 0 and text[slice(*lines[i - 1])].strip():
            blocks[0] = i
        elif found:
            opened, fence = i, found["ticks"]
    if opened is not None:
        blocks[opened] = len(lines) - 1
    return blocks


def _code_units(text: str, start: int, end: int) -> Iterator[Span]:
    if end - start <= MAX_UNIT_CHARS:
        yield start, end
        return
    for part_start, part_end in _between(text, start, end, _BLANK_LINES):
        if not _FENCE.match(text[part_start:part_end].strip()):
            yield part_start, part_end


def _between(text: str, start: int, end: int, separator: re.Pattern[str]) -> Iterator[Span]:
    for found in separator.finditer(text, start, end):
        yield start, found.start()
        start = found.end()
    yield start, end


def _prose_units(text: str, start: int, end: int) -> Iterator[Span]:
    """Sentences; one that is struck out whole ("~~Not so.~~") ends with its marks."""
    for found in _STRUCK_SENTENCE.finditer(text, start, end):
        if found.end() < end and text[found.end()].isspace():
            yield from _sentences(text, start, found.end())
            start = found.end()
    yield from _sentences(text, start, end)


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    """Sentences; a break inside a word (".NET", "os.path") or after a bare number or letter ("1.", "iv.") is none.

    Nor is one within struck-out text: without its marks, half of it would read as if it held.
    """
    unit_start = position = start
    struck = (found.span() for found in _STRUCK.finditer(text, start, end))
    struck_start, struck_end = next(struck, (end, end))
    for sentence in sentencex.segment("en", text[start:end]):
        position += len(sentence)
        while struck_end <= position < end and struck_start < end:
            struck_start, struck_end = next(struck, (end, end))
        candidate = text[unit_start:position]
        is_whole = not struck_start < position < struck_end and not _LETTER.fullmatch(candidate)
        ends_word = position >= end or candidate[-1].isspace() or text[position].isspace() or bool(_CJK_END.search(candidate))
        if ends_word and ((is_whole and _WORDY.search(candidate)) or position >= end):
            yield from _clauses(text, unit_start, position)
            unit_start = position
    if unit_start < end:
        yield from _clauses(text, unit_start, end)


def _clauses(text: str, start: int, end: int) -> Iterator[Span]:
    """The sentence, cut where it is longer than a unit may be; a word that long stays whole."""
    while end - start > MAX_UNIT_CHARS:
        limit = start + MAX_UNIT_CHARS
        cut = next((c for c in (_last_end(pattern, text, start, limit) for pattern in _CLAUSE_ENDS) if c), None)
        if cut is None:  # no boundary within the limit: take the next one
            found = _CLAUSE_ENDS[-1].search(text, limit, end)
            cut = found.end() if found else end
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _last_end(pattern: re.Pattern[str], text: str, start: int, limit: int) -> int | None:
    """End of the last match that leaves a piece of at least a sixth of a unit, so that no crumbs are cut."""
    return max((found.end() for found in pattern.finditer(text, start + MAX_UNIT_CHARS // 6, limit)), default=None)


def _stripped(text: str, start: int, end: int) -> Span | None:
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    end = start + len(piece.strip())
    return (start, end) if end > start else None
