"""Fusion: golden numbers, and what must hold for any scores."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.fusion import convex, min_max, ranked, reciprocal_rank

KEYS = st.sampled_from("abcdefgh")
# Scores of real stages are far from the ends of what a float can hold.
SCORES = st.dictionaries(KEYS, st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 6)))
WEIGHTS = st.floats(0, 1)


def test_min_max_golden() -> None:
    assert min_max({"a": 2.0, "b": 4.0, "c": 3.0}) == {"a": 0.0, "b": 1.0, "c": 0.5}
    assert min_max({"a": 7.0, "b": 7.0}) == {"a": 1.0, "b": 1.0}
    assert min_max({"a": -3.0}) == {"a": 1.0}
    assert min_max({}) == {}


def test_convex_golden() -> None:
    dense = {"a": 0.9, "b": 0.5, "c": 0.7}  # → 1, 0, .5
    lexical = {"b": 12.0, "c": 3.0, "d": 6.0}  # → 1, 0, .3333
    fused = convex(dense, lexical, first_weight=0.6)
    assert fused == pytest.approx({"a": 0.6, "b": 0.4, "c": 0.3, "d": 0.4 / 3})
    assert ranked(fused) == ["a", "b", "c", "d"]


def test_convex_of_one_empty_list_is_the_other_alone() -> None:
    scores = {"a": 5.0, "b": 1.0}
    assert convex({}, scores, first_weight=0.6) == convex(scores, {}, first_weight=0.6) == {"a": 1.0, "b": 0.0}
    assert convex({}, {}, first_weight=0.6) == {}


def test_reciprocal_rank_golden() -> None:
    fused = reciprocal_rank([["a", "b"], ["b", "c"]])
    assert fused == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62})
    assert ranked(fused) == ["b", "a", "c"]
    assert reciprocal_rank([["a"]], k=1) == {"a": 0.5}


def test_ties_are_broken_by_key() -> None:
    assert ranked({"c": 1.0, "a": 1.0, "b": 2.0}) == ["b", "a", "c"]


@given(SCORES, SCORES, WEIGHTS)
def test_fused_scores_stay_between_zero_and_one(first: dict[str, float], second: dict[str, float], weight: float) -> None:
    fused = convex(first, second, first_weight=weight)
    assert set(fused) == set(first) | set(second)
    assert all(-1e-9 <= score <= 1 + 1e-9 for score in fused.values())


@given(SCORES, SCORES, WEIGHTS)
def test_what_is_no_worse_in_both_lists_is_no_worse_in_the_fusion(
    first: dict[str, float], second: dict[str, float], weight: float
) -> None:
    fused = convex(first, second, first_weight=weight)
    both = [key for key in fused if key in first and key in second]
    for a in both:
        for b in both:
            if first[a] >= first[b] and second[a] >= second[b]:
                assert fused[a] >= fused[b] - 1e-9


@given(SCORES, SCORES, WEIGHTS, st.randoms(use_true_random=False))
def test_the_order_in_which_scores_arrive_does_not_matter(
    first: dict[str, float], second: dict[str, float], weight: float, rng: random.Random
) -> None:
    def shuffled(scores: dict[str, float]) -> dict[str, float]:
        items = list(scores.items())
        rng.shuffle(items)
        return dict(items)

    fused = convex(first, second, first_weight=weight)
    again = convex(shuffled(first), shuffled(second), first_weight=weight)
    assert fused == again
    assert ranked(fused) == ranked(again)


@given(SCORES, st.floats(0.001, 1000), st.floats(-1000, 1000))
def test_scale_and_offset_of_a_stage_do_not_matter(scores: dict[str, float], scale: float, offset: float) -> None:
    if scores and max(scores.values()) - min(scores.values()) < 1:
        return  # too close to tell apart once they are moved
    moved = {key: value * scale + offset for key, value in scores.items()}
    assert min_max(moved) == pytest.approx(min_max(scores), abs=1e-4)


@given(st.lists(st.lists(KEYS, unique=True), max_size=4), st.randoms(use_true_random=False))
def test_reciprocal_rank_does_not_depend_on_the_order_of_the_lists(rankings: list[list[str]], rng: random.Random) -> None:
    shuffled = list(rankings)
    rng.shuffle(shuffled)
    assert reciprocal_rank(shuffled) == pytest.approx(reciprocal_rank(rankings))
