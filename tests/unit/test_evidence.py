"""How evidence is weighed, and what confidence it gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.confidence import (
    CALIBRATED,
    E5_CALIBRATION,
    E5_UNSPACED_CALIBRATION,
    MINILM_CALIBRATION,
    Calibration,
    calibration_for,
)
from app.evidence import Matches, distinct_sentences, root_mean
from corpus.model import Chunk
from corpus.weights import E5, MINILM
from tests.shelf import FETCHED_AT

EAST, NORTH = np.array([1.0, 0.0], dtype=np.float32), np.array([0.0, 1.0], dtype=np.float32)


QUESTION = np.stack([EAST, NORTH])
WORDS = [(0, 3), (4, 7), (8, 11)]  # of "aaa bbb ccc"


def test_each_word_of_the_question_takes_its_best_match() -> None:
    assert Matches(QUESTION, np.stack([EAST, EAST]), []).all.tolist() == [1.0, 0.0]
    nothing = Matches(QUESTION, np.zeros((0, 2), dtype=np.float32), [])
    assert nothing.all.tolist() == nothing.within(0, 9).tolist() == [0.0, 0.0]


def test_a_part_is_matched_by_its_own_tokens_alone() -> None:
    matches = Matches(QUESTION, np.stack([EAST, NORTH, EAST]), WORDS)
    assert matches.all.tolist() == [1.0, 1.0]
    assert matches.within(0, 3).tolist() == matches.within(0, 4).tolist() == [1.0, 0.0]
    assert matches.within(4, 7).tolist() == matches.within(3, 8).tolist() == [0.0, 1.0]
    assert matches.within(6, 9).tolist() == [1.0, 1.0]  # what it has a part of, it has
    assert matches.within(3, 4).tolist() == [0.0, 0.0]


def test_the_heading_before_a_text_is_no_part_of_it() -> None:
    matches = Matches(QUESTION, np.stack([NORTH, NORTH, EAST, EAST, EAST]), WORDS)
    assert matches.all.tolist() == [1.0, 1.0]
    assert matches.within(0, 11).tolist() == [1.0, 0.0]


def test_where_nobody_can_tell_which_tokens_are_a_parts_all_are() -> None:
    assert Matches(QUESTION, np.stack([EAST, NORTH]), WORDS).within(0, 3).tolist() == [1.0, 1.0]


def test_a_word_that_nothing_matches_weighs_more_than_in_the_mean() -> None:
    matches = np.array([0.81, 0.81, 0.0], dtype=np.float32)
    assert root_mean(matches) == pytest.approx((2 / 3 * 0.9) ** 2)
    assert root_mean(matches) < float(matches.mean())
    assert root_mean(np.zeros(0, dtype=np.float32)) == 0.0


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20))
def test_a_score_is_between_none_and_the_mean(matches: list[float]) -> None:
    values = np.array(matches, dtype=np.float32)
    assert 0 <= root_mean(values) <= float(np.clip(values, 0, 1).mean()) + 1e-6 <= 1 + 2e-6


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_confidence_rises_with_the_score(one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert 0.0 <= MINILM_CALIBRATION.confidence(low) <= MINILM_CALIBRATION.confidence(high) <= 1.0


def test_confidence_is_as_likely_as_not_in_the_middle() -> None:
    curve = Calibration(slope=20.0, middle=0.6)
    assert curve.confidence(0.6) == pytest.approx(0.5)
    assert curve.confidence(0.7) == pytest.approx(0.881, abs=1e-3)
    assert Calibration(slope=1e9, middle=0.0).confidence(-1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("question", ["Wie hoch ist der Turm?", "How tall is it?", "Какова высота?", "12?", ""])
def test_each_embedder_has_a_curve_of_its_own(question: str) -> None:
    assert calibration_for(MINILM, question) is MINILM_CALIBRATION
    assert calibration_for(E5, question) is E5_CALIBRATION
    assert {MINILM, E5} == CALIBRATED


@pytest.mark.parametrize("question", ["这座塔有多高？", "MySQL 的默认端口是多少？", "タワーの高さは？", "หอคอยสูงเท่าไหร่"])
def test_scripts_without_spaces_have_a_curve_of_their_own(question: str) -> None:
    assert calibration_for(E5, question) is E5_UNSPACED_CALIBRATION
    assert calibration_for(MINILM, question) is MINILM_CALIBRATION


def test_what_has_no_curve_is_judged_by_the_built_in_one() -> None:
    assert calibration_for("another", "How tall is it?") is MINILM_CALIBRATION
    assert "another" not in CALIBRATED


def test_a_sentence_stands_under_headings_and_the_term_it_explains() -> None:
    text = "E3001\n\nThe wick is wet all through.\n\n## Tides\n\nThe tide is too high."
    chunk = Chunk(
        "id", "page", 1, 0, 100, 100 + len(text), text, ("Codes", "Exit"), "https://h/", "Lamp", "en", "hash", FETCHED_AT
    )
    assert [(one.text, one.under) for one in distinct_sentences([chunk, chunk])] == [
        ("The wick is wet all through.", ("E3001", "", "Exit", "Codes", "Lamp")),
        ("The tide is too high.", ("", "Tides", "Exit", "Codes", "Lamp")),
    ]
