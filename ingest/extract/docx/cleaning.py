"""Makes of a part of a Word document what mammoth reads whole: what it would lose or misread is written as what it knows."""

from __future__ import annotations

from lxml import etree

from ingest.extract.docx.formulas import formula_text
from ingest.extract.docx.numbering import HTML_TYPES, Label, Numbering
from ingest.extract.docx.ooxml import MC, XML_SPACE, M, W, integer, is_on, text_run, unwrap, value
from ingest.extract.docx.styles import BODY_LEVEL, Style, Styles, alignment_of, is_struck, numbering_of, switch

# Marks around the number of a list item on its way through mammoth, which knows bullets and numbers but no letters or starts.
# Noncharacters: no document holds them.
ITEM_START, ITEM_END = "\ufdd0", "\ufdd1"

_WRAPPERS = tuple(f"{W}{name}" for name in ("fldSimple", "smartTag", "customXml", "bdo", "dir", "ins", "moveTo"))
_SYMBOL_FONTS = ("wingdings", "wingdings 2", "wingdings 3", "webdings", "symbol", "zapfdingbats")
_CHECKED = {("wingdings", 0xFE), ("wingdings", 0xFD), ("wingdings 2", 0x52), ("wingdings 2", 0x53), ("wingdings 2", 0x54)}
_UNCHECKED = {("wingdings", 0x6F), ("wingdings", 0xA8), ("wingdings", 0x71), ("wingdings 2", 0xA3), ("wingdings 2", 0x2A)}
_BOXES = {"\u2610": "[ ] ", "\u2611": "[x] ", "\u2612": "[x] ", "\uf0fe": "[x] ", "\uf0fd": "[x] "}
_MAX_SKIPPED_CELLS = 60
_MAX_LIST_LEVEL = 4  # what mammoth's style map knows


def clean(root: etree._Element, styles: Styles, numbering: Numbering) -> None:
    """Clean a part that holds text, in place. Parts are to come in the document's order: their numbers are counted on."""
    _choose_alternatives(root)
    for deleted in [element for element in root.iter(f"{W}del", f"{W}moveFrom") if len(element)]:
        _drop(deleted)
    for placeholder in list(root.iterfind(f".//{W}sdt/{W}sdtPr/{W}showingPlcHdr")):
        if is_on(placeholder) and (control := next(placeholder.iterancestors(f"{W}sdt"), None)) is not None:
            _empty(control)
    for wrapper in list(root.iter(*_WRAPPERS)):
        unwrap(wrapper)
    for ruby in list(root.iter(f"{W}ruby")):
        _leave_base_of(ruby)
    _hoist_text_boxes(root)
    _write_formulas(root)
    for frame in list(root.iterfind(f".//{W}p/{W}pPr/{W}framePr[@{W}dropCap]")):
        _join_drop_cap(frame)
    for table in root.iter(f"{W}tbl"):
        _mark_header_row(table, styles)
    for paragraph in list(root.iter(f"{W}p")):
        _clean_paragraph(paragraph, styles, numbering)


def _choose_alternatives(root: etree._Element) -> None:
    """Of an ``mc:AlternateContent`` the newer form, where it holds text, else the fallback."""
    for alternatives in list(root.iter(f"{MC}AlternateContent")):
        branches = [*alternatives.findall(f"{MC}Choice"), *alternatives.findall(f"{MC}Fallback")]
        with_text = [branch for branch in branches if next(branch.iter(f"{W}t", f"{M}t"), None) is not None]
        chosen = next(iter(with_text or branches[-1:]), None)
        for branch in branches:
            if branch is not chosen:
                alternatives.remove(branch)
        if chosen is not None:
            unwrap(chosen)
        unwrap(alternatives)


def _empty(control: etree._Element) -> None:
    """Take away what a content control shows until somebody fills it in ("Click here to enter text")."""
    for text in list(control.iterfind(f"{W}sdtContent//{W}t")):
        _drop(text)


def _leave_base_of(ruby: etree._Element) -> None:
    """Of a word with its reading above it, the word."""
    for text in list(ruby.iterfind(f"{W}rubyBase//{W}t")):
        ruby.addprevious(text)
    _drop(ruby)


def _hoist_text_boxes(root: etree._Element) -> None:
    """The text of shapes and text boxes stands behind the paragraph that they are anchored in."""
    for box in list(root.iter(f"{W}txbxContent")):
        paragraph = next(box.iterancestors(f"{W}p"), None)
        if paragraph is None:
            continue
        last = paragraph
        for block in list(box):
            last.addnext(block)
            last = block
        parent = box.getparent()
        if parent is not None:
            parent.remove(box)


def _join_drop_cap(frame: etree._Element) -> None:
    """A large first letter is a paragraph of its own; it begins the one below."""
    paragraph = next(frame.iterancestors(f"{W}p"), None)
    below = paragraph.getnext() if paragraph is not None else None
    if paragraph is None or below is None or below.tag != f"{W}p" or frame.get(f"{W}dropCap") == "none":
        return
    place = 1 if below.find(f"{W}pPr") is not None else 0
    below[place:place] = paragraph.findall(f"{W}r")
    _drop(paragraph)


