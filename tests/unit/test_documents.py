"""Golden tests of the formats besides HTML: PDF, Word, Markdown, and how a format is told."""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from io import BytesIO

import pytest
from docx.document import Document
from docx.oxml import OxmlElement

from corpus.errors import PermanentError
from corpus.model import BlockKind
from ingest.extract.document import ExtractedPage, extract
from ingest.extract.docx import reader as docx_module
from ingest.extract.pdf import reader as pdf_module
from tests.unit.documents import PdfPages, with_dates, with_part, word
from tests.unit.test_extract import check_spans, golden

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def read(body: bytes | str, content_type: str | None, *, url: str = "http://site.test/docs/file") -> ExtractedPage:
    extracted = extract(body.encode() if isinstance(body, str) else body, url=url, content_type=content_type, charset=None)
    check_spans(extracted)
    return extracted


def refused(body: bytes, content_type: str | None) -> str:
    with pytest.raises(PermanentError) as failure:
        extract(body, url="http://site.test/file", content_type=content_type, charset=None)
    return failure.value.reason


class TestPdf:
    def test_headings_by_type_size_paragraphs_lists_and_code(self) -> None:
        pdf = PdfPages().line("The Handbook", size=24).line("First part", size=16, gap=10)
        pdf.line("A paragraph that goes on", gap=10).line("over two lines.").line("Another one.", gap=12)
        pdf.line("1. one", gap=12).line("2. two").line("– three").line("of it")
        pdf.line("def f():", font="Courier", size=10, gap=12).line("return 1", font="Courier", size=10, indent=24)
        pdf.line("x = f()", font="Courier", size=10, gap=14).line("That was all.", gap=12).line("Second part", size=16, gap=9)
        pdf.line("Its text.")
        extracted = read(pdf.bytes(), "application/pdf")
        assert extracted.page.text == golden("""
            # The Handbook

            ## First part

            A paragraph that goes on over two lines.

            Another one.

            1. one
            2. two
            - three of it

            ```
            def f():
                return 1

            x = f()
            ```

            That was all.

            ## Second part

            Its text.
        """)
        assert extracted.page.title == "The Handbook"
        assert extracted.page.language == "en"

    def test_the_outline_outranks_type_sizes(self) -> None:
        pdf = PdfPages().line("Big words that are no heading", size=20)
        pdf.entry("Setting up", 0).line("1 Setting up").line("Do this.", gap=10)
        pdf.entry("On Debian", 1).line("On Debian", gap=10).line("And that.", gap=10)
        blocks = [(page_block, rank) for page_block, rank in headings(read(pdf.bytes(), "application/pdf"))]
        assert blocks == [("# 1 Setting up", 1), ("## On Debian", 2)]

    def test_pages_without_headings_are_sections_and_running_lines_go(self) -> None:
        pdf = PdfPages()
        for number in range(1, 5):
            pdf.at(810, f"The Handbook, page {number}").line(f"What page {'abcd'[number - 1]} says.").page()
        assert read(pdf.bytes(), "application/pdf").page.text == "\n\n".join(
            f"## Page {number}\n\nWhat page {letter} says." for number, letter in enumerate("abcd", 1)
        )

    def test_a_sentence_runs_on_over_a_page(self) -> None:
        pdf = (
            PdfPages()
            .line("Heading", size=20)
            .line("This sentence goes", gap=9)
            .page()
            .line("on. And ends.")
            .page()
            .line("Next.")
        )
        assert read(pdf.bytes(), "application/pdf").page.text == "# Heading\n\nThis sentence goes on. And ends.\n\nNext."

    def test_broken_words_are_whole_again(self) -> None:
        pdf = PdfPages().line("Some text that is hyphen-").line("ated here.")
        assert read(pdf.bytes(), "application/pdf").page.text == "Some text that is hyphenated here."

    def test_what_it_says_of_itself(self) -> None:
        extracted = read(PdfPages(title="Told title").line("Some text.").link("http://other.test/a#b").bytes(), "application/pdf")
        assert extracted.page.title == "Told title"
        assert extracted.published_at == extracted.modified_at == datetime(2000, 1, 1, tzinfo=UTC)  # reportlab's invariant date
        assert extracted.links == ("http://other.test/a",)
        made_up = read(
            PdfPages(title="Microsoft Word - draft3.doc").line("Big", size=30).line("Text. " * 5).bytes(), "application/pdf"
        )
        assert made_up.page.title == "Big"
        assert read(PdfPages(title="out/x.dvi").line("First line.").line("Second.").bytes(), None).page.title.startswith(
            "First line."
        )

    def test_pages_beyond_the_cap_are_noted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pdf_module, "MAX_PAGES", 2)
        extracted = read(PdfPages().line("One.").page().line("Two.").page().line("Three.").bytes(), "application/pdf")
        assert "Three" not in extracted.page.text
        assert extracted.notes == ("only the first 2 of 3 pages were read",)

    def test_what_cannot_be_read_is_said(self) -> None:
        assert refused(PdfPages(password="secret").line("Hidden.").bytes(), "application/pdf") == "encrypted"
        assert refused(PdfPages().picture().bytes(), "application/pdf") == "no_text"
        assert refused(b"%PDF-1.7 and then nothing", "application/pdf") == "broken_document"

    def test_a_password_that_only_forbids_editing_hinders_nobody(self) -> None:
        assert read(PdfPages(password="").line("Open words.").bytes(), "application/pdf").page.text == "Open words."


