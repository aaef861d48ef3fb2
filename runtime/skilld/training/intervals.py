"""Bootstrap 95 % intervals of shares and of whatever else is counted per example.

They are percentiles of 1,000 samples of the examples, drawn with replacement. Where every sample
would be the same, at 0 and 100 %, the rule of three says how little that proves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

NUM_RESAMPLES: Final = 1000


def share(rows: Sequence[tuple[int, ...]]) -> float | None:
    """A ratio of sums: what the first column has of the second; None of nothing."""
    part, whole = (sum(column) for column in zip(*rows, strict=True))
    return part / whole if whole else None


def resamples(n: int, *, seed: int) -> NDArray[np.float64]:
    """How often each example is in each bootstrap sample; float64 `[NUM_RESAMPLES, n]`."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1.0 / n), size=NUM_RESAMPLES).astype(np.float64)


def interval(draws: NDArray[np.float64], rows: Sequence[tuple[int, ...]]) -> Interval:
    """Of a `share`.

    Args:
        draws: see `resamples`.
        rows: one per example; the second column is not zero everywhere.
    """
    table = np.array(rows, dtype=np.float64)
    part, whole = table.sum(axis=0)
    if part in (0.0, whole):
        num_cases = int((table[:, 1] > 0).sum())
        slack = min(1.0, -math.log(0.05) / num_cases)
        return (1.0 - slack, 1.0) if part else (0.0, slack)
    sums = draws @ table
    has_cases = sums[:, 1] > 0
    return percentiles(sums[has_cases, 0] / sums[has_cases, 1])


def percentiles(values: NDArray[np.float64]) -> Interval:
    """Of one figure per bootstrap sample; float64 `[NUM_RESAMPLES]` or fewer."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
