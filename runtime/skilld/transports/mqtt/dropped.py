"""`Dropped`: messages whose sender cannot be told: counted, and said to the log now and then."""

from __future__ import annotations

import collections
import logging
import time

from skilld.core.errors import SkilldError

_log = logging.getLogger("skilld.mqtt")

_LOG_EVERY_S = 10.0


class Dropped:
    """See the module docstring. Owned by the event loop.

    Attributes:
        counts: by reason.
    """

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._said_s = -_LOG_EVERY_S

    def book(self, topic: str, error: SkilldError) -> None:
        """One more, on a topic, for a reason."""
        self.counts[error.reason] += 1
        now_s = time.monotonic()
        if now_s - self._said_s >= _LOG_EVERY_S:
            self._said_s = now_s
            _log.warning(
                "%d message(s) dropped so far, the last on %s: %s: %s",
                self.counts.total(),
                topic,
                error.reason,
                error.message,
            )
