"""`MqttBridge`: skill calls over MQTT.

The life of a request:

1. It arrives (`Connection`), and its topic says what it is (`Topics`).
2. `read_request` finds out who asks and where the answer goes; if nowhere, it is dropped.
3. `RequestTable` refuses it, joins it to a repeat, answers it from memory, or makes it wait.
4. In its turn it becomes a `Call` of `SkillService`, with what is left of its deadline.
5. The answer goes to everyone who waits for it, and is remembered.
6. The broker confirms the reply; only then the request is acknowledged, which makes room for
   another one in the window that the broker may fill.

Lives on one event loop. What the broker does, or that it is away, changes nothing elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import time
import uuid
from collections.abc import Iterator

from prometheus_client import Metric

from skilld.config import MqttConfig
from skilld.core.errors import (
    CancelledError,
    DeadlineError,
    EngineError,
    SkilldError,
    UnavailableError,
)
from skilld.loop import Accepted
from skilld.mqtt.connection import Connection
from skilld.mqtt.connection_settings import connection_settings
from skilld.mqtt.message import Delivery
from skilld.mqtt.topics import Destination, Topics
from skilld.service import Call, Delta, Outcome, SkillService, error_of
from skilld.transports.mqtt.announcer import Announcer
from skilld.transports.mqtt.answer_memory import AnswerMemory
from skilld.transports.mqtt.dropped import Dropped
from skilld.transports.mqtt.envelope import Unreadable, read_cancel, read_request
from skilld.transports.mqtt.figures import UNREADABLE, MqttFigures
from skilld.transports.mqtt.reply import Body, answer_body, error_body, event_body, reply
from skilld.transports.mqtt.request_table import Entry, Joined, Limits, RequestTable, Waiter

_log = logging.getLogger("skilld.mqtt")

_REFRESH_S = 1.0
_GOODBYE_S = 2.0


class MqttBridge:
    """See the module docstring.

    Args:
        service: does the work; it stays the caller's.
        config: of MQTT.

    Raises:
        SkilldError: the configuration cannot be right; the broker itself is not asked yet.
    """

    def __init__(self, service: SkillService, config: MqttConfig) -> None:
        self._service = service
        self._config = config
        self._connection: Connection | None = None
        if config.broker is None:
            return
        self._topics = Topics(config.prefix, config.box or socket.gethostname())
        self._announcer = Announcer(
            service,
            self._topics,
            boot_id=uuid.uuid4().hex,
            max_payload_bytes=config.max_payload_bytes,
        )
        self._table = RequestTable(
            Limits(
                max_running=config.max_running,
                max_running_per_client=config.max_running_per_client,
                max_waiting=config.max_waiting,
                max_waiting_per_client=config.max_waiting_per_client,
            ),
            memory := AnswerMemory(
                max_answers=config.remembered_answers,
                max_bytes=config.remembered_bytes,
                max_age_s=config.remembered_s,
            ),
        )
        self._memory = memory
        self._tasks: dict[Entry, asyncio.Task[None]] = {}
        self._is_draining = False
        self._is_stopping = False
        self._ticker: asyncio.Task[None] | None = None
        self._figures = MqttFigures()
        self._dropped = Dropped()
        settings = connection_settings(
            config, client_id=f"skilld-{self._topics.box}", will=self._announcer.will()
        )
        assert settings is not None
        self._connection = Connection(settings, self)

    @property
    def is_connected(self) -> bool:
        """Whether there is a broker right now."""
        return self._connection is not None and self._connection.is_up

    def metrics(self) -> Iterator[Metric]:
        """The figures of MQTT, if a broker is configured."""
        if self._connection is not None:
            yield from self._figures.metrics(
                is_connected=self.is_connected,
                num_running=self._table.num_running,
                num_waiting=self._table.num_waiting,
                dropped={**self._dropped.counts, UNREADABLE: self._connection.num_unreadable},
            )

    def start(self) -> None:
        """Begin, if a broker is configured; call on the running event loop. Waits for nothing."""
        if self._connection is not None:
            self._connection.start()
            self._ticker = asyncio.create_task(self._tick(), name="skilld-mqtt-tick")

    def set_draining(self) -> None:
        """Take no more requests, and tell everybody."""
        if self._connection is not None and not self._is_draining:
            self._is_draining = True
            self._announcer.end(self._connection, "draining")

    async def stop(self) -> None:
        """Cut off what still runs, reply to all, say goodbye."""
        if self._connection is None or self._ticker is None:
            return
        self.set_draining()
        self._ticker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticker
        self._is_stopping = True
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for entry in self._table.entries():
            self._end(entry, self._error_body(entry, _cut_off()))
        self._announcer.end(self._connection, "offline")
        await self._connection.stop(_GOODBYE_S)

    # --- told by the connection ----------------------------------------------------------------

    def on_up(self) -> None:
        """Subscribe and announce."""
        assert self._connection is not None
        self._figures.num_connections += 1
        self._announcer.begin(self._connection)

    def on_down(self, reason: str) -> None:
        """Calls go on; their replies wait for the next connection."""

    def on_message(self, delivery: Delivery) -> None:
        """A message arrived: a request, a cancellation, or what is said of this box."""
        assert self._connection is not None
        message = delivery.message
        destination = self._topics.read(message.topic)
        try:
            if destination is not None and destination.kind == "request":
                self._on_request(delivery, destination)
                return
            if destination is not None and destination.kind == "cancel":
                self._cancel(*read_cancel(message, destination, self._topics))
            elif destination is not None:
                self._announcer.heard(self._connection, message)
        except Exception as error:
            self._dropped.book(message.topic, error_of(error))
        self._connection.acknowledge(delivery)

    # --- requests ------------------------------------------------------------------------------

    def _on_request(self, delivery: Delivery, destination: Destination) -> None:
        assert self._connection is not None
        try:
            request = read_request(
                delivery.message,
                destination,
                self._topics,
                max_payload_bytes=self._config.max_payload_bytes,
            )
        except SkilldError as error:
            self._dropped.book(delivery.message.topic, error)
            self._connection.acknowledge(delivery)
            return
        self._figures.num_requests += 1
        waiter = Waiter(request.address, delivery)
        if isinstance(request, Unreadable):
            body = error_body(request.error, request_id=request.request_id, box=self._topics.box)
            self._send(waiter, body)
            return
        try:
            if self._is_draining:
                raise UnavailableError("the daemon is shutting down", reason="DRAINING")
            timeout_s = self._service.offering.get(request.skill).skill.timeout_s
            if request.timeout_s is not None:
                timeout_s = min(timeout_s, request.timeout_s)
            taken = self._table.offer(
                request,
                waiter,
                deadline_s=delivery.arrival_s + timeout_s,
                now_s=time.monotonic(),
            )
        except Exception as error:
            body = error_body(error_of(error), request_id=request.request_id, box=self._topics.box)
            self._send(waiter, body)
            return
        if isinstance(taken, Body):
            self._figures.repeats["remembered"] += 1
            self._send(waiter, taken)
        elif isinstance(taken, Joined):
            self._figures.repeats["joined"] += 1
            if taken is Joined.SAME:
                self._connection.acknowledge(delivery)
        else:
            self._give_turns()
            if not taken.is_running:
                asyncio.get_running_loop().call_at(taken.deadline_s, self._end_overdue)

    def _give_turns(self) -> None:
        if self._is_stopping:
            return
        for entry in self._table.turns():
            task = asyncio.create_task(
                self._work(entry), name=f"skilld-mqtt-{entry.request_id[:32]}"
            )
            self._tasks[entry] = task
            task.add_done_callback(functools.partial(self._on_done, entry))

    async def _work(self, entry: Entry) -> None:
        is_answered = False
        try:
            skill = self._service.offering.get(entry.request.skill)
            if entry.request.streams:
                outcome = await self._stream(entry)
            else:
                outcome = await self._service.invoke(self._call(entry))
            body = answer_body(
                outcome, request_id=entry.request_id, entry=skill, box=self._topics.box
            )
            is_answered = True
        except Exception as error:
            body = self._error_body(entry, error_of(error))
        # Here and not when the task is done: that is told one turn of the event loop later.
        if self._tasks.pop(entry, None) is not None:  # else cut off at the stop, and answered there
            self._end(entry, body, is_remembered=is_answered)

    def _on_done(self, entry: Entry, _task: asyncio.Task[None]) -> None:
        if self._tasks.pop(entry, None) is not None:  # it was cancelled, perhaps before it began
            self._end(entry, self._error_body(entry, _cancelled()), is_remembered=True)

    def _call(self, entry: Entry) -> Call:
        left_s = entry.deadline_s - time.monotonic()
        if left_s <= 0.0:
            raise _too_late()
        return entry.request.call(request_id=entry.request_id, timeout_s=left_s)

    async def _stream(self, entry: Entry) -> Outcome:
        """Send events as they come; returns the outcome."""
        async with contextlib.aclosing(self._service.stream(self._call(entry))) as events:
            async for event in events:
                match event:
                    case Outcome():
                        return event
                    case Accepted(queue_position=position):
                        self._send_event(entry, "accepted", {"queue_position": position})
                    case Delta(text=text):
                        self._send_event(entry, "delta", {"text": text})
        raise AssertionError("a call ended without an outcome")

    def _send_event(self, entry: Entry, name: str, value: dict[str, object]) -> None:
        assert self._connection is not None
        body = event_body(name, value, request_id=entry.request_id, box=self._topics.box)
        for waiter in entry.waiters:
            message = reply(waiter.address, body, seq=entry.num_events, is_final=False)
            if message.packet_bytes <= self._connection.max_packet_bytes:
                self._connection.publish(message)
        entry.num_events += 1

    def _end(self, entry: Entry, body: Body, *, is_remembered: bool = False) -> None:
        waiters = self._table.end(
            entry, body=body, is_remembered=is_remembered, now_s=time.monotonic()
        )
        for waiter in waiters:
            self._send(waiter, body, seq=entry.num_events)
        self._give_turns()

    def _end_overdue(self) -> None:
        for entry in self._table.overdue(time.monotonic()):
            self._end(entry, self._error_body(entry, _too_late()))

    def _cancel(self, client: str, request_id: str) -> None:
        entry = self._table.find(client, request_id)
        if entry is None:
            return
        if entry in self._tasks:
            self._tasks[entry].cancel()
        else:
            self._end(entry, self._error_body(entry, _cancelled()), is_remembered=True)

    # --- replies -------------------------------------------------------------------------------

    def _send(self, waiter: Waiter, body: Body, *, seq: int = 0) -> None:
        assert self._connection is not None
        self._figures.replied(body)
        message = reply(waiter.address, body, seq=seq)
        limit, num_bytes = self._connection.max_packet_bytes, message.packet_bytes
        if num_bytes > limit:
            error = EngineError(
                f"the reply has {num_bytes} bytes, the broker takes {limit}; raise its "
                "max_packet_size",
                reason="REPLY_TOO_LARGE",
            )
            request_id = dict(body.user).get("request_id", "")
            short = error_body(error, request_id=request_id, box=self._topics.box)
            message = reply(waiter.address, short, seq=seq)
            num_bytes = message.packet_bytes
        if num_bytes > limit:
            self._connection.acknowledge(waiter.delivery)
        elif not self._connection.publish(message, acknowledges=[waiter.delivery]):
            _log.warning("a reply was dropped: too many wait for the broker")

    def _error_body(self, entry: Entry, error: SkilldError) -> Body:
        return error_body(error, request_id=entry.request_id, box=self._topics.box)

    async def _tick(self) -> None:
        assert self._connection is not None
        while True:
            await asyncio.sleep(_REFRESH_S)
            try:
                self._announcer.refresh(self._connection)
                self._memory.forget_old(time.monotonic())
            except Exception:
                _log.exception("the box could not be announced; trying again")


def _cancelled() -> CancelledError:
    return CancelledError("the caller cancelled")


def _too_late() -> DeadlineError:
    return DeadlineError("its deadline passed before its turn came")


def _cut_off() -> UnavailableError:
    return UnavailableError("the daemon is shutting down", reason="DRAINING")
