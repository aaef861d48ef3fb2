"""`RequestTable`: which requests run, which wait, whose turn it is, and what is a repeat. Pure.

QoS 1 delivers at least once, and callers repeat what they got no answer to. A request with an id
that is still worked on is joined: one computation, an answer for everyone who asked. One that was
answered is answered again from memory.

Every client has a queue of its own, bounded; what does not fit is refused at once, with advice, so
that its message leaves the broker's window and makes way for others. The next turn goes to the
client with the fewest running requests, among those to the one whose last turn is longest ago.
"""

from __future__ import annotations

import collections
import enum
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from skilld.core.errors import OverloadedError
from skilld.mqtt.message import Delivery
from skilld.transports.mqtt.answer_memory import AnswerMemory, check_same
from skilld.transports.mqtt.envelope import ReplyAddress, SkillRequest
from skilld.transports.mqtt.reply import Body

_MAX_WAITERS = 8
_RETRY_AFTER_S = 0.2


@dataclass(frozen=True, slots=True)
class Waiter:
    """One who gets the answer.

    Attributes:
        address: where it goes.
        delivery: acknowledged once it is on its way.
    """

    address: ReplyAddress
    delivery: Delivery


class Joined(enum.Enum):
    """What became of the repeat of a request that is not answered yet."""

    WAITS = "it gets the answer, too"
    SAME = "the answer goes where it wants it already; nothing waits for its message"


