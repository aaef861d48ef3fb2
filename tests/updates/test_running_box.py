"""A box with a shipped engine updates itself from a folder while callers ask it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skilld.app import Box
from skilld.app.box_updates import BoxUpdates
from skilld.app.host_memory import HostMemory
from skilld.builder.golden import GOLDEN_NAME, read_golden
from skilld.config import Config, MemoryConfig, UpdatesConfig
from skilld.core.manifest import read_manifest, write_manifest
from skilld.service import Call
from skilld.updates.box.states import StateStore
from skilld.updates.bundle.release import CommitRule
from skilld.updates.machine import Outcome, SkillState
from skilld.updates.store import DiskFiles, ReleaseStore

SHIPPED = Path(__file__).parents[2] / "engines/plc-triage/engine"
NAME = read_manifest(SHIPPED).name
CASE = read_golden(SHIPPED / GOLDEN_NAME)[0]
PATIENCE_S = 120.0
NO_KERNEL = Path("/nonexistent")
RULE = CommitRule(min_requests=5, min_seconds=0.0)
Publisher = Any  # the class of conftest.py, which cannot be imported by name
Release = Callable[[int], str]


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path) -> Publisher:
    """A publisher of today whose key may sign releases of the shipped engine."""
    site = type(publisher)(tmp_path / "stick")
    site.now = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    site.create()
    site.repository().delegate_skill(NAME, site.public("toy"), threshold=1)
    assert site.sign("targets", "toy", "online") == []
    return site


@pytest.fixture
def release(site: Publisher, tmp_path: Path) -> Release:
    """Publishes another version, leaves a job for it in the folder, and says its digest."""

    def give(seq: int) -> str:
        site.now += timedelta(minutes=1)
        folder = shutil.copytree(SHIPPED, tmp_path / f"version{seq}")
        manifest = read_manifest(folder).model_copy(update={"version": f"{seq}.0.0"})
        write_manifest(folder, manifest)
        published = site.repository().publish(folder, commit=RULE)
        assert (published.seq, site.sign("toy", "online")) == (seq, [])
        job = site.folder / f"metadata/job-{NAME}.json"
        job.with_suffix(".new").write_bytes(site.job(f"j{seq}", seq, skill=NAME))
        job.with_suffix(".new").replace(job)
        return manifest.digest

    return give


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


def state_of(config: Config) -> SkillState:
    files = DiskFiles(config.updates.store)
    return StateStore(files, ReleaseStore(files)).read(NAME)


async def test_a_stick_updates_a_box_that_serves(
    site: Publisher, release: Release, tmp_path: Path
) -> None:
    root = tmp_path / "root.json"
    root.write_bytes(site.root_bytes())
    config = Config(
        engines=(SHIPPED,),
        memory=MemoryConfig(kv_budget_bytes=16 << 20),
        updates=UpdatesConfig(
            source=str(site.folder),
            root=root,
            store=tmp_path / "store",
            poll_s=0.05,
            reserve_bytes=0,
        ),
    )

    async def ask_until_committed(box: Box, seq: int) -> list[str]:
        digests: list[str] = []
        deadline_s = time.monotonic() + PATIENCE_S
        while (state := state_of(config)).active != seq:
            assert state.job is None or state.job.is_open or state.job.job.seq != seq, state.job
            assert time.monotonic() < deadline_s, state
            digests.append(box.service.get(NAME).engine_digest)
            outcome = await box.service.invoke(Call(NAME, CASE.input))
            assert (outcome.output, outcome.abstain_reason) == (CASE.output, CASE.abstain)
        assert state.job is not None
        assert state.job.outcome is Outcome.COMMITTED
        return digests

    shipped = read_manifest(SHIPPED).digest
    second = release(1)
    async with running(config) as box:
        digests = await ask_until_committed(box, 1)
        assert digests == sorted(digests, key=[shipped, second].index)  # never back and forth
        assert digests.count(second) >= RULE.min_requests
        assert [resident.lane for resident in box.residents] == [f"{NAME}@1"]
    async with running(config) as box:
        assert [resident.lane for resident in box.residents] == [f"{NAME}@1"]
        third = release(2)
        assert set(await ask_until_committed(box, 2)) <= {second, third}
        assert [resident.lane for resident in box.residents] == [f"{NAME}@2"]
