"""Walks a DOM and writes it as the blocks of a page's text."""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml.html import HtmlElement

from ingest.extract.html.code import code_cells, code_language, is_code_block, is_code_label, is_gutter, verbatim
from ingest.extract.html.elements import LEFT_OUT, LISTS, VERBATIM, heading_rank, is_block, is_set_apart, is_skipped, names_of
from ingest.extract.html.inline import atom_text, flat_text, stand_in
from ingest.extract.html.lists import checkbox, markers, task_state
from ingest.extract.html.marks import InlineText, mark_of
from ingest.extract.html.tables import (
    cell_text,
    cell_texts,
    column_names,
    has_stray_text,
    is_layout_table,
    is_table,
    needs_records,
    table_parts,
    table_rows,
)
from ingest.extract.page_text import PageTextBuilder, one_line

# Deeper nesting carries no structure a reader could see; the text below is kept, flat. Bounds the recursion too.
MAX_STRUCTURE_DEPTH = 120

_ADMONITION = re.compile(
    r"(?:^|[\s_-])(?:admonition|callout|note|tip|hint|warning|caution|important|danger|attention|seealso|alert)(?:$|[\s_-])",
    re.IGNORECASE,
)
_ADMONITION_TITLE = re.compile(
    r"(?:^|[\s_-])(?:admonition|custom-?block|callout|aside|alert|hint|note)[_-]*(?:title|heading)(?![a-z])", re.IGNORECASE
)


