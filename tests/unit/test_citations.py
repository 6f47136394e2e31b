"""Citations: what makes a quote stand, and how a browser is told where."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.citations import (
    EDGE_WORDS,
    WHOLE_FRAGMENT_CHARS,
    Aged,
    PastCitation,
    Standing,
    how_it_stands,
    quote_stands,
    text_fragment,
    to_citation,
)
from app.evidence import Sentence
from corpus.model import Chunk
from corpus.pages import StoredText
from tests.shelf import FETCHED_AT

TEXT = "# Guide\n\nBefore it. The tower is 330 metres tall. After it."
QUOTE = "The tower is 330 metres tall."
START = TEXT.index(QUOTE)
CHUNK = Chunk("c1", "p1", 1, 0, 9, len(TEXT), TEXT[9:], ("Size",), "https://a.example/tower", "Tower", "en", "hash-1", FETCHED_AT)
SENTENCE = Sentence(CHUNK, START, START + len(QUOTE), QUOTE, 0.9)


def test_a_quote_stands_where_the_stored_text_says_the_same() -> None:
    assert quote_stands(SENTENCE, (TEXT, "hash-1"))


@pytest.mark.parametrize(
    "stored",
    [
        None,
        (TEXT, "hash-2"),
        (TEXT.replace("330", "331"), "hash-1"),
        (" " + TEXT, "hash-1"),
        (TEXT[: START + 5], "hash-1"),
        ("", "hash-1"),
    ],
    ids=["page gone", "another version", "another text", "moved", "cut short", "blanked"],
)
def test_a_quote_falls_with_anything_that_changed(stored: tuple[str, str] | None) -> None:
    assert not quote_stands(SENTENCE, stored)


def test_a_span_that_runs_backwards_or_out_of_the_text_stands_nowhere() -> None:
    assert not quote_stands(replace(SENTENCE, start=START + 1), (TEXT, "hash-1"))
    assert not quote_stands(replace(SENTENCE, start=START - len(TEXT), end=START + len(QUOTE) - len(TEXT)), (TEXT, "hash-1"))


def test_a_citation_carries_the_place_and_opens_the_page_there() -> None:
    citation = to_citation(3, SENTENCE)
    assert (citation.number, citation.page_id, citation.chunk_id, citation.content_hash) == (3, "p1", "c1", "hash-1")
    assert (citation.quote, citation.start, citation.end, citation.fetched_at) == (QUOTE, START, START + len(QUOTE), FETCHED_AT)
    assert citation.url == "https://a.example/tower#:~:text=The%20tower%20is%20330%20metres%20tall."


PAST = PastCitation("p1", "hash-1", START, START + len(QUOTE), QUOTE)


@pytest.mark.parametrize(
    ("text", "content_hash", "standing", "start"),
    [
        (TEXT, "hash-1", "current", START),
        (TEXT, "hash-2", "moved", START),
        ("New. " + TEXT, "hash-2", "moved", START + 5),
        (TEXT[5:], "hash-2", "moved", START - 5),
        (f"{'y' * 15}{QUOTE} {TEXT}", "hash-2", "moved", 15),
        (f"{QUOTE}{'x' * 2 * START} {QUOTE}", "hash-2", "moved", 0),
        (f"{QUOTE}{QUOTE}", "hash-2", "moved", len(QUOTE)),
        (TEXT.replace("330", "331"), "hash-2", "changed", None),
        ("", "hash-2", "changed", None),
    ],
    ids=["same", "elsewhere changed", "later", "earlier", "nearest", "nearest before", "nearest after", "other", "empty"],
)
def test_what_becomes_of_a_citation(text: str, content_hash: str, standing: str, start: int | None) -> None:
    aged = how_it_stands(PAST, StoredText(text, content_hash, FETCHED_AT))
    assert (aged.standing, aged.start, aged.content_hash, aged.fetched_at) == (standing, start, content_hash, FETCHED_AT)
    assert aged.end == (None if start is None else start + len(QUOTE))


def test_a_citation_of_a_page_that_is_gone() -> None:
    assert how_it_stands(PAST, None) == Aged(Standing.GONE, None, None, None, None)


@given(start=st.integers(0, 2**31), end=st.integers(0, 2**31), quote=st.text(max_size=4), text=st.text(max_size=12))
def test_a_span_that_is_told_holds_the_quote(start: int, end: int, quote: str, text: str) -> None:
    aged = how_it_stands(PastCitation("p1", "hash-1", start, end, quote), StoredText(text, "hash-1", FETCHED_AT))
    if aged.start is None:
        assert quote not in text
    else:
        assert text[aged.start : aged.end] == quote
    assert (aged.standing is Standing.CURRENT) == (aged.start == start and aged.end == end)


LONG = "One two three four five, " + "and so on with words " * 20 + "then six seven eight nine ten."


@pytest.mark.parametrize(
    ("quote", "directive"),
    [
        ("Plain words.", "Plain%20words."),
        ("well-known, they say", "well%2Dknown%2C%20they%20say"),  # "-" and "," are syntax of the directive
        ("R&D #1 100% a/b?c=d", "R%26D%20%231%20100%25%20a%2Fb%3Fc%3Dd"),
        ("naïve 中文 🙂", "na%C3%AFve%20%E4%B8%AD%E6%96%87%20%F0%9F%99%82"),
        (LONG, "One%20two%20three%20four%20five%2C,six%20seven%20eight%20nine%20ten."),
        ("| Option | Default |", "Option,Default"),
        ("| --retries | 3 | how often |", "%2D%2Dretries,how%20often"),
        ("| only |", "only"),
        (r"| a \| b | c |", "a%20%7C%20b,c"),  # the page shows the bar, not our escape of it
        ("```python\nimport os\nos.getcwd()\n```", "import%20os,os.getcwd%28%29"),
        ("```\nsingle_line()\n```", "single_line%28%29"),
        ("first line of verse\nlast line of verse", "first%20line%20of%20verse,last%20line%20of%20verse"),
    ],
)
def test_text_fragments(quote: str, directive: str) -> None:
    assert text_fragment(quote) == f"#:~:text={directive}"


@pytest.mark.parametrize("quote", ["", "   \n", "```\n```", "|  |  |", "```python"])
def test_where_nothing_can_be_named_there_is_no_fragment(quote: str) -> None:
    assert text_fragment(quote) == ""


def test_a_long_run_without_spaces_is_named_whole() -> None:
    word = "中" * (WHOLE_FRAGMENT_CHARS + 50)
    assert unquote(text_fragment(word)) == f"#:~:text={word}"


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=400))
def test_any_fragment_is_a_well_formed_directive(quote: str) -> None:
    fragment = text_fragment(quote)
    if fragment:
        directive = fragment.removeprefix("#:~:text=")
        assert directive.isascii()
        assert "-" not in directive
        assert "&" not in directive
        parts = directive.split(",")
        assert 1 <= len(parts) <= 2
        assert all(parts)


@given(st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True), min_size=2 * EDGE_WORDS, max_size=80))
def test_the_words_that_name_a_sentence_are_its_own(words: list[str]) -> None:
    quote = " ".join(words)
    parts = [unquote(part) for part in text_fragment(quote).removeprefix("#:~:text=").split(",")]
    assert quote.startswith(parts[0])
    assert quote.endswith(parts[-1])
