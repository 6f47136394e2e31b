"""Reads tables: which are data and which only place things on the page; their cells as a rectangle of texts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile, zip_longest

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.html.code import verbatim
from ingest.extract.html.elements import HEADINGS, TABLE_ROLES, VERBATIM, integer, names_of, word_set
from ingest.extract.html.inline import flat_text, stand_in
from ingest.extract.html.marks import STRIKE, mark_of
from ingest.extract.page_text import one_line

MAX_TABLE_COLUMNS = 64
_MAX_REPEATED_CELL_CHARS = 200  # a cell that spans rows is repeated in each, so that a row can be read alone
_MAX_REPEATED_CHARS = 200_000  # of all such cells of a table together
_MAX_CELL_CHARS = 2_000  # a longer one with blocks in it can't be read on one line
_NO_CELLS = word_set("caption colgroup col script style template noscript left-out")
_ROW_GROUPS = ("thead", "tbody", "tfoot")
_CELL_ROLES = ("cell", "gridcell", "columnheader", "rowheader")
_HEADER_ROLES = ("columnheader", "rowheader")

Rows = list[list[HtmlElement]]


def is_table(element: HtmlElement) -> bool:
    """Whether an element is a table, by its tag or by its role."""
    if element.tag == "table":
        return True
    return bool(element.attrib) and (element.get("role") in TABLE_ROLES or _is_javadoc_table(element))


def is_layout_table(table: HtmlElement) -> bool:
    """Whether a table only places things on the page: it names no columns or rows, and holds what a row on one line can't."""
    if table.get("role") in ("presentation", "none"):
        return True
    rows = table_rows(table)
    if sum(map(len, rows)) <= 1:
        return True
    if has_header_cells(table, rows):
        return False
    if len(rows) <= 1 and table.get("role") not in TABLE_ROLES:
        return True
    return next(table.iterdescendants("table", *HEADINGS, *VERBATIM), None) is not None


def has_header_cells(table: HtmlElement, rows: Rows) -> bool:
    """Whether the first row or the first column names things."""
    if any(_is_header(cell) for cell in rows[0]) or any(_is_header(row[0]) for row in rows):
        return True
    return _is_in_head(rows[0])


def _is_header(cell: HtmlElement) -> bool:
    if cell.tag == "th":
        return True
    return cell.get("role") in _HEADER_ROLES or cell.get("scope") is not None or "table-header" in names_of(cell)


def table_rows(table: HtmlElement) -> Rows:
    """The cells of each row that has any, without the rows of nested tables; those of the foot last."""
    if table.tag != "table":
        return _javadoc_rows(table) if _is_javadoc_table(table) else _rows_by_role(table)
    found: list[Iterable[HtmlElement]] = []
    foot: list[Iterable[HtmlElement]] = []
    for part in table:
        if part.tag == "tr":
            found.append(part)
        elif part.tag in _ROW_GROUPS:
            lines = foot if part.tag == "tfoot" else found
            lines.extend(row if row.tag == "tr" else [row] for row in part if row.tag not in _NO_CELLS)
        elif part.tag not in _NO_CELLS:
            found.append([part])
    rows = ([cell for cell in row if cell.tag not in _NO_CELLS] for row in (*found, *foot))
    return [row for row in rows if row]


def has_stray_text(table: HtmlElement) -> bool:
    """Whether text stands between the cells of a table, as only a tree has it that was cut where it nests too deep."""
    frames = [table, *(part for part in table if part.tag in _ROW_GROUPS)]
    frames += [row for frame in frames for row in frame if row.tag == "tr"]
    return any((text or "").strip() for frame in frames for text in (frame.text, *(child.tail for child in frame)))


def _rows_by_role(table: HtmlElement) -> Rows:
    rows: Rows = []
    walk = etree.iterwalk(table, events=("start",))
    for _, node in walk:
        role = node.get("role")
        if role == "row":
            rows.append([])
        elif role in _CELL_ROLES:
            if rows:
                rows[-1].append(node)
            walk.skip_subtree()
        elif node is not table and is_table(node):
            walk.skip_subtree()
    return [row for row in rows if row]


def _is_javadoc_table(element: HtmlElement) -> bool:
    """Javadoc since JDK 16 sets its summaries as grids, whose cells follow each other without rows."""
    return element.tag == "div" and "summary-table" in names_of(element)


def _javadoc_rows(table: HtmlElement) -> Rows:
    rows: Rows = []
    for cell in table:
        if "col-first" in names_of(cell) or not rows:
            rows.append([])
        rows[-1].append(cell)
    return rows


def table_parts(rows: Rows) -> tuple[list[HtmlElement], Rows, int]:
    """The cells that are titles of a table, its other rows, and how many of those name the columns."""
    titles: list[HtmlElement] = []
    width = max(map(_width, rows), default=0)
    first = 0
    while first + 1 < len(rows) and width > 1 and _is_title(rows[first], rows[first + 1], width):
        titles += rows[first]
        first += 1
    rows = rows[first:]
    return titles, rows, _header_rows(rows)


def column_names(rows: Rows) -> list[str]:
    """Several header rows as one."""
    return _merged(_grid(rows, len(rows) if len(rows) > 1 else 0, is_struck=False))


