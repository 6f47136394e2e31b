"""Word documents: what changes a text's meaning is kept, numbers are counted, wrappers lose nothing."""

from __future__ import annotations

import pytest

from ingest.extract.document import ExtractedPage, extract
from ingest.extract.docx.numbering import written
from tests.unit.documents import raw_word, with_part
from tests.unit.test_extract import check_spans

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def read(body: bytes) -> ExtractedPage:
    extracted = extract(body, url="http://site.test/a.docx", content_type=WORD, charset=None)
    check_spans(extracted)
    return extracted


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def paragraph(content: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr>{content}</w:p>"


def text_of(content: str, *, styles: str = "", numbering: str = "") -> str:
    return read(raw_word(content, styles=styles, numbering=numbering)).page.text


def style(identifier: str, properties: str, *, kind: str = "paragraph", name: str = "", based_on: str = "") -> str:
    return (
        f'<w:style w:type="{kind}" w:styleId="{identifier}"><w:name w:val="{name or identifier}"/>'
        f'<w:basedOn w:val="{based_on}"/>{properties}</w:style>'
    )


STRUCK_STYLE = style("Gone", "<w:rPr><w:strike/></w:rPr>", kind="character")
RAISED_STYLE = style("Up", '<w:rPr><w:vertAlign w:val="superscript"/></w:rPr>', kind="character")


class TestMeaning:
    def test_fields_strike_and_superscript(self) -> None:
        field = f'<w:fldSimple w:instr=" REF dues ">{run("section 4")}</w:fldSimple>'
        dues = run("The dues (see ") + field + run(") are ") + run("ten", "<w:strike/>") + run(" twelve euro for 10")
        assert text_of(paragraph(dues + run("3", '<w:vertAlign w:val="superscript"/>') + run(" bricks."))) == (
            "The dues (see section 4) are ~~ten~~ twelve euro for 10^3 bricks."
        )

    @pytest.mark.parametrize(
        "properties",
        ["<w:strike/>", "<w:dstrike/>", '<w:strike w:val="1"/>', '<w:strike w:val="true"/>', '<w:rStyle w:val="Gone"/>'],
    )
    def test_struck_out(self, properties: str) -> None:
        assert text_of(paragraph(run("It is ") + run("20", properties) + run(" 35.")), styles=STRUCK_STYLE) == "It is ~~20~~ 35."

    @pytest.mark.parametrize(
        "properties", ['<w:strike w:val="0"/>', '<w:strike w:val="off"/>', '<w:rStyle w:val="Gone"/><w:strike w:val="false"/>']
    )
    def test_not_struck_out(self, properties: str) -> None:
        assert text_of(paragraph(run("20", properties) + run(" 35.")), styles=STRUCK_STYLE) == "20 35."

    def test_a_style_in_a_style_that_strikes_is_not_struck(self) -> None:
        styles = STRUCK_STYLE + style("Old", "<w:rPr><w:strike/></w:rPr>")
        content = run("Gone. ") + run("Back.", '<w:rStyle w:val="Gone"/>')
        assert text_of(paragraph(content, '<w:pStyle w:val="Old"/>'), styles=styles) == "~~Gone.~~ Back."

    @pytest.mark.parametrize(
        "properties", ['<w:vertAlign w:val="superscript"/>', '<w:rStyle w:val="Up"/>', '<w:position w:val="8"/>']
    )
    def test_raised(self, properties: str) -> None:
        assert text_of(paragraph(run("10") + run("6", properties) + run(" lamps")), styles=RAISED_STYLE) == "10^6 lamps"

    def test_tracked_changes(self) -> None:
        deleted = '<w:del w:id="1"><w:r><w:delText>twenty</w:delText></w:r></w:del>'
        moved = f'<w:moveFrom w:id="2">{run("Moved away.")}</w:moveFrom>'
        added = f'<w:ins w:id="3">{run("thirty")}</w:ins><w:moveTo w:id="4">{run(" euro.")}</w:moveTo>'
        assert text_of(paragraph(run("It is ") + deleted + moved + added)) == "It is thirty euro."

    @pytest.mark.parametrize(
        ("formula", "text"),
        [
            ("<m:sSup><m:e>{10}</m:e><m:sup>{6}</m:sup></m:sSup>", "10^6"),
            ("<m:sSup><m:e>{x}</m:e><m:sup>{n+1}</m:sup></m:sSup>", "x^(n+1)"),
            ("<m:f><m:num>{a+b}</m:num><m:den>{2}</m:den></m:f>", "(a+b)/2"),
            ("<m:d><m:e>{a}</m:e></m:d>", "(a)"),
            ("<m:rad><m:radPr/><m:deg/><m:e>{2}</m:e></m:rad>", "√(2)"),
            ("<m:sSubSup><m:e>{x}</m:e><m:sub>{i}</m:sub><m:sup>{2}</m:sup></m:sSubSup>", "x_i^2"),
            ("<m:func><m:fName>{sin}</m:fName><m:e>{x}</m:e></m:func>", "sin x"),
        ],
    )
    def test_formulas(self, formula: str, text: str) -> None:
        formula = formula.replace("{", "<m:r><m:t>").replace("}", "</m:t></m:r>")
        assert text_of(paragraph(run("It is ") + f"<m:oMath>{formula}</m:oMath>" + run("."))) == f"It is {text}."

    def test_symbols_and_checkboxes(self) -> None:
        symbols = '<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>' + run(" lamp ")
        symbols += '<w:r><w:sym w:font="Wingdings" w:char="F0A8"/></w:r>' + run(" rope ")
        symbols += run("\u00fe", '<w:rFonts w:ascii="Wingdings"/>') + run(" oar ") + '<w:r><w:sym w:char="zz"/></w:r>'
        assert text_of(paragraph(symbols)) == "[x] lamp [ ] rope [x] oar"
        control = (
            '<w:sdt><w:sdtPr><w14:checkbox><w14:checked w14:val="1"/></w14:checkbox></w:sdtPr>'
            f"<w:sdtContent>{run('☒')}</w:sdtContent></w:sdt>"
        )
        assert text_of(paragraph(control + run(" paid"))) == "[x] paid"

    def test_hyphens_hidden_styles_and_readings(self) -> None:
        hidden = style("Secret", "<w:rPr><w:vanish/></w:rPr>", kind="character")
        base = f"<w:rubyBase>{run('港')}</w:rubyBase>"
        content = "<w:r><w:t>e</w:t><w:noBreakHyphen/><w:t>mail so</w:t><w:softHyphen/><w:t>on </w:t></w:r>"
        content += f"<w:r><w:ruby><w:rt>{run('みなと')}</w:rt>{base}</w:ruby></w:r>" + run(
            "Ignore it.", '<w:rStyle w:val="Secret"/>'
        )
        assert text_of(paragraph(content), styles=hidden) == "e-mail soon 港"


class TestWrappers:
    @pytest.mark.parametrize(
        "wrapper",
        [
            '<w:fldSimple w:instr="SEQ">{}</w:fldSimple>',
            '<w:smartTag w:element="place">{}</w:smartTag>',
            '<w:customXml w:element="x">{}</w:customXml>',
            '<w:bdo w:val="ltr">{}</w:bdo>',
            '<w:ins w:id="1"><w:fldSimple w:instr="REF">{}</w:fldSimple></w:ins>',
            "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>",
            '<w:hyperlink w:anchor="x">{}</w:hyperlink>',
        ],
    )
    def test_text_in_wrappers(self, wrapper: str) -> None:
        assert text_of(paragraph(run("Table ") + wrapper.format(run("3")) + run(": Fees"))) == "Table 3: Fees"

    @pytest.mark.parametrize(
        "shape",
        [
            "<mc:AlternateContent><mc:Choice>{}</mc:Choice></mc:AlternateContent>",
            "<mc:AlternateContent><mc:Choice>{}</mc:Choice><mc:Fallback><w:pict>{}</w:pict></mc:Fallback></mc:AlternateContent>",
            "<mc:AlternateContent><mc:Choice/><mc:Fallback><w:pict>{}</w:pict></mc:Fallback></mc:AlternateContent>",
            "<w:drawing>{}</w:drawing>",
        ],
    )
    def test_text_boxes_stand_behind_their_paragraph_once(self, shape: str) -> None:
        box = f"<wps:txbx><w:txbxContent>{paragraph(run('In the box.'))}{paragraph(run('Still.'))}</w:txbxContent></wps:txbx>"
        content = paragraph(run("Before.") + f"<w:r>{shape.replace('{}', box)}</w:r>") + paragraph(run("After."))
        assert text_of(content) == "Before.\n\nIn the box.\n\nStill.\n\nAfter."

    def test_a_large_first_letter_belongs_to_its_word(self) -> None:
        content = paragraph(run("B"), '<w:framePr w:dropCap="drop" w:lines="3"/>') + paragraph(run("oats lie here."))
        assert text_of(content) == "Boats lie here."

    def test_strict_documents(self) -> None:
        transitional = raw_word(paragraph(run("It is ") + run("20", "<w:strike/>") + run(" 35.")))
        strict = with_part(
            transitional,
            "word/document.xml",
            lambda part: part.replace(
                b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
                b"http://purl.oclc.org/ooxml/wordprocessingml/main",
            ),
        )
        assert read(strict).page.text == "It is ~~20~~ 35."

    def test_a_document_within_is_noted(self) -> None:
        assert read(raw_word(paragraph(run("Words.")) + '<w:altChunk r:id="x"/>')).notes == (
            "a document that is embedded in this one was not read",
        )

    def test_footnotes(self) -> None:
        note = f'<w:footnote w:id="2">{paragraph(run("Paid in ") + run("May", "<w:strike/>") + run(" June."))}</w:footnote>'
        body = paragraph(run("Fees") + '<w:r><w:footnoteReference w:id="2"/></w:r>' + run(" rise."))
        assert read(raw_word(body, footnotes=note)).page.text.endswith("1. Paid in ~~May~~ June.")


def level(number: int, kind: str, text: str, more: str = "", *, start: int = 1) -> str:
    return (
        f'<w:lvl w:ilvl="{number}"><w:start w:val="{start}"/><w:numFmt w:val="{kind}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'
    )


def numbered(*levels: str, more: str = "") -> str:
    return (
        f'<w:abstractNum w:abstractNumId="7">{"".join(levels)}</w:abstractNum>'
        f'<w:num w:numId="3"><w:abstractNumId w:val="7"/></w:num>{more}'
    )


def item(text: str, depth: int = 0, number_id: int = 3, properties: str = "") -> str:
    numbers = f'<w:numPr><w:ilvl w:val="{depth}"/><w:numId w:val="{number_id}"/></w:numPr>'
    return paragraph(run(text), properties + numbers)


HEADINGS = style("Kop1", "", name="heading 1") + style("Kop2", "", name="heading 2") + style("Own", "", based_on="Kop1")


class TestNumbers:
    def test_numbered_headings_and_clauses(self) -> None:
        lists = numbered(
            level(0, "decimal", "%1", '<w:pStyle w:val="Kop1"/>'),
            level(1, "decimal", "%1.%2", '<w:pStyle w:val="Kop2"/>'),
            level(2, "decimal", "%1.%2.%3"),
        )
        content = (
            paragraph(run("Boats"), '<w:pStyle w:val="Kop1"/>')
            + paragraph(run("Berths"), '<w:pStyle w:val="Kop1"/>')
            + paragraph(run("Fees"), '<w:pStyle w:val="Kop2"/>')
            + item("A berth costs ten euro.", 2)
            + item("A buoy costs five.", 2)
            + paragraph(run("Fines"), '<w:pStyle w:val="Kop2"/>')
            + item("None.", 2)
        )
        assert text_of(content, styles=HEADINGS, numbering=lists) == (
            "# 1 Boats\n\n# 2 Berths\n\n## 2.1 Fees\n\n2.1.1 A berth costs ten euro.\n\n2.1.2 A buoy costs five.\n\n"
            "## 2.2 Fines\n\n2.2.1 None."
        )

    def test_headings_by_what_a_style_is_based_on_and_by_outline_level(self) -> None:
        content = paragraph(run("One"), '<w:pStyle w:val="Own"/>') + paragraph(run("Two"), '<w:outlineLvl w:val="1"/>')
        content += paragraph(run("Words."), '<w:pStyle w:val="Kop1"/><w:outlineLvl w:val="9"/>').replace("Kop1", "Body")
        assert text_of(content, styles=HEADINGS) == "# One\n\n## Two\n\nWords."

    @pytest.mark.parametrize(
        ("kind", "text", "start", "markers"),
        [
            ("lowerLetter", "%1)", 1, ("a.", "b.")),
            ("upperRoman", "%1.", 3, ("III.", "IV.")),
            ("decimal", "(%1)", 4, ("4.", "5.")),
            ("bullet", "·", 1, ("-", "-")),
        ],
    )
    def test_lists_keep_letters_and_starts(self, kind: str, text: str, start: int, markers: tuple[str, str]) -> None:
        lists = numbered(level(0, kind, text, start=start))
        assert text_of(item("one") + item("two"), numbering=lists) == f"{markers[0]} one\n{markers[1]} two"

    def test_lists_go_on_after_a_paragraph_and_begin_anew_where_they_say_so(self) -> None:
        override = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'
        again = f'<w:num w:numId="4"><w:abstractNumId w:val="7"/>{override}</w:num>'
        lists = numbered(level(0, "decimal", "%1."), level(1, "lowerLetter", "%2."), more=again)
        content = item("one") + item("deep", 1) + item("deeper", 1) + paragraph(run("Between.")) + item("two") + item("deep", 1)
        content += paragraph(run("Anew.")) + item("one", number_id=4) + item("two", number_id=4)
        assert text_of(content, numbering=lists) == (
            "1. one\n  a. deep\n  b. deeper\n\nBetween.\n\n2. two\n  a. deep\n\nAnew.\n\n1. one\n2. two"
        )

    def test_numbers_taken_off_and_numbers_by_style(self) -> None:
        styles = style("Item", '<w:pPr><w:numPr><w:numId w:val="3"/></w:numPr></w:pPr>') + style("Sub", "", based_on="Item")
        off = '<w:pStyle w:val="Item"/><w:numPr><w:numId w:val="0"/></w:numPr>'
        content = paragraph(run("one"), '<w:pStyle w:val="Item"/>') + paragraph(run("bare"), off)
        content += paragraph(run("two"), '<w:pStyle w:val="Sub"/>')
        assert text_of(content, styles=styles, numbering=numbered(level(0, "decimal", "%1."))) == "1. one\n\nbare\n\n2. two"

    def test_words_before_a_number(self) -> None:
        lists = numbered(level(0, "decimal", "Article %1:"))
        assert text_of(item("Dues.") + item("Fines."), numbering=lists) == "Article 1: Dues.\n\nArticle 2: Fines."

    @pytest.mark.parametrize(
        ("number", "kind", "text"),
        [
            (27, "lowerLetter", "aa"),
            (1994, "upperRoman", "MCMXCIV"),
            (48, "lowerRoman", "xlviii"),
            (3, "decimalZero", "03"),
            (22, "ordinal", "22nd"),
            (12, "ordinal", "12th"),
            (5, "chineseCounting", "5"),
            (0, "lowerLetter", "0"),
        ],
    )
    def test_written_numbers(self, number: int, kind: str, text: str) -> None:
        assert written(number, kind) == text


def cell(text: str, properties: str = "", run_properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{paragraph(run(text, run_properties))}</w:tc>"


class TestTables:
    @pytest.mark.parametrize(
        ("row", "bold", "look"),
        [
            ("<w:trPr><w:tblHeader/></w:trPr>", "", ""),
            ("", "<w:b/>", ""),
            ("", "", '<w:tblStyle w:val="Grid"/><w:tblLook w:firstRow="1"/>'),
            ("", "", '<w:tblStyle w:val="Grid"/><w:tblLook w:val="04A0"/>'),
        ],
    )
    def test_header_rows(self, row: str, bold: str, look: str) -> None:
        styles = style("Grid", '<w:tblStylePr w:type="firstRow"/>', kind="table")
        table = f"<w:tbl><w:tblPr>{look}</w:tblPr><w:tr>{row}{cell('Boat', '', bold)}{cell('Fee', '', bold)}</w:tr>"
        table += f"<w:tr>{cell('Yawl')}{cell('7')}</w:tr></w:tbl>"
        assert text_of(table, styles=styles) == "| Boat | Fee |\n| --- | --- |\n| Yawl | 7 |"

    def test_no_header_where_none_is_marked(self) -> None:
        off = '<w:trPr><w:tblHeader w:val="0"/></w:trPr>'
        table = f"<w:tbl><w:tr>{off}{cell('Yawl')}{cell('7')}</w:tr><w:tr>{cell('Gig')}{cell('5')}</w:tr></w:tbl>"
        assert text_of(table) == "| Yawl | 7 |\n| Gig | 5 |"

    def test_merged_and_skipped_cells(self) -> None:
        rows = (
            f"<w:tr>{cell('Boat', '<w:vMerge w:val=' + chr(34) + 'restart' + chr(34) + '/>')}{cell('7')}</w:tr>"
            f"<w:tr>{cell('', '<w:vMerge/>')}{cell('8')}</w:tr>"
            f'<w:tr><w:trPr><w:gridBefore w:val="1"/></w:trPr>{cell("9")}</w:tr>'
        )
        assert text_of(f"<w:tbl>{rows}</w:tbl>") == "| Boat | 7 |\n| Boat | 8 |\n|  | 9 |"


@pytest.mark.parametrize("kind", ["page", "column", "textWrapping"])
def test_a_break_within_a_paragraph_parts_words(kind: str) -> None:
    assert text_of(paragraph(run("at dusk") + f'<w:r><w:br w:type="{kind}"/></w:r>' + run("until dawn"))) == "at dusk\nuntil dawn"


def test_what_a_control_shows_until_it_is_filled_in() -> None:
    def control(properties: str, content: str) -> str:
        return f"<w:sdt><w:sdtPr>{properties}</w:sdtPr><w:sdtContent>{content}</w:sdtContent></w:sdt>"

    prompt = run("Click here to enter text.")
    inline = paragraph(run("Name: ") + control("<w:showingPlcHdr/>", prompt) + run("Port: ") + control("", run("Elm Quay")))
    block = control("<w:showingPlcHdr/>", paragraph(prompt)) + control(
        '<w:showingPlcHdr w:val="0"/>', paragraph(run("Filled in."))
    )
    assert text_of(inline + block) == "Name: Port: Elm Quay\n\nFilled in."
