"""Finds tables among the segments of a page: cells in a ruled grid, and cells that stand under each other. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ingest.extract.pdf.columns import visual_lines
from ingest.extract.pdf.rules import Rule, Rules
from ingest.extract.pdf.segments import Segment, Word

_MIN_ROWS = 3  # of a table without rules
_MAX_COLUMNS = 30
_MAX_CELL_CHARS = 120  # on average; longer ones are columns of text
_TOUCH = 3.0  # points that rules may miss each other by
_NEW_ROW_GAP = 1.9  # line heights between the rows of a table, at most
_LEADER = re.compile(r"(?:\s?\.){4,}\s*\w{0,6}$")  # to a page number in a table of contents
_LIST_MARK = re.compile(r"[•◦▪‣●○■□∙·–—*-]|\(?\w{1,3}[.)]")
_NUMBER = re.compile(r"[-+−€$£<>≤≥±]?\s?\d")
_MAX_GRID_RULES = 600


@dataclass(frozen=True, slots=True)
class Table:
    rows: list[list[str]]
    has_header: bool
    segments: list[Segment]


def ruled_tables(segments: Sequence[Segment], rules: Rules) -> list[Table]:
    """The tables of a page whose cells stand in a grid of rules."""
    found: list[Table] = []
    rest = list(segments)
    for grid in grids_of(rules):
        if table := _ruled(grid, rest):
            found.append(table)
            taken = {segment.order for segment in table.segments}
            rest = [segment for segment in rest if segment.order not in taken]
    return found


# Ruled --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the rules of a table stand from the left and from the top."""

    xs: list[float]
    ys: list[float]
    vertical: list[Rule]


def grids_of(rules: Rules) -> list[Grid]:
    """Sets of rules that touch each other and make at least two rows and two columns."""
    lines = [*rules.horizontal, *rules.vertical]
    if not rules.vertical or not rules.horizontal or len(lines) > _MAX_GRID_RULES:
        return []
    owner = list(range(len(lines)))

    def root(i: int) -> int:
        while owner[i] != i:
            owner[i] = owner[owner[i]]
            i = owner[i]
        return i

    for v, upright in enumerate(rules.vertical, len(rules.horizontal)):
        for h, level in enumerate(rules.horizontal):
            if (
                level.left - _TOUCH <= upright.left <= level.right + _TOUCH
                and upright.top - _TOUCH <= level.top <= upright.bottom + _TOUCH
            ):
                owner[root(v)] = root(h)
    groups: dict[int, list[int]] = {}
    for i in range(len(lines)):
        groups.setdefault(root(i), []).append(i)
    grids = []
    for members in groups.values():
        vertical = [lines[i] for i in members if i >= len(rules.horizontal)]
        flat = [lines[i] for i in members if i < len(rules.horizontal)]
        if not flat or not vertical:
            continue
        # Many tables have no rules at their sides: there the horizontal ones end.
        sides = (min(rule.left for rule in flat), max(rule.right for rule in flat))
        xs = _clustered([*(rule.left for rule in vertical), *sides])
        ys = _clustered(rule.top for rule in flat)
        if len(xs) >= 3 and len(ys) >= 3 and len(xs) <= _MAX_COLUMNS + 1:
            grids.append(Grid(xs, ys, vertical))
    return grids


def _clustered(places: Iterable[float]) -> list[float]:
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > _TOUCH:
            found.append(place)
    return found


def _ruled(grid: Grid, segments: Sequence[Segment]) -> Table | None:
    rows = [[""] * (len(grid.xs) - 1) for _ in range(len(grid.ys) - 1)]
    inside = [
        s
        for s in segments
        if grid.xs[0] - _TOUCH <= (s.left + s.right) / 2 <= grid.xs[-1] + _TOUCH and grid.ys[0] < s.middle < grid.ys[-1]
    ]
    is_bold: list[list[bool]] = [[] for _ in rows]
    for line in visual_lines(inside):
        for segment in line:
            row = min(max(bisect_right(grid.ys, segment.middle) - 1, 0), len(rows) - 1)
            is_bold[row].append(segment.is_bold)
            for words in _at_rules(segment, grid):
                column = min(max(bisect_right(grid.xs, words[0].left + 1) - 1, 0), len(grid.xs) - 2)
                text = Segment(words, segment.size, segment.order).text
                rows[row][column] = _continued(rows[row][column], text)
    filled = [(row, bold) for row, bold in zip(rows, is_bold, strict=True) if any(row)]
    if len(filled) < 2 or sum(map(bool, (cell for row, _ in filled for cell in row))) < 3:
        return None
    rows = [row for row, _ in filled]
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows)]
    if len(used) < 2:
        return None
    header = bool(filled[0][1]) and all(filled[0][1]) and not all(bold for _, b in filled[1:] for bold in b)
    return Table([[row[i] for i in used] for row in rows], header or _names_columns(rows), inside)


