"""How sure a mean is: bootstrap intervals and paired differences. Pure; the random source is a seed.

Efron, "Bootstrap Methods" (1979), percentile intervals over queries; Sakai, "Evaluating evaluation metrics based on the
bootstrap" (SIGIR 2006) for comparing two systems on the same queries. One seed gives one set of resamples, so that figures
over the same queries are resampled alike and a second run gives the same intervals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

RESAMPLES = 10_000
CONFIDENCE = 0.95
_AT_ONCE = 500  # resamples that are drawn together: bounds the memory
_TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over ``n`` values and the 95% interval of it."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean of differences over the same queries, first minus second, and its 95% interval; on how many the first was
    better, worse, and as good. ``p_value``: two-sided, the share of resamples on the other side of zero, twice."""

    mean: float
    low: float
    high: float
    n: int
    wins: int
    losses: int
    ties: int
    p_value: float

    @property
    def is_clear(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and 95th percentile, such as of milliseconds."""

    p50: float
    p95: float


def estimate(values: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """The mean with its interval. Raises: ValueError for no values."""
    array = _array(values)
    means = _resampled_means(array, seed=seed, resamples=resamples)
    low, high = _interval(means)
    return Estimate(mean=float(array.mean()), low=low, high=high, n=len(array))


def difference(first: Sequence[float], second: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> Difference:
    """Compare two systems query by query: ``first[i]`` and ``second[i]`` belong together.

    Raises: ValueError for no values, or for unequally many.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} values can't be paired")
    array = _array(first) - _array(second)
    means = _resampled_means(array, seed=seed, resamples=resamples)
    low, high = _interval(means)
    other_side = min(float((means <= _TIE).mean()), float((means >= -_TIE).mean()))
    return Difference(
        mean=float(array.mean()),
        low=low,
        high=high,
        n=len(array),
        wins=int((array > _TIE).sum()),
        losses=int((array < -_TIE).sum()),
        ties=int((abs(array) <= _TIE).sum()),
        p_value=min(1.0, 2 * other_side),
    )


def spread(values: Sequence[float]) -> Spread:
    """Raises: ValueError for no values."""
    p50, p95 = np.percentile(_array(values), [50, 95])
    return Spread(p50=float(p50), p95=float(p95))


def _array(values: Sequence[float]) -> Float64:
    if not len(values):
        raise ValueError("there are no values")
    return np.asarray(values, dtype=np.float64)


def _resampled_means(values: Float64, *, seed: int, resamples: int) -> Float64:
    return np.concatenate([values[drawn].mean(axis=1) for drawn in _draws(len(values), seed=seed, resamples=resamples)])


def _draws(n: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.default_rng(seed)
    for begin in range(0, resamples, _AT_ONCE):
        yield generator.integers(0, n, size=(min(_AT_ONCE, resamples - begin), n))


def _interval(means: Float64) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
