"""Citable units: what counts as one, and what must hold for any text."""

from __future__ import annotations

import sentencex
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.sentences import MAX_UNIT_CHARS, sentence_spans, table_spans


def units(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_abbreviations_identifiers_and_addresses_hold_together() -> None:
    assert units(
        "Use os.path.join (e.g. here). It works, i.e. always. See v3.11. The .NET runtime, too. New in"
        " 3.11.2! Open setup.py first. "
        "Ask Dr. Smith at https://a.test/b.c?d=1. Right?"
    ) == [
        "Use os.path.join (e.g. here).",
        "It works, i.e. always.",
        "See v3.11.",
        "The .NET runtime, too.",
        "New in 3.11.2!",
        "Open setup.py first.",
        "Ask Dr. Smith at https://a.test/b.c?d=1.",
        "Right?",
    ]


def test_full_stops_of_other_scripts() -> None:
    assert units("これは文です。次の文です。") == ["これは文です。", "次の文です。"]
    assert units("你好。世界！好吗？") == ["你好。", "世界！", "好吗？"]


def test_markers_and_headings_are_no_part_of_a_unit() -> None:
    text = "## Heading. Not cited\n\n- one. Two\n  - nested\n1. first\n\n> quoted. More.\n\nRoses are red,\nviolets are blue."
    assert units(text) == ["one.", "Two", "nested", "first", "quoted.", "More.", "Roses are red,\nviolets are blue."]


def test_letters_and_boxes_of_items_stay_for_they_say_something() -> None:
    text = (
        "a. boats are moored\nb. rafts are hauled. Twice\n\nii. ropes are dried\niii. oars are kept\n\n- [x] Pay. Now\n- [ ] Sign"
    )
    assert units(text) == [
        "a. boats are moored",
        "b. rafts are hauled.",
        "Twice",
        "ii. ropes are dried",
        "iii. oars are kept",
        "[x] Pay.",
        "Now",
        "[ ] Sign",
    ]
    assert units("E. coli lives in water.") == ["E. coli lives in water."]


def test_struck_out_text_keeps_both_its_marks() -> None:
    assert units("It costs ~~20~~ 35 euro. ~~Dogs may come.~~ Dogs may not. ~~One is. Two is.~~ Three.") == [
        "It costs ~~20~~ 35 euro.",
        "~~Dogs may come.~~",
        "Dogs may not.",
        "~~One is. Two is.~~",
        "Three.",
    ]
    assert units("A ~~stray mark. And on. So.") == ["A ~~stray mark.", "And on.", "So."]


def test_a_fence_with_a_language_opens_code() -> None:
    assert units("Run:\n\n```c++\na. B\n```\n\nDone. Now.") == ["Run:", "```c++\na. B\n```", "Done.", "Now."]
    assert units("One. Two.\n```python\nx. Y = 1") == ["One.", "Two.", "```python\nx. Y = 1"]


def test_each_data_row_is_a_unit() -> None:
    assert units("Text.\n\n| a | b. C |\n| --- | --- |\n| 1 | 2. Two |\n| 3 | 4 |") == ["Text.", "| 1 | 2. Two |", "| 3 | 4 |"]
    assert units("| 1 | 2 |\n| 3 | 4 |") == ["| 1 | 2 |", "| 3 | 4 |"]


def test_code_is_one_unit_or_its_parts() -> None:
    assert units("Run:\n\n```\na. B\n\n# no heading\n```\n\nDone.") == ["Run:", "```\na. B\n\n# no heading\n```", "Done."]
    part = "x = 1\n" * 60
    assert units(f"```\n{part}\n{part}```") == [f"```\n{part}".strip(), f"{part}```".strip()]


def test_code_cut_by_a_chunk_border() -> None:
    assert units("x = 1\n\ny. Z\n```\n\nProse here. More.") == ["x = 1\n\ny. Z\n```", "Prose here.", "More."]
    assert units("Prose. More.\n\n```\nx. Y = 1\n\nz") == ["Prose.", "More.", "```\nx. Y = 1\n\nz"]
    assert units("````\n```\na. B\n```\n````\n\nEnd. Now.") == ["````\n```\na. B\n```\n````", "End.", "Now."]


def test_over_long_sentences_are_cut_at_clause_ends() -> None:
    clause = "one clause of words without any end, which goes on" * 3
    pieces = units("; ".join([clause] * 8) + ".")
    assert len(pieces) > 1
    assert all(len(piece) <= MAX_UNIT_CHARS for piece in pieces)
    assert all(piece.endswith((";", ".")) for piece in pieces)
    assert units("w" * 2_000) == ["w" * 2_000]


UNICODE = st.characters(codec="utf-8")
LINES = st.sampled_from(
    [
        "# H",
        "- item. Two",
        "  1. x",
        "> q. r",
        "| a | b |",
        "| --- | --- |",
        "```",
        "````",
        "",
        " ",
        "Dr. No. e.g. this.",
        "漢字。次。",
        "...",
        "x;" * 400,
        "1.",
        "a. b. c",
        "~~Struck. Out.~~ Not.",
        "~~open. ended",
        "```py",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(LINES, st.text(UNICODE, max_size=40)), max_size=15).map("\n".join))
def test_units_are_ordered_disjoint_and_stripped(text: str) -> None:
    previous_end = 0
    for start, end in sentence_spans(text):
        assert previous_end <= start < end <= len(text)
        assert text[start:end] == text[start:end].strip()
        previous_end = end


@settings(max_examples=200, deadline=None)
@given(st.text(UNICODE, max_size=200))
def test_the_segmenter_loses_no_character(text: str) -> None:
    """Positions are sums of lengths, which is right only as long as the library returns the text whole."""
    assert "".join(sentencex.segment("en", text)) == text


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n#|`>-*+"), min_size=1, max_size=300))
def test_all_words_of_a_paragraph_are_in_units(text: str) -> None:
    if not text.lstrip()[:1].isdigit():
        assert "".join("".join(units(text)).split()) == "".join(text.split())


def test_tables_and_their_header_rows() -> None:
    text = "Intro.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n\nBetween.\n\n| no | header |\n\n| c |\n| --- |\n| 5 |"
    found = table_spans(text)
    assert [text[start:header] for start, header, _ in found] == ["| a | b |", "| c |"]
    assert [text[header:end].count("\n") for _, header, end in found] == [4, 2]
    assert table_spans("| 1 | 2 |\n| 3 | 4 |") == []  # a chunk that begins in the midst of one
