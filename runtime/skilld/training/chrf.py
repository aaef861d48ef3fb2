"""chrF, the character n-gram F-score of translations, in the form everybody reports.

That is chrF2: n-grams of 1 to 6 characters without white space, precision and recall averaged over
the orders, recall weighing twice (Popović, "chrF: character n-gram F-score for automatic MT
evaluation", 2015), counted over a whole corpus as sacrebleu 2 does by default, whose figures the
tests compare with. sacrebleu itself brings an XML parser along for thirty lines of counting.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_ORDER: Final = 6
NUM_COUNTS: Final = 3 * MAX_ORDER
_BETA_SQUARED = 4.0


def chrf_counts(text: str, reference: str) -> NDArray[np.int64]:
    """What one translation adds to the counts of its corpus.

    Returns:
        int64 `[NUM_COUNTS]`: per order the n-grams of `text`, of `reference`, and of both.
    """
    mine, wanted = "".join(text.split()), "".join(reference.split())
    counts = np.zeros((MAX_ORDER, 3), dtype=np.int64)
    for order in range(1, MAX_ORDER + 1):
        one, other = _ngrams(mine, order), _ngrams(wanted, order)
        counts[order - 1] = one.total(), other.total(), (one & other).total()
    return counts.reshape(-1)


def chrf(counts: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The score of summed counts, 0 to 100.

    Args:
        counts: `[..., NUM_COUNTS]`, sums of `chrf_counts`.

    Returns:
        float64 `[...]`.
    """
    orders = np.asarray(counts, dtype=np.float64).reshape(*counts.shape[:-1], MAX_ORDER, 3)
    mine, wanted, both = orders[..., 0], orders[..., 1], orders[..., 2]
    is_counted = (mine > 0) & (wanted > 0)
    num_orders = np.maximum(is_counted.sum(axis=-1), 1)
    precision = _sum_of_ratios(both, mine, is_counted) / num_orders
    recall = _sum_of_ratios(both, wanted, is_counted) / num_orders
    whole = _BETA_SQUARED * precision + recall
    return np.asarray(
        100.0 * (1.0 + _BETA_SQUARED) * precision * recall / np.where(whole > 0.0, whole, 1.0)
    )


def _sum_of_ratios(
    part: NDArray[np.float64], whole: NDArray[np.float64], is_counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    ratios = np.where(is_counted, part / np.maximum(whole, 1.0), 0.0)
    return np.asarray(ratios.sum(axis=-1))


def _ngrams(text: str, order: int) -> Counter[str]:
    return Counter(text[i : i + order] for i in range(len(text) - order + 1))
