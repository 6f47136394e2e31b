"""Reads one page of a PDF: its lines and tables in reading order, and what can't be read of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ingest.extract.pdf.columns import Region, regions_of, visual_lines
from ingest.extract.pdf.layout import Line
from ingest.extract.pdf.rules import page_rules
from ingest.extract.pdf.segments import Segment, Word, page_segments
from ingest.extract.pdf.tables import Table, aligned_tables, ruled_tables

_MAX_LABEL_CHARS = 60  # on a page that is a picture: a page number, a scanner's stamp
_PICTURE_SHARE = 0.5  # of the page's area
_MAX_OBJECTS = 2_000
_UNREADABLE_SHARE = 0.3  # of a page's characters that its fonts have no Unicode for


@dataclass(frozen=True, slots=True)
class Page:
    """``is_picture``: it shows a picture where others have text. ``is_unmapped``: its fonts don't say what their signs mean."""

    lines: list[Line]
    is_picture: bool = False
    is_unmapped: bool = False


def read_page(page: pdfium.PdfPage) -> Page:
    height = page.get_height()
    text_page = page.get_textpage()
    try:
        rules = page_rules(page, height)
        segments = page_segments(text_page, height=height, rules=rules)
    finally:
        text_page.close()
    chars = sum(len(word.text) for segment in segments for word in segment.words)
    if chars <= _MAX_LABEL_CHARS and _is_picture(page):
        return Page([], is_picture=True)
    unmapped = sum(_unmapped(word.text) for segment in segments for word in segment.words)
    if unmapped > _UNREADABLE_SHARE * chars:
        return Page([], is_unmapped=True)
    tables = {min(s.order for s in table.segments): table for table in ruled_tables(segments, rules)}
    lines: list[Line] = []
    for region in regions_of(_with_tables(segments, tables)):
        of_region = {segment.order: tables[segment.order] for segment in region.segments if segment.order in tables}
        rest = [segment for segment in region.segments if segment.order not in of_region]
        lines += _lines_of(region, [*of_region.values(), *aligned_tables(rest, rules)], height)
    return Page(lines)


def _with_tables(segments: Sequence[Segment], tables: Mapping[int, Table]) -> list[Segment]:
    """The segments, with one in the place of each table, which stands where its first segment does."""
    inside = {segment.order for table in tables.values() for segment in table.segments}
    found: list[Segment] = []
    for segment in segments:
        if segment.order in tables:
            cells = tables[segment.order].segments
            box = Word(
                "",
                min(s.left for s in cells),
                max(s.right for s in cells),
                min(s.top for s in cells),
                max(s.bottom for s in cells),
            )
            found.append(Segment([box], segment.size, segment.order))
        elif segment.order not in inside:
            found.append(segment)
    return found


def _lines_of(region: Region, tables: Sequence[Table], height: float) -> list[Line]:
    """A region's lines, and its tables where their first line stands."""
    in_tables = {segment.order for table in tables for segment in table.segments}
    rest = [segment for segment in region.segments if segment.order not in in_tables]
    placed: list[tuple[float, Line]] = []
    if region.is_column:
        placed += [(line[0].middle, _line(line, height)) for line in visual_lines(rest)]
        placed += [(min(s.middle for s in table.segments), _table_line(table, height)) for table in tables]
    else:
        placed += [(line[0].order, _line(line, height)) for line in _drawn_lines(rest)]
        placed += [(min(s.order for s in table.segments), _table_line(table, height)) for table in tables]
    placed.sort(key=lambda item: item[0])
    return [line for _, line in placed]


def _drawn_lines(segments: Sequence[Segment]) -> list[list[Segment]]:
    """The lines of text in the order that they are drawn: that of most programs is the order of reading."""
    lines: list[list[Segment]] = []
    for segment in segments:
        last = lines[-1][-1] if lines else None
        is_beside = (
            last is not None and not segment.is_turned and abs(segment.middle - last.middle) < 0.4 * min(segment.size, last.size)
        )
        if is_beside:
            lines[-1].append(segment)
        else:
            lines.append([segment])
    return lines


def _line(segments: Sequence[Segment], height: float) -> Line:
    first = max(segments, key=lambda segment: len(segment.words))
    is_code = all(segment.is_code for segment in segments)
    top, bottom = min(s.top for s in segments), max(s.bottom for s in segments)
    if is_code:
        text = Segment([word for segment in segments for word in segment.words], first.size, 0, is_code=True).text
    else:
        ordered = segments if not _is_right_to_left(segments[0].text) else sorted(segments, key=lambda s: -s.left)
        text = " ".join(segment.text for segment in ordered)
    return Line(
        text=text,
        left=min(s.left for s in segments),
        right=max(s.right for s in segments),
        top=top,
        bottom=bottom,
        size=first.size,
        is_bold=all(segment.is_bold for segment in segments),
        is_code=is_code,
        page_share=top / height if height > 0 else 0.5,
    )


def _table_line(table: Table, height: float) -> Line:
    line = _line(table.segments, height)
    return Line(
        text=" ".join(cell for row in table.rows for cell in row if cell),
        left=line.left,
        right=line.right,
        top=line.top,
        bottom=line.bottom,
        size=line.size,
        page_share=line.page_share,
        rows=tuple(tuple(row) for row in table.rows),
        has_header=table.has_header,
    )


def _is_right_to_left(text: str) -> bool:
    first = next((direction for char in text if (direction := unicodedata.bidirectional(char)) in ("L", "R", "AL")), "L")
    return first != "L"


def _unmapped(text: str) -> int:
    return sum(1 for char in text if char == "\ufffd" or "\ue000" <= char <= "\uf8ff" or (char < " " and char != "\t"))


def _is_picture(page: pdfium.PdfPage) -> bool:
    """Whether pictures take most of the page."""
    width, height = page.get_size()
    covered: float = 0.0
    for i in range(min(pdfium_c.FPDFPage_CountObjects(page.raw), _MAX_OBJECTS)):
        drawn = pdfium_c.FPDFPage_GetObject(page.raw, i)
        if pdfium_c.FPDFPageObj_GetType(drawn) not in (pdfium_c.FPDF_PAGEOBJ_IMAGE, pdfium_c.FPDF_PAGEOBJ_FORM):
            continue
        left, bottom, right, top = pdfium.PdfObject(drawn, page=page).get_bounds()
        covered += max(0.0, min(right, width) - max(left, 0.0)) * max(0.0, min(top, height) - max(bottom, 0.0))
    return bool(covered >= _PICTURE_SHARE * width * height)
