"""`TokenBucket`: no faster than so many bytes per second. Pure; time is an argument."""

from __future__ import annotations


class TokenBucket:
    """See the module docstring.

    What is taken may be more than there is; the next one then waits for all of it, so a block may
    be larger than a second's worth.

    Args:
        bytes_per_s: the rate; None for no limit.
        burst_s: how much of it may be saved up, in seconds.
    """

    def __init__(self, bytes_per_s: float | None, *, burst_s: float = 0.25) -> None:
        assert bytes_per_s is None or bytes_per_s > 0
        self._bytes_per_s = bytes_per_s
        self._burst_s = burst_s
        self._free_s = 0.0  # from then on another may be taken
        self._is_fresh = True

    def delay_s(self, now_s: float) -> float:
        """How long until something may be taken, in seconds; 0 for now."""
        return 0.0 if self._is_fresh else max(0.0, self._free_s - now_s)

    def take(self, num_bytes: int, now_s: float) -> None:
        """Count what was sent, or asked for."""
        if self._bytes_per_s is None:
            return
        earliest_s = now_s - self._burst_s
        begin_s = earliest_s if self._is_fresh else max(self._free_s, earliest_s)
        self._free_s = begin_s + num_bytes / self._bytes_per_s
        self._is_fresh = False
