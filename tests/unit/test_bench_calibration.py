"""The fitted curve is the one that the scores were drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from bench.calibration import fit, highest_threshold


def test_a_known_curve_is_found_again() -> None:
    generator = np.random.default_rng(0)
    scores = generator.uniform(0.2, 1.0, 20_000)
    answerable = generator.uniform(size=20_000) < 1 / (1 + np.exp(-20 * (scores - 0.6)))
    slope, middle = fit(list(scores), list(answerable))
    assert slope == pytest.approx(20, rel=0.06)
    assert middle == pytest.approx(0.6, abs=0.005)


def test_scores_that_tell_all_apart_still_have_a_curve() -> None:
    slope, middle = fit([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert np.isfinite(slope)
    assert slope > 0
    assert 0.2 < middle < 0.8


@pytest.mark.parametrize(("scores", "answerable"), [([], []), ([0.5, 0.5], [True, False]), ([0.1, 0.9], [True, True])])
def test_without_both_kinds_there_is_none(scores: list[float], answerable: list[bool]) -> None:
    with pytest.raises(ValueError, match="needs"):
        fit(scores, answerable)


def test_the_threshold_is_the_highest_that_refuses_rightly() -> None:
    assert highest_threshold([0.1, 0.2, 0.3, 0.4, 0.5], [False, False, False, False, True]) == 0.99
    assert highest_threshold([0.1, 0.2, 0.6, 0.7], [False, False, True, True]) == 0.6
    assert highest_threshold([0.1], [True]) == 0.0
