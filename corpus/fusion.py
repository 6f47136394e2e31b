"""Fusion of ranked lists: a convex combination of min-max-normalised scores.

Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval" (TOIS 2023). ``docs/retrieval.md`` tells how it
compares with reciprocal rank fusion (Cormack et al., SIGIR 2009), which stays as the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_K = 60


def min_max(scores: Mapping[str, float]) -> dict[str, float]:
    """Scale scores to [0, 1]; where all are equal, each is 1."""
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    if high - low < 1e-12:
        return dict.fromkeys(scores, 1.0)
    return {key: (value - low) / (high - low) for key, value in scores.items()}


def convex(first: Mapping[str, float], second: Mapping[str, float], *, first_weight: float) -> dict[str, float]:
    """``w * first + (1 - w) * second`` over normalised scores; a key that a list lacks scores 0 there.

    Where one of the lists is empty, the other decides alone.
    """
    if not first or not second:
        return min_max(first or second)
    a, b = min_max(first), min_max(second)
    return {key: first_weight * a.get(key, 0.0) + (1 - first_weight) * b.get(key, 0.0) for key in {**a, **b}}


def reciprocal_rank(rankings: Sequence[Sequence[str]], *, k: int = RRF_K) -> dict[str, float]:
    """``sum of 1 / (k + rank)`` over the lists, ranks from 1."""
    fused: dict[str, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            fused[key] = fused.get(key, 0.0) + 1.0 / (k + rank)
    return fused


def ranked(scores: Mapping[str, float]) -> list[str]:
    """Keys by descending score; ties by key, so that equal input gives equal output."""
    return sorted(scores, key=lambda key: (-scores[key], key))
