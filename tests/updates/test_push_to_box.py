"""`skilld release push`, a running box, and the broker that `skilld broker-config` guards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import Broker
from tests.transports.mqtt.test_broker_config import config_of, guarded, pem
from tests.updates.running import BOX, NAME, NEVER, PATIENCE_S, PlantSite, call, running

from skilld.config import Config

__all__ = ["guarded", "pem"]

Publisher = Any  # the class of conftest.py, which cannot be imported by name


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path) -> PlantSite:
    return PlantSite(publisher, tmp_path)


@pytest.fixture
def config(site: PlantSite, guarded: Broker, pem: Path) -> Config:
    plain = site.config(guarded.address, str(site.folder))
    return plain.model_copy(update={"mqtt": config_of(guarded, pem, BOX)})


class Team:
    """Runs `skilld release ...` with the certificate of a name."""

    def __init__(self, site: PlantSite, guarded: Broker, pem: Path, tmp_path: Path) -> None:
        self._key = tmp_path / "jobs.pem"
        self._key.touch(mode=0o600)
        self._key.write_bytes(site.publisher.keys["jobs"].private_bytes)
        self._broker, self._pem = guarded, pem

    @contextlib.asynccontextmanager
    async def begin(
        self, *words: object, name: str = "team1"
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "skilld.cli", "release", *map(str, words)),
            *("--key", str(self._key), "--broker", self._broker.address),
            *("--ca", str(self._pem / "ca.pem"), "--certificate", str(self._pem / f"{name}.pem")),
            *("--certificate-key", str(self._pem / f"{name}.key")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    async def run(self, *words: object, name: str = "team1") -> tuple[int | None, str, str]:
        async with self.begin(*words, name=name) as process:
            out, err = await process.communicate()
        return process.returncode, out.decode(), " ".join(err.decode().split())


@pytest.fixture
def team(site: PlantSite, guarded: Broker, pem: Path, tmp_path: Path) -> Team:
    return Team(site, guarded, pem, tmp_path)


async def test_a_pushed_release_is_committed_on_a_running_box(
    site: PlantSite, config: Config, team: Team
) -> None:
    first = site.release(1)
    async with running(config) as box:
        push = ("push", NAME, 1, "--box", BOX, "--repository", site.folder, "--id", "j1")
        code, out, err = await team.run(*push, "--watch", "--json")
        assert code == 0, err
        assert json.loads(out.splitlines()[-1])["boxes"][0]["outcome"] == "COMMITTED"
        assert await call(box) == first
        code, _, err = await team.run("push", NAME, 1, "--box", BOX, "--watch")
        assert code == 0, err  # it has it already

        second = site.release(2, commit=NEVER)
        words = ("push", NAME, 2, "--box", BOX, "--id", "j2", "--manual", "--watch", "--json")
        async with team.begin(*words) as pushing:
            assert pushing.stdout is not None
            while json.loads(await pushing.stdout.readline()).get("step") != "TRIAL":
                pass
            assert await call(box) == second
            code, out, err = await team.run("commit", "j2", "--json")
            assert (code, json.loads(out)[0]["sent"]) == (0, True), err
            *_, last = (await pushing.stdout.read()).decode().splitlines()
            assert await pushing.wait() == 0
        assert json.loads(last)["ending"] == "COMMITTED"
        assert await call(box) == second

        site.release(3, commit=NEVER)
        words = ("push", NAME, 3, "--box", BOX, "--id", "j3", "--manual", "--watch", "--json")
        async with team.begin(*words) as pushing:
            assert pushing.stdout is not None
            while json.loads(await pushing.stdout.readline()).get("step") != "TRIAL":
                pass
            code, _, err = await team.run("cancel", "j3", "--box", BOX)
            assert code == 0, err
            *_, last = (await pushing.stdout.read()).decode().splitlines()
            assert await pushing.wait() == 1
        told = json.loads(last)["boxes"][0]
        assert (told["stage"], told["outcome"]) == ("CANCELED", "ROLLBACK_COMPLETE")
        assert await call(box) == second


async def test_what_boxes_could_not_believe_is_not_sent(site: PlantSite, team: Team) -> None:
    site.release(1)
    push = ("push", NAME, 2, "--box", BOX, "--repository", site.folder)
    code, _, err = await team.run(*push)
    assert (code, "UNKNOWN_RELEASE" in err) == (3, True), err
    site.publisher.keys["jobs"] = site.publisher.keys["mallory"]
    team._key.write_bytes(site.publisher.keys["mallory"].private_bytes)
    code, _, err = await team.run("push", NAME, 1, *push[3:])
    assert (code, "UNSIGNED_JOB" in err) == (3, True), err


async def test_a_name_without_the_right_is_told_so(team: Team) -> None:
    for words in (("push", NAME, 1, "--box", BOX), ("cancel", "j1")):
        code, _, err = await team.run(*words, "--timeout-s", 2, name="robot1")
        assert (code, "NOT_TAKEN" in err, "field team" in err) == (3, True, True), err
