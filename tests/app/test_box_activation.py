"""Two versions of a shipped engine in one running box: callers do not notice which one answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from tests import versions

from skilld.app import Box
from skilld.app.box_activation import BoxActivation
from skilld.app.host_memory import HostMemory
from skilld.app.resident import find_engines
from skilld.app.trials import Trials
from skilld.builder.golden import GOLDEN_NAME, GoldenCase, read_golden
from skilld.config import Config, MemoryConfig
from skilld.core.errors import (
    ArtefactError,
    NotFoundError,
    SkilldError,
    UnavailableError,
    UpdateError,
)
from skilld.core.manifest import read_manifest
from skilld.service import Call
from skilld.updates.box.activation import activate, roll_back
from skilld.updates.bundle.release import SelfTest

SHIPPED = Path(__file__).parents[2] / "engines/plc-triage/engine"
NAME = read_manifest(SHIPPED).name
CASES = read_golden(SHIPPED / GOLDEN_NAME)[: versions.NUM_CASES]
SKILL = CASES[0].skill
MIB = 1 << 20
NO_KERNEL = Path("/nonexistent")
ResultT = TypeVar("ResultT")
MakeVersion = Callable[..., Path]


@pytest.fixture
def make_version(tmp_path: Path) -> MakeVersion:
    """Later versions of the shipped engine, as the updater lays them out."""

    def make(seq: int, *, golden: str | None = None) -> Path:
        folder = tmp_path / f"releases/{NAME}/{seq}"
        versions.make_version(SHIPPED, folder, f"{seq}.0.0", golden=golden)
        return folder

    return make


@contextlib.asynccontextmanager
async def running(
    total_bytes: int | None = None, engines: Path = SHIPPED
) -> AsyncIterator[tuple[Box, BoxActivation]]:
    """A box with the shipped engine, and the updater's view of it."""
    memory = MemoryConfig(kv_budget_bytes=16 * MIB, total_bytes=total_bytes)
    box = Box(Config(engines=(engines,), memory=memory))
    box.start()
    try:
        yield box, attached(box)
        await asyncio.to_thread(box.engine_loop.run, box.engine_loop.check)
        assert {r.lane for r in box.residents} == set(box.ledger.accounts)
        for resident in box.residents:
            assert box.ledger.accounts[resident.lane].min_bytes == resident.min_bytes
            assert (await figures_of(box, resident.lane))["kv_reserved_bytes"] == 0
    finally:
        await box.stop()


def attached(box: Box) -> BoxActivation:
    host = HostMemory(NO_KERNEL, cgroup=NO_KERNEL)
    activation = BoxActivation(box.config, host, trials=Trials())
    activation.attach(box)
    return activation


async def figures_of(box: Box, lane: str) -> dict[str, object]:
    return next(f for f in await box.service.snapshot() if f["engine"] == lane)


class Callers:
    """Several who ask one golden case after the other until they are told to stop."""

    def __init__(self, box: Box, count: int = 6) -> None:
        self.num_answers: dict[str, int] = {}  # by digest
        self.wrong: list[str] = []
        self.errors: list[SkilldError] = []
        self._box = box
        self._is_done = False
        self._tasks = [asyncio.create_task(self._ask(n)) for n in range(count)]

    async def _ask(self, first: int) -> None:
        number = first
        while not self._is_done:
            case = CASES[number % len(CASES)]
            number += 1
            try:
                # As the transports do: whose answer it is, is asked in the same breath.
                entry = self._box.service.offering.get(SKILL)
                outcome = await self._box.service.invoke(Call(SKILL, case.input, client=str(first)))
            except SkilldError as error:
                self.errors.append(error)
                await asyncio.sleep(0.005)  # the box has something better to do
                continue
            digest = entry.engine_digest
            self.num_answers[digest] = self.num_answers.get(digest, 0) + 1
            if (outcome.output, outcome.abstain_reason) != (case.output, case.abstain):
                self.wrong.append(json.dumps(case.input))

    async def answered_by(self, digest: str) -> None:
        before = self.num_answers.get(digest, 0)
        while self.num_answers.get(digest, 0) < before + 10:
            assert not self._is_done
            done, _ = await asyncio.wait(self._tasks, timeout=0.01)
            assert not done

    async def stop(self) -> None:
        self._is_done = True
        await asyncio.gather(*self._tasks)


