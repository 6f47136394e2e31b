"""Stop strings are found wherever the pieces of a text break."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.llm.stops import StopCutter

LETTERS = st.text(alphabet="ab\n", max_size=12)


def cut(pieces: list[str], stop: list[str]) -> tuple[str, bool]:
    cutter = StopCutter(stop)
    said = "".join(cutter.feed(piece) for piece in pieces)
    return (said, True) if cutter.stopped else (said + cutter.rest(), False)


@given(pieces=st.lists(LETTERS, max_size=6), stop=st.lists(LETTERS.filter(bool), max_size=3))
def test_the_text_ends_before_its_first_stop_string_however_it_is_cut(pieces: list[str], stop: list[str]) -> None:
    text = "".join(pieces)
    found = [at for mark in stop if (at := text.find(mark)) >= 0]
    # Piece by piece, a mark that is whole ends the text even where a longer one that began earlier would still become whole.
    said, stopped = cut(pieces, stop)
    assert stopped == bool(found)
    assert text.startswith(said)
    assert not any(mark in said for mark in stop)
    if not found:
        assert said == text
    elif len(stop) == 1:
        assert said == text[: found[0]]


def test_nothing_is_held_back_longer_than_needed() -> None:
    cutter = StopCutter(["\n\n", "\nQuestion:"])
    assert cutter.feed("One.\n") == "One."
    assert cutter.feed("Two") == "\nTwo"
    assert cutter.feed("\nQues") == ""
    assert cutter.rest() == "\nQues"


def test_after_the_stop_nothing_comes() -> None:
    cutter = StopCutter([","])
    assert cutter.feed("a, b") == "a"
    assert cutter.stopped
    assert cutter.feed("c") == cutter.rest() == ""


def test_an_empty_stop_string_stops_nothing() -> None:
    assert cut(["abc"], [""]) == ("abc", False)
