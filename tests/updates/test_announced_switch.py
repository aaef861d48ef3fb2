"""While a version takes the place of another, the broker keeps what is true of the box."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.brokers import Broker, broker
from tests.transports.mqtt.conftest import Client, Connect, connect
from tests.updates.running import BOX, CASE, NAME, PATIENCE_S, SHIPPED, PlantSite, running

from skilld.app import Box
from skilld.core.manifest import read_manifest
from skilld.mqtt.topics import Topics
from skilld.transports.mqtt import MqttBridge

__all__ = ["broker", "connect"]

Publisher = Any  # the class of conftest.py, which cannot be imported by name
TOPICS = Topics("skilld", BOX)
META = TOPICS.meta(CASE.skill)


@contextlib.asynccontextmanager
async def bridged(box: Box, config: Any) -> AsyncIterator[None]:
    bridge = MqttBridge(box.service, config.mqtt)
    bridge.start()
    try:
        yield
    finally:
        await bridge.stop()


class Kept:
    """What the broker keeps, as it changes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.history: dict[str, list[Any]] = {META: [], TOPICS.status: []}

    async def until(self, topic: str, is_it: Callable[[Any], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not (self.history[topic] and is_it(self.history[topic][-1])):
                with contextlib.suppress(TimeoutError):
                    received = await self._client.next()
                    content = received.json if received.payload else None
                    self.history[received.topic].append(content)


async def test_beside_each_other_one_digest_takes_the_place_of_the_other(
    broker: Broker, publisher: Publisher, tmp_path: Path, connect: Connect
) -> None:
    site = PlantSite(publisher, tmp_path)
    old, new = read_manifest(SHIPPED).digest, site.release(1)
    client = await connect(broker)
    kept = Kept(client)
    await client.subscribe(META, TOPICS.status)
    config = site.config(broker.address, str(site.folder))
    async with running(config) as box, bridged(box, config):
        await kept.until(META, lambda meta: meta and meta["engine"]["digest"] == old)
        (site.folder / f"metadata/job-{NAME}.json").write_bytes(site.job("j1", 1))
        await kept.until(META, lambda meta: meta and meta["engine"]["digest"] == new)
        await kept.until(
            TOPICS.status, lambda status: [e["digest"] for e in status["engines"]] == [new]
        )
        digests = [meta["engine"]["digest"] for meta in kept.history[META]]
        assert digests == sorted(digests, key=[old, new].index)
        assert {meta["state"] for meta in kept.history[META]} == {"serving"}


async def test_a_skill_without_an_engine_for_a_moment_is_updating(
    broker: Broker, publisher: Publisher, tmp_path: Path, connect: Connect
) -> None:
    site = PlantSite(publisher, tmp_path)
    client = await connect(broker)
    kept = Kept(client)
    await client.subscribe(META, TOPICS.status)
    config = site.config(broker.address, str(site.folder))
    async with running(config) as box, bridged(box, config):
        await kept.until(META, lambda meta: meta and meta["state"] == "serving")
        (resident,) = box.residents
        await asyncio.to_thread(box.retire, resident)
        await kept.until(META, lambda meta: meta and meta["state"] == "updating")
        await kept.until(TOPICS.status, lambda status: not status["engines"])
        assert kept.history[TOPICS.status][-1]["state"] == "online"
        again = await asyncio.to_thread(box.load_aside, SHIPPED, lane=NAME)
        await asyncio.to_thread(box.offer, again)
        await kept.until(META, lambda meta: meta and meta["state"] == "serving")
        assert None not in kept.history[META]
    await kept.until(META, lambda meta: meta and meta["state"] == "draining")
