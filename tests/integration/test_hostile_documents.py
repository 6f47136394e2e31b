"""Any bytes under any label, through the real parser process: a page or a reason, in time, and never a crash.

The examples are seeds cut up, spliced and overwritten, since bytes drawn at random get no further than a signature.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.errors import PermanentError
from ingest.extract.pool import ParserPool
from tests.unit.documents import PdfPages, with_part, word

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
LABELS = (None, "application/octet-stream", "application/pdf", WORD, "text/markdown", "text/html", "text/plain")
MARKS = (
    *(b"<", b">", b"&#0;", b"<table><tr><td>", b"<pre>", b"```", b"|-", b"> " * 50, b"\0", b"\xff\xfe", b"PK\3\4", b"%PDF-"),
    *(
        b"obj <<",
        b"/Kids [1 0 R]",
        b"stream",
        b"9" * 30,
        b"-1",
        b"<w:tbl>",
        b"w:val='-9'",
        b'{"@graph":',
        b"---\n",
        b"[^1]:",
        b"$$",
    ),
)


@cache
def seeds() -> tuple[bytes, ...]:
    pdf = PdfPages(title="T").entry("One", 0).line("One", size=20).line("Words.").link("http://h.test/")
    pdf.page().line("code", font="Courier")
    document = word(lambda d: (d.add_heading("One", 1), d.add_paragraph("Words.", style="List Bullet"), d.add_table(2, 2)))
    markdown = (
        b"---\ntitle: x\n---\n# One\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- x\n  1. y\n\nt\n: d\n\n> [!NOTE]\n> z\n\n$$\nx\n$$\n"
    )
    page = (
        b"<title>T</title><script type='application/ld+json'>{}</script><h1>One</h1><table><tr><th>a<tr><td><pre>x</pre></table>"
    )
    return pdf.bytes(), document, markdown, page


@cache
def word_part() -> bytes:
    return zipfile.ZipFile(io.BytesIO(seeds()[1])).read("word/document.xml")


@st.composite
def mangled(draw: st.DrawFn, source: bytes) -> bytes:
    body = bytearray(source)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(body)))
        length = draw(st.integers(0, 40))
        new = draw(st.sampled_from(MARKS) | st.binary(max_size=20))
        body[at : at + length] = new * draw(st.sampled_from((1, 1, 1, 50)))
    if draw(st.integers(0, 4)) == 0:
        del body[draw(st.integers(0, len(body))) :]
    return bytes(body)


BODIES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(range(4)).flatmap(lambda i: mangled(seeds()[i])),
    st.deferred(lambda: mangled(word_part())).map(lambda part: with_part(seeds()[1], "word/document.xml", lambda _: part)),
)


class Parsing:
    """A parser pool with an event loop of its own, which Hypothesis' synchronous examples share."""

    def __init__(self) -> None:
        self._loop = asyncio.Runner()
        self._pool = ParserPool(timeout_s=20, memory_bytes=1_500_000_000)

    def __enter__(self) -> Parsing:
        self._loop.run(self._pool.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run(self._pool.__aexit__(None, None, None))
        self._loop.close()

    def reason(self, body: bytes, content_type: str | None) -> str | None:
        extracting = self._pool.extract(body, url="http://h.test/a.md", content_type=content_type, charset=None)
        try:
            extracted = self._loop.run(extracting)
        except PermanentError as exc:
            return exc.reason
        assert extracted.page.blocks or extracted.noindex or extracted.refresh
        return None


@pytest.fixture(scope="module")
def parsing() -> Iterator[Parsing]:
    with Parsing() as running:
        yield running


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(BODIES, st.sampled_from(LABELS))
def test_any_bytes_give_a_page_or_a_reason(parsing: Parsing, body: bytes, content_type: str | None) -> None:
    reason = parsing.reason(body, content_type)
    assert reason in (None, "no_text", "not_text", "unsupported_type", "encrypted", "broken_document", "document_too_large")


def test_the_seeds_themselves_are_read(parsing: Parsing) -> None:
    assert [parsing.reason(seed, None) for seed in seeds()] == [None] * 4


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"> " * 50_000 + b"x", "text/markdown"),
        (b"[" * 10_000, "text/markdown"),
        (b"*a_" * 10_000, "text/markdown"),
        (b"`" * 30_000 + b"a" + b"`" * 29_999, "text/markdown"),
        (b"| a " * 5_000 + b"\n" + b"|---" * 5_000 + b"\n" + b"| b " * 5_000, "text/markdown"),
        (b"---\n" * 10_000, "text/markdown"),
        (b"<div aria-hidden=true>" * 2_000 + b"words " * 10_000, "text/html"),
        (b"<meta http-equiv=refresh content='0;" + b" " * 500_000 + b"'>words", "text/html"),
        (b"<script type='application/ld+json'>" + b"[" * 500_000 + b"</script>words", "text/html"),
    ],
)  # fmt: skip
def test_pages_made_to_hang(parsing: Parsing, body: bytes, content_type: str) -> None:
    assert parsing.reason(body, content_type) in (None, "no_text", "parse_timeout")
