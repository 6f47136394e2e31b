"""Fits the curve that makes a confidence of an evidence score (``app/confidence.py``), from what an evaluation wrote:

    footnote eval answers DIR --hide-gold --json figures.json && python -m bench.calibration figures.json

Platt, "Probabilistic Outputs for Support Vector Machines" (1999): logistic regression on one score, by Newton's method.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

STEPS = 50
RIDGE = 1e-4  # on the standardised slope: scores that separate the two kinds wholly would have none that is finite
LEAST_PRECISION = 0.8


def fit(scores: Sequence[float], answerable: Sequence[bool]) -> tuple[float, float]:
    """Slope and middle of the curve. Raises: ValueError, unless there are both kinds and more than one score."""
    values, truth = np.asarray(scores, dtype=float), np.asarray(answerable, dtype=float)
    spread = float(values.std()) if len(values) else 0.0
    if not spread or truth.min() == truth.max():
        raise ValueError("a curve needs answerable and unanswerable questions with different scores")
    standard = np.stack([(values - values.mean()) / spread, np.ones(len(values))], axis=1)
    weights, ridge = np.zeros(2), np.diag([RIDGE, 0.0])
    for _ in range(STEPS):
        said = 1 / (1 + np.exp(-standard @ weights))
        gradient = standard.T @ (said - truth) / len(truth) + ridge @ weights
        curvature = (standard * (said * (1 - said))[:, None]).T @ standard / len(truth) + ridge
        weights -= np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
    slope = float(weights[0]) / spread
    return slope, float(values.mean()) - float(weights[1]) / slope


def highest_threshold(confidence: Sequence[float], answerable: Sequence[bool]) -> float:
    """The highest confidence under which refusing is right at least as often as ``LEAST_PRECISION``, 0 if none."""
    said, truth = np.asarray(confidence), np.asarray(answerable, dtype=bool)
    for hundredth in range(99, 0, -1):
        refused = said < hundredth / 100
        if refused.any() and (refused & ~truth).sum() / refused.sum() >= LEAST_PRECISION:
            return hundredth / 100
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.calibration", description=__doc__)
    parser.add_argument("figures", type=Path, help="what footnote eval answers --json wrote")
    cases = [case for one in json.loads(parser.parse_args().figures.read_text())["sets"] for case in one["cases"]]
    scores, answerable = [case["evidence_score"] for case in cases], [case["answerable"] for case in cases]
    slope, middle = fit(scores, answerable)
    confidence = [1 / (1 + float(np.exp(-slope * (score - middle)))) for score in scores]
    print(f"{len(cases)} questions, {sum(answerable)} answerable: slope={slope:.1f}, middle={middle:.3f}")
    print(
        f"answer.abstain_below={highest_threshold(confidence, answerable):.2f} refuses rightly in {LEAST_PRECISION:.0%} or more"
    )


if __name__ == "__main__":
    main()
