"""The field team's side of the broker: what is kept, what was sent, and what got lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from securesystemslib.signer import CryptoSigner
from tests.brokers import PATIENCE_S, Broker, StartBroker, start_broker
from tests.cli.field_team import kept

from skilld.config import MqttConfig
from skilld.core.errors import UnavailableError
from skilld.updates.fleet import Report
from skilld.updates.fleet import link as link_module
from skilld.updates.fleet.campaign import send_order
from skilld.updates.fleet.link import FleetLink
from skilld.updates.trust import Command, Job, Order, sign_job

__all__ = ["start_broker"]

MORE_THAN_A_BROKER_QUEUES = 1500


@pytest.fixture
def broker(start_broker: StartBroker) -> Broker:
    return start_broker()


@pytest.fixture
async def link(broker: Broker) -> AsyncIterator[FleetLink]:
    link = FleetLink(MqttConfig(broker=broker.address), release="toy")
    link.start()
    yield link
    await link.stop()


def publish(broker: Broker, *messages: tuple[str, bytes]) -> None:
    """Publish and wait until the broker has it all; the event loop stands still meanwhile."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    last = [client.publish(topic, data, 1, retain=True) for topic, data in messages][-1]
    last.wait_for_publish(PATIENCE_S)
    assert last.is_published()
    client.disconnect()
    client.loop_stop()


def status(box: str, rev: int, release: str = "toy") -> tuple[str, bytes]:
    report = Report(box=box, release=release, rev=rev)
    return f"skilld/box/{box}/ota/status/{release}", report.to_bytes()


async def eventually(link: FleetLink, is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await link.news(0.1)


async def test_what_the_broker_keeps_is_known_when_the_link_is_ready(
    broker: Broker, link: FleetLink
) -> None:
    publish(
        broker,
        status("a", 3),
        status("b", 4),
        status("a", 9, "other"),
        ("skilld/box/c/ota/job/toy", b"anything"),
        ("skilld/box/c/status", b'{"state": "offline"}'),
        ("skilld/box/a/status", b"not JSON"),
    )
    await link.ready(PATIENCE_S)
    assert {key: report.rev for key, report in link.reports.items()} == {
        ("a", "toy"): 3,
        ("b", "toy"): 4,
    }
    assert link.jobs == {("c", "toy"): b"anything"}
    assert link.offline == {"c"}
    publish(broker, ("skilld/box/a/ota/status/toy", b""))
    await eventually(link, lambda: list(link.reports) == [("b", "toy")])


async def test_of_named_boxes_only_what_is_theirs_is_asked_for(broker: Broker) -> None:
    publish(broker, status("a", 3), status("b", 4), status("a", 9, "other"))
    for release, known in (("toy", [("a", "toy")]), (None, [("a", "other"), ("a", "toy")])):
        link = FleetLink(MqttConfig(broker=broker.address), release=release, boxes=["a"])
        link.start()
        await link.ready(PATIENCE_S)
        assert sorted(link.reports) == known
        await link.stop()


async def test_what_was_sent_is_there_when_it_came_back(broker: Broker, link: FleetLink) -> None:
    link.send("skilld/box/a/ota/job/toy", b"a job")  # before there is a connection
    await link.settled(PATIENCE_S)
    assert link.jobs["a", "toy"] == b"a job"
    link.send("skilld/box/a/ota/job/toy", b"")
    await link.settled(PATIENCE_S)
    assert link.jobs["a", "toy"] == b""


async def test_a_job_is_taken_back_before_the_broker_showed_that_it_has_it(
    broker: Broker, link: FleetLink
) -> None:
    signer = CryptoSigner.generate_ed25519()
    await link.ready(PATIENCE_S)
    topic = link.topics.job("a", "toy")
    link.send(topic, sign_job(Job(id="j1", skill="toy", seq=3, boxes=("a",), issued_s=1), [signer]))
    assert link.jobs == {}  # nothing has come back yet
    send_order(link, "toy", Order(job="j1", command=Command.CANCEL, boxes=("a",)), [signer])
    await link.settled(PATIENCE_S)
    assert link.job_at("a", "toy") == b""
    assert await asyncio.to_thread(kept, broker, topic) == b""


async def test_reports_that_a_broker_dropped_are_found_later(
    broker: Broker, link: FleetLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await link.ready(PATIENCE_S)
    # Nothing is taken from the broker while this is published, so its queue runs over.
    publish(broker, *(status("a", rev) for rev in range(MORE_THAN_A_BROKER_QUEUES)))
    link.send("skilld/box/a/ota/job/toy", b"a job")
    assert "being dropped" in broker.log()
    last = MORE_THAN_A_BROKER_QUEUES - 1
    monkeypatch.setattr(link_module, "_ASK_AGAIN_S", 0.0)

    def is_whole() -> bool:
        link.tend()
        told = link.reports.get(("a", "toy"))
        return told is not None and told.rev == last

    await eventually(link, is_whole)
    await link.settled(PATIENCE_S)


async def test_a_broker_that_hands_nothing_back_is_named(
    broker: Broker, link: FleetLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await link.ready(PATIENCE_S)
    monkeypatch.setattr(link_module, "_PATIENCE_S", -1.0)
    link.tend()  # nothing is owed
    link.send("skilld/box/a/ota/job/toy", b"a job")
    with pytest.raises(UnavailableError) as error:
        link.tend()
    assert error.value.reason == "NOT_TAKEN"
    assert "skilld/box/a/ota/job/toy" in error.value.message
