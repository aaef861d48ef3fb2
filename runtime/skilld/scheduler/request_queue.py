"""`RequestQueue`: waiting requests of one engine, in admission order."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator

from skilld.core.request import Request


class RequestQueue:
    """Ordered by class, then deadline, then arrival. Pure."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, float, float, int, Request]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Request]:
        return (entry[-1] for entry in self._waiting)

    def push(self, request: Request) -> int:
        """Add a request; returns how many go before it."""
        deadline_s = math.inf if request.deadline_s is None else request.deadline_s
        self._sequence += 1
        entry = (request.request_class, deadline_s, request.arrival_s, self._sequence, request)
        position = bisect.bisect(self._waiting, entry)
        self._waiting.insert(position, entry)
        return position

    def peek(self) -> Request | None:
        """The request to admit next."""
        return self._waiting[0][-1] if self._waiting else None

    def remove(self, request: Request) -> None:
        """Take a request out, wherever it stands."""
        self._waiting = [entry for entry in self._waiting if entry[-1] is not request]
