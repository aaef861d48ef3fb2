"""`RoundTrip`: how long to wait for an answer, from how long answers took. Pure."""

from __future__ import annotations

_FIRST_S = 1.0
_MIN_S = 0.2
_MAX_S = 30.0
# A depot that is back must not find everybody asleep.
_MAX_BACKED_OFF_S = 5.0


class RoundTrip:
    """The mean of what answers took and how far they are off it, as TCP has them (RFC 6298).

    Attributes:
        timeout_s: after which an answer has got lost, or so it seems.
    """

    def __init__(self) -> None:
        self._mean_s: float | None = None
        self._off_s = 0.0
        self.timeout_s = _FIRST_S

    def took(self, took_s: float) -> None:
        """Count an answer."""
        if self._mean_s is None:
            self._mean_s, self._off_s = took_s, took_s / 2
        else:
            self._off_s += (abs(took_s - self._mean_s) - self._off_s) / 4
            self._mean_s += (took_s - self._mean_s) / 8
        self.timeout_s = min(_MAX_S, max(_MIN_S, self._mean_s + 4 * self._off_s))

    def timeout_of(self, num_asked: int) -> float:
        """After which to ask again what was asked so often already, in seconds."""
        backed_off_s = self.timeout_s * 2.0 ** min(num_asked - 1, 8)
        return max(self.timeout_s, min(_MAX_BACKED_OFF_S, backed_off_s))