def _at_rules(segment: Segment, grid: Grid) -> list[list[Word]]:
    """A segment's words, divided where a vertical rule goes through it."""
    borders = [r.left for r in grid.vertical if segment.left < r.left < segment.right and r.top < segment.middle < r.bottom]
    parts: dict[int, list[Word]] = {}
    borders.sort()
    for word in segment.words:
        parts.setdefault(bisect_right(borders, (word.left + word.right) / 2), []).append(word)
    return list(parts.values())


# Aligned ------------------------------------------------------------------------------------------------------------------


def aligned_tables(segments: Sequence[Segment], rules: Rules) -> list[Table]:
    """The tables of a region whose cells stand under each other: runs of lines of several segments in common columns."""
    found: list[Table] = []
    run: list[list[Segment]] = []
    for line in visual_lines(segments):
        if run:
            line = _at_columns(line, run)
        is_contents = any(_LEADER.search(segment.text[-40:]) for segment in line)
        if run and (is_contents or not _continues(run, line)):
            found += _table_of(run, rules)
            run = []
        if not is_contents and (run or len(line) > 1):
            run.append(line)
    return [*found, *_table_of(run, rules)]


def _at_columns(line: list[Segment], run: Sequence[Sequence[Segment]]) -> list[Segment]:
    """The line, with segments divided that reach into a column of the rows above, where a word begins there."""
    starts = [segment.left for row in run[-4:] for segment in row[1:]]
    found: list[Segment] = []
    for segment in line:
        cut = next(
            (
                i
                for i, (before, word) in enumerate(pairwise(segment.words[:40]), 1)
                if word.left - before.right > 0.3 * segment.size and any(abs(word.left - start) < 1 for start in starts)
            ),
            None,
        )
        if cut is None:
            found.append(segment)
        else:
            found += [replace(segment, words=segment.words[:cut]), replace(segment, words=segment.words[cut:])]
    return found


def _continues(run: list[list[Segment]], line: list[Segment]) -> bool:
    above = run[-1]
    size = max(1.0, above[0].size)
    if line[0].middle - above[0].middle > _NEW_ROW_GAP * size * 1.2 or abs(line[0].size - above[0].size) > 2:
        return False
    if len(line) > 1:
        return True
    # One cell alone goes on with a cell of the row above: it stands under it and not in the first column.
    first = min(segment.left for row in run for segment in row)
    return line[0].left > first + size and any(
        segment.left - size < line[0].left < segment.right for row in run[-2:] for segment in row[1:] or row
    )


def _table_of(run: list[list[Segment]], rules: Rules) -> list[Table]:
    full = [line for line in run if len(line) > 1]
    if len(full) < _MIN_ROWS:
        return []
    columns = _columns(run)
    if not 2 <= len(columns) <= _MAX_COLUMNS:
        return []
    rows: list[list[str]] = []
    starts = [left for left, _ in columns]
    for line in run:
        cells = [""] * len(columns)
        for segment in line:
            place = max(0, bisect_right(starts, segment.left + 1) - 1)
            cells[place] = _continued(cells[place], segment.text)
        if rows and not cells[0] and sum(map(bool, cells)) < len(cells) and len(line) < len(columns):
            rows[-1] = [_continued(above, cell) for above, cell in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    texts = [cell for row in rows for cell in row if cell]
    is_sparse = sum(1 for row in rows if sum(map(bool, row)) > 1) < 0.6 * len(rows)
    is_list = all(_LIST_MARK.fullmatch(row[0]) for row in rows if row[0])
    if len(rows) < _MIN_ROWS or is_sparse or is_list or sum(map(len, texts)) > _MAX_CELL_CHARS * len(texts):
        return []
    segments = [segment for line in run for segment in line]
    first, second = run[0], next(line for line in run[1:] if len(line) > 1)
    ruled = any(True for _ in rules.across(first[0].middle + 2, second[0].middle - 1, first[0].left, first[-1].right))
    bold = all(s.is_bold for s in first) and not all(s.is_bold for s in second)
    return [Table(rows, ruled or bold or _names_columns(rows), segments)]


def _columns(run: Sequence[Sequence[Segment]]) -> list[tuple[float, float]]:
    """The intervals that the segments of all lines together take across the page."""
    columns: list[tuple[float, float]] = []
    for left, right in sorted((segment.left, segment.right) for line in run for segment in line):
        if columns and left < columns[-1][1] + 0.5:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _continued(cell: str, text: str) -> str:
    """A cell with one more line; a word that the line's end broke is whole again."""
    return cell[:-1] + text if cell.endswith("\xad") else f"{cell} {text}".strip()


def _names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has words over columns that hold numbers."""
    if len(rows) < 2 or not all(rows[0]) or any(any(c.isdigit() for c in cell) for cell in rows[0]):
        return False
    return any(all(_NUMBER.match(row[i]) for row in rows[1:] if row[i]) for i in range(len(rows[0])))
