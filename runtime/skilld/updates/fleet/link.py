"""`FleetLink`: the field team's side of a broker: signed jobs and orders go out, reports come in.

The broker keeps the last message of every topic, so what stands there is known after a moment: a
message of our own comes back behind all of that (`is_ready`). What is sent is known to be there
when the broker hands it back. After a lost connection both begin anew.

A broker drops what a client does not take fast enough (mosquitto: beyond 1000 messages), and says
nothing. So what it keeps is asked for kind by kind, of the boxes that are meant if they are named,
and reports are asked for again every now and then.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from typing import Literal

from skilld.config import MqttConfig
from skilld.core.errors import InvalidRequestError, UnavailableError
from skilld.mqtt.connection import Connection, Subscription
from skilld.mqtt.connection_settings import connection_settings
from skilld.mqtt.message import Delivery, Message
from skilld.mqtt.topics import Topics, UpdateTopics
from skilld.updates.fleet.report import Report, read_report

_STOP_S = 2.0
_PATIENCE_S = 30.0
_ASK_AGAIN_S = 10.0
_MAX_PROBLEMS = 100

Key = tuple[str, str]  # box, release


class FleetLink:
    """See the module docstring. Lives on the event loop it is started on.

    Args:
        config: of the broker.
        release: the name whose updates are meant; None for all.
        boxes: that are meant; empty for all.

    Raises:
        SkilldError: the configuration or one of its files cannot be right.
    """

    def __init__(
        self, config: MqttConfig, *, release: str | None = None, boxes: Sequence[str] = ()
    ) -> None:
        self.topics = UpdateTopics(config.prefix)
        self.broker = config.broker
        self.reports: dict[Key, Report] = {}
        self.jobs: dict[Key, bytes] = {}  # as the broker keeps them, unchecked
        self.offline: set[str] = set()  # boxes that say so, or of whom their broker says so
        self.is_ready = False
        name = f"field-{secrets.token_hex(6)}"
        settings = connection_settings(config, client_id=f"skilld-{name}", will=None)
        assert settings is not None, "there is no broker to speak to"
        self._release = release
        self._boxes = boxes
        # Nobody listens there; of all topics only these may be both written and read.
        self._own_topic = self.topics.order(name, "here")
        self._unsaid: list[Report] = []
        self._problems: list[str] = []
        self._sent: dict[str, bytes] = {}  # not yet handed back
        self._waits_s: float | None = None  # since when the broker has something to hand back
        self._news = asyncio.Event()
        self._stages = [
            self._filters("status"),
            self._filters("job"),
            [Subscription(topics, skips_retained=False) for topics in self._presence()],
        ]
        self._stage = 0  # of them, that is being handed over
        self._asked_s = 0.0  # when that was asked for last; reports, once it is ready
        self._connection = Connection(settings, self)

    def start(self) -> None:
        """Begin to connect; call on the running event loop."""
        self._connection.start()

    async def stop(self) -> None:
        """Send what is queued, and leave."""
        await self._connection.stop(timeout_s=_STOP_S)

    async def news(self, timeout_s: float) -> None:
        """Wait until something is new, but not longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return
        finally:
            self._news.clear()

    async def ready(self, timeout_s: float) -> None:
        """Wait until all is known that the broker keeps.

        Raises:
            UnavailableError: reason BROKER_UNAVAILABLE or NOT_TAKEN.
        """
        until_s = time.monotonic() + timeout_s
        while not self.is_ready:
            if time.monotonic() >= until_s:
                raise self._not_taken() if self._connection.is_up else self._away()
            self.tend()
            await self.news(0.2)

    async def settled(self, timeout_s: float) -> None:
        """Wait until the broker has all that was sent.

        Raises:
            UnavailableError: reason BROKER_UNAVAILABLE or NOT_TAKEN.
        """
        until_s = time.monotonic() + timeout_s
        while self._sent:
            if time.monotonic() >= until_s:
                raise self._not_taken() if self._connection.is_up else self._away()
            await self.news(0.2)

    def tend(self) -> None:
        """Ask again for what may be lost; call every now and then.

        Raises:
            UnavailableError: reason NOT_TAKEN: a broker that is there does not do what it is asked
                to. One that is away may take as long as it likes.
        """
        now_s = time.monotonic()
        if self._waits_s is not None and now_s - self._waits_s > _PATIENCE_S:
            raise self._not_taken()
        if self._connection.is_up and now_s - self._asked_s > _ASK_AGAIN_S:
            self._ask(self._stage if not self.is_ready else 0)
            for topic, data in self._sent.items() if self.is_ready else ():
                self._publish(topic, data)

    def _not_taken(self) -> UnavailableError:
        what = min(self._sent, default=self._own_topic) if self.is_ready else self._own_topic
        return UnavailableError(
            f"the broker at {self.broker} does not take and hand back {what}; does its access "
            "list know this name as a field team's?",
            reason="NOT_TAKEN",
        )

    def _away(self) -> UnavailableError:
        problem = self._connection.problem or "does not answer"
        return UnavailableError(
            f"the broker at {self.broker} {problem}", reason="BROKER_UNAVAILABLE"
        )

    def send(self, topic: str, data: bytes) -> None:
        """Have the broker keep something; nothing, when it is empty."""
        self._sent[topic] = data
        if self.is_ready:
            self._waits_s = time.monotonic()
            self._publish(topic, data)

    def job_at(self, box: str, release: str) -> bytes:
        """The job the broker keeps for a box, or will once it has what was sent; b"" for none."""
        return self._sent.get(self.topics.job(box, release), self.jobs.get((box, release), b""))

    def take_reports(self) -> list[Report]:
        """What boxes said since the last time, in order."""
        taken, self._unsaid = self._unsaid, []
        return taken

    def take_problems(self) -> list[str]:
        """What went wrong since the last time, each a line for a person."""
        taken, self._problems = self._problems, []
        return taken

    # --- told by the connection -----------------------------------------------------------------

    def on_up(self) -> None:
        """A connection is there."""
        self.reports.clear()
        self.jobs.clear()
        self.offline.clear()
        self._waits_s = time.monotonic()
        orders = self._filters("order", skips_retained=True)
        self._connection.subscribe([Subscription(self._own_topic), *orders])
        self._ask(0)

    def on_down(self, reason: str) -> None:
        """It is gone; another one is being tried for."""
        self.is_ready = False
        self._waits_s = None
        self._news.set()

    def on_message(self, delivery: Delivery) -> None:
        """Something is kept, or was just said."""
        self._connection.acknowledge(delivery)
        message = delivery.message
        if message.topic == self._own_topic:
            self._on_handed_over(message.payload)
        elif (read := self.topics.read(message.topic)) is not None:
            self._on_kept(*read, message)
        elif (box := self.topics.box_of_status(message.topic)) is not None:
            is_offline = _state_of(message.payload) == "offline"
            (self.offline.add if is_offline else self.offline.discard)(box)
        self._news.set()

    def _ask(self, stage: int) -> None:
        self._stage, self._asked_s = stage, time.monotonic()
        self._connection.subscribe(self._stages[stage])
        self._connection.publish(Message(self._own_topic, str(stage).encode()))

    def _on_handed_over(self, stage: bytes) -> None:
        """All of a stage is here, as its end is."""
        if self.is_ready or stage != str(self._stage).encode():
            return
        if self._stage + 1 < len(self._stages):
            self._ask(self._stage + 1)
            return
        self.is_ready = True
        self._waits_s = time.monotonic() if self._sent else None
        for topic, data in self._sent.items():
            self._publish(topic, data)

    def _on_kept(self, box: str, kind: str, release: str, message: Message) -> None:
        if self._sent.get(message.topic) == message.payload:
            del self._sent[message.topic]
            if self.is_ready:
                self._waits_s = time.monotonic() if self._sent else None
        if kind == "job":
            self.jobs[box, release] = message.payload
        elif kind == "status":
            self._on_status(box, release, message.payload)

    def _on_status(self, box: str, release: str, data: bytes) -> None:
        if not data:
            self.reports.pop((box, release), None)  # it was taken off the site
            return
        try:
            report = read_report(data)
        except InvalidRequestError as error:
            self._complain(f"{box}: what it says of {release} is not understood: {error.message}")
            return
        if (report.box, report.release) != (box, release):
            self._complain(
                f"{box}: speaks as {report.box} of {report.release} where it should speak for "
                f"itself of {release}; not believed"
            )
            return
        self.reports[box, release] = report
        self._unsaid.append(report)

    def _filters(
        self, kind: Literal["job", "order", "status"], *, skips_retained: bool = False
    ) -> list[Subscription]:
        if not self._boxes:
            topics = [self.topics.everywhere(kind, self._release)]
        elif self._release is None:
            topics = [self.topics.every(box, kind) for box in self._boxes]
        else:
            name = {"job": self.topics.job, "order": self.topics.order}.get(
                kind, self.topics.status
            )
            topics = [name(box, self._release) for box in self._boxes]
        return [Subscription(one, skips_retained=skips_retained) for one in topics]

    def _presence(self) -> list[str]:
        if not self._boxes:
            return [self.topics.every_box]
        return [Topics(self.topics.prefix, box).status for box in self._boxes]

    def _complain(self, line: str) -> None:
        if len(self._problems) < _MAX_PROBLEMS:
            self._problems.append(line)

    def _publish(self, topic: str, data: bytes) -> None:
        self._connection.publish(Message(topic, data, retain=True))


def _state_of(data: bytes) -> object:
    try:
        status = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return status.get("state") if isinstance(status, dict) else None
