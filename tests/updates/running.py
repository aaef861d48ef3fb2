"""A running box with a shipped engine, a depot, and a field team, around a real broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.brokers import Broker
from tests.transports.mqtt.conftest import Client
from tests.versions import make_version

from skilld.app import Box
from skilld.app.box_updates import BoxUpdates
from skilld.app.host_memory import HostMemory
from skilld.builder.golden import GOLDEN_NAME, read_golden
from skilld.config import Config, MemoryConfig, MqttConfig, UpdatesConfig
from skilld.core.manifest import read_manifest
from skilld.mqtt.topics import UpdateTopics
from skilld.service import Call
from skilld.updates.bundle.release import CommitRule
from skilld.updates.fleet import Report, read_report
from skilld.updates.trust import Command, Order, sign_order

SHIPPED = Path(__file__).parents[2] / "engines/plc-triage/engine"
NAME = read_manifest(SHIPPED).name
CASE = next(case for case in read_golden(SHIPPED / GOLDEN_NAME) if case.abstain is None)
PATIENCE_S = 120.0
NO_KERNEL = Path("/nonexistent")
BOX = "box1"
TOPICS = UpdateTopics("skilld")
AT_ONCE = CommitRule(min_requests=0, min_seconds=0.0)
NEVER = CommitRule(min_requests=1_000_000, min_seconds=0.0)
Publisher = Any  # the class of conftest.py, which cannot be imported by name


class PlantSite:
    """A publisher of today whose keys may sign releases of the shipped engine, and jobs."""

    def __init__(self, publisher: Publisher, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self.publisher = type(publisher)(tmp_path / "depot")
        self.publisher.now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        self.publisher.create()
        self.publisher.repository().delegate_skill(NAME, self.publisher.public("toy"), threshold=1)
        assert self.publisher.sign("targets", "toy", "online") == []

    @property
    def folder(self) -> Path:
        folder: Path = self.publisher.folder
        return folder

    def release(self, seq: int, *, commit: CommitRule = AT_ONCE, weights: bytes = b"") -> str:
        """Publish another version; returns its digest."""
        self.publisher.now += timedelta(minutes=1)
        folder = self._tmp_path / f"version{seq}"
        digest = make_version(SHIPPED, folder, f"{seq}.90.0")
        published = self.publisher.repository().publish(folder, commit=commit)
        assert (published.seq, self.publisher.sign("toy", "online")) == (seq, [])
        return digest

    def job(self, job_id: str, seq: int, **fields: Any) -> bytes:
        self.publisher.now += timedelta(minutes=1)
        job: bytes = self.publisher.job(job_id, seq, skill=NAME, **fields)
        return job

    def order(self, job_id: str, command: Command, *, signed_by: str = "jobs") -> bytes:
        order = Order(job=job_id, command=command)
        return sign_order(order, [self.publisher.keys[signed_by]])

    def config(self, broker: str, source: str, **updates: Any) -> Config:
        root = self._tmp_path / "root.json"
        root.write_bytes(self.publisher.root_bytes())
        return Config(
            engines=(SHIPPED,),
            memory=MemoryConfig(kv_budget_bytes=16 << 20),
            mqtt=MqttConfig(broker=broker, box=BOX),
            updates=UpdatesConfig(
                source=source,
                root=root,
                store=self._tmp_path / "store",
                poll_s=0.05,
                reserve_bytes=0,
                **updates,
            ),
        )


class FieldTeam:
    """Publishes jobs and orders, and reads nothing but what the broker keeps of a box."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.reports: list[Report] = []

    def job(self, data: bytes, *, release: str = NAME) -> None:
        self._client.publish(TOPICS.job(BOX, release), data, retain=True)

    def order(self, data: bytes) -> None:
        self._client.publish(TOPICS.order(BOX, NAME), data, retain=True)

    def forge(self, release: str, report: bytes) -> None:
        self._client.publish(TOPICS.status(BOX, release), report, retain=True)

    async def cleared(self, release: str) -> None:
        """Wait until the broker keeps no report of a release any more."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(TimeoutError):
                    received = await self._client.next()
                    if (received.topic, received.payload) == (TOPICS.status(BOX, release), b""):
                        return

    async def report(self, is_it: Callable[[Report], bool], *, release: str = NAME) -> Report:
        """Wait for a report; all those before it are kept as well."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    received = await self._client.next()
                except TimeoutError:
                    continue
                if received.topic == TOPICS.status(BOX, release) and received.payload:
                    report = read_report(received.payload)
                    self.reports.append(report)
                    if is_it(report):
                        return report

    async def answer(self, job_id: str, *, release: str = NAME) -> tuple[str, str]:
        """Wait for the answer to a job; returns its status and reason."""
        report = await self.report(
            lambda report: job_id in [a.job for a in report.answers], release=release
        )
        answer = next(a for a in report.answers if a.job == job_id)
        return answer.status.value, answer.reason

    async def ended(self, job_id: str) -> Report:
        return await self.report(lambda report: report.job == job_id and not report.is_open)

    async def at(self, job_id: str, step: str) -> Report:
        return await self.report(lambda report: (report.job, report.step) == (job_id, step))


@contextlib.asynccontextmanager
async def field_team(broker: Broker, name: str = "team") -> AsyncIterator[FieldTeam]:
    client = Client(broker.port, name)
    await client.event("connected")
    await client.subscribe(TOPICS.every(BOX, "status"))
    try:
        yield FieldTeam(client)
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Box]:
    """As the daemon does it."""
    host = HostMemory(NO_KERNEL, cgroup=NO_KERNEL)
    updates = await asyncio.to_thread(BoxUpdates, config, host)
    box = Box(config, instead=updates.folders)
    box.start()
    updates.start(box)
    try:
        yield box
    finally:
        await updates.stop()
        await box.stop()


async def call(box: Box) -> str:
    """One call; returns the digest of the engine that answers it."""
    digest = box.service.offering.get(NAME).engine_digest
    outcome = await box.service.invoke(Call(NAME, CASE.input))
    assert (outcome.output, outcome.abstain_reason) == (CASE.output, CASE.abstain)
    return digest
