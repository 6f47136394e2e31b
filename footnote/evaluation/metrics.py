"""Measures of one ranking, as trec_eval and BEIR compute them. Pure.

A document stands where its best chunk does. Gains are the grades themselves (Järvelin & Kekäläinen, "Cumulated gain-based
evaluation of IR techniques", TOIS 2002), not ``2^grade - 1``; grades of 0 or less are no gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

Grades = Mapping[str, int]


def documents(of_chunks: Iterable[str]) -> list[str]:
    """The documents of ranked chunks, each at the place of its first, which is its best."""
    return list(dict.fromkeys(of_chunks))


def ndcg(ranking: Sequence[str], grades: Grades, *, k: int) -> float:
    """Normalised discounted cumulated gain of the first ``k``, in [0, 1]."""
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    best = _dcg(ideal[:k])
    return _dcg([max(0, grades.get(document, 0)) for document in ranking[:k]]) / best if best else 0.0


def reciprocal_rank(ranking: Sequence[str], grades: Grades, *, k: int) -> float:
    """One over the place of the first relevant document among the first ``k``; 0 if there is none."""
    return next((1 / place for place, one in enumerate(ranking[:k], start=1) if grades.get(one, 0) > 0), 0.0)


def recall(ranking: Sequence[str], grades: Grades, *, k: int) -> float:
    """Which share of the relevant documents is among the first ``k``."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


MEASURES: dict[str, Callable[[Sequence[str], Grades], float]] = {
    "ndcg@10": lambda ranking, grades: ndcg(ranking, grades, k=10),
    "mrr@10": lambda ranking, grades: reciprocal_rank(ranking, grades, k=10),
    "recall@10": lambda ranking, grades: recall(ranking, grades, k=10),
    "recall@100": lambda ranking, grades: recall(ranking, grades, k=100),
}
MAIN_MEASURE = "ndcg@10"
DEPTH = 100  # the longest ranking that a measure looks at


def measured(ranking: Sequence[str], grades: Grades) -> dict[str, float]:
    """Every measure of one ranking."""
    return {name: measure(ranking, grades) for name, measure in MEASURES.items()}


def _dcg(gains: Sequence[int]) -> float:
    return math.fsum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1))
