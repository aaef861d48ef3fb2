"""Boxes on a real broker: the real state machine, and a fate instead of engines and disks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from tests.brokers import PATIENCE_S

from skilld.mqtt.topics import UpdateTopics
from skilld.updates.bundle.release import CommitRule
from skilld.updates.fleet import JobAnswer, Report, report_of
from skilld.updates.machine import SkillState
from skilld.updates.machine import events as e
from skilld.updates.machine.machine import decide
from skilld.updates.machine.state import Step
from skilld.updates.publishing import read_public_key
from skilld.updates.trust import Command, Job, Order
from skilld.updates.trust.envelope import open_envelope

TOTAL_BYTES = 20 << 20
_NOW_S = 1_000.0  # no job of these tests has come to its deadline


class Fate(Enum):
    """What becomes of a job on a box."""

    COMMITS = auto()
    FAILS = auto()  # in its trial
    REFUSES = auto()
    HANGS = auto()  # in its download
    TRIES = auto()  # until an order ends the trial
    SLEEPS = auto()  # hears nothing


class SimulatedBox:
    """A box that says what it does.

    Args:
        port: of the broker.
        name: of the box.
        fate: of jobs.
        key: public half of the key that jobs must be signed with.
        active: the release it has.
        on_report: told what it says, on its own thread.
    """

    def __init__(
        self,
        port: int,
        name: str,
        fate: Fate,
        *,
        key: Path,
        active: int | None = None,
        release: str = "toy",
        on_report: Callable[[Report], None] = lambda _report: None,
    ) -> None:
        self.name = name
        self.fate = fate
        self.jobs: list[str] = []  # that were delivered, again and again where they were
        self.state = SkillState(skill=release, active=active, high_water_seq=active or 0)
        self._key = read_public_key(key)
        self._topics = UpdateTopics("skilld")
        self._answers: list[JobAnswer] = []
        self.on_report = on_report
        self._is_there = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda *_: self._on_connect()
        self._client.on_subscribe = lambda *_: self._is_there.set()
        self._client.on_message = lambda _client, _data, message: self._on_message(message)
        self._client.connect_async("127.0.0.1", port, clean_start=True)
        self._client.loop_start()
        assert self._is_there.wait(PATIENCE_S), f"{name} found no broker"

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, data: bytes | None = None) -> None:
        """Say how things stand, or something else."""
        report = report_of(self.name, self.state, answers=self._answers)
        topic = self._topics.status(self.name, self.state.skill)
        self._client.publish(topic, report.to_bytes() if data is None else data, 1, retain=True)
        if data is None:
            self.on_report(report)

    def _on_connect(self) -> None:
        kept = [
            (topic, 1)
            for kind in ("job", "order")
            for topic in [f"skilld/box/{self.name}/ota/{kind}/{self.state.skill}"]
        ]
        self._client.subscribe(kept)
        if self.state.job is not None or self.state.active is not None:
            self.say()

    def _on_message(self, message: mqtt.MQTTMessage) -> None:
        if self.fate is Fate.SLEEPS or not message.payload:
            return
        if "/job/" in message.topic:
            job, text, signatures = open_envelope(bytes(message.payload), Job, name="job")
            self._key.verify_signature(signatures[self._key.keyid], text)
            self.jobs.append(job.id)
            if not job.boxes or self.name in job.boxes:
                self.feed(e.JobArrived(job))
            return
        order, text, signatures = open_envelope(bytes(message.payload), Order, name="order")
        self._key.verify_signature(signatures[self._key.keyid], text)
        if self.name in order.boxes:
            event = e.CancelOrdered if order.command is Command.CANCEL else e.CommitOrdered
            self.feed(event(order.job))

    def feed(self, event: e.Event) -> None:
        """Have something happen; on the thread of this box."""
        events: deque[e.Event] = deque([event])
        while events:
            decision = decide(self.state, events.popleft(), _NOW_S)
            if decision.state != self.state:
                self.state = decision.state
                self.say()
            for action in decision.actions:
                if isinstance(action, e.Answer):
                    self._answers.append(
                        JobAnswer(job=action.job_id, status=action.status, reason=action.reason)
                    )
                    self.say()
                elif (done := self._done(action)) is not None:
                    events.append(done)
            if self._is_in_trial and not events and self.fate in (Fate.COMMITS, Fate.FAILS):
                events.append(trial(num_errors=9 if self.fate is Fate.FAILS else 0))

    @property
    def _is_in_trial(self) -> bool:
        return self.state.job is not None and self.state.job.step is Step.TRIAL

    def _done(self, action: e.Action) -> e.Event | None:
        match action:
            case e.Resolve() if self.fate is Fate.REFUSES:
                return e.Refused("INSUFFICIENT_SPACE", "no room for it")
            case e.Resolve():
                return e.Resolved(CommitRule())
            case e.Download():
                self._say_progress()
                return None if self.fate is Fate.HANGS else e.Downloaded()
            case e.Verify():
                return e.Verified()
            case e.Stage():
                return e.Staged()
            case e.Plan():
                return e.Planned(is_beside=True)
            case e.Activate():
                return e.Activated()
            case e.RollBack():
                return e.RolledBack()
            case _:
                return None

    def _say_progress(self) -> None:
        report = report_of(
            self.name, self.state, held_bytes=TOTAL_BYTES // 3, total_bytes=TOTAL_BYTES
        )
        self.say(report.to_bytes())


def trial(*, num_errors: int = 0) -> e.TrialReport:
    """A trial that has lasted long enough."""
    return e.TrialReport(elapsed_s=1e6, num_requests=100, num_errors=num_errors)