def _write_formulas(root: etree._Element) -> None:
    for formula in list(root.iter(f"{M}oMath")):
        parent = formula.getparent()
        if parent is None:
            continue
        run = text_run(formula_text(formula))
        if parent.tag == f"{M}oMathPara" and (holder := parent.getparent()) is not None:
            holder.replace(parent, run) if len(parent) == 1 else parent.addprevious(run)
        else:
            parent.replace(formula, run)


def _mark_header_row(table: etree._Element, styles: Styles) -> None:
    """A first row is a header where it says so, where the table's style sets it off, and where it alone is bold."""
    for mark in [mark for mark in table.iterfind(f"{W}tr/{W}trPr/{W}tblHeader") if not is_on(mark)]:
        _drop(mark)
    rows = table.findall(f"{W}tr")
    for row in rows:
        before = row.find(f"{W}trPr/{W}gridBefore")
        cell = row.find(f"{W}tc")
        if cell is not None:
            for _ in range(min(integer(value(before), 0), _MAX_SKIPPED_CELLS)):
                cell.addprevious(etree.Element(f"{W}tc"))
    if len(rows) < 2 or table.find(f"{W}tr/{W}trPr/{W}tblHeader") is not None:
        return
    properties = table.find(f"{W}tblPr")
    look = properties.find(f"{W}tblLook") if properties is not None else None
    style = styles.named(value(properties.find(f"{W}tblStyle"))) if properties is not None else Style()
    is_styled = style.names_first_row and look is not None and _names_first_row(look)
    if is_styled or (_is_bold(rows[0], styles) and not _is_bold(rows[1], styles)):
        properties_of_row = rows[0].find(f"{W}trPr")
        if properties_of_row is None:
            properties_of_row = etree.Element(f"{W}trPr")
            rows[0].insert(0, properties_of_row)
        etree.SubElement(properties_of_row, f"{W}tblHeader")


def _names_first_row(look: etree._Element) -> bool:
    if (given := look.get(f"{W}firstRow")) is not None:
        return given in ("1", "true", "on")
    try:
        return bool(int(look.get(f"{W}val", "0"), 16) & 0x20)  # 17.4.56
    except ValueError:
        return False


def _is_bold(row: etree._Element, styles: Styles) -> bool:
    """Whether all text of a row is bold, and it has some in more than one cell."""
    filled = 0
    for cell in row.iterfind(f"{W}tc"):
        runs = [run for run in cell.iter(f"{W}r") if "".join(part.text or "" for part in run.iterfind(f"{W}t")).strip()]
        filled += bool(runs)
        for run in runs:
            properties = run.find(f"{W}rPr")
            paragraph = next(run.iterancestors(f"{W}p"), None)
            of_paragraph = value(paragraph.find(f"{W}pPr/{W}pStyle")) if paragraph is not None else None
            of_run = value(properties.find(f"{W}rStyle")) if properties is not None else None
            given = (switch(properties, "b"), styles.named(of_run).is_bold, styles.named(of_paragraph).is_bold)
            if not next((state for state in given if state is not None), False):
                return False
    return filled > 1


def _clean_paragraph(paragraph: etree._Element, styles: Styles, numbering: Numbering) -> None:
    properties = paragraph.find(f"{W}pPr")
    style_id = value(properties.find(f"{W}pStyle")) if properties is not None else None
    style = styles.named(style_id or styles.default_paragraph)
    for run in [run for run in paragraph.iter(f"{W}r") if _owner(run) is paragraph]:
        _clean_run(run, style, styles)
    outline = properties.find(f"{W}outlineLvl") if properties is not None else None
    level = integer(value(outline), BODY_LEVEL) if outline is not None else style.outline_level
    has_text = any(part.text or part.tag != f"{W}t" for part in paragraph.iter(f"{W}t", f"{W}sym"))
    is_heading = level is not None and level < BODY_LEVEL and has_text
    if is_heading and level is not None:
        _set(_properties(paragraph), "pStyle", f"Heading{min(level + 1, 6)}")
    _number(paragraph, style_id or styles.default_paragraph, style, numbering, is_heading=is_heading, has_text=has_text)


def _owner(run: etree._Element) -> etree._Element | None:
    return next(run.iterancestors(f"{W}p"), None)