def cell_texts(rows: Rows, header: int, *, is_struck: bool = False) -> tuple[list[str], list[list[str]]]:
    """The columns' names, if any, and the rows of texts below them, all of one width; blank rows go.

    ``header``: how many rows name the columns. ``is_struck``: an element around the table is struck out.
    """
    grid = _grid(rows, header if header > 1 else 0, is_struck=is_struck)
    return _merged(grid[:header]), [line for line in grid[header:] if any(line)]


def _is_title(row: list[HtmlElement], following: list[HtmlElement], width: int) -> bool:
    """Whether a row is one cell over all columns that stands above the columns' names."""
    is_over_all = len(row) == 1 and _width(row) >= width
    return is_over_all and len(following) > 1 and all(map(_is_header, following))


def _width(row: list[HtmlElement]) -> int:
    return sum(max(1, min(MAX_TABLE_COLUMNS, integer(cell.get("colspan"), default=1))) for cell in row)


def _header_rows(rows: Rows) -> int:
    """How many rows name the columns: those in the head, else the first ones that are all header cells, but not all rows."""
    in_head = sum(1 for _ in takewhile(_is_in_head, rows))
    if in_head:
        return in_head if in_head < len(rows) else 1
    leading = sum(1 for _ in takewhile(lambda row: all(map(_is_header, row)), rows))
    if leading == len(rows):
        return 1 if len(rows) > 1 and len(rows[0]) > 1 and not _is_header_column(rows) else 0
    # A row of one header cell over all columns is the name of a group of rows.
    return next((i for i, row in enumerate(rows[1:leading], 1) if len(row) == 1), leading)


def _is_header_column(rows: Rows) -> bool:
    return max(map(len, rows)) == 1


def _is_in_head(row: list[HtmlElement]) -> bool:
    above = row[0].getparent()
    group = above.getparent() if above is not None else None
    return group is not None and group.tag == "thead"


def _merged(rows: list[list[str]]) -> list[str]:
    """Several header rows as one: what stands over a column, from top to bottom, each text once."""
    columns = zip_longest(*rows, fillvalue="")
    return [" ".join(dict.fromkeys(text for text in column if text)) for column in columns]


def needs_records(rows: Rows) -> bool:
    """Whether a cell holds so much that a row on one line can't be read, or code of several lines."""
    if any(_is_long(cell) for row in rows for cell in row):
        return True
    return any("\n" in verbatim(code).strip("\n") for row in rows for cell in row for code in cell.iterdescendants(*VERBATIM))


def _is_long(cell: HtmlElement) -> bool:
    if next(cell.iterdescendants("p", "ul", "ol", "dl", "table", "div", *HEADINGS), None) is None:
        return False
    chars = 0
    for text in cell.itertext():
        chars += len(text.strip())
        if chars > _MAX_CELL_CHARS:
            return True
    return False


def cell_text(cell: HtmlElement, *, is_struck: bool = False) -> str:
    """A cell on one line: its text, or what its pictures stand for."""
    row = cell.getparent()
    is_struck = is_struck or (row is not None and mark_of(row) == STRIKE)
    return one_line(flat_text(cell, is_struck=is_struck)) or one_line(stand_in(cell))


def _grid(rows: Rows, names: int, *, is_struck: bool) -> list[list[str]]:
    """Cell texts as a rectangle.

    A cell over several rows is repeated in each; one over several columns is followed by blanks, but repeated in the first
    ``names`` rows, where it names all of them.
    """
    grid: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}  # column → rows still to fill, text
    repeatable = _MAX_REPEATED_CHARS
    for i, row in enumerate(rows):
        line: list[str] = []
        surplus: list[str] = []  # beyond the last column; no text is lost to the cap
        for cell in row:
            repeatable -= _fill(line, hanging)
            text = cell_text(cell, is_struck=is_struck)
            room = MAX_TABLE_COLUMNS - len(line)
            if room <= 0:
                surplus.append(text)
                continue
            height = integer(cell.get("rowspan"), default=1)
            repeated = text if len(text) <= _MAX_REPEATED_CELL_CHARS and repeatable > 0 else ""
            for column in range(max(1, min(integer(cell.get("colspan"), default=1), room))):
                shown = text if column == 0 else repeated if i < names else ""
                if height > 1:
                    hanging[len(line)] = (height - 1, repeated if shown else "")
                line.append(shown)
        repeatable -= _fill(line, hanging)
        if repeatable <= 0:
            hanging.clear()
        if surplus:
            line[-1] = " ".join((line[-1], *surplus))
        grid.append(line)
    width = max(map(len, grid), default=0)
    if len(grid) * width - sum(map(len, grid)) > _MAX_REPEATED_CHARS:  # a table that claims to be what it is not
        return grid
    return [line + [""] * (width - len(line)) for line in grid]


def _fill(line: list[str], hanging: dict[int, tuple[int, str]]) -> int:
    """Continue in this row the cells that hang down from the rows above. Returns how many characters that repeats."""
    chars = 0
    while len(line) in hanging:
        left, text = hanging.pop(len(line))
        if left > 1:
            hanging[len(line)] = (left - 1, text)
        chars += max(1, len(text))
        line.append(text)
    return chars
