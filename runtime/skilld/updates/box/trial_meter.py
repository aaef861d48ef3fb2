"""`TrialMeter`: counts how a candidate does, for the report that ends its trial."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from skilld.updates.machine.events import TrialReport

_KEPT_TIMES = 1000  # newest answers p95 is taken of
_MIN_TIMES = 20  # fewer have no 95th percentile


class TrialMeter:
    """See the module docstring. Calls may come from any thread.

    Args:
        clock: a monotonic one, in seconds.
        old_error_rate: of the release before.
    """

    def __init__(self, clock: Callable[[], float], *, old_error_rate: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._started_s = clock()
        self._old_error_rate = old_error_rate
        self._num_requests = 0
        self._num_errors = 0
        self._num_crashes = 0
        self._times_ms: deque[float] = deque(maxlen=_KEPT_TIMES)

    def answered(self, *, elapsed_ms: float, is_error: bool) -> None:
        """A call has ended; an error is one of ours, not of the caller."""
        with self._lock:
            self._num_requests += 1
            self._num_errors += is_error
            self._times_ms.append(elapsed_ms)

    def crashed(self) -> None:
        """The worker of the candidate has died."""
        with self._lock:
            self._num_crashes += 1

    @property
    def error_rate(self) -> float:
        """Of all calls so far, 0..1."""
        with self._lock:
            return self._num_errors / max(1, self._num_requests)

    def report(self, *, is_over_memory: bool = False) -> TrialReport:
        """All of it until now."""
        with self._lock:
            times = sorted(self._times_ms)
            p95_ms = times[(len(times) * 95 - 1) // 100] if len(times) >= _MIN_TIMES else None
            return TrialReport(
                elapsed_s=self._clock() - self._started_s,
                num_requests=self._num_requests,
                num_errors=self._num_errors,
                p95_ms=p95_ms,
                old_error_rate=self._old_error_rate,
                num_crashes=self._num_crashes,
                is_over_memory=is_over_memory,
            )
