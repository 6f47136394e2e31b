"""Which pages say the same. Every rule that keeps two apart is there so that nothing that a page says is lost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.model import PageText
from ingest.duplicates import BANDS, MAX_WORDS, distance_bits, is_contained, says_the_same, simhash

WORDS = [f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in ("na", "ro", "sil", "tek", "vum")]


def prose(seed: int, words: int) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(WORDS) for _ in range(words)]


def page(text: str, title: str = "guide") -> PageText:
    return PageText(title, text, ())


LONG = " ".join(prose(1, 400))


def test_equal_pages_say_the_same_however_short() -> None:
    assert says_the_same(page("yes"), page("yes"))
    assert says_the_same(page(""), page(""))


@pytest.mark.parametrize("place", [0, 200, 399])
def test_one_word_more_in_four_hundred_says_the_same(place: int) -> None:
    words = LONG.split()
    words[place] += " indeed"
    assert says_the_same(page(" ".join(words)), page(LONG))
    assert says_the_same(page(LONG), page(" ".join(words)))


def test_one_word_in_forty_says_something_else() -> None:
    short = " ".join(LONG.split()[:40])
    assert not says_the_same(page(short + " not"), page(short))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("needs 3.11", "needs 3.12"),
        ("costs $5", "costs €5"),
        ("at -5 degrees", "at 5 degrees"),
        ("from 2024-01-02 on", "from 2024-02-01 on"),
        ("7 or 7", "7 or"),
        ("a visit to Porto", "a visit to Lisbon"),
        ("a visit to Porto", "a visit to"),
    ],
)
def test_a_number_or_name_that_differs_keeps_pages_apart(one: str, two: str) -> None:
    assert not says_the_same(page(f"{LONG} {one}"), page(f"{LONG} {two}"))


def test_so_does_one_in_the_title() -> None:
    assert not says_the_same(page(LONG, "Version 2"), page(LONG, "Version 3"))
    assert not says_the_same(page(LONG, "About Porto"), page(LONG, "About Lisbon"))


def test_punctuation_around_a_number_is_no_difference() -> None:
    assert says_the_same(page(f"{LONG} in 2024, then"), page(f"{LONG} in 2024 then"))


def test_a_page_that_says_less_is_another_page() -> None:
    assert not says_the_same(page(" ".join(LONG.split()[:360])), page(LONG))
    assert is_contained(page(" ".join(LONG.split()[:360])), page(LONG))


def test_a_page_is_contained_from_four_fifths_on() -> None:
    own, other = LONG.split()[:80], prose(2, 40)
    assert is_contained(page(" ".join([*own, *other[:12]])), page(LONG))
    assert not is_contained(page(" ".join([*own, *other])), page(LONG))
    assert not is_contained(page(" ".join(other)), page(LONG))
    assert is_contained(page(" ".join(own[:3])), page(LONG))  # shorter than a shingle
    assert not is_contained(page(""), page(LONG))


def test_giant_texts_are_the_same_only_if_equal() -> None:
    giant = " ".join(prose(3, 100)) + " word" * MAX_WORDS
    assert says_the_same(page(giant), page(giant))
    assert not says_the_same(page(giant + " word"), page(giant))
    assert not is_contained(page(giant), page(giant + " word"))


def test_a_simhash_has_four_bands_of_16_bits() -> None:
    bands = simhash(page(LONG))
    assert len(bands) == BANDS
    assert all(0 <= band < 2**16 for band in bands)
    assert simhash(page("")) == (0, 0, 0, 0)
    assert simhash(page("one")) == (13554, 56746, 35702, 5577)  # they are stored, so they must stay comparable


def test_near_duplicates_are_proposed_and_other_texts_are_not() -> None:
    proposed = 0
    for seed in range(200):
        words = prose(seed, 400)
        changed = [*words]
        changed[seed] = "other"
        one, two = simhash(page(" ".join(words))), simhash(page(" ".join(changed)))
        proposed += distance_bits(one, two) <= 6 and any(a == b for a, b in zip(one, two, strict=True))
        apart = " ".join(f"w{number}" for number in range(seed * 1000, seed * 1000 + 200))
        assert distance_bits(one, simhash(page(apart))) > 6
    assert proposed >= 180


@given(st.text(), st.text())
def test_any_text_can_be_compared(one: str, two: str) -> None:
    assert distance_bits(simhash(page(one)), simhash(page(two))) <= 64
    assert says_the_same(page(one), page(two)) == (one == two)  # none of them has fifty words
    is_contained(page(one), page(two))
