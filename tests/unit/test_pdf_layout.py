"""PDF pages as they are laid out: columns, tables, exponents, struck-out words, and what can't be read."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from corpus.errors import PermanentError
from ingest.extract.document import ExtractedPage, extract
from tests.unit.documents import PdfPages
from tests.unit.test_extract import check_spans, golden

LEFT_TEXT = (
    "The harbour opens at six and the",
    "lamps are put out by the warden",
    "who writes it down in the book",
    "of the day before he goes.",
)
RIGHT_TEXT = (
    "Boats longer than six metres pay",
    "twice the fee and may not stay",
    "longer than two nights in a row",
    "without a permit.",
)
THIRD_TEXT = (
    "Nobody passes after nine o'clock",
    "except pilots and physicians",
    "who carry a lamp of their own",
    "and ring the bell twice.",
)


def read(pdf: PdfPages) -> ExtractedPage:
    extracted = extract(pdf.bytes(), url="http://site.test/a.pdf", content_type="application/pdf", charset=None)
    check_spans(extracted)
    return extracted


def text_of(pdf: PdfPages) -> str:
    return read(pdf).page.text


class TestColumns:
    def test_two_columns_drawn_line_by_line_under_a_common_title(self) -> None:
        pdf = PdfPages().put(120, 780, "A title over both columns of the page", size=18)
        pdf.put(72, 750, "An abstract that goes over the whole width of the page and says what is in the text below.")
        for row, (left, right) in enumerate(zip(LEFT_TEXT, RIGHT_TEXT, strict=True)):
            pdf.put(72, 720 - 12 * row, left).put(310, 720 - 12 * row, right)
        pdf.put(72, 660, "A line under both columns, as long as both of them together, closes what they say on it.")
        assert text_of(pdf) == "\n\n".join(
            (
                "# A title over both columns of the page",
                "An abstract that goes over the whole width of the page and says what is in the text below.",
                " ".join(LEFT_TEXT),
                " ".join(RIGHT_TEXT),
                "A line under both columns, as long as both of them together, closes what they say on it.",
            )
        )

    def test_columns_whose_lines_stand_at_other_heights(self) -> None:
        pdf = PdfPages()
        for row, (left, right) in enumerate(zip(LEFT_TEXT, RIGHT_TEXT, strict=True)):
            pdf.put(310, 714 - 12 * row, right).put(72, 720 - 12 * row, left)
        assert text_of(pdf) == f"{' '.join(LEFT_TEXT)}\n\n{' '.join(RIGHT_TEXT)}"

    def test_three_columns(self) -> None:
        pdf = PdfPages()
        for row in range(4):
            for column, lines in enumerate((LEFT_TEXT, RIGHT_TEXT, THIRD_TEXT)):
                pdf.put(40 + 175 * column, 720 - 12 * row, lines[row])
        assert text_of(pdf) == "\n\n".join(" ".join(lines) for lines in (LEFT_TEXT, RIGHT_TEXT, THIRD_TEXT))

    def test_a_sentence_runs_on_in_the_next_column_with_its_broken_word(self) -> None:
        left, right = (*LEFT_TEXT[:3], "and this is the docu-"), ("mentation of the harbour, which", *RIGHT_TEXT[1:])
        pdf = PdfPages()
        for row in range(4):
            pdf.put(72, 720 - 12 * row, left[row]).put(310, 720 - 12 * row, right[row])
        assert "this is the documentation of the harbour, which twice" in text_of(pdf)


class TestTables:
    ROWS = (("Boat", "Berth", "Fee"), ("Yawl", "North quay", "7"), ("Gig", "South quay", "5"), ("Cutter", "East", "12"))
    TABLE = (
        "| Boat | Berth | Fee |\n| --- | --- | --- |\n| Yawl | North quay | 7 |\n| Gig | South quay | 5 |\n| Cutter | East | 12 |"
    )

    def test_cells_under_each_other(self) -> None:
        pdf = PdfPages().put(72, 760, "The fees of the harbour are these, and they hold from May to October of each year.")
        for row, cells in enumerate(self.ROWS):
            for column, cell in enumerate(cells):
                pdf.put(90 + 110 * column, 735 - 13 * row, cell)
        pdf.put(72, 660, "After the table the text goes on.")
        before = "The fees of the harbour are these, and they hold from May to October of each year."
        assert text_of(pdf) == f"{before}\n\n{self.TABLE}\n\nAfter the table the text goes on."

    @pytest.mark.parametrize("has_sides", [True, False])
    def test_a_grid_of_rules_whose_cells_have_lines_of_their_own(self, has_sides: bool) -> None:
        xs, ys = (72, 150, 300, 360), (740, 720, 690, 670)
        pdf = PdfPages()
        for y in ys:
            pdf.rule(xs[0], y, xs[-1], y)
        for x in xs if has_sides else xs[1:-1]:
            pdf.rule(x, ys[0], x, ys[-1])
        for x, text in zip(xs, ("Boat", "Where", "Fee"), strict=False):
            pdf.put(x + 4, 726, text, font="Helvetica-Bold")
        pdf.put(76, 706, "Yawl").put(154, 706, "North quay, behind the").put(304, 706, "7").put(154, 695, "store of lamps")
        pdf.put(76, 676, "Gig").put(154, 676, "South quay").put(304, 676, "5")
        assert text_of(pdf) == golden("""
            | Boat | Where | Fee |
            | --- | --- | --- |
            | Yawl | North quay, behind the store of lamps | 7 |
            | Gig | South quay | 5 |
        """)

    def test_a_cell_that_goes_on_below_in_a_table_without_rules(self) -> None:
        pdf = PdfPages()
        rows = (
            ("-a", "lights the lamps at dusk"),
            ("-b", "puts them out again, and"),
            ("", "writes it down"),
            ("-c", "does nothing"),
        )
        for row, (name, text) in enumerate(rows):
            pdf.put(72, 740 - 12 * row, name).put(130, 740 - 12 * row, text)
        assert text_of(pdf) == (
            "| -a | lights the lamps at dusk |\n| -b | puts them out again, and writes it down |\n| -c | does nothing |"
        )

    def test_lists_and_tables_of_contents_are_none(self) -> None:
        pdf = PdfPages()
        for row, text in enumerate(("Lamps are lit", "Lamps are put out", "Nothing more")):
            pdf.put(72, 740 - 13 * row, "\u2022").put(95, 740 - 13 * row, text)
        for row, title in enumerate(("One", "Two", "Three")):
            pdf.put(72, 660 - 13 * row, f"{title} {'. ' * 40}").put(500, 660 - 13 * row, str(row + 3))
        assert text_of(pdf) == "- Lamps are lit\n- Lamps are put out\n- Nothing more\n\nOne … 3\n\nTwo … 4\n\nThree … 5"

    def test_code_keeps_its_columns(self) -> None:
        pdf = PdfPages()
        for row, line in enumerate(("a = 1       # first", "if a:", "    long = 2  # second")):
            x = 72.0
            for part in re.findall(r" {2,}|[^ ]+(?: [^ ]+)*", line):
                if part.strip():
                    pdf.put(x, 740 - 12 * row, part, font="Courier")
                x += pdf.width_of(part, font="Courier")
        assert text_of(pdf) == "```\na = 1       # first\nif a:\n    long = 2  # second\n```"


class TestMeaning:
    @pytest.mark.parametrize(
        ("parts", "text"),
        [
            ((("The store holds 10", 10, 0), ("6", 6, 4), (" wicks.", 10, 0)), "The store holds 10^6 wicks."),
            ((("Each weighs 10", 10, 0), ("-3", 6, 4), (" grams.", 10, 0)), "Each weighs 10^-3 grams."),
            ((("It has 30 m", 10, 0), ("2", 6, 4), (" of room.", 10, 0)), "It has 30 m^2 of room."),
            ((("So the warden said", 10, 0), ("1", 6, 4), (" and left.", 10, 0)), "So the warden said[1] and left."),
            ((("The 1", 10, 0), ("st", 6, 4), (" of May.", 10, 0)), "The 1st of May."),
            ((("H", 10, 0), ("2", 6, -2), ("O is wet.", 10, 0)), "H2O is wet."),
        ],
    )
    def test_raised_text(self, parts: tuple[tuple[str, float, float], ...], text: str) -> None:
        assert text_of(PdfPages().parts(72, 700, *parts)) == text

    def test_words_that_a_line_goes_through_and_those_over_one(self) -> None:
        pdf = PdfPages().put(72, 700, "The fee is 20 35 euro a season.").put(72, 686, "Dogs are welcome on the quay.")
        start = 72 + pdf.width_of("The fee is ")
        pdf.rule(start, 703, start + pdf.width_of("20"), 703)
        pdf.rule(72, 685, 72 + pdf.width_of("Dogs are welcome"), 685)
        assert text_of(pdf) == "The fee is ~~20~~ 35 euro a season. Dogs are welcome on the quay."

    def test_bold_lines_that_stand_apart_are_headings(self) -> None:
        pdf = PdfPages().put(72, 740, "1. Lamps", font="Helvetica-Bold").put(72, 722, "The lamps are lit at dusk by the warden.")
        pdf.put(72, 710, "They burn until dawn.").put(72, 690, "2. Locks", font="Helvetica-Bold").put(
            72, 672, "They open at six."
        )
        assert text_of(pdf) == golden("""
            # 1. Lamps

            The lamps are lit at dusk by the warden. They burn until dawn.

            # 2. Locks

            They open at six.
        """)

    def test_paragraphs_told_by_their_indent(self) -> None:
        pdf = PdfPages().put(84, 740, "The lamps are lit at dusk by the warden on").put(72, 728, "duty and burn until the dawn.")
        pdf.put(84, 716, "The locks open at six in the morning and").put(72, 704, "close at nine.")
        assert text_of(pdf).count("\n\n") == 1


class TestUnread:
    def test_pages_that_are_pictures_are_named(self) -> None:
        pdf = PdfPages().line("A page of text that can be read.").page()
        for _ in range(3):
            pdf.picture().page()
        extracted = read(pdf.line("Another one.").page().picture().at(20, "6"))
        assert extracted.notes == ("pages 2–4, 6 hold pictures and no text; they were not read",)
        assert "Another one." in extracted.page.text

    def test_fonts_that_do_not_say_what_their_signs_mean(self, tmp_path: Path) -> None:
        def document(*, with_text: bool) -> bytes:
            fonts = Path(reportlab.__file__).parent / "fonts"
            pdfmetrics.registerFont(TTFont("Vera", str(fonts / "Vera.ttf")))
            canvas = Canvas(str(tmp_path / "a.pdf"), pageCompression=0, invariant=1)
            canvas.setFont("Vera", 12)
            canvas.drawString(72, 700, "Words that nobody could read.")
            canvas.showPage()
            if with_text:
                canvas.setFont("Helvetica", 12)
                canvas.drawString(72, 700, "A page of text that can be read.")
            canvas.save()
            body = (tmp_path / "a.pdf").read_bytes()
            start = body.index(b"beginbfchar")
            # The same length, so that the table of places holds: letters are mapped to private use.
            return body[:start] + re.sub(rb"> <00([4-7][0-9A-F])>", rb"> <E0\1>", body[start:])

        extracted = extract(document(with_text=True), url="http://s.test/a.pdf", content_type="application/pdf", charset=None)
        assert extracted.page.text.endswith("A page of text that can be read.")
        assert extracted.notes == ("the fonts of pages 1 don't say what their signs mean; they were not read",)
        with pytest.raises(PermanentError, match="fonts") as refusal:
            extract(document(with_text=False), url="http://s.test/a.pdf", content_type="application/pdf", charset=None)
        assert refusal.value.reason == "no_text"


def test_time_grows_with_the_page() -> None:
    """Ten times the words and rules on a page cost not much more than ten times the time."""

    def seconds(count: int) -> float:
        pdf = PdfPages()
        for i in range(count):
            pdf.put(20 + 37 * (i % 15), 830 - 0.8 * (i // 15), f"w{i}", size=4)
            pdf.rule(20 + i % 500, 20, 20 + i % 500, 25 + i % 300)
            pdf.rule(20, 20 + i % 700, 50 + i % 90, 20 + i % 700)
        body = pdf.bytes()
        started = time.process_time()
        extract(body, url="http://site.test/a.pdf", content_type="application/pdf", charset=None)
        return time.process_time() - started

    seconds(10)
    assert seconds(10_000) < max(3.0, 30 * seconds(1_000))
