"""`PressureGauge`: how much cache memory the rest of the machine leaves us. Pure; time comes in.

The limit is what our cache holds now plus what the machine can still give, never above the
budget. It falls at once and rises late: to the lowest of what the last seconds would have
allowed, so that a neighbour who comes and goes does not make it flap.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import Final

_CALM_S: Final = 5.0
# Work of the machine stalls for memory in this share of the time, in percent: whatever is said to
# be available is not. The figure is an average over ten seconds, so one answer must serve as long.
_STALLED_PERCENT: Final = 10.0
_STALL_ANSWER_S: Final = 10.0
_KEPT_WHEN_STALLED: Final = 0.75
_NUM_GRADES: Final = 64  # of the budget; smaller changes are not worth a message


@dataclass(frozen=True, slots=True)
class HostReading:
    """What the machine says; None for what it does not tell.

    Attributes:
        available_bytes: that new work could take without swapping (MemAvailable).
        group_used_bytes: of our control group, without file pages that can be dropped.
        group_limit_bytes: of our control group.
        stalled_percent: of the last ten seconds, in which some task waited for memory.
    """

    available_bytes: int | None = None
    group_used_bytes: int | None = None
    group_limit_bytes: int | None = None
    stalled_percent: float | None = None


class PressureGauge:
    """Decides the limit of cache memory, reading by reading.

    Args:
        budget_bytes: the limit without pressure.
        reserve_bytes: to be left available.
    """

    def __init__(self, budget_bytes: int, *, reserve_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.limit_bytes = budget_bytes
        self._reserve_bytes = reserve_bytes
        self._grade_bytes = max(1, budget_bytes // _NUM_GRADES)
        self._allowed: collections.deque[tuple[float, int]] = collections.deque()
        self._answered_s = -float("inf")

    def decide(
        self, reading: HostReading, *, cache_bytes: int, floor_bytes: int, now_s: float
    ) -> int:
        """The limit from now on, in bytes.

        Args:
            reading: of the machine, now.
            cache_bytes: resident cache memory, now.
            floor_bytes: never less than this: what engines were guaranteed when they were let in.
            now_s: monotonic time; does not go back.
        """
        allowed_bytes = self._allowed_bytes(reading, cache_bytes, now_s)
        allowed_bytes = max(allowed_bytes, min(floor_bytes, self.budget_bytes))
        self._allowed.append((now_s, allowed_bytes))
        is_calm = now_s - self._allowed[0][0] >= _CALM_S
        while len(self._allowed) > 1 and self._allowed[1][0] <= now_s - _CALM_S:
            self._allowed.popleft()
        if allowed_bytes < self.limit_bytes:
            self.limit_bytes = allowed_bytes
        elif is_calm:
            self.limit_bytes = max(self.limit_bytes, min(least for _, least in self._allowed))
        return self.limit_bytes

    def _allowed_bytes(self, reading: HostReading, cache_bytes: int, now_s: float) -> int:
        headrooms = []
        if reading.available_bytes is not None:
            headrooms.append(reading.available_bytes)
        if reading.group_used_bytes is not None and reading.group_limit_bytes is not None:
            headrooms.append(reading.group_limit_bytes - reading.group_used_bytes)
        allowed_bytes = self.budget_bytes
        if headrooms:
            allowed_bytes = cache_bytes + min(headrooms) - self._reserve_bytes
        if (reading.stalled_percent or 0.0) >= _STALLED_PERCENT:
            if now_s - self._answered_s >= _STALL_ANSWER_S:
                self._answered_s = now_s
                allowed_bytes = min(allowed_bytes, int(cache_bytes * _KEPT_WHEN_STALLED))
            else:
                allowed_bytes = min(allowed_bytes, self.limit_bytes)
        if allowed_bytes >= self.budget_bytes:
            return self.budget_bytes
        return max(0, allowed_bytes // self._grade_bytes * self._grade_bytes)
