"""Counters of the daemon, and its log format."""

from __future__ import annotations

import collections
import json
import logging
import sys
from typing import Any

from skilld.core.request import FinishReason

_WINDOW_S = 10.0
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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
        self._recent.append((now_s, chosen_tokens, rows))
        while self._recent[0][0] < now_s - _WINDOW_S:
            self._recent.popleft()

    def book_end(self, reason: FinishReason) -> None:
        """Book the end of a request."""
        self.ended[reason.value] += 1

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
