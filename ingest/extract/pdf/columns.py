"""Finds the columns of a page and brings its segments into the order that they are read in. Pure.

A gutter is a vertical strip that few segments cross. Those that cross it (a title, a figure's caption, a footer) divide the page
into bands; in each band the left side is read before the right one, and each side may have columns of its own. A table has
gutters too, but its cells are short where lines of text fill their column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ingest.extract.pdf.segments import Segment

_BIN = 2.0  # points
_MIN_LINES = 4  # of a column
_MIN_GUTTER = 0.6  # of the type size
_MIN_LINE_CHARS = 20  # of a column's lines on average
_MIN_FILL = 0.55  # of a column's width that its lines take on average
_MAX_CANDIDATES = 8
_MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class Region:
    """Segments that are read one after the other. ``is_column``: they stand in a column, so that their place says the order."""

    segments: list[Segment]
    is_column: bool = False


def regions_of(segments: Sequence[Segment]) -> list[Region]:
    """The regions of a page in reading order."""
    upright = [segment for segment in segments if not segment.is_turned]
    turned = [segment for segment in segments if segment.is_turned]
    found = _divided(upright, depth=0)
    return [*found, Region(turned)] if turned else found


def _divided(segments: list[Segment], *, depth: int, is_column: bool = False) -> list[Region]:
    if depth >= _MAX_DEPTH or len(segments) < 2 * _MIN_LINES:
        return [Region(segments, is_column)] if segments else []
    best: list[tuple[bool, list[Segment]]] = []
    most = 0
    for gutter in _gutters(segments):
        bands = _bands(segments, gutter)
        covered = sum(len(band) for in_columns, band in bands if in_columns)
        if covered > most:
            best, most, at = bands, covered, gutter
    if not most:
        return [Region(segments, is_column)]
    found: list[Region] = []
    for in_columns, band in best:
        if not in_columns:
            found += _divided(band, depth=depth + 1, is_column=True) if len(band) < len(segments) else [Region(band, True)]
            continue
        for side in ([s for s in band if s.left < at], [s for s in band if s.left >= at]):
            found += _divided(side, depth=depth + 1, is_column=True)
    return found


def _gutters(segments: Sequence[Segment]) -> list[float]:
    """Places that fewer segments cross than stand beside them, the least crossed first."""
    left, right = min(s.left for s in segments), max(s.right for s in segments)
    count = int((right - left) / _BIN) + 2
    if right - left < 60 or count > 5_000:
        return []
    changes = [0] * (count + 1)
    for segment in segments:
        changes[int((segment.left - left) / _BIN)] += 1
        changes[min(count, int((segment.right - left) / _BIN) + 1)] -= 1
    cover = list(accumulate(changes))[:count]
    before, after = list(accumulate(cover, max)), list(accumulate(reversed(cover), max))[::-1]
    runs: list[tuple[int, int, int]] = []  # cover, first bin, last bin
    for i in range(2, count - 2):
        if cover[i] > 0.5 * min(before[i], after[i]):
            continue
        if runs and runs[-1][2] == i - 1 and runs[-1][0] == cover[i]:
            runs[-1] = (cover[i], runs[-1][1], i)
        else:
            runs.append((cover[i], i, i))
    runs.sort(key=lambda run: (run[0], run[1] - run[2]))
    return [left + _BIN * (first + last + 1) / 2 for _, first, last in runs[:_MAX_CANDIDATES]]


def _bands(segments: Sequence[Segment], gutter: float) -> list[tuple[bool, list[Segment]]]:
    """The page from top to bottom, divided by what crosses the gutter; whether each band has columns."""
    ordered = sorted(segments, key=lambda segment: segment.middle)
    bands: list[tuple[bool, list[Segment]]] = []
    sides: list[Segment] = []
    crossing: list[Segment] = []

    def close_sides() -> None:
        if sides:
            bands.append((_are_columns(sides, gutter), list(sides)))
            sides.clear()

    def close_crossing() -> None:
        if crossing:
            bands.append((False, list(crossing)))
            crossing.clear()

    for segment in ordered:
        if segment.left < gutter < segment.right:
            close_sides()
            crossing.append(segment)
        else:
            close_crossing()
            sides.append(segment)
    close_sides()
    close_crossing()
    return _merged(bands)


def _merged(bands: list[tuple[bool, list[Segment]]]) -> list[tuple[bool, list[Segment]]]:
    """Neighbouring bands without columns are one."""
    merged: list[tuple[bool, list[Segment]]] = []
    for in_columns, band in bands:
        if merged and not in_columns and not merged[-1][0]:
            merged[-1][1].extend(band)
        else:
            merged.append((in_columns, band))
    return merged


def _are_columns(band: Sequence[Segment], gutter: float) -> bool:
    left = [segment for segment in band if segment.right <= gutter]
    right = [segment for segment in band if segment.left >= gutter]
    if len(left) + len(right) < len(band) or min(len(left), len(right)) < _MIN_LINES:
        return False
    width = min(s.left for s in right) - max(s.right for s in left)
    overlap = min(max(s.bottom for s in left), max(s.bottom for s in right)) - max(
        min(s.top for s in left), min(s.top for s in right)
    )
    size = sorted(segment.size for segment in band)[len(band) // 2]
    if width < _MIN_GUTTER * size or overlap < _MIN_LINES * size:
        return False
    return _is_text(left) and _is_text(right)


def _is_text(column: Sequence[Segment]) -> bool:
    """Whether what stands in a column are lines of text and not cells of a table."""
    lines = visual_lines(column)
    chars = sum(len(word.text) + 1 for segment in column for word in segment.words)
    extent = max(s.right for s in column) - min(s.left for s in column)
    filled = sum(max(s.right for s in line) - min(s.left for s in line) for line in lines)
    return len(lines) >= _MIN_LINES and chars >= _MIN_LINE_CHARS * len(lines) and filled >= _MIN_FILL * extent * len(lines)


def visual_lines(segments: Sequence[Segment]) -> list[list[Segment]]:
    """The segments line by line from the top, each line from the left."""
    lines: list[list[Segment]] = []
    for segment in sorted(segments, key=lambda segment: segment.middle):
        if lines and abs(segment.middle - lines[-1][0].middle) < 0.4 * max(1.0, min(segment.size, lines[-1][0].size)):
            lines[-1].append(segment)
        else:
            lines.append([segment])
    for line in lines:
        line.sort(key=lambda segment: segment.left)
    return lines
