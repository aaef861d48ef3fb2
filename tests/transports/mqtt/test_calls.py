from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.transports.mqtt.conftest import (
    BOX,
    Bridged,
    Broker,
    Connect,
    OpenBridge,
    OpenRobot,
    Received,
    free_port,
    program,
)

from skilld.config import MqttConfig
from skilld.transports.mqtt import MqttBridge
from skilld.transports.mqtt.broker_config import development_text

TEXT = {"text": "drive"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_call_with_properties_is_answered_with_properties(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    async with open_bridge(broker):
        robot = await open_robot(broker)
        reply = await robot.call(
            TEXT,
            request_id="r-1",
            correlation=b"\x00\xff",
            reply_to=f"{robot.replies}/arm",
            content_type="application/json",
            user=[("traceparent", TRACE), ("something-else", "x")],
        )
    assert reply.topic == "skilld/client/robot1/resp/arm"
    assert reply.properties["CorrelationData"] == b"\x00\xff"
    assert reply.properties["ContentType"] == "application/json"
    assert reply.user == {
        "request_id": "r-1",
        "status": "ok",
        "seq": "0",
        "final": "true",
        "traceparent": TRACE,
    }
    answer = reply.json
    assert (answer["output"], answer["finish_reason"], answer["box"]) == ("drive", "stop", BOX)
    assert (answer["request_id"], answer["skill_version"]) == ("r-1", "1.2.0")
    assert answer["usage"]["output_tokens"] == 5
    assert answer["usage"]["total_ms"] >= answer["usage"]["first_token_ms"] > 0


@pytest.mark.parametrize("v5", [False, True])
async def test_a_device_without_properties_uses_an_envelope(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, v5: bool
) -> None:
    async with open_bridge(broker):
        robot = await open_robot(broker, "plc7", v5=v5)
        robot.client.publish(
            f"skilld/box/{BOX}/skill/echo/req",
            {
                "input": TEXT,
                "request_id": 7,
                "reply_to": "skilld/client/plc7/resp/1",
                "correlation": "線",
                "deadline_ms": 20000,
                "traceparent": TRACE,
            },
        )
        answer = (await robot.client.next()).json
        assert answer["output"] == "drive"
        assert (answer["request_id"], answer["correlation"]) == ("7", "線")
        assert (answer["seq"], answer["final"], answer["traceparent"]) == (0, True, TRACE)
        robot.client.publish(f"skilld/box/{BOX}/skill/echo/req/plc7", {"input": TEXT})
        short = await robot.client.next()
        assert (short.topic, short.json["output"]) == ("skilld/client/plc7/resp", "drive")


async def test_a_prefix_of_the_site_stands_before_all_topics(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    prefix = "acme/plant1/skilld"
    async with open_bridge(broker, prefix=prefix):
        robot = await open_robot(broker)
        replies = f"{prefix}/client/robot1/resp"
        await robot.client.subscribe(f"{replies}/#", f"{prefix}/box/+/status")
        status = await robot.client.next()
        assert (status.topic, status.json["state"]) == (f"{prefix}/box/{BOX}/status", "online")
        robot.ask(TEXT)  # below the usual prefix nobody listens
        for topic in (f"{prefix}/pool/echo/req/robot1", f"{prefix}/box/{BOX}/skill/echo/req"):
            reply = await robot.call(TEXT, topic=topic, reply_to=replies)
            assert (reply.topic, reply.json["output"]) == (replies, "drive")
        await robot.client.settled()
        assert not robot.client.has_more()


async def test_an_abstention_and_a_failure_keep_their_words(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    async with open_bridge(broker):
        robot = await open_robot(broker)
        abstained = await robot.call({"want": '{"abstain":"unclear"}'}, skill="triage")
        assert abstained.json["abstain"] == {"reason": "unclear"}
        assert abstained.user["status"] == "abstain"
        assert abstained.user["reason"] == "unclear"
        unknown = await robot.call({}, skill="nothing")
        assert unknown.json["error"]["reason"] == unknown.user["reason"] == "UNKNOWN_SKILL"
        wrong = await robot.call({"text": 3})
        error = wrong.json["error"]
        assert (error["reason"], wrong.user["status"]) == ("INVALID_INPUT", "error")
        assert error["violations"][0]["field"] == "$.text"


async def test_a_pool_spreads_calls_over_its_boxes(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    async with open_bridge(broker, box="left") as left:
        other = MqttBridge(left.daemon.box.service, MqttConfig(broker=broker.address, box="right"))
        other.start()
        try:
            await Bridged(left.daemon, other).connected()
            robot = await open_robot(broker)
            await robot.client.subscribe("skilld/box/right/skill/echo/meta")
            await robot.client.next()  # it joins the pool in the same breath
            await asyncio.sleep(0)
            for number in range(10):
                robot.ask(TEXT, topic="skilld/pool/echo/req/robot1", request_id=f"p{number}")
            replies = [await robot.client.next() for _ in range(10)]
        finally:
            await other.stop()
    assert {reply.user["request_id"] for reply in replies} == {f"p{n}" for n in range(10)}
    boxes = [reply.json["box"] for reply in replies]
    assert (boxes.count("left"), boxes.count("right")) == (5, 5)


async def test_a_stream_counts_its_events_and_says_which_is_last(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    async with open_bridge(broker):
        robot = await open_robot(broker)
        robot.ask(TEXT, user=[("stream", "true")], request_id="s")
        events: list[Received] = []
        while not events or events[-1].user["final"] != "true":
            events.append(await robot.client.next())
    assert [event.user["seq"] for event in events] == [str(i) for i in range(len(events))]
    assert events[0].json["accepted"] == {"queue_position": 0}
    assert "".join(event.json["delta"]["text"] for event in events[1:-1]) == "drive"
    assert events[-1].json["output"] == "drive"
    assert {event.user["status"] for event in events[:-1]} == {"running"}


async def test_mosquittos_own_clients_can_call(
    broker: Broker, open_bridge: OpenBridge, connect: Connect
) -> None:
    async with open_bridge(broker):
        done = await asyncio.to_thread(
            subprocess.run,
            [
                *(program("mosquitto_rr"), "-p", str(broker.port), "-W", "10"),
                *("-t", f"skilld/box/{BOX}/skill/echo/req", "-e", "skilld/client/me/resp"),
                *("-m", json.dumps(TEXT)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(done.stdout)["output"] == "drive"
        listener = await connect(broker, "me")
        await listener.subscribe("skilld/client/me/resp")
        envelope = {"input": TEXT, "reply_to": "skilld/client/me/resp"}
        await asyncio.to_thread(
            subprocess.run,
            [
                *(program("mosquitto_pub"), "-p", str(broker.port), "-V", "311"),
                *("-t", "skilld/pool/echo/req", "-m", json.dumps(envelope)),
            ],
            check=True,
        )
        assert (await listener.next()).json["output"] == "drive"


@pytest.fixture
def on_unix_socket() -> Iterator[tuple[Broker, str]]:
    """A broker, and the address of its socket."""
    # mosquitto started by root becomes another user, who may not look into pytest's folders.
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o777)
        path = folder / "mosquitto.conf"
        path.write_text(development_text(port=port, socket=folder / "s"))
        broker = Broker(path, port)
        yield broker, f"unix:{folder}/s"
        broker.stop()


async def test_a_box_can_reach_its_broker_over_a_unix_socket(
    on_unix_socket: tuple[Broker, str], open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    broker, address = on_unix_socket
    async with open_bridge(broker, address=address):
        robot = await open_robot(broker)
        assert (await robot.call(TEXT)).json["output"] == "drive"
