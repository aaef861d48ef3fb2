"""`UpdateLink`: a box's updater on the broker: jobs and orders come in, reports go out.

Its connection is its own, so that a flood of calls delays no order. It lives on the daemon's event
loop and waits for the broker and the updater there, never the other way round.

    a job    is judged by the updater; one that cannot be trusted is answered REJECTED, one that
             nobody can judge now (its source is away) QUEUED, with the reason, and tried again
    an order stands while the broker keeps it: one that is there before its job, or before the
             trial it is to end, acts as soon as it can
    a report is kept by the broker, one per release name, and said again after every connection
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from pydantic import ValidationError

from skilld.config import MqttConfig
from skilld.core.errors import SkilldError, UpdateError
from skilld.mqtt.broker_address import BrokerError
from skilld.mqtt.connection import Connection, Subscription
from skilld.mqtt.connection_settings import connection_settings
from skilld.mqtt.message import Delivery, Message
from skilld.mqtt.topics import UpdateTopics
from skilld.updates.box.report_book import ReportBook
from skilld.updates.box.updater import Updater
from skilld.updates.box.wishes import Wish, Wishes
from skilld.updates.fleet.report import JobAnswer, Report
from skilld.updates.machine.state import SkillState, Status
from skilld.updates.trust.envelope import claimed_id, open_envelope
from skilld.updates.trust.job import Job
from skilld.updates.trust.order import Order

_log = logging.getLogger("skilld.updates")

# Of a document itself. Whatever else is wrong may be right the next time.
_FINAL = frozenset({"BAD_JOB", "UNSIGNED_JOB", "NOT_FOR_THIS_BOX", "OTHER_RELEASE"})
_FINAL_OF_ORDERS = frozenset({"BAD_ORDER", "UNSIGNED_ORDER", "NOT_FOR_THIS_BOX"})
_RETRY_S = 1.0
_GOODBYE_S = 1.0

ResultT = TypeVar("ResultT")


class UpdaterDriver(Protocol):
    """Whoever drives the updater; see `UpdaterThread`."""

    def order(self, what: Callable[[Updater], ResultT]) -> Future[ResultT]:
        """Let its thread do something with the updater."""


class UpdateLink:
    """See the module docstring.

    Args:
        config: of the broker.
        box: name of this box.

    Raises:
        SkilldError: the configuration or one of its files cannot be right.
    """

    def __init__(self, config: MqttConfig, box: str) -> None:
        settings = connection_settings(config, client_id=f"skilld-{box}-updates", will=None)
        assert settings is not None
        try:
            Report(box=box, release="any")
        except ValidationError as error:
            raise BrokerError(
                f"mqtt.box: {box!r} is no name for a box that is updated over MQTT: lower-case "
                "letters, digits and . _ -, at most 64"
            ) from error
        self._box = box
        self._topics = UpdateTopics(config.prefix)
        self._book = ReportBook(box)
        self._jobs, self._orders = Wishes(), Wishes()
        self._standing: dict[str, Order] = {}  # by release: signed, and still kept by the broker
        self._report_is_due, self._job_is_due = asyncio.Event(), asyncio.Event()
        self._order_is_due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._updater: UpdaterDriver | None = None
        self._connection = Connection(settings, self)

    def start(
        self, updater: UpdaterDriver, states: Iterable[SkillState], names: Iterable[str]
    ) -> None:
        """Begin; call on the running event loop. Waits for nothing.

        Args:
            updater: whom jobs and orders are handed to.
            states: of the names that have one.
            names: of everything the box serves.
        """
        self._updater = updater
        for name in names:
            self._book.begin(name)
        for state in states:
            self._book.on_state(state)
        self._tasks = [
            asyncio.create_task(
                _repeat(self._report, self._report_is_due, self._next_report_s),
                name="skilld-update-reports",
            ),
            asyncio.create_task(
                _repeat(self._judge_jobs, self._job_is_due, self._jobs.next_s),
                name="skilld-update-jobs",
            ),
            asyncio.create_task(
                _repeat(self._judge_orders, self._order_is_due, self._orders.next_s),
                name="skilld-update-orders",
            ),
        ]
        self._connection.start()

    async def stop(self) -> None:
        """Say what is left to say, and goodbye."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._tasks:
            await self._report()
            await self._connection.stop(_GOODBYE_S)

    # --- what the updater says -------------------------------------------------------------------

    def on_state(self, state: SkillState) -> None:
        """A name has a new state."""
        self._book.on_state(state)
        self._report_is_due.set()
        record, order = state.job, self._standing.get(state.skill)
        if record is None or order is None or not record.is_open or order.job != record.job.id:
            return
        self._order(lambda updater: updater.obey(order))

    def on_progress(self, release: str, held_bytes: int, total_bytes: int) -> None:
        """More of a release is here."""
        if self._book.on_progress(release, held_bytes, total_bytes):  # else it is due already
            self._report_is_due.set()

    def on_wait(self, release: str, reason: str, message: str) -> None:
        """An update cannot go on now."""
        self._book.on_wait(release, reason, message)
        self._report_is_due.set()

    def on_answer(
        self, release: str, job_id: str, status: Status, reason: str, message: str = ""
    ) -> None:
        """What became of a job that is not the current one."""
        answer = JobAnswer(job=job_id, status=status, reason=reason, message=message[:512])
        self._book.on_answer(release, answer)
        self._report_is_due.set()

    def on_dead(self, message: str) -> None:
        """The updater has come to its end, by a mistake of ours."""
        for release in self._book.releases:
            self._book.on_wait(release, "UPDATER_FAILED", message)
        self._report_is_due.set()

    # --- what the broker says --------------------------------------------------------------------

    def on_up(self) -> None:
        """A connection is there."""
        self._connection.subscribe(
            [
                Subscription(self._topics.every(self._box, "job"), skips_retained=False),
                Subscription(self._topics.every(self._box, "order"), skips_retained=False),
                Subscription(self._topics.every(self._box, "status"), skips_retained=False),
            ]
        )
        self._book.forget()
        self._report_is_due.set()

    def on_down(self, reason: str) -> None:
        """It is gone; updates go on."""

    def on_message(self, delivery: Delivery) -> None:
        """A job, an order, or what the broker keeps of our own reports."""
        self._connection.acknowledge(delivery)
        payload = delivery.message.payload
        match self._topics.read(delivery.message.topic):
            case (self._box, "job", release):
                if self._jobs.arrived(release, payload, time.monotonic()):
                    self._job_is_due.set()
            case (self._box, "order", release):
                if self._orders.arrived(release, payload, time.monotonic()):
                    self._standing.pop(release, None)
                    self._order_is_due.set()
            case (self._box, "status", release):
                if not self._book.heard(release, payload) and payload:
                    self._publish(release, b"")  # of an earlier life of this box
                self._report_is_due.set()

    # --- tasks -----------------------------------------------------------------------------------

    def _next_report_s(self) -> float | None:
        return self._book.next_s() if self._connection.is_up else None

    async def _report(self) -> None:
        now_s = time.monotonic()
        if not self._connection.is_up:
            return
        for release, payload in self._book.due(now_s):
            if not self._publish(release, payload):
                await asyncio.sleep(_RETRY_S)  # too many wait for a slow broker
                return
            self._book.told(release, payload, now_s)

    def _publish(self, release: str, payload: bytes) -> bool:
        topic = self._topics.status(self._box, release)
        message = Message(topic, payload, retain=True)
        if message.packet_bytes > self._connection.max_packet_bytes:
            _log.error("%s: the broker takes no message of %d bytes", topic, len(payload))
            return True
        return self._connection.publish(message)

    async def _judge_jobs(self) -> None:
        while wish := self._jobs.next(time.monotonic()):
            try:
                await self._take_job(wish)
            except SkilldError as error:
                is_final = error.reason in _FINAL
                self._refuse(wish, error, Status.REJECTED if is_final else Status.QUEUED)
                if not is_final:
                    self._jobs.put_off(wish, time.monotonic())
                    continue
            self._jobs.judged(wish)

    async def _take_job(self, wish: Wish) -> None:
        job = open_envelope(wish.data, Job, name="job")[0]
        if job.skill != wish.release:
            raise UpdateError(
                f"job {job.id!r} is for releases of {job.skill!r}, and came as one for "
                f"{wish.release!r}",
                reason="OTHER_RELEASE",
            )
        await asyncio.wrap_future(self._order(lambda updater: updater.submit(wish.data)))

    def _refuse(self, wish: Wish, error: SkilldError, status: Status) -> None:
        job_id = claimed_id(wish.data)
        _log.warning("%s: job %s: %s: %s", wish.release, job_id, status, error.message)
        if self._jobs.holds(wish):
            self.on_answer(wish.release, job_id, status, error.reason, error.message)

    async def _judge_orders(self) -> None:
        while wish := self._orders.next(time.monotonic()):
            try:
                order = await self._take_order(wish)
            except SkilldError as error:
                _log.warning("%s: no order: %s", wish.release, error.message)
                if error.reason not in _FINAL_OF_ORDERS:
                    self._orders.put_off(wish, time.monotonic())
                    continue
            else:
                _log.info("%s: ordered to %s job %s", wish.release, order.command, order.job)
                if self._orders.holds(wish):
                    self._stand(wish.release, order)
            self._orders.judged(wish)

    async def _take_order(self, wish: Wish) -> Order:
        return await asyncio.wrap_future(self._order(lambda updater: updater.order(wish.data)))

    def _stand(self, release: str, order: Order) -> None:
        self._standing[release] = order
        # Once more: its job may have come while nobody knew that it stands.
        self._order(lambda updater: updater.obey(order))

    def _order(self, what: Callable[[Updater], ResultT]) -> Future[ResultT]:
        assert self._updater is not None
        return self._updater.order(what)


async def _repeat(
    work: Callable[[], Awaitable[None]], is_due: asyncio.Event, next_s: Callable[[], float | None]
) -> None:
    """Do it whenever something has changed, or it is time."""
    while True:
        is_due.clear()
        try:
            await work()
        except Exception:
            _log.exception("updates over MQTT: trying again")
            await asyncio.sleep(_RETRY_S)
        due_s = next_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if due_s is None else due_s - time.monotonic()):
                await is_due.wait()
