"""The straight lines that are drawn on a PDF page: they strike words out and rule tables."""

from __future__ import annotations

import ctypes
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

MAX_RULES = 4_000  # of a page; a drawing has more, a table doesn't
_MAX_OBJECTS = 50_000
_MAX_PATH_SEGMENTS = 2_000
_MAX_THICKNESS = 2.5
_MIN_LENGTH = 4.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal or vertical line; distances in points from the page's left and upper edge."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def is_horizontal(self) -> bool:
        return self.right - self.left >= self.bottom - self.top


@dataclass(slots=True)
class Rules:
    horizontal: list[Rule] = field(default_factory=list)
    vertical: list[Rule] = field(default_factory=list)
    _tops: list[float] = field(default_factory=list)

    def add(self, rules: Iterator[Rule]) -> None:
        for rule in rules:
            if len(self.horizontal) + len(self.vertical) >= MAX_RULES:
                break
            (self.horizontal if rule.is_horizontal else self.vertical).append(rule)

    def sort(self) -> None:
        self.horizontal.sort(key=lambda rule: rule.top)
        self._tops = [rule.top for rule in self.horizontal]

    def across(self, top: float, bottom: float, left: float, right: float) -> Iterator[Rule]:
        """The horizontal rules at a height between two, that begin and end about between two places."""
        place = bisect_left(self._tops, top)
        while place < len(self._tops) and self._tops[place] <= bottom:
            rule = self.horizontal[place]
            if rule.right > left and rule.left < right:
                yield rule
            place += 1


def page_rules(page: pdfium.PdfPage, height: float) -> Rules:
    """The rules of a page; those within forms (embedded drawings) are left out."""
    rules = Rules()
    for i in range(min(pdfium_c.FPDFPage_CountObjects(page.raw), _MAX_OBJECTS)):
        drawn = pdfium_c.FPDFPage_GetObject(page.raw, i)
        if pdfium_c.FPDFPageObj_GetType(drawn) == pdfium_c.FPDF_PAGEOBJ_PATH:
            rules.add(_rules_of(drawn, height))
    rules.sort()
    return rules


def _rules_of(path: pdfium_c.FPDF_PAGEOBJECT, height: float) -> Iterator[Rule]:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetBounds(path, left, bottom, right, top):
        return
    width, depth = right.value - left.value, top.value - bottom.value
    if width < _MAX_THICKNESS or depth < _MAX_THICKNESS:
        if max(width, depth) >= _MIN_LENGTH:
            yield Rule(left.value, right.value, height - top.value, height - bottom.value)
        return
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDFPath_GetDrawMode(path, fill, stroke)
    if stroke.value:
        yield from _rules_of_segments(path, height)


def _rules_of_segments(path: pdfium_c.FPDF_PAGEOBJECT, height: float) -> Iterator[Rule]:
    """The straight strokes of a path: the frame of a cell, or a whole grid."""
    matrix = pdfium_c.FS_MATRIX()
    if not pdfium_c.FPDFPageObj_GetMatrix(path, matrix):
        return
    x, y = ctypes.c_float(), ctypes.c_float()
    begun: tuple[float, float] | None = None
    current: tuple[float, float] | None = None
    for i in range(min(pdfium_c.FPDFPath_CountSegments(path), _MAX_PATH_SEGMENTS)):
        segment = pdfium_c.FPDFPath_GetPathSegment(path, i)
        kind = pdfium_c.FPDFPathSegment_GetType(segment)
        if not pdfium_c.FPDFPathSegment_GetPoint(segment, x, y):
            continue
        point = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            height - (matrix.b * x.value + matrix.d * y.value + matrix.f),
        )
        if kind == pdfium_c.FPDF_SEGMENT_MOVETO:
            begun = point
        elif kind == pdfium_c.FPDF_SEGMENT_LINETO and current is not None:
            yield from _stroke(current, point)
        if pdfium_c.FPDFPathSegment_GetClose(segment) and begun is not None:
            yield from _stroke(point, begun)
        current = point


def _stroke(start: tuple[float, float], end: tuple[float, float]) -> Iterator[Rule]:
    width, depth = abs(start[0] - end[0]), abs(start[1] - end[1])
    if min(width, depth) < 1 and max(width, depth) >= _MIN_LENGTH:
        yield Rule(min(start[0], end[0]), max(start[0], end[0]), min(start[1], end[1]), max(start[1], end[1]))
