"""Walks a DOM and writes it as the blocks of a page's text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from lxml import etree
from lxml.html import HtmlElement

from ingest.extract.page_text import PageTextBuilder, one_line


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Deeper nesting carries no structure a reader could see; the text below is kept, flat. Bounds the recursion too.
MAX_STRUCTURE_DEPTH = 120
MAX_TABLE_COLUMNS = 64
LEFT_OUT = "left-out"  # the tag of the empty element that stands where a part was left out
_MAX_REPEATED_CELL_CHARS = 200  # a cell that spans rows is repeated in each, so that a row can be read alone

_SKIPPED = word_set(
    "script style noscript template svg canvas iframe object embed audio video button select textarea input datalist head "
    "title rp rt map area dialog"
)
_BLOCKS = word_set(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p pre search section "
    "summary table tbody td tfoot th thead tr ul xmp"
)
_VERBATIM = word_set("pre listing xmp")
_HEADINGS = {f"h{rank}": rank for rank in range(1, 7)}
_ADMONITION = re.compile(
    r"(?:^|[\s_-])(?:admonition|callout|note|tip|hint|warning|caution|important|danger|attention|seealso|alert)(?:$|[\s_-])",
    re.IGNORECASE,
)
_LINE_NUMBERS = re.compile(r"(?:^|\s)(?:linenos?|linenodiv|line-?numbers?(?:-rows)?|gutter|lnt?)(?:$|\s)", re.IGNORECASE)
_FORMULA = re.compile(r"\b(?:math|tex|latex|mwe-math\S*)\b", re.IGNORECASE)


class BlockWriter:
    """Writes elements into a :class:`PageTextBuilder`.

    Signatures of documented objects (Sphinx's ``dt.sig``) become headings one rank below their section, so that every chunk
    cut from the description carries the signature in its heading path: "what does ``exists`` return?" is then found by the
    name that only the signature holds. Other definition terms are paragraphs.

    Args:
        builder: takes the blocks.
        on_left_out: called with each ``<left-out>`` element in the flow (the empty placeholder of a part that is not
            content) and the length, in characters, of the text written before it.
    """

    def __init__(self, builder: PageTextBuilder, *, on_left_out: Callable[[HtmlElement, int], None] | None = None) -> None:
        self._out = builder
        self._on_left_out = on_left_out
        self._inline: list[str] = []
        self._depth = 0
        self._list_depth = -1
        self._marker = ""  # of the list item whose first text is still to come
        self._quotes = 0
        self._section_rank = 1
        self._signatures = 0
        self._lead_in = ""  # "Note: ", waiting for the admonition's first text
        self.flattened = False

    def write(self, root: HtmlElement) -> None:
        self._element(root)
        self._flush()

    def _flow(self, element: HtmlElement) -> None:
        if self._depth >= MAX_STRUCTURE_DEPTH:
            self.flattened = True
            self._inline.append(one_line(flat_text(element)))
            return
        self._depth += 1
        if element.text:
            self._inline.append(element.text.replace("\n", " "))
        for child in element:
            if isinstance(child.tag, str) and not self._out.is_full:
                self._element(child)
            if child.tail:
                self._inline.append(child.tail.replace("\n", " "))
        self._depth -= 1

    def _element(self, element: HtmlElement) -> None:
        tag = element.tag
        if tag == LEFT_OUT:
            if self._on_left_out:
                self._on_left_out(element, self._out.length)
            return
        if tag in _SKIPPED:
            return
        if tag == "br":
            self._line_break()
        elif tag in ("img", "math"):
            self._inline.append(_alternative_text(element))
        elif tag in _BLOCKS:
            self._flush()
            self._block(element)
            self._flush()
        else:
            self._flow(element)

    def _block(self, element: HtmlElement) -> None:
        tag = element.tag
        classes = element.get("class", "")
        if tag in ("td", "div", "pre") and _LINE_NUMBERS.search(classes):
            return
        if tag in _HEADINGS:
            self._heading(element, _HEADINGS[tag])
        elif tag in _VERBATIM:
            self._out.code(_verbatim(element))
        elif tag == "table":
            self._table(element)
        elif tag in ("ul", "ol", "menu", "dir"):
            self._list(element)
        elif tag == "dt" and "sig" in classes.split():
            self._signature(element)
        elif tag == "dd" and _has_signature(element):
            self._signatures += 1
            self._flow(element)
            self._flush()
            self._signatures -= 1
        elif tag == "blockquote":
            self._quotes += 1
            self._flow(element)
            self._flush()
            self._quotes -= 1
        elif "line-block" in classes:
            self._inline.append("\n".join(flat_text(line) for line in element.iter("div") if len(line.findall("div")) == 0))
        elif tag == "p" and "admonition-title" in classes:
            self._announce(element)
        else:
            self._flow(element)

    def _line_break(self) -> None:
        """One break is a new line; two in a row are how old pages write paragraphs."""
        if self._inline and self._inline[-1] == "\n" and not self._marker:
            self._flush()
        else:
            self._inline.append("\n")

    def _flush(self) -> None:
        """Write the inline text gathered so far as the block that its surroundings make it."""
        text = "".join(self._inline)
        self._inline.clear()
        if not text or text.isspace():
            return
        text = self._lead_in + text.lstrip()
        self._lead_in = ""
        if self._marker:
            self._out.list_item(self._marker, text, depth=self._list_depth)
            self._marker = ""
        elif self._quotes:
            self._out.quote(text)
        else:
            self._out.paragraph(text)

    def _heading(self, element: HtmlElement, rank: int) -> None:
        parent = element.getparent()
        if rank > 2 and parent is not None and _ADMONITION.search(parent.get("class", "")):
            self._announce(element)
            return
        if any(True for _ in element.iterdescendants("table", "ul", "ol", "pre")):  # a heading tag around content
            self._flow(element)
            return
        self._section_rank = rank
        self._out.heading(rank, flat_text(element))

    def _announce(self, element: HtmlElement) -> None:
        """An admonition's title leads its first sentence: "Note" alone would be a block that says nothing."""
        if title := one_line(flat_text(element)).rstrip(":"):
            self._lead_in = f"{title}: "

    def _signature(self, element: HtmlElement) -> None:
        self._out.heading(min(6, self._section_rank + 1 + self._signatures), flat_text(element))

    def _list(self, element: HtmlElement) -> None:
        outer = self._marker
        self._list_depth += 1
        number = _integer(element.get("start"), default=1)
        for child in element:
            if child.tag != "li":
                if isinstance(child.tag, str):
                    self._element(child)
                continue
            number = _integer(child.get("value"), default=number)
            self._marker = f"{number}." if element.tag == "ol" else "-"
            self._flow(child)
            self._flush()
            number += 1
        self._list_depth -= 1
        self._marker = outer

    def _table(self, element: HtmlElement) -> None:
        for caption in element.findall("caption"):
            self._flow(caption)
            self._flush()
        rows = _rows(element)
        if is_layout_table(element):
            for row in rows:
                for cell in row:
                    self._element(cell)
            return
        header = _header_rows(rows)
        grid = _grid(rows)
        if header > 1 and len(grid) > header:
            grid = [_merged(grid[:header]), *grid[header:]]
        if any(_is_code(cell) for row in rows for cell in row):
            self._records(rows[header:], names=grid[0] if header and grid else [])
        elif grid:
            self._out.table(grid, has_header=header > 0 and len(grid) > 1)

    def _records(self, rows: list[list[HtmlElement]], *, names: list[str]) -> None:
        """A table with code of several lines in it, which a row on one line can't hold: cell after cell, under their names."""
        for row in rows:
            for column, cell in enumerate(row):
                if column < len(names) and names[column] and flat_text(cell).strip():
                    self._lead_in = f"{names[column].rstrip(':')}: "
                    if _is_code(cell):
                        self._out.paragraph(self._lead_in)
                        self._lead_in = ""
                self._element(cell)
                self._lead_in = ""


def flat_text(element: HtmlElement) -> str:
    """The text of an element without structure: block borders and line breaks become spaces."""
    if not len(element):
        return element.text or ""
    return "".join(" " if part in (_OPENING, _CLOSING, _BREAK) else part for part in _fragments(element, is_code=False))


def _verbatim(element: HtmlElement) -> str:
    """Code as it is. Where each line is an element of its own, the element's borders are the line breaks."""
    if not len(element):
        return element.text or ""
    parts: list[str] = []
    is_empty = False  # the line that an element has begun
    for part in _fragments(element, is_code=True):
        if part in (_OPENING, _CLOSING):
            ends_line = not parts or parts[-1].endswith("\n")
            if (parts and not ends_line) or (part is _CLOSING and is_empty):
                parts.append("\n")
            is_empty = part is _OPENING
        elif part:
            parts.append("\n" if part is _BREAK else part)
            is_empty = False
    return "".join(parts)


# Marks among the fragments; NUL can't stand in a DOM.
_OPENING, _CLOSING, _BREAK = "\0(", "\0)", "\0-"
_CELLS = ("td", "th")


def _fragments(element: HtmlElement, *, is_code: bool) -> Iterator[str]:
    """The texts under an element, with marks for the borders of blocks and for line breaks. Code is freed of line numbers."""
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, node in walk:
        is_block = node.tag in _BLOCKS and not (is_code and (node is element or node.tag in _CELLS))
        if event == "start":
            if node.tag in _SKIPPED or (is_code and _LINE_NUMBERS.search(node.get("class", ""))):
                walk.skip_subtree()
                continue
            if node.tag in ("img", "math"):
                yield _alternative_text(node)
                walk.skip_subtree()
                continue
            if node.tag == "br":
                yield _BREAK
            elif is_block:
                yield _OPENING
            yield node.text or ""
        else:
            if is_block:
                yield _CLOSING
            if node is not element:
                yield node.tail or ""


def _alternative_text(element: HtmlElement) -> str:
    """What stands for a picture: a formula's source; the description of a figure that has no caption."""
    if element.tag == "math":
        source = element.get("alttext") or element.findtext(".//{*}annotation")
        return source if source else "".join(element.itertext())
    alt: str = element.get("alt", "").replace("\n", " ")
    if _FORMULA.search(element.get("class", "")):
        return alt
    figure = next(element.iterancestors("figure"), None)
    is_described = figure is not None and figure.find(".//figcaption") is None and len(alt.split()) > 2
    return alt if is_described else ""


def _has_signature(definition: HtmlElement) -> bool:
    before = definition.getprevious()
    return before is not None and before.tag == "dt" and "sig" in before.get("class", "").split()


def _integer(value: str | None, *, default: int) -> int:
    return int(value) if value and re.fullmatch(r"-?\d{1,9}", value.strip()) else default


def _rows(table: HtmlElement) -> list[list[HtmlElement]]:
    """The cells of each row that has any, without the rows of nested tables."""
    found: list[HtmlElement] = []
    for part in table:
        if part.tag == "tr":
            found.append(part)
        elif part.tag in ("thead", "tbody", "tfoot"):
            found += [row for row in part if row.tag == "tr"]
    rows = ([cell for cell in row if cell.tag in ("td", "th")] for row in found)
    return [row for row in rows if row]


def _header_rows(rows: list[list[HtmlElement]]) -> int:
    """How many rows name the columns: those in the head, else a first one that is all header cells."""
    in_head = next((i for i, row in enumerate(rows) if row[0].getparent().getparent().tag != "thead"), len(rows))
    if in_head:
        return in_head
    return 1 if rows and all(cell.tag == "th" for cell in rows[0]) else 0


def _merged(rows: list[list[str]]) -> list[str]:
    """Several header rows as one: what stands over a column, from top to bottom, each text once."""
    columns = zip(*rows, strict=True)
    return [" ".join(dict.fromkeys(text for text in column if text)) for column in columns]


def _is_code(cell: HtmlElement) -> bool:
    """Whether a cell holds code of several lines."""
    return any("\n" in _verbatim(code).strip("\n") for code in cell.iter(*_VERBATIM))


def is_layout_table(table: HtmlElement) -> bool:
    """Whether a table only places things on the page, or holds blocks that a row on one line can't."""
    rows = _rows(table)
    is_single = len(rows) <= 1 and not any(cell.tag == "th" for row in rows for cell in row)
    if table.get("role") in ("presentation", "none") or is_single or sum(map(len, rows)) <= 1:
        return True
    if any(True for _ in table.iterdescendants("table", *_HEADINGS)):
        return True
    has_code = any(True for _ in table.iterdescendants(*_VERBATIM))
    return has_code and not _header_rows(rows)  # code set beside its line numbers, or beside what it prints


def _grid(rows: list[list[HtmlElement]]) -> list[list[str]]:
    """Cell texts as a rectangle; a cell over several rows is repeated, one over several columns is followed by blanks."""
    grid: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}  # column → rows still to fill, text
    for row in rows:
        line: list[str] = []
        for cell in row:
            _fill(line, hanging)
            text = one_line(flat_text(cell))
            room = MAX_TABLE_COLUMNS - len(line)
            if room <= 0:
                line[-1] += f" {text}"  # no text is lost to the cap
                continue
            height = _integer(cell.get("rowspan"), default=1)
            for column in range(max(1, min(_integer(cell.get("colspan"), default=1), room))):
                shown = text if column == 0 else ""
                if height > 1:
                    hanging[len(line)] = (height - 1, shown if len(shown) <= _MAX_REPEATED_CELL_CHARS else "")
                line.append(shown)
        _fill(line, hanging)
        grid.append(line)
    grid = [line for line in grid if any(line)]
    width = max(map(len, grid), default=0)
    return [line + [""] * (width - len(line)) for line in grid]


def _fill(line: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    """Continue in this row the cells that hang down from the rows above."""
    while len(line) in hanging:
        left, text = hanging.pop(len(line))
        if left > 1:
            hanging[len(line)] = (left - 1, text)
        line.append(text)
