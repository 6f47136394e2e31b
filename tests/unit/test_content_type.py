"""Content types: the header's grammar, and what the bytes say where it says nothing or can't be right."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import PermanentError
from ingest.content_type import ContentType, parse_content_type
from ingest.extract.document import extract
from ingest.extract.media_types import Format, format_of
from tests.unit.documents import PdfPages, word

URL = "http://port.test/page"
PDF = PdfPages().line("From a PDF.").bytes()
XHTML = b'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title></head><body><p>Words.</p></body></html>'


def format_named(body: bytes, content_type: str | None, url: str = URL) -> Format | str:
    try:
        return format_of(body, content_type=content_type, url=url)
    except PermanentError as exc:
        return exc.reason


class TestHeader:
    @pytest.mark.parametrize(
        ("header", "essence", "charset"),
        [
            ("text/html", "text/html", None),
            ("Text/HTML; Charset=UTF-8", "text/html", "utf-8"),
            (' text/html ;charset="utf-8"', "text/html", "utf-8"),
            ("text/html; charset='utf-8'", "text/html", "utf-8"),
            ("text/html;;charset=UTF-8", "text/html", "utf-8"),
            ("text/html; ; charset = utf-8 ;", "text/html", "utf-8"),
            ("text/html;charset= utf-8", "text/html", "utf-8"),
            ("text/html;charset;charset=utf-8", "text/html", "utf-8"),
            ("text/html;charset=;charset=utf-8", "text/html", "utf-8"),
            ("text/html;charset=koi8-r;charset=utf-8", "text/html", "koi8-r"),
            ('text/html;version="1;charset=big5";charset=koi8-r', "text/html", "koi8-r"),
            (r'text/html;charset="ko\i8-r', "text/html", "koi8-r"),
            ("text/html;xcharset=big5", "text/html", None),
            ("text/html, text/html; charset=utf-8", "text/html", "utf-8"),
            ("text/html; charset=utf-8, text/html", "text/html", "utf-8"),
            ("text/html; charset=utf-8, text/plain", "text/plain", None),
            ("text/plain, text/html;charset=a, text/html;charset=b", "text/html", "b"),
            ("text/html, */*", "text/html", None),
            ("text/html, nonsense", "text/html", None),
            ("nonsense, text/html,", "text/html", None),
            ('text/html;x=", text/plain;charset=a";charset=b', "text/html", "b"),
            ("text/html charset=utf-8", None, None),
            ("text/html: charset=utf-8", None, None),
            ("html", None, None),
            ("text", None, None),
            ("text/", None, None),
            ("/html", None, None),
            ("text/ht ml", None, None),
            ("text/html/x", None, None),
            ("téxt/html", None, None),
            ("charset=utf-8", None, None),
            ("*/*", None, None),
            ("", None, None),
        ],
    )
    def test_grammar(self, header: str, essence: str | None, charset: str | None) -> None:
        assert parse_content_type(header) == ContentType(essence, charset)

    @given(st.text(max_size=80) | st.lists(st.sampled_from([*'text/html;,="\\ ', "charset"])).map("".join))
    def test_any_header(self, header: str) -> None:
        parsed = parse_content_type(header)
        assert parsed.essence is None or parsed.essence == parsed.essence.lower().strip()

    @pytest.mark.parametrize("piece", [",", ";", '"', "\\", '"\\', ";=", '="', "a/b;", "a/b,", ';x="'])
    def test_a_long_header_takes_no_time(self, piece: str) -> None:
        for start in ("", "text/html;", 'text/html;x="'):
            started_s = time.perf_counter()
            parse_content_type(start + piece * (60_000 // len(piece)))
            assert time.perf_counter() - started_s < 1


class TestBytes:
    @pytest.mark.parametrize(
        "content_type", [None, "", "html", "text", "text/html charset=utf-8", "*/*", "text/*", "unknown/unknown"]
    )
    def test_where_no_type_is_told_the_bytes_are_looked_at(self, content_type: str | None) -> None:
        assert format_named(b"<!doctype html><p>Words.", content_type) is Format.HTML
        assert format_named("\ufeff<html><p>Words.".encode("utf-16"), content_type) is Format.HTML
        assert format_named(b"Words.", content_type) is Format.PLAIN
        assert format_named(PDF, content_type) is Format.PDF
        assert (
            format_named(b"# Title\n\n<p align=center>Words</p>", content_type, url="http://h.test/README.md") is Format.MARKDOWN
        )

    @pytest.mark.parametrize(
        "content_type", ["application/xml", "text/xml", "application/atom+xml", "Application/XML; charset=utf-8"]
    )
    @pytest.mark.parametrize(
        ("before", "is_html"),
        [
            (b"", True),
            (b"\xef\xbb\xbf<?xml version='1.0'?>\n", True),
            (b"<!-- a > b --><!DOCTYPE html>", True),
            (b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "x.dtd" [<!ENTITY a "b">]>', True),
            (b"<rss>", False),
            (b"<!-- ", False),
            (b"<?xml ", False),
        ],
    )
    def test_xml_is_read_if_its_root_is_html(self, content_type: str, before: bytes, is_html: bool) -> None:
        assert format_named(before + XHTML, content_type) == (Format.HTML if is_html else "unsupported_type")

    @pytest.mark.parametrize(
        ("root", "is_html"),
        [
            (b"<html><p/></html>", True),
            (b"<h:html xmlns:h='http://www.w3.org/1999/xhtml'/>", True),
            (b"<html xmlns='http://other.test/'/>", False),
            (b"<h:html/>", False),
            (b"<htmlx/>", False),
            (b"<svg xmlns:h='http://www.w3.org/1999/xhtml'><html/></svg>", False),
            (b"", False),
        ],
    )
    def test_which_root_is_html(self, root: bytes, is_html: bool) -> None:
        assert format_named(root, "text/xml") == (Format.HTML if is_html else "unsupported_type")

    @pytest.mark.parametrize("mark", ["\ufeff", ""])
    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    def test_xhtml_in_utf_16(self, encoding: str, mark: str) -> None:
        body = f"{mark}<?xml version='1.0' encoding='utf-16'?>{XHTML.decode()}".encode(encoding)
        extracted = extract(body, url="https://h/a", content_type="application/xml", charset=None)
        assert (extracted.page.title, extracted.page.text) == ("T", "Words.")

    @pytest.mark.parametrize("piece", [b"<!--", b"<?", b"<!", b"<!x[", b"<", b"<!-->", b"<!>", b"<?>", b" "])
    def test_xml_made_to_hang(self, piece: bytes) -> None:
        started_s = time.perf_counter()
        format_named(piece * 500_000, "text/xml")
        assert time.perf_counter() - started_s < 1

    @pytest.mark.parametrize("content_type", ["text/html", "text/plain", "text/markdown", "application/msword"])
    def test_documents_served_as_text(self, content_type: str) -> None:
        assert extract(PDF, url=URL, content_type=content_type, charset=None).page.text == "From a PDF."
        body = word(lambda document: document.add_paragraph("From Word."))
        assert extract(body, url=URL, content_type=content_type, charset=None).page.text == "From Word."
        assert format_named(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), content_type) == "unsupported_type"

    def test_text_that_mentions_pdf_is_text(self) -> None:
        assert format_named(b"<p>A file begins with %PDF-1.7.", "text/html") is Format.HTML
        assert format_named(b"PK\x03\x04 other", "text/html") is Format.HTML  # and then refused as binary

    @pytest.mark.parametrize("content_type", ["application/pdf", "text/plain", "application/msword"])
    def test_a_page_served_as_something_else(self, content_type: str) -> None:
        assert format_named(b"\n<!DOCTYPE html><p>Sign in.", content_type) is Format.HTML
        assert format_named(b"<HTML lang=en><p>Words.", content_type) is Format.HTML
        assert format_named(b"<htmlx>", content_type) is not Format.HTML

    def test_plain_text_that_shows_markup(self) -> None:
        assert format_named(b"<!doctype html><p>A", "text/plain", url="http://h.test/example.txt") is Format.PLAIN
        assert format_named(b"Write <!doctype html> first.", "text/plain") is Format.PLAIN
        assert format_named(b"<html>", "text/markdown") is Format.MARKDOWN

    @pytest.mark.parametrize(
        ("content_type", "expected"),
        [
            ("text/x-rst", Format.PLAIN),
            ("text/x-web-markdown", Format.MARKDOWN),
            ("text/vnd.daringfireball.markdown; variant=GFM", Format.MARKDOWN),
            ("application/json", "unsupported_type"),
            ("application/rss+xml", "unsupported_type"),
            ("image/svg+xml", "unsupported_type"),
            ("video/mp4", "unsupported_type"),
        ],
    )
    def test_types(self, content_type: str, expected: Format | str) -> None:
        assert format_named(b"{}", content_type) == expected
