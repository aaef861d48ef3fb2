"""Counters of the daemon, and its log format."""

from __future__ import annotations

import bisect
import collections
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

from skilld.core.request import FinishReason

_WINDOW_S = 10.0
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Upper bounds in milliseconds. A nano engine steps in 0.3 ms and answers in 10; a 0.5B on two
# cores takes 30 ms for a step and seconds for a call.
STEP_BOUNDS_MS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 25, 50, 100, 250, 1000)
CALL_BOUNDS_MS = (
    *(0.25, 0.5, 1, 2, 4, 6, 8, 10, 15, 20, 25, 35, 50, 75, 100, 150, 250, 500, 1000),
    *(2500, 5000, 10000, 30000),
)


class Histogram:
    """How often a value fell under each bound. Booking costs well under a microsecond.

    Args:
        bounds: upper bounds, ascending; a value equal to one belongs to it.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def book(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.sum += value

    def snapshot(self) -> dict[str, Any]:
        """`bounds`, `counts` (one more than bounds, not cumulated) and `sum`, to keep."""
        return {"bounds": self.bounds, "counts": tuple(self.counts), "sum": self.sum}


class EngineCounters:
    """What one engine has done. Owned by the engine thread.

    Args:
        engine: its name.
    """

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.num_steps = 0
        self.num_output_tokens = 0
        self.busy_ms = 0.0
        self.ended: collections.Counter[str] = collections.Counter()
        self._recent: collections.deque[tuple[float, int, int]] = collections.deque()
        self._step_ms = Histogram(STEP_BOUNDS_MS)
        self._queue_ms = Histogram(CALL_BOUNDS_MS)
        self._first_token_ms = Histogram(CALL_BOUNDS_MS)
        self._call_ms = Histogram(CALL_BOUNDS_MS)

    def book_step(self, *, rows: int, chosen_tokens: int, step_ms: float, now_s: float) -> None:
        """Book one step.

        Args:
            rows: sequences in the batch.
            chosen_tokens: tokens appended to answers, forced ones included.
            step_ms: duration.
            now_s: monotonic time.
        """
        self.num_steps += 1
        self.num_output_tokens += chosen_tokens
        self.busy_ms += step_ms
        self._step_ms.book(step_ms)
        self._recent.append((now_s, chosen_tokens, rows))
        while self._recent[0][0] < now_s - _WINDOW_S:
            self._recent.popleft()

    def book_end(
        self,
        reason: FinishReason,
        *,
        queue_ms: float,
        first_token_ms: float,
        total_ms: float,
    ) -> None:
        """Book the end of a request.

        Args:
            reason: why it ended.
            queue_ms: from arrival to its first step.
            first_token_ms: from arrival to its first chosen token; 0 when there was none, which
                is then not counted among the times.
            total_ms: from arrival to its end.
        """
        self.ended[reason.value] += 1
        self._queue_ms.book(queue_ms)
        if first_token_ms > 0.0:
            self._first_token_ms.book(first_token_ms)
        self._call_ms.book(total_ms)

    def snapshot(self, now_s: float) -> dict[str, Any]:
        """The figures as plain JSON values; rates are over the last ten seconds."""
        recent = [entry for entry in self._recent if entry[0] >= now_s - _WINDOW_S]
        return {
            "num_steps": self.num_steps,
            "num_output_tokens": self.num_output_tokens,
            "busy_ms": self.busy_ms,
            "tokens_per_s": sum(tokens for _, tokens, _ in recent) / _WINDOW_S,
            "mean_batch": sum(rows for *_, rows in recent) / len(recent) if recent else 0.0,
            "ended": dict(self.ended),
            "step_ms_histogram": self._step_ms.snapshot(),
            "queue_ms_histogram": self._queue_ms.snapshot(),
            "first_token_ms_histogram": self._first_token_ms.snapshot(),
            "call_ms_histogram": self._call_ms.snapshot(),
        }


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def set_up_logging(*, level: str, as_json: bool) -> None:
    """Send the log to standard error, as lines for people or as JSON lines for collectors."""
    handler = logging.StreamHandler(sys.stderr)
    if as_json:
        handler.setFormatter(_JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    root = logging.getLogger("skilld")
    root.handlers = [handler]
    root.setLevel(level.upper())
    root.propagate = False