def self_test(num_cases: int = len(CASES)) -> SelfTest:
    return SelfTest(path=GOLDEN_NAME, num_cases=num_cases)


async def one(box: Box, case: GoldenCase = CASES[0]) -> None:
    outcome = await box.service.invoke(Call(SKILL, case.input))
    assert (outcome.output, outcome.abstain_reason) == (case.output, case.abstain)


async def update(box: BoxActivation, candidate: Path, *, old: Path | None = None) -> bool:
    """As the updater does it; says whether both were loaded at once."""
    is_beside = await asyncio.to_thread(box.fits_beside, NAME, candidate)
    if not is_beside:
        await asyncio.to_thread(box.retire, NAME, old)
    await asyncio.to_thread(
        activate, box, NAME, candidate=candidate, old=old, is_beside=is_beside, test=self_test()
    )
    return is_beside


async def test_no_call_is_dropped_when_versions_change_places_under_load(
    make_version: MakeVersion,
) -> None:
    folders = [make_version(seq) for seq in (2, 3)]
    digests = [read_manifest(folder).digest for folder in (SHIPPED, *folders)]
    assert len(set(digests)) == 3
    async with running() as (box, activation):
        callers = Callers(box)
        await callers.answered_by(digests[0])
        assert await update(activation, folders[0])
        await callers.answered_by(digests[1])
        assert await update(activation, folders[1], old=folders[0])
        await callers.answered_by(digests[2])
        await asyncio.to_thread(roll_back, activation, NAME, to=None, candidate=folders[1])
        await callers.answered_by(digests[0])
        await callers.stop()
        assert callers.errors == []
        assert set(callers.num_answers) == set(digests)
        # Quantized arithmetic differs a little with what else is in the batch.
        assert len(callers.wrong) <= sum(callers.num_answers.values()) // 50
        assert [resident.lane for resident in box.residents] == [NAME]


async def test_a_loaded_version_is_not_offered_until_calls_are_sent_to_it(
    make_version: MakeVersion,
) -> None:
    folder = make_version(7)
    async with running() as (box, activation):
        await asyncio.to_thread(activation.load, NAME, folder)
        assert {resident.lane for resident in box.residents} == {NAME, f"{NAME}@7"}
        assert box.service.offering.get(SKILL).manifest.version != "7.0.0"
        assert await asyncio.to_thread(activation.self_test, NAME, folder, self_test()) == []
        await one(box)
        status = {engine.manifest.version: engine for engine in (await box.status()).engines}
        assert status["7.0.0"].skills == ()
        assert sum(status["7.0.0"].figures["ended"].values()) == len(CASES)
        await asyncio.to_thread(activation.route, NAME, folder)
        assert box.service.offering.get(SKILL).manifest.version == "7.0.0"
        await one(box)
        assert [e.manifest.version for e in box.service.offering.skills()] == ["7.0.0"]
        await asyncio.to_thread(activation.retire, NAME, None)
        await one(box)