def _number(
    paragraph: etree._Element, style_id: str, style: Style, numbering: Numbering, *, is_heading: bool, has_text: bool
) -> None:
    """Write the number of a paragraph before it, or leave it a list item with a mark for its number."""
    properties = paragraph.find(f"{W}pPr")
    own = properties.find(f"{W}numPr") if properties is not None else None
    number_id, level = numbering_of(own) if own is not None else (None, None)
    if number_id is None:
        number_id, style_level = (style.number_id, style.number_level) if style.number_id else numbering.of_style(style_id)
        level = level if level is not None else style_level
    if level is None:
        level = numbering.level_of_style(number_id, style_id)
    if number_id is None or (number_id == "0" and own is None):
        return
    level = level or 0
    # Word counts empty paragraphs too, but shows nothing that could be read.
    label = numbering.count(number_id, level) if number_id != "0" else None
    numbers = _set(_properties(paragraph), "numPr", None)
    _set(numbers, "ilvl", str(min(level, _MAX_LIST_LEVEL)))
    is_item = label is not None and not is_heading and (label.kind == "bullet" or (label.is_plain and label.kind in HTML_TYPES))
    _set(numbers, "numId", number_id if is_item else "0")
    if label is not None and has_text and (before := _before(label, is_item=is_item)):
        run = text_run(before)
        place = paragraph.find(f"{W}pPr")
        paragraph.insert(0, run) if place is None else place.addnext(run)


def _before(label: Label, *, is_item: bool) -> str:
    if label.kind == "bullet":
        return _BOXES.get(label.text, "")
    if is_item:
        return f"{ITEM_START}{HTML_TYPES[label.kind]}{label.number}{ITEM_END}"
    return f"{label.text} " if label.text else ""


def _clean_run(run: etree._Element, paragraph_style: Style, styles: Styles) -> None:
    properties = run.find(f"{W}rPr")
    style = styles.named(value(properties.find(f"{W}rStyle")) if properties is not None else None)
    hidden = _toggled(switch(properties, "vanish"), style.is_hidden, paragraph_style.is_hidden)
    if hidden or switch(properties, "webHidden"):
        _drop(run)
        return
    if _toggled(is_struck(properties), style.is_struck, paragraph_style.is_struck):
        _set(_properties(run), "strike", "1")
    elif properties is not None:
        for mark in properties.findall(f"{W}strike"):
            properties.remove(mark)
    if (alignment := alignment_of(properties) or style.alignment or paragraph_style.alignment) and alignment != "baseline":
        _set(_properties(run), "vertAlign", alignment)
    font = properties.find(f"{W}rFonts") if properties is not None else None
    font_name = (value(font, "ascii") or value(font, "hAnsi") or "").lower()
    for part in list(run):
        if part.tag == f"{W}t" and font_name in _SYMBOL_FONTS:
            _write_symbols(part, value(font, "ascii") or value(font, "hAnsi") or "")
    for symbol in list(run.iterfind(f"{W}sym")):
        _clean_symbol(symbol)
    for hyphen in list(run.iterfind(f"{W}noBreakHyphen")):
        _replace_by_text(hyphen, "-")
    for carriage_return in run.iterfind(f"{W}cr"):
        carriage_return.tag = f"{W}br"
    for line_break in run.iterfind(f"{W}br"):  # mammoth leaves out those of pages and columns, and joins the words around them
        line_break.attrib.pop(f"{W}type", "")


def _toggled(own: bool | None, of_run_style: bool | None, of_paragraph_style: bool | None) -> bool:
    """A toggle property: what the run says itself, else one of the two styles but not both (17.7.3)."""
    return own if own is not None else bool(of_run_style) != bool(of_paragraph_style)


def _write_symbols(text: etree._Element, font: str) -> None:
    """Letters in a font of symbols stand for symbols."""
    for char in text.text or "":
        code = ord(char)
        if char.isspace() or not (code < 0x100 or 0xF000 <= code < 0xF100):
            part = etree.Element(f"{W}t")
            part.text = char
            part.set(XML_SPACE, "preserve")
        else:
            part = etree.Element(f"{W}sym")
            part.set(f"{W}font", font)
            part.set(f"{W}char", f"{0xF000 | code & 0xFF:04X}")
        text.addprevious(part)
    _drop(text)


def _clean_symbol(symbol: etree._Element) -> None:
    """Boxes become ``[x]`` and ``[ ]``; what isn't a symbol's number goes, for mammoth fails on it."""
    try:
        code = int(symbol.get(f"{W}char", ""), 16)
    except ValueError:
        _drop(symbol)
        return
    key = ((symbol.get(f"{W}font") or "").lower(), code & 0xFF if 0xF000 <= code < 0xF100 else code)
    if key in _CHECKED or key in _UNCHECKED:
        _replace_by_text(symbol, "[x]" if key in _CHECKED else "[ ]")


def _replace_by_text(element: etree._Element, text: str) -> None:
    part = text_run(text)[0]
    parent = element.getparent()
    if parent is not None:
        parent.replace(element, part)


def _properties(element: etree._Element) -> etree._Element:
    name = f"{W}pPr" if element.tag == f"{W}p" else f"{W}rPr"
    found = element.find(name)
    if found is None:
        found = etree.Element(name)
        element.insert(0, found)
    return found


def _set(properties: etree._Element, name: str, given: str | None) -> etree._Element:
    found = properties.find(f"{W}{name}")
    if found is None:
        found = etree.SubElement(properties, f"{W}{name}")
    if given is not None:
        found.set(f"{W}val", given)
    return found


def _drop(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)