@dataclass(slots=True, eq=False)
class Entry:
    """A request that is known and not answered.

    Attributes:
        request: as read.
        request_id: the caller's, or made up here.
        deadline_s: monotonic time after which the answer is worthless.
        waiters: who gets the answer; the first is the one who asked first.
        is_running: it had its turn.
        num_events: sent of a stream; the number of the next one.
    """

    request: SkillRequest
    request_id: str
    deadline_s: float
    waiters: list[Waiter] = field(default_factory=list)
    is_running: bool = False
    num_events: int = 0

    @property
    def client(self) -> str:
        """Who asks."""
        return self.request.client


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a table holds.

    Attributes:
        max_running: requests at once.
        max_running_per_client: of one client.
        max_waiting: requests that wait.
        max_waiting_per_client: of one client.
    """

    max_running: int
    max_running_per_client: int
    max_waiting: int
    max_waiting_per_client: int


class RequestTable:
    """See the module docstring. Owned by the event loop.

    Args:
        limits: how much it holds.
        memory: of answers.
    """

    def __init__(self, limits: Limits, memory: AnswerMemory) -> None:
        self._limits = limits
        self._memory = memory
        self._by_id: dict[tuple[str, str], Entry] = {}
        self._waiting: dict[str, collections.deque[Entry]] = {}
        self._running: collections.Counter[str] = collections.Counter()
        self._last_turn: dict[str, int] = {}
        self._turns = itertools.count(1)
        self._made_up = itertools.count(1)
        self._num_waiting = 0
        self._entries: set[Entry] = set()

    @property
    def num_running(self) -> int:
        """Requests that had their turn and have no answer yet."""
        return len(self._entries) - self._num_waiting

    @property
    def num_waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._num_waiting

    def entries(self) -> list[Entry]:
        """Everything that is not answered yet."""
        return list(self._entries)

    def offer(
        self, request: SkillRequest, waiter: Waiter, *, deadline_s: float, now_s: float
    ) -> Entry | Body | Joined:
        """Take a request in.

        Args:
            request: as read.
            waiter: who gets the answer.
            deadline_s: monotonic time after which the answer is worthless.
            now_s: monotonic time.

        Returns:
            A new entry, to be given a turn; the answer, when the request had one already; how it
            joined one that is not answered yet.

        Raises:
            OverloadedError: CLIENT_QUEUE_FULL, QUEUE_FULL: no room for it.
            InvalidRequestError: REQUEST_ID_REUSED.
        """
        client, request_id = request.client, request.request_id
        if request_id:
            known = self._by_id.get((client, request_id))
            if known is not None:
                check_same(known.request.digest, request.digest, request_id)
                return self._join(known, waiter)
            body = self._memory.find(client, request_id, digest=request.digest, now_s=now_s)
            if body is not None:
                return body
        self._check_room(client)
        entry = Entry(
            request, request_id or f"made-up-{next(self._made_up)}", deadline_s, waiters=[waiter]
        )
        if request_id:
            self._by_id[client, request_id] = entry
        self._waiting.setdefault(client, collections.deque()).append(entry)
        self._num_waiting += 1
        self._entries.add(entry)
        return entry

    def turns(self) -> Iterator[Entry]:
        """Give turns while there is room for more running requests."""
        while self.num_running < self._limits.max_running:
            clients = [
                client
                for client in self._waiting
                if self._running[client] < self._limits.max_running_per_client
            ]
            if not clients:
                return
            client = min(clients, key=lambda c: (self._running[c], self._last_turn.get(c, 0)))
            entry = self._waiting[client][0]
            self._leave_queue(entry)
            entry.is_running = True
            self._running[client] += 1
            self._last_turn[client] = next(self._turns)
            yield entry

    def overdue(self, now_s: float) -> list[Entry]:
        """Waiting requests whose deadline has passed; each wants an `end`."""
        return [
            entry
            for entries in self._waiting.values()
            for entry in entries
            if entry.deadline_s <= now_s
        ]

    def find(self, client: str, request_id: str) -> Entry | None:
        """A request that is not answered yet, by the caller's own id."""
        return self._by_id.get((client, request_id))

    def end(self, entry: Entry, *, body: Body, is_remembered: bool, now_s: float) -> list[Waiter]:
        """A request has its answer; returns who gets it.

        Args:
            entry: running or waiting.
            body: the answer.
            is_remembered: a repeat gets the same answer; else it is tried anew.
            now_s: monotonic time.
        """
        self._entries.remove(entry)
        client, request_id = entry.client, entry.request.request_id
        if entry.is_running:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
        else:
            self._leave_queue(entry)
        if client not in self._waiting and client not in self._running:
            self._last_turn.pop(client, None)
        if request_id:
            del self._by_id[client, request_id]
            if is_remembered:
                self._memory.keep(
                    client, request_id, digest=entry.request.digest, body=body, now_s=now_s
                )
        return entry.waiters

    def check(self) -> None:
        """Prove the accounts."""
        waiting = [entry for entries in self._waiting.values() for entry in entries]
        running = [entry for entry in self._entries if entry.is_running]
        limits = self._limits
        assert len(waiting) == self._num_waiting <= limits.max_waiting
        assert len(waiting) + len(running) == len(self._entries)
        assert len(running) == self.num_running <= limits.max_running
        assert dict(self._running) == collections.Counter(e.client for e in running)
        assert all(count <= limits.max_running_per_client for count in self._running.values())
        assert all(
            0 < len(entries) <= limits.max_waiting_per_client for entries in self._waiting.values()
        )
        assert {id(e) for e in self._by_id.values()} == {
            id(e) for e in self._entries if e.request.request_id
        }
        assert self._last_turn.keys() <= self._running.keys() | self._waiting.keys()
        self._memory.check()

    def _check_room(self, client: str) -> None:
        limits = self._limits
        mine = len(self._waiting.get(client, ()))
        if mine >= limits.max_waiting_per_client:
            raise OverloadedError(
                f"{mine} requests of {client} wait already, the limit for one client",
                retry_after_s=_RETRY_AFTER_S,
                reason="CLIENT_QUEUE_FULL",
            )
        if self._num_waiting >= limits.max_waiting:
            raise OverloadedError(
                f"{self._num_waiting} requests wait already, the limit of this box",
                retry_after_s=_RETRY_AFTER_S,
            )

    def _join(self, entry: Entry, waiter: Waiter) -> Joined:
        if any(other.address == waiter.address for other in entry.waiters):
            return Joined.SAME
        if len(entry.waiters) >= _MAX_WAITERS:
            raise OverloadedError(
                f"{len(entry.waiters)} places wait for the answer to this request already",
                retry_after_s=_RETRY_AFTER_S,
                reason="CLIENT_QUEUE_FULL",
            )
        entry.waiters.append(waiter)
        return Joined.WAITS

    def _leave_queue(self, entry: Entry) -> None:
        entries = self._waiting[entry.client]
        entries.remove(entry)
        self._num_waiting -= 1
        if not entries:
            del self._waiting[entry.client]