async def test_a_version_that_answers_wrong_never_serves(make_version: MakeVersion) -> None:
    lines = (SHIPPED / GOLDEN_NAME).read_text("utf-8").splitlines()[: versions.NUM_CASES]
    first = json.loads(lines[0]) | {"output": {"wrong": True}}
    first.pop("abstain", None)
    bad = make_version(2, golden="\n".join([json.dumps(first), *lines[1:]]))
    digest = read_manifest(bad).digest
    async with running() as (box, activation):
        callers = Callers(box, 2)
        with pytest.raises(UpdateError, match=f"1 of {len(CASES)} golden cases failed") as failed:
            await update(activation, bad)
        assert failed.value.reason == "SELF_TEST_FAILED"
        await asyncio.to_thread(roll_back, activation, NAME, to=None, candidate=bad)
        await callers.stop()
        assert callers.errors == []
        assert digest not in callers.num_answers
        assert [resident.lane for resident in box.residents] == [NAME]


async def test_cases_that_are_missing_fail_the_self_test(make_version: MakeVersion) -> None:
    folder = make_version(2, golden="")
    async with running() as (_, activation):
        await asyncio.to_thread(activation.load, NAME, folder)
        (failure,) = await asyncio.to_thread(activation.self_test, NAME, folder, self_test())
        assert "0 cases" in failure
        await asyncio.to_thread(activation.retire, NAME, folder)


async def test_a_call_in_flight_ends_where_it_began(make_version: MakeVersion) -> None:
    folder = make_version(2)
    async with running() as (box, activation):
        await asyncio.to_thread(activation.load, NAME, folder)
        events = box.service.stream(Call(SKILL, CASES[0].input))
        async with contextlib.aclosing(events):
            await anext(events)  # accepted, by the old one
            await asyncio.to_thread(activation.route, NAME, folder)
            retiring = asyncio.create_task(asyncio.to_thread(activation.retire, NAME, None))
            await one(box)
            assert not retiring.done()
            assert {r.lane for r in box.residents} == {NAME, f"{NAME}@2"}
            outcome = [event async for event in events][-1]
        await retiring
        assert getattr(outcome, "output", None) == CASES[0].output
        assert [resident.lane for resident in box.residents] == [f"{NAME}@2"]


async def test_without_room_for_both_callers_are_told_when_to_come_back(
    make_version: MakeVersion,
) -> None:
    folder = make_version(2)
    digest = read_manifest(folder).digest
    async with running() as (box, _):
        assert attached(box).fits_beside(NAME, folder)  # nobody knows how much memory there is
    async with running(total_bytes=450 * MIB) as (box, activation):
        callers = Callers(box, 2)
        await callers.answered_by(read_manifest(SHIPPED).digest)
        assert not await update(activation, folder)
        await callers.answered_by(digest)
        assert activation.fits_beside(NAME, folder)  # it is loaded
        assert not activation.fits_beside(NAME, None)
        await asyncio.to_thread(roll_back, activation, NAME, to=None, candidate=folder)
        await callers.answered_by(read_manifest(SHIPPED).digest)
        await callers.stop()
        assert callers.errors
        for error in callers.errors:
            assert isinstance(error, UnavailableError)
            assert error.reason == "UPDATING"
            assert error.retry_after_s
        assert box.service.offering.paused == set()


async def test_a_version_that_cannot_be_loaded_leaves_all_as_it_was(
    make_version: MakeVersion,
) -> None:
    folder = make_version(2)
    (folder / "model.bin").write_bytes(b"short")
    async with running() as (box, activation):
        with pytest.raises(ArtefactError, match=r"model\.bin"):
            await update(activation, folder)
        await asyncio.to_thread(roll_back, activation, NAME, to=None, candidate=folder)
        await one(box)
        assert [resident.lane for resident in box.residents] == [NAME]


async def test_a_name_the_box_was_not_set_up_with_comes_and_goes(
    make_version: MakeVersion,
) -> None:
    folder = make_version(1)
    other = next(p for p in find_engines([SHIPPED.parents[1]]) if read_manifest(p).name != NAME)
    async with running(engines=other) as (box, activation):
        assert await update(activation, folder)
        await one(box)
        await asyncio.to_thread(roll_back, activation, NAME, to=None, candidate=folder)
        with pytest.raises(NotFoundError):
            box.service.offering.get(SKILL)
