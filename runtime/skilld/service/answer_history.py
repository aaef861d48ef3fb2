"""`AnswerHistory`: how long the answers of one skill are, so that deadlines can be planned."""

from __future__ import annotations

import collections

_WINDOW = 256
_MIN_ANSWERS = 20
_QUANTILE = 0.99
_ANSWERS_PER_SORT = 16


class AnswerHistory:
    """Tokens and engine steps that answers hardly exceed, from the last 256 of them."""

    def __init__(self) -> None:
        self._tokens: collections.deque[int] = collections.deque(maxlen=_WINDOW)
        self._steps: collections.deque[int] = collections.deque(maxlen=_WINDOW)
        self._expected = (0, 0)
        self._num_unsorted = 0

    def book(self, num_tokens: int, num_steps: int) -> None:
        """Remember an answer."""
        self._tokens.append(num_tokens)
        self._steps.append(num_steps)
        self._num_unsorted += 1
        if self._num_unsorted >= _ANSWERS_PER_SORT and len(self._tokens) >= _MIN_ANSWERS:
            self._num_unsorted = 0
            index = int(_QUANTILE * (len(self._tokens) - 1) + 0.5)
            self._expected = sorted(self._tokens)[index], sorted(self._steps)[index]

    def expect(self, max_tokens: int) -> tuple[int, int]:
        """Tokens and steps that 99 of 100 answers stay within; the limit while too few are known.

        Args:
            max_tokens: of the call.
        """
        tokens, steps = self._expected
        if not tokens:
            return max_tokens, max_tokens
        return min(tokens, max_tokens), min(steps, max_tokens)
