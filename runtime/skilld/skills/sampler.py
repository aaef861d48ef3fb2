"""`Sampler`: logits to one token id."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skilld.core.request import SamplingParams


class Sampler:
    """Greedy or seeded sampling for one request.

    Filters are applied in the order top-k, top-p, min-p, all on the distribution after
    temperature, as transformers does.

    Args:
        params: temperature 0 means greedy.

    Attributes:
        is_greedy: whether it always takes the likeliest token.
    """

    def __init__(self, params: SamplingParams) -> None:
        self._params = params
        self.is_greedy = params.temperature == 0.0
        # Seeding takes as long as a small step, and greedy calls never draw.
        if not self.is_greedy:
            self._random = np.random.Generator(np.random.PCG64(params.seed))

    def choose(self, logits: NDArray[np.float32], allowed: NDArray[np.bool_] | None = None) -> int:
        """Pick the next token.

        Args:
            logits: float32 `[vocab_size]`.
            allowed: bool `[vocab_size]`; None allows everything.
        """
        if allowed is not None:
            logits = np.where(allowed, logits, np.float32(-np.inf))
        if self.is_greedy:
            return int(logits.argmax())
        candidates, probabilities = _filtered(logits, self._params)
        index = np.searchsorted(np.cumsum(probabilities), self._random.random(), side="right")
        return int(candidates[min(int(index), len(candidates) - 1)])


def probability(
    logits: NDArray[np.float32], token_id: int, allowed: NDArray[np.bool_] | None = None
) -> float:
    """Probability of a token at temperature 1, among the allowed ones.

    Args:
        logits: float32 `[vocab_size]`.
        token_id: an allowed one.
        allowed: bool `[vocab_size]`; None allows everything.
    """
    kept = logits if allowed is None else logits[allowed]
    return float(1.0 / np.add.reduce(np.exp(kept - logits[token_id])))


def _filtered(
    logits: NDArray[np.float32], params: SamplingParams
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Candidates in falling order of probability, and their probabilities, summing to 1."""
    scaled = logits.astype(np.float64) / params.temperature
    count = int(np.isfinite(scaled).sum())
    if params.top_k:
        count = min(count, params.top_k)
    candidates = np.argpartition(-scaled, count - 1)[:count]
    candidates = candidates[np.argsort(-scaled[candidates], kind="stable")]
    probabilities = np.exp(scaled[candidates] - scaled[candidates[0]])
    probabilities /= probabilities.sum()
    if params.top_p < 1.0:
        # The token that reaches top_p belongs to the set, and the first one always does.
        kept = int(np.searchsorted(np.cumsum(probabilities), params.top_p)) + 1
        candidates, probabilities = candidates[:kept], probabilities[:kept]
    if params.min_p > 0.0:
        likely = probabilities >= params.min_p * probabilities[0]
        candidates, probabilities = candidates[likely], probabilities[likely]
    return candidates, probabilities / probabilities.sum()
