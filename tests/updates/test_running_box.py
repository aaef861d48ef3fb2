"""A box with a shipped engine updates itself from a folder while callers ask it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.updates.running import CASE, NAME, PATIENCE_S, SHIPPED, running
from tests.versions import make_version

from skilld.app import Box
from skilld.config import Config, MemoryConfig, UpdatesConfig
from skilld.core.manifest import read_manifest
from skilld.service import Call
from skilld.updates.box.states import StateStore
from skilld.updates.bundle.release import CommitRule
from skilld.updates.machine import Outcome, SkillState
from skilld.updates.store import DiskFiles, ReleaseStore

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
        folder = tmp_path / f"version{seq}"
        digest = make_version(SHIPPED, folder, f"{seq}.90.0")
        published = site.repository().publish(folder, commit=RULE)
        assert (published.seq, site.sign("toy", "online")) == (seq, [])
        job = site.folder / f"metadata/job-{NAME}.json"
        job.with_suffix(".new").write_bytes(site.job(f"j{seq}", seq, skill=NAME))
        job.with_suffix(".new").replace(job)
        return digest

    return give


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
            digests.append(box.service.offering.get(NAME).engine_digest)
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