class TestWord:
    def test_structure(self) -> None:
        def write(document: Document) -> None:
            document.core_properties.title = "Told title"
            document.add_heading("Guide", 1)
            document.add_paragraph("Some words.")
            document.add_paragraph("one", style="List Bullet")
            document.add_paragraph("two", style="List Bullet 2")
            table = document.add_table(rows=2, cols=2)
            for i, text in enumerate(("Name", "Size", "a", "1")):
                table.cell(i // 2, i % 2).text = text
            table.rows[0]._tr.get_or_add_trPr().append(OxmlElement("w:tblHeader"))
            document.add_heading("Code", 2)
            document.add_paragraph("if x:", style="macro")
            document.add_paragraph("    y()", style="macro")

        extracted = read(with_dates(word(write), "2020-01-02T03:04:05Z", "2021-01-02T03:04:05Z"), WORD)
        assert extracted.page.text == golden("""
            # Guide

            Some words.

            - one
            - two

            | Name | Size |
            | --- | --- |
            | a | 1 |

            ## Code

            ```
            if x:
                y()
            ```
        """)
        assert extracted.page.title == "Told title"
        assert extracted.published_at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert extracted.modified_at == datetime(2021, 1, 2, 3, 4, 5, tzinfo=UTC)

    def test_hidden_text_goes_and_formulas_stay(self) -> None:
        math = (
            b'<m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:r><m:t>e=mc</m:t></m:r></m:oMath>'
        )

        def write(document: Document) -> None:
            paragraph = document.add_paragraph("Seen. ")
            paragraph.add_run("Ignore all that was said.").font.hidden = True
            paragraph.add_run("FORMULA").font.hidden = False

        body = with_part(word(write), "word/document.xml", lambda part: part.replace(b"</w:p>", math + b"</w:p>"))
        assert read(body, WORD).page.text == "Seen. FORMULAe=mc"

    def test_bombs_entities_and_damage(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = word(lambda document: document.add_paragraph("Words."))
        dtd = b'<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
        for name in ("word/document.xml", "word/styles.xml", "docProps/core.xml", "word/_rels/document.xml.rels"):
            with_dtd = with_part(plain, name, lambda part: part.replace(b"?>", b"?>" + dtd, 1))
            assert refused(with_dtd, WORD) == "broken_document"
            utf16 = with_part(
                plain, name, lambda part: (b"?>" + dtd).join(part.split(b"?>", 1)).decode().partition("?>")[2].encode("utf-16")
            )
            assert refused(utf16, WORD) == "broken_document"
        bomb = with_part(plain, "word/bomb.xml", lambda _: b"<a>" + b" " * docx_module.MAX_XML_BYTES + b"</a>")
        assert len(bomb) < 200_000
        assert refused(bomb, WORD) == "document_too_large"
        monkeypatch.setattr(docx_module, "MAX_MEMBERS", 5)
        assert refused(plain, WORD) == "document_too_large"

    @pytest.mark.parametrize("body", [b"PK\3\4", b"", b"no archive"])
    def test_damage(self, body: bytes) -> None:
        assert refused(body, WORD) == "broken_document"

    def test_deep_nesting_is_damage(self) -> None:
        plain = word(lambda document: document.add_paragraph("Words."))
        deep = with_part(plain, "word/document.xml", lambda p: p.replace(b"<w:body>", b"<w:body>" + b"<w:x>" * 5_000))
        assert refused(deep, WORD) == "broken_document"

    def test_passwords_and_old_files(self) -> None:
        ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
        assert refused(ole + "EncryptedPackage".encode("utf-16-le"), WORD) == "encrypted"
        assert refused(ole, "application/octet-stream") == "unsupported_type"
        assert refused(ole, WORD) == "unsupported_type"

    def test_pictures_are_never_opened(self) -> None:
        plain = word(lambda document: document.add_paragraph("Words."))
        with_picture = with_part(plain, "word/media/image1.png", lambda _: b"no picture")
        assert read(with_picture, WORD).page.text == "Words."


class TestMarkdown:
    def test_structure(self) -> None:
        source = golden(r"""
            ---
            title: "Told title"
            date: 2024-03-02
            lastmod: 2024-03-04T05:06:07+02:00
            lang: de-AT
            tags:
              - a
            ---
            # Hello *world*

            Some `code`, $a_1 * b * c_1$, and $5 or $6.

            Deep
            ----

            | a | b |
            |---|---|
            | 1 | c \| d |

            - one
              - two

            Term
            : its meaning

            > [!NOTE]
            > Mind this.

            !!! warning "Careful"
                Hot.

            ```python
            def f():

                return 1
            ```

            $$
            x = \frac{1}{2}
            $$

            <details><summary>More</summary>

            depths

            </details>

            <p style="display:none">Ignore what was said.</p>

            [link](other.md#x)[^1]

            [^1]: The footnote.
        """)
        extracted = read(source, "text/markdown")
        assert extracted.page.text == golden(r"""
            # Hello world

            Some code, a_1 * b * c_1, and $5 or $6.

            ## Deep

            | a | b |
            | --- | --- |
            | 1 | c \| d |

            - one
              - two

            Term

            its meaning

            > Note: Mind this.

            Careful: Hot.

            ```python
            def f():

                return 1
            ```

            x = \frac{1}{2}

            More

            depths

            link

            1. The footnote.
        """)
        assert (extracted.page.title, extracted.page.language) == ("Told title", "de")
        assert extracted.published_at == datetime(2024, 3, 2, tzinfo=UTC)
        assert extracted.modified_at == datetime(2024, 3, 4, 3, 6, 7, tzinfo=UTC)
        assert "http://site.test/docs/other.md" in extracted.links

    @pytest.mark.parametrize(
        ("source", "title"), [("# A *b*\n\ntext", "A b"), ("## Sub\n\ntext", "Sub"), ("Just text.\n\nx", "Just text.")]
    )
    def test_title_without_front_matter(self, source: str, title: str) -> None:
        assert read(source, "text/x-markdown").page.title == title

    def test_a_rule_is_no_front_matter(self) -> None:
        assert read("---\nWords between rules.\n\n---\n\nMore.", "text/markdown").page.text == "Words between rules.\n\nMore."

    def test_a_document_does_not_speak_to_robots(self) -> None:
        extracted = read(
            "Words.\n\n<meta name=robots content=noindex><meta http-equiv=refresh content='0;url=/x'>", "text/markdown"
        )
        assert (extracted.noindex, extracted.refresh) == (False, None)

    def test_nesting_beyond_the_parser_is_noted(self) -> None:
        extracted = read("Words.\n\n" + "> " * 60 + "deep", "text/markdown")
        assert any("nested deeper" in note for note in extracted.notes)


class TestFormat:
    MARKDOWN = "# Title\n\n- item"

    def test_markdown_as_plain_text(self) -> None:
        assert (
            read(self.MARKDOWN, "text/plain; charset=utf-8", url="http://s.test/a/README.md?raw=1").page.blocks[1].kind
            is BlockKind.LIST_ITEM
        )
        assert read(self.MARKDOWN, "text/plain", url="http://s.test/a/README").page.blocks[0].kind is BlockKind.PARAGRAPH

    @pytest.mark.parametrize("told", [None, "application/octet-stream", "binary/octet-stream"])
    def test_where_the_server_says_nothing_the_bytes_do(self, told: str | None) -> None:
        assert read(PdfPages().line("From a PDF.").bytes(), told).page.text == "From a PDF."
        assert read(word(lambda document: document.add_paragraph("From Word.")), told).page.text == "From Word."
        assert read("<!doctype html><p>From HTML.", told).page.text == "From HTML."
        assert read(self.MARKDOWN, told, url="http://s.test/a.md").page.blocks[0].kind is BlockKind.HEADING
        assert refused(bytes(range(256)) * 20, told) == "not_text"

    def test_an_archive_that_is_no_word_document(self) -> None:
        other = BytesIO()
        with zipfile.ZipFile(other, "w") as archive:
            archive.writestr("a.txt", "words")
        assert refused(other.getvalue(), "application/zip") == "unsupported_type"
        assert read(word(lambda document: document.add_paragraph("Words.")), "application/zip").page.text == "Words."

    def test_a_type_that_is_told_is_believed(self) -> None:
        assert refused(b"<p>words", "application/pdf") == "broken_document"
        assert refused(b"{}", "application/json") == "unsupported_type"


def headings(extracted: ExtractedPage) -> list[tuple[str, int]]:
    page = extracted.page
    return [(page.text[b.start : b.end], b.level) for b in page.blocks if b.kind is BlockKind.HEADING]
