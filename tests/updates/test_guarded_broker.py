"""A release travels through the broker that `skilld broker-config` guards: TLS, a name for each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import Broker
from tests.transports.conftest import until
from tests.transports.mqtt.conftest import Client, Connect, connect
from tests.transports.mqtt.test_broker_config import (
    NOT_AUTHORIZED,
    config_of,
    guarded,
    pem,
    tls_of,
)
from tests.updates.running import BOX, NAME, NEVER, TOPICS, FieldTeam, PlantSite, call, running

from skilld.config import Config
from skilld.core.errors import SkilldError
from skilld.updates.depot import MqttSource
from skilld.updates.depot.mqtt_source import SourceLimits
from skilld.updates.trust import Command

__all__ = ["connect", "guarded", "pem"]

Publisher = Any  # the class of conftest.py, which cannot be imported by name
DEPOT = "depot1"
GET = f"skilld/depot/{DEPOT}/get"


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path) -> PlantSite:
    return PlantSite(publisher, tmp_path)


@pytest.fixture
def depot(site: PlantSite, guarded: Broker, pem: Path) -> Iterator[None]:
    """`skilld depot`, as its operator starts it."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "skilld.cli", "depot", str(site.folder), "--name", DEPOT),
            *("--broker", guarded.address, "--ca", str(pem / "ca.pem")),
            *("--certificate", str(pem / f"{DEPOT}.pem"), "--key", str(pem / f"{DEPOT}.key")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield
        process.terminate()


@pytest.fixture
def config(site: PlantSite, guarded: Broker, pem: Path) -> Config:
    plain = site.config(guarded.address, f"mqtt:{DEPOT}")
    return plain.model_copy(update={"mqtt": config_of(guarded, pem, BOX)})


async def may_publish(client: Client, topic: str, payload: bytes) -> bool:
    client.publish(topic, payload, retain=True)
    reason = await client.event("published")
    return bool(reason.value != NOT_AUTHORIZED)


async def test_a_release_travels_and_a_robot_has_no_part_in_it(
    site: PlantSite,
    config: Config,
    guarded: Broker,
    pem: Path,
    depot: None,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
) -> None:
    digest = site.release(1, commit=NEVER)
    job, order = site.job("j1", 1, commit="manual"), site.order("j1", Command.COMMIT)
    robot = await connect(guarded, "robot1", tls=tls_of(pem, "robot1"))
    team1 = await connect(guarded, "team1", tls=tls_of(pem, "team1"))
    at_depot = await connect(guarded, "witness", tls=tls_of(pem, DEPOT))
    await at_depot.subscribe(f"{GET}/+")
    await team1.subscribe(TOPICS.every(BOX, "status"), TOPICS.every(BOX, "job"))
    await robot.subscribe("skilld/#")
    team = FieldTeam(team1)

    # What the right keys have signed does not help who may not write it.
    for topic, payload in (
        (TOPICS.job(BOX, NAME), job),
        (TOPICS.order(BOX, NAME), order),
        (TOPICS.status(BOX, NAME), b"{}"),
        (f"skilld/box/{BOX}/ota/data/{DEPOT}", b"not the data"),
        (f"{GET}/robot1", b"asked by a robot"),
        (f"{GET}/{BOX}", b"asked by a robot"),
    ):
        assert not await may_publish(robot, topic, payload), topic
    async with running(config) as box:
        team.job(job)
        await team.at("j1", "TRIAL")
        assert await call(box) == digest
        assert not await may_publish(robot, TOPICS.order(BOX, NAME), order)
        team.order(site.order("j1", Command.COMMIT, signed_by="mallory"))  # may write, not sign
        await until(lambda: "order about job 'j1' lacks valid signatures" in caplog.text)
        team.order(order)
        assert (await team.ended("j1")).outcome == "COMMITTED"
        assert await call(box) == digest

    asked = []
    while at_depot.has_more():
        asked.append(await at_depot.next())
    assert asked
    assert {message.topic for message in asked} == {f"{GET}/{BOX}"}
    assert b"asked by a robot" not in [message.payload for message in asked]
    heard = set()
    while robot.has_more():
        heard.add((await robot.next()).topic)
    assert heard <= {f"skilld/box/{BOX}/status", f"skilld/box/{BOX}/skill/{NAME}/meta"}


async def test_who_is_no_box_gets_nothing_from_a_depot(
    site: PlantSite, guarded: Broker, pem: Path, depot: None
) -> None:
    """A robot with our own software, under its own name and under that of a box."""
    for name in ("robot1", BOX):
        source = MqttSource(
            config_of(guarded, pem, "robot1"),
            box=name,
            depot=DEPOT,
            limits=SourceLimits(patience_s=0.5),
        )
        with source, pytest.raises(SkilldError) as error:
            source.metadata("timestamp.json", 1 << 20)
        assert error.value.reason == "SOURCE_UNAVAILABLE"
    with MqttSource(config_of(guarded, pem, BOX), box=BOX, depot=DEPOT) as source:
        assert source.metadata("timestamp.json", 1 << 20)