class BlockWriter:
    """Writes elements into a :class:`PageTextBuilder`.

    Signatures of documented objects (Sphinx's ``dt.sig``) become headings one rank below their section, so that every chunk
    cut from the description carries the signature in its heading path: "what does ``exists`` return?" is then found by the
    name that only the signature holds. Other definition terms are paragraphs.

    Args:
        builder: takes the blocks.
        on_left_out: called with each ``<left-out>`` element (the empty placeholder of a part that is not content) and the
            length, in characters, of the text written before its block.
    """

    def __init__(self, builder: PageTextBuilder, *, on_left_out: Callable[[HtmlElement, int], None] | None = None) -> None:
        self._out = builder
        self._on_left_out = on_left_out
        self._inline = InlineText()
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
            self._inline.add(one_line(self._flat(element)))
            return
        self._depth += 1
        if element.text:
            self._inline.add(element.text.replace("\n", " "))
        for child in element:
            if isinstance(child.tag, str) and not self._out.is_full:
                self._element(child)
            if child.tail:
                self._inline.add(child.tail.replace("\n", " "))
        self._depth -= 1

    def _element(self, element: HtmlElement) -> None:
        tag = element.tag
        if tag == LEFT_OUT:
            self._report(element)
        elif tag == "br":
            self._line_break()
        elif tag == "input":
            self._box(element)
        elif is_skipped(element):
            return
        elif tag in ("img", "math", "ruby"):
            self._inline.add(atom_text(element))
        else:
            mark = mark_of(element)
            if mark:
                self._inline.open(mark)
            if is_block(element) or is_code_block(element):
                self._separate(element, element.getprevious())
                self._block(element)
                self._separate(element, element.getnext())
            else:
                self._run(element)
            if mark:
                self._inline.close(mark)

    def _separate(self, element: HtmlElement, neighbour: HtmlElement | None) -> None:
        """End the text before or after a block; terms that share a definition stay together, a line each."""
        if element.tag == "dt" and neighbour is not None and neighbour.tag == "dt" and not _are_signatures(element, neighbour):
            self._inline.add("\n")
        else:
            self._flush()

    def _run(self, element: HtmlElement) -> None:
        """An element within a line."""
        if element.get("class") and (is_code_label(element) or is_gutter(element)):
            return
        if is_set_apart(element):
            self._inline.add(" ")
        if self._marker:
            self._box(element)
        if element.tag in ("a", "button") and _is_in_sentence(element) and not flat_text(element).strip():
            self._inline.add(stand_in(element))
            return
        self._flow(element)

    def _block(self, element: HtmlElement) -> None:
        tag = element.tag
        classes = element.get("class", "")
        if classes and (is_code_label(element) or (tag in ("td", "div", "pre") and is_gutter(element))):
            return
        if self._marker:
            self._box(element)
        if rank := heading_rank(element):
            self._heading(element, rank)
        elif is_code_block(element):
            self._code(element)
        elif is_table(element):
            self._table(element)
        elif tag in LISTS or element.get("role") == "list":
            self._list(element)
        elif tag == "dt":
            self._term(element)
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
            self._inline.add("\n".join(self._flat(line) for line in element.iter("div") if len(line.findall("div")) == 0))
        elif tag in ("p", "div") and classes and _ADMONITION_TITLE.search(classes):
            self._announce(element)
        else:
            self._flow(element)

    def _line_break(self) -> None:
        """One break is a new line; two in a row are how old pages write paragraphs."""
        if self._inline.ends_with_break() and not self._marker:
            self._flush()
        else:
            self._inline.add("\n")

    def _box(self, element: HtmlElement) -> None:
        """A box to tick at the beginning of an item is part of its marker; elsewhere it is for the reader to tick."""
        if self._marker and self._inline.is_blank and (box := checkbox(element)) and not self._marker.endswith("]"):
            self._marker += f" {box.strip()}"

    def _flush(self) -> None:
        """Write the inline text gathered so far as the block that its surroundings make it."""
        text = self._inline.take()
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
        if any(True for _ in element.iterdescendants("table", "ul", "ol", *VERBATIM)):  # a heading tag around content
            self._flow(element)
            return
        self._end_lead_in()
        self._section_rank = rank
        self._out.heading(rank, self._heading_text(element))

    def _heading_text(self, element: HtmlElement) -> str:
        return one_line(self._flat(element)) or stand_in(element)

    def _announce(self, element: HtmlElement) -> None:
        """An admonition's title leads its first sentence: "Note" alone would be a block that says nothing."""
        if title := one_line(self._flat(element)).rstrip(":"):
            self._lead_in = f"{title}: "

    def _end_lead_in(self) -> None:
        """Write a title that leads no sentence, as a block follows that is none."""
        if self._lead_in:
            self._out.paragraph(self._lead_in)
            self._lead_in = ""

    def _term(self, element: HtmlElement) -> None:
        if "sig" in names_of(element):
            rank = min(6, self._section_rank + 1 + self._signatures)
            self._out.heading(rank, self._heading_text(element))
        else:
            self._or_stand_in(element)

    def _or_stand_in(self, element: HtmlElement) -> None:
        """The flow of an item or a term, or, where that holds no text, what its pictures stand for."""
        before = self._out.length
        self._flow(element)
        is_silent = self._inline.is_blank and self._out.length == before
        if is_silent and next(element.iterdescendants(*LISTS), None) is None:  # items within speak for themselves
            self._inline.add(stand_in(element, of_item=True))

    def _code(self, element: HtmlElement) -> None:
        self._report_within(element)
        text = verbatim(element)
        if self._inline.is_struck:  # which a block of code couldn't show
            self._inline.add(text)
        else:
            self._end_lead_in()
            self._out.code(text, language=code_language(element))

    def _list(self, element: HtmlElement) -> None:
        outer = self._marker
        self._marker = ""
        self._list_depth += 1
        self._depth += 1
        marked = markers(element)
        self._inline.add((element.text or "").replace("\n", " "))
        for child in element:
            if child in marked:
                self._flush()
                self._marker = marked[child]
                self._item(child)
                self._marker = ""
            elif isinstance(child.tag, str):
                self._element(child)
            self._inline.add((child.tail or "").replace("\n", " "))
        self._flush()
        self._depth -= 1
        self._list_depth -= 1
        self._marker = outer

    def _item(self, item: HtmlElement) -> None:
        mark = mark_of(item)
        if mark:
            self._inline.open(mark)
        if state := checkbox(item) or task_state(item):
            self._marker += f" {state.strip()}"
        self._or_stand_in(item)
        self._flush()
        if mark:
            self._inline.close(mark)

    def _table(self, element: HtmlElement) -> None:
        if element.tag == "table" and has_stray_text(element):
            self._flow(element)
            return
        for caption in element.findall("caption"):
            self._element(caption)
        rows = table_rows(element)
        self._depth += 1
        if "memname" in names_of(element):  # a signature, which Doxygen sets as a table
            self._out.paragraph(one_line(" ".join(self._flat(cell) for row in rows for cell in row)))
        elif cells := code_cells(rows):
            self._cells(cells)
        elif is_layout_table(element):
            self._cells([cell for row in rows for cell in row])
        else:
            self._data(element, rows)
        self._depth -= 1

    def _cells(self, cells: list[HtmlElement]) -> None:
        for cell in cells:
            self._flush()
            self._element(cell)
        self._flush()

    def _data(self, element: HtmlElement, rows: list[list[HtmlElement]]) -> None:
        self._end_lead_in()
        titles, rows, header = table_parts(rows)
        for title in titles:
            self._out.paragraph(cell_text(title, is_struck=self._inline.is_struck))
        if needs_records(rows):
            self._records(rows[header:], names=column_names(rows[:header]))
            return
        self._report_within(element)
        names, body = cell_texts(rows, header, is_struck=self._inline.is_struck)
        if any(names):
            self._out.table([names, *body], has_header=bool(body))
        elif body:
            self._out.table(body, has_header=False)

    def _records(self, rows: list[list[HtmlElement]], *, names: list[str]) -> None:
        """A table with cells that a row on one line can't hold: cell after cell, under their names."""
        for row in rows:
            for column, cell in enumerate(row):
                if column < len(names) and names[column] and any(text.strip() for text in cell.itertext()):
                    self._lead_in = f"{names[column].rstrip(':')}: "
                self._element(cell)
                self._flush()
                self._lead_in = ""

    def _flat(self, element: HtmlElement) -> str:
        self._report_within(element)
        return flat_text(element, is_struck=self._inline.is_struck)

    def _report_within(self, element: HtmlElement) -> None:
        if self._on_left_out:
            for part in element.iterdescendants(LEFT_OUT):
                self._report(part)

    def _report(self, part: HtmlElement) -> None:
        if self._on_left_out:
            self._on_left_out(part, self._out.length)


def _has_signature(definition: HtmlElement) -> bool:
    before = definition.getprevious()
    return before is not None and before.tag == "dt" and "sig" in names_of(before)


def _are_signatures(*terms: HtmlElement) -> bool:
    return any("sig" in names_of(term) for term in terms)


def _is_in_sentence(element: HtmlElement) -> bool:
    """Whether text stands right before or after an element."""
    before = element.getprevious()
    above = element.getparent()
    text = before.tail if before is not None else above.text if above is not None else ""
    return bool((text or "").strip()) or bool((element.tail or "").strip())
