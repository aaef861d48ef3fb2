"""`RequestQueue`: waiting requests of one engine, in admission order, fair between clients."""

from __future__ import annotations

import bisect
import collections
import math
from collections.abc import Iterator

from skilld.core.request import Request, RequestClass

_Entry = tuple[int, float, float, int, Request]


class RequestQueue:
    """Deadline work by deadline; then interactive, then batch work, clients taking turns. Pure.

    Turns: a request joins the round after its client's previous one, and no round before the one
    being served, so a client with a thousand requests delays another's first by one request per
    round (start-time fair queuing with requests as the unit).

    Args:
        aging_s: a batch request that waited this long goes among the interactive ones.
    """

    def __init__(self, *, aging_s: float = math.inf) -> None:
        self._aging_s = aging_s
        self._waiting: list[_Entry] = []
        self._sequence = 0
        self._per_client: collections.Counter[str] = collections.Counter()
        self._round = 0.0
        self._last_round: dict[str, float] = {}
        self._next_lift_s = math.inf

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Request]:
        return (entry[-1] for entry in self._waiting)

    def num_of_client(self, client: str) -> int:
        """Waiting requests of one client."""
        return self._per_client[client]

    def push(self, request: Request) -> int:
        """Add a request; returns how many go before it."""
        if request.request_class is RequestClass.DEADLINE and request.deadline_s is not None:
            rank = request.deadline_s
        else:
            rank = max(self._round, self._last_round.get(request.client, -1.0) + 1.0)
            self._last_round[request.client] = rank
        self._sequence += 1
        self._per_client[request.client] += 1
        return self._insert(
            (request.request_class, rank, request.arrival_s, self._sequence, request)
        )

    def push_back(self, request: Request) -> int:
        """Return a preempted request: first of its class, as it was before."""
        self._sequence += 1
        self._per_client[request.client] += 1
        return self._insert(
            (request.request_class, -math.inf, request.arrival_s, self._sequence, request)
        )

    def lift(self, now_s: float) -> None:
        """Move batch requests that waited long enough among the interactive ones."""
        if now_s < self._next_lift_s:
            return
        self._next_lift_s = math.inf
        for entry in [e for e in self._waiting if e[0] == RequestClass.BATCH]:
            lift_s = entry[2] + self._aging_s
            if lift_s <= now_s:
                self._waiting.remove(entry)
                # It keeps its turn: a client's old batch work must not pass others' calls.
                lifted = (int(RequestClass.INTERACTIVE), *entry[1:])
                bisect.insort(self._waiting, lifted)
            else:
                self._next_lift_s = min(self._next_lift_s, lift_s)

    def peek(self) -> Request | None:
        """The request to admit next."""
        return self._waiting[0][-1] if self._waiting else None

    def head_class(self) -> RequestClass:
        """The class the next request counts as; lifted ones count as interactive."""
        return RequestClass(self._waiting[0][0])

    def pop(self) -> Request:
        """Take out the request to admit next."""
        entry = self._waiting.pop(0)
        if entry[0] != RequestClass.DEADLINE and entry[1] > self._round:
            self._round = entry[1]
            # Clients whose turn is past have no claim to remember.
            self._last_round = {c: r for c, r in self._last_round.items() if r >= self._round}
        self._forget(entry[-1])
        return entry[-1]

    def remove(self, request: Request) -> bool:
        """Take a request out, wherever it stands; False when it is not here."""
        for index, entry in enumerate(self._waiting):
            if entry[-1] is request:
                del self._waiting[index]
                self._forget(request)
                return True
        return False

    def _insert(self, entry: _Entry) -> int:
        if entry[0] == RequestClass.BATCH:
            self._next_lift_s = min(self._next_lift_s, entry[2] + self._aging_s)
        position = bisect.bisect(self._waiting, entry)
        self._waiting.insert(position, entry)
        return position

    def _forget(self, request: Request) -> None:
        self._per_client[request.client] -= 1
        if not self._per_client[request.client]:
            del self._per_client[request.client]
