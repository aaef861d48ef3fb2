"""`CostModel`: how long a step of one engine takes, learned from the steps it took.

    t = a + b * rows + c * new_tokens + d * cached_tokens        milliseconds, all terms >= 0

Least squares over recent steps: the normal equations are kept with exponential forgetting and
solved every few steps by coordinate descent, which keeps the terms non-negative. A step that took
far longer than expected (somebody else had the cores) counts as one that took a few times as long.
A margin follows the 95th percentile of measured over predicted, so that `bound_ms` is rarely
exceeded.
"""

from __future__ import annotations

import math

_FORGETTING = 0.998  # per step: the last 500 count
_STEPS_PER_FIT = 16
_SWEEPS = 24
_QUANTILE = 0.95
_MARGIN_RATE = 0.02
_MAX_MARGIN = 2.0
_MAX_SURPRISE = 3.0
# The features in natural size, so that one ridge serves all four; it holds a term where the
# steps so far say nothing about it.
_SCALE = (1.0, 8.0, 64.0, 1024.0)
_RIDGE = 1e-3


class CostModel:
    """See the module docstring. Pure; owned by the engine thread.

    Args:
        coefficients: a, b, c, d to start from, in milliseconds per unit.
        is_fixed: never learn; for simulations with known costs.
    """

    def __init__(
        self,
        coefficients: tuple[float, float, float, float] = (1.0, 0.1, 0.05, 0.0),
        *,
        is_fixed: bool = False,
    ) -> None:
        self.step_ms, self.row_ms, self.token_ms, self.cached_token_ms = coefficients
        self.margin = 1.0
        self._is_fixed = is_fixed
        self._moments = [[0.0] * 4 for _ in range(4)]
        self._targets = [0.0] * 4
        self._num_steps = 0

    def predict_ms(self, rows: int, new_tokens: int, cached_tokens: int) -> float:
        """Expected duration of a step.

        Args:
            rows: sequences in it.
            new_tokens: tokens it computes.
            cached_tokens: tokens those attend to that are in the cache already, over all rows.
        """
        return (
            self.step_ms
            + self.row_ms * rows
            + self.token_ms * new_tokens
            + self.cached_token_ms * cached_tokens
        )

    def bound_ms(self, rows: int, new_tokens: int, cached_tokens: int) -> float:
        """Duration that 95 of 100 such steps stay below."""
        return self.margin * self.predict_ms(rows, new_tokens, cached_tokens)

    def row_bound_ms(self, new_tokens: int, cached_tokens: int) -> float:
        """What one more row adds to `bound_ms`."""
        return self.margin * (
            self.row_ms + self.token_ms * new_tokens + self.cached_token_ms * cached_tokens
        )

    def max_new_tokens(self, left_ms: float, cached_tokens: int) -> int:
        """Most tokens of one more row that add at most `left_ms` to `bound_ms`."""
        left_ms = left_ms / self.margin - self.row_ms - self.cached_token_ms * cached_tokens
        if left_ms < 0.0:
            return 0
        # A token costs something even where nothing was measured yet.
        return min(int(left_ms / max(self.token_ms, 1e-6) + 1e-9), 1 << 20)

    def observe(self, rows: int, new_tokens: int, cached_tokens: int, step_ms: float) -> None:
        """Learn from a step that took `step_ms`."""
        if self._is_fixed:
            return
        expected = self.predict_ms(rows, new_tokens, cached_tokens)
        if step_ms > self.margin * expected:
            self.margin = min(self.margin * (1.0 + _MARGIN_RATE * _QUANTILE), _MAX_MARGIN)
        else:
            self.margin = max(self.margin * (1.0 - _MARGIN_RATE * (1.0 - _QUANTILE)), 1.0)
        if self._num_steps >= _STEPS_PER_FIT:
            step_ms = min(step_ms, _MAX_SURPRISE * expected)
        # Weighted by one over the square of the expectation: relative errors count alike, and a
        # rare long prefill does not drown a thousand decodes.
        weight = 1.0 / max(expected, 1e-3) ** 2
        features = (
            1.0,
            rows / _SCALE[1],
            new_tokens / _SCALE[2],
            cached_tokens / _SCALE[3],
        )
        moments, targets = self._moments, self._targets
        for i in range(4):
            weighted = weight * features[i]
            row = moments[i]
            for j in range(i + 1):
                row[j] = row[j] * _FORGETTING + weighted * features[j]
            targets[i] = targets[i] * _FORGETTING + weighted * step_ms
        self._num_steps += 1
        if self._num_steps % _STEPS_PER_FIT == 0:
            self.fit()

    def fit(self) -> None:
        """Solve for the coefficients that suit the steps observed so far."""
        moments, targets = self._moments, self._targets
        now = [self.step_ms, self.row_ms, self.token_ms, self.cached_token_ms]
        solution = [value * scale for value, scale in zip(now, _SCALE, strict=True)]
        prior = list(solution)
        ridge = _RIDGE * max(moments[0][0], 1e-9)
        for _ in range(_SWEEPS):
            for i in range(4):
                rest = sum(
                    (moments[i][j] if j <= i else moments[j][i]) * solution[j]
                    for j in range(4)
                    if j != i
                )
                value = (targets[i] - rest + ridge * prior[i]) / (moments[i][i] + ridge)
                solution[i] = value if value > 0.0 and math.isfinite(value) else 0.0
        self.step_ms, self.row_ms, self.token_ms, self.cached_token_ms = (
            value / scale for value, scale in zip(solution, _SCALE, strict=True)
        )
