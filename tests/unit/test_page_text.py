"""The one place where text is cleaned: what goes, what is spelled out, and that it takes time linear in the text."""

from __future__ import annotations

import time

import pytest

from ingest.extract.page_text import clean, comparable, lines
from tests.unit.written import written

SHY, ZERO_WIDTH, JOINER = "\u00ad", "\u200b", "\u200d"


def test_what_a_reader_cannot_see_goes_and_ligatures_are_letters() -> None:
    assert clean(f"Wider{SHY}spr\u00fcche, o\ufb03ce, \ufb01nd, \ufb02ag, \ufb00, \ufb04, \ufb05 and \ufb06") == (
        "Widerspr\u00fcche, office, find, flag, ff, ffl, st and st"
    )
    assert clean(f"in{ZERO_WIDTH}ject\ufeff") == "inject"
    assert clean("x\u00b2 \u00bd \u2460 \uff21") == "x\u00b2 \u00bd \u2460 \uff21"  # compatibility forms that mean something stay


def test_words_across_inline_elements_and_break_opportunities() -> None:
    assert (
        written(f"<p>Wider<b>{SHY}spr\u00fcche</b> und Donau<wbr>dampf<i>schiff</i></p>")
        == "Widerspr\u00fcche und Donaudampfschiff"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"Geb\u00fchren{SHY}bescheid", "Gebu\u0308hrenbescheid"),
        ("o\ufb03ce", "OFFICE"),
        ("Stra\u00dfe", "strasse"),
        (f"a{ZERO_WIDTH}b", "ab"),
        (f"\u0645\u06cc{JOINER}\u062e", "\u0645\u06cc\u062e"),
        ("ＡＢＣ", "abc"),
    ],
)
def test_texts_that_read_alike_compare_alike(one: str, other: str) -> None:
    assert comparable(one) == comparable(other)


def test_line_breaks_stay_and_blank_lines_go() -> None:
    assert lines("  a \t b  \n\n \n c\u00a0 d \r\n e ") == "a b\nc d\ne"


HOSTILE = {
    "combining marks out of order": "a" + "\u0315\u0300" * 100_000,
    "many marks of two kinds": "a" + "\u0315" * 100_000 + "\u0300" * 100_000,
    "spaces without a line break": "a" + " " * 300_000 + "b",
    "joiners": "\u200c\u200d" * 100_000,
    "carriage returns": "\r" * 300_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_cleaning_takes_time_linear_in_the_text(text: str) -> None:
    begun = time.process_time()
    clean(text)
    lines(text)
    comparable(text)
    assert time.process_time() - begun < 2  # any one of them takes a minute where it is quadratic


def test_marks_of_real_scripts_stay() -> None:
    stacked = "e\u0301" + "a" + "\u0315\u0300" * 15
    assert len(clean(stacked)) == len("\u00e9a") + 29  # one of them makes "à"
    assert clean("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd") == clean("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd")
