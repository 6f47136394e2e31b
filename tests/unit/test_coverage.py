"""How much of a page was kept: what is stored of it, when it is too little, and how people see it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from corpus.coverage import MAX_PART_CHARS, MAX_PARTS, StoredCoverage, poor_note, selectors_hash
from corpus.model import ContentSelectors, Coverage, LeftOut
from footnote import kept
from footnote.client import Body


def part(words: int, *, links: int = 0, at: int = 0, text: str = "Home Docs Blog", reason: str = "navigation") -> LeftOut:
    return LeftOut(reason, words, links, text, at)


def test_the_largest_parts_are_stored_in_the_order_of_the_page() -> None:
    many = tuple(part(words, at=words) for words in range(1, 41))

    stored = StoredCoverage.of(Coverage(2000, 1000, many))

    assert stored.left_out is not None
    assert [one.words for one in stored.left_out] == list(range(21, 41))
    assert len(stored.left_out) == MAX_PARTS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Home\n\n  Docs\tBlog ", "Home Docs Blog"),
        ("word " * 40, "word " * 22 + "word…"),
        ("宀" * 500, "宀" * (MAX_PART_CHARS - 1) + "…"),
        ("x" * 5_000_000, "x" * (MAX_PART_CHARS - 1) + "…"),
    ],
)
def test_of_each_part_the_first_words_are_stored_in_one_line(text: str, shown: str) -> None:
    stored = StoredCoverage.of(Coverage(100, 50, (part(50, text=text),)))

    assert stored.left_out is not None
    assert stored.left_out[0].text == shown
    assert len(shown) <= MAX_PART_CHARS


@pytest.mark.parametrize(
    ("visible", "kept_words", "words", "links", "is_poor"),
    [
        (1000, 590, 410, 0, True),
        (1000, 600, 400, 0, False),  # at the threshold
        (1000, 300, 700, 600, False),  # what went are links
        (1000, 0, 1000, 1000, False),  # a page of links alone
        (100, 55, 45, 0, False),  # no share is small where hardly anything is missing
        (100, 51, 49, 0, False),
        (100, 50, 50, 0, True),
        (0, 0, 0, 0, False),
        (10, 30, 0, 0, False),  # more kept than seen: a picture's description, say
    ],
)
def test_a_page_is_poorly_kept_if_much_of_its_prose_is_missing(
    visible: int, kept_words: int, words: int, links: int, is_poor: bool
) -> None:
    stored = StoredCoverage.of(Coverage(visible, kept_words, (part(words, links=links),) if words else ()))

    assert stored.is_poor is is_poor
    assert 0 <= stored.share <= 1
    assert 0 <= stored.prose_share <= 1


def test_a_job_names_the_first_pages_and_how_many_there_are() -> None:
    assert poor_note(1, ["https://a.example/"]).startswith("Of 1 page less than 60% of the text was kept: https://a.example/. ")
    note = poor_note(1234, ["https://a.example/1", "https://a.example/2"])
    assert "Of 1,234 pages" in note
    assert "https://a.example/1, https://a.example/2, …. " in note
    assert "footnote pages log URL" in note


def test_selectors_are_told_apart_by_what_they_say() -> None:
    one = selectors_hash(ContentSelectors(("main", "article"), (".ad",)))
    assert one == selectors_hash(ContentSelectors(("article", "main"), (".ad",)))
    others = [ContentSelectors(("main",), (".ad",)), ContentSelectors((), ("main", "article", ".ad")), ContentSelectors((".ad",))]
    assert len({one, *map(selectors_hash, others)}) == 4
    assert selectors_hash(ContentSelectors()) is None


def coverage_body(*parts: Body, visible: int = 1034, words: int = 812, listed: bool = True) -> Body:
    share = words / visible if visible else 1.0
    shares = {"visible_words": visible, "kept_words": words, "share": share, "prose_share": share}
    return shares | {"left_out": list(parts) if listed else None}


def part_body(reason: str, words: int, text: str, at: int = 0) -> Body:
    return {"reason": reason, "words": words, "link_words": words, "text": text, "at": at}


def test_one_line_says_what_was_kept_and_the_largest_parts_that_were_not() -> None:
    parts = [part_body("navigation", 150, "Home Docs \x1b[31mBlog"), part_body("footer", 160, "© 2026 " + "word " * 30)]

    line = kept.line(coverage_body(*parts))

    assert line == (
        "kept 812 of 1,034 words (79%); left out: footer 160 words “© 2026 word word word word word word word word word word…”, "
        "navigation 150 words “Home Docs Blog”"
    )
    seven = [part_body("navigation", 1, "x")] * 7
    assert kept.line(coverage_body(*seven)).endswith("navigation 1 word “x”, 2 smaller parts")
    assert kept.line(coverage_body(listed=False)) == "kept 812 of 1,034 words (79%)"
    assert kept.line(None) == ""


@pytest.mark.parametrize(("words", "said"), [(0, "0%"), (1, "1%"), (9_999, "99%"), (10_000, "100%"), (7_850, "78%")])
def test_a_share_is_never_rounded_to_all_or_nothing(words: int, said: str) -> None:
    assert kept.share(coverage_body(visible=10_000, words=words)) == said


EXPLAINED: Body = {
    "url": "https://a.example/limits",
    "title": "Limits",
    "language": "en",
    "text": "# Limits\n\nTen requests a second.\n\nAsk for more.",
    "coverage": coverage_body(
        part_body("navigation", 3, "Home\nDocs\nBlog", at=0), part_body("advertisement", 2, "Buy \x1b]0;now", at=34)
    ),
    "keep": ["main"],
    "drop": [],
    "notes": ["the page asks not to be indexed"],
}


def drawn(body: Body, *, terminal: bool) -> str:
    written = io.StringIO()
    kept.explanation(Console(file=written, force_terminal=terminal, width=80, color_system=None, markup=False), body)
    return written.getvalue()


def test_an_explanation_off_a_terminal_is_the_text_with_what_was_left_out_in_its_place() -> None:
    lines = drawn(EXPLAINED, terminal=False).splitlines()

    head = ["Limits", "https://a.example/limits", "kept 812 of 1,034 words (79%)", "selectors to keep: main"]
    assert lines[:5] == [*head, "Note: the page asks not to be indexed"]
    navigation = ["- [navigation 3 words]", "- Home", "- Docs", "- Blog"]
    advertisement = ["- [advertisement 2 words]", "- Buy"]
    assert lines[6:] == [*navigation, "# Limits", "", "Ten requests a second.", *advertisement, "Ask for more."]


def test_an_explanation_on_a_terminal_stands_side_by_side() -> None:
    lines = drawn(EXPLAINED, terminal=True).splitlines()

    first = next(line for line in lines if "# Limits" in line)
    assert first.index("navigation 3 words") > first.index("# Limits")
    last = next(line for line in lines if "Ask for more." in line)
    assert "advertisement 2 words" in last
    assert all(len(line) <= 80 for line in lines)


def test_what_can_leave_nothing_out_says_so() -> None:
    assert "all of it is kept" in drawn(EXPLAINED | {"coverage": None}, terminal=False)
