"""`Backoff`: how long to wait before the next attempt to connect. Pure but for its dice."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double up to a bound, each cut by up to half at random.

    After a power cut every box of a site comes back at once; chance keeps them from asking the
    broker at the same moment again and again.

    Args:
        first_s: longest first delay.
        max_s: longest delay.
        dice: decides.
    """

    def __init__(self, *, first_s: float, max_s: float, dice: random.Random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._dice = dice
        self._next_s = first_s

    def delay_s(self) -> float:
        """The next delay."""
        longest_s = self._next_s
        self._next_s = min(self._max_s, 2.0 * longest_s)
        return longest_s * self._dice.uniform(0.5, 1.0)

    def reset(self) -> None:
        """It worked: begin anew next time."""
        self._next_s = self._first_s
