"""What no well-meaning client sends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from typing import Any

import pytest
from tests.transports.conftest import until
from tests.transports.mqtt.conftest import BOX, Broker, OpenBridge, OpenRobot, Received, StartBroker

from skilld.transports.mqtt.broker_config import BrokerLimits

TEXT = {"text": "drive"}


@pytest.mark.parametrize(
    ("payload", "rest", "reason"),
    [
        (b"\xff\xfe", {}, "INPUT_NOT_JSON"),
        (b"", {}, "INPUT_NOT_JSON"),
        (b"[1]", {}, "INPUT_NOT_JSON"),
        (b"[" * 50_000, {}, "INPUT_NOT_JSON"),
        (b'{"text":' + b'{"a":' * 900 + b"1" + b"}" * 901, {}, "INVALID_INPUT"),
        (TEXT, {"user": [("deadline_ms", "soon")]}, "INVALID_INPUT"),
        (TEXT, {"user": [("request_id", "a"), ("request_id", "b")]}, "INVALID_INPUT"),
        (TEXT, {"content_type": "text/html"}, "INVALID_INPUT"),
        (TEXT, {"retain": True}, "RETAINED_REQUEST"),
        (TEXT, {"skill": "a" * 64}, "UNKNOWN_SKILL"),
        ({"text": "x" * 5000}, {}, "REQUEST_TOO_LARGE"),
    ],
)
async def test_a_wrong_request_is_refused_in_words_and_the_next_is_served(
    broker: Broker,
    open_bridge: OpenBridge,
    open_robot: OpenRobot,
    payload: Any,
    rest: dict[str, Any],
    reason: str,
) -> None:
    limit = 4096 if reason == "REQUEST_TOO_LARGE" else 1 << 20
    async with open_bridge(broker, max_payload_bytes=limit) as box:
        robot = await open_robot(broker)
        refused = await robot.call(payload, **rest)
        assert refused.user["reason"] == refused.json["error"]["reason"] == reason
        assert refused.json["error"]["message"]
        assert (await robot.call(TEXT)).user["status"] == "ok"
        assert (await box.daemon.ended()) == {"stop": 1}
    robot.client.publish(f"skilld/box/{BOX}/skill/echo/req/robot1", b"", retain=True)


@pytest.mark.parametrize(
    ("topic", "rest"),
    [
        ("req/robot1", {"reply_to": "skilld/client/victim/resp"}),
        ("req", {"reply_to": f"skilld/box/{BOX}/status"}),
        ("req", {"reply_to": "elsewhere"}),
        ("req", {"reply_to": None}),
        ("req/robot1/more", {}),
        ("req", {"reply_to": "skilld/client/robot1/resp", "correlation": b"x" * 5000}),
    ],
)
async def test_a_request_whose_reply_would_go_astray_is_dropped(
    broker: Broker,
    open_bridge: OpenBridge,
    open_robot: OpenRobot,
    topic: str,
    rest: dict[str, Any],
) -> None:
    async with open_bridge(broker) as box:
        robot = await open_robot(broker)
        everything = await open_robot(broker, "victim")
        await everything.client.subscribe("elsewhere", f"skilld/box/{BOX}/status")
        assert json.loads((await everything.client.next()).payload)["state"] == "online"
        robot.ask(TEXT, topic=f"skilld/box/{BOX}/skill/echo/{topic}", **rest)
        assert (await robot.call(TEXT)).user["status"] == "ok"
        await everything.client.settled()
        assert not everything.client.has_more()
        assert not robot.client.has_more()
        assert (await box.daemon.ended()) == {"stop": 1}


async def test_a_request_that_was_retained_before_the_box_came_is_not_carried_out(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    robot = await open_robot(broker)
    robot.ask(TEXT, retain=True, request_id="old")
    await robot.client.settled()
    async with open_bridge(broker) as box:
        reply = await robot.call(TEXT, request_id="new")
        assert reply.user["request_id"] == "new"
        assert (await box.daemon.ended()) == {"stop": 1}
    robot.client.publish(f"skilld/box/{BOX}/skill/echo/req/robot1", b"", retain=True)


def raw_publish(port: int, topic: str, properties: bytes, *, packet_id: int = 0) -> None:
    """Publish as a client that does not care what a string is; at QoS 1 with a packet id."""

    def text(value: bytes) -> bytes:
        return struct.pack(">H", len(value)) + value

    def packet(kind: int, content: bytes) -> bytes:
        assert len(content) < 16384
        length = bytes([len(content) % 128 | 128, len(content) // 128])
        return bytes([kind]) + length + content

    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(packet(0x10, text(b"MQTT") + b"\x05\x02\x00\x3c\x00" + text(b"raw")))
        assert connection.recv(100)[0] == 0x20
        number = struct.pack(">H", packet_id) if packet_id else b""
        content = text(topic.encode()) + number + bytes([len(properties)]) + properties + b"{}"
        connection.sendall(packet(0x32 if packet_id else 0x30, content) + b"\xc0\x00")
        with contextlib.suppress(ConnectionResetError):
            connection.recv(100)  # the answer to the ping, or the broker hangs up


BYTE_ORDER_MARK = b"\x26\x00\x01k\x00\x04\xef\xbb\xbfx"  # in a user property; MQTT allows it


@pytest.mark.parametrize(
    "properties",
    [
        BYTE_ORDER_MARK,
        b"\x26\x00\x01k\x00\x02\xff\xfe",
        b"\x26\x00\x01k\x00\x03\xed\xa0\x80",  # half a character
        b"\x26\x00\x01k\x00\x01\x00",
        b"\x01\x09",  # a payload format that does not exist
        b"\x08\x00\x00",
        b"\x08\x00\x03a/#",
        b"\x09\x00\x01a\x09\x00\x01b",
        b"\x02\x00\x00\x00\x00",  # expires before it arrives
        b"\x7f\x00",
    ],
)
async def test_malformed_properties_cost_a_connection_at_most(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, properties: bytes
) -> None:
    async with open_bridge(broker):
        robot = await open_robot(broker)
        raw_publish(broker.port, f"skilld/box/{BOX}/skill/echo/req/robot1", properties)
        reply: Received | None = None
        while reply is None or reply.user.get("request_id") != "good":
            robot.ask(TEXT, request_id="good")  # again and again: the box may be away
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    reply = await robot.client.next()
        assert reply.user["status"] == "ok"


async def test_replies_the_broker_would_not_take_are_replaced_by_a_word(
    start_broker: StartBroker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    broker = start_broker(BrokerLimits(max_packet_bytes=1400))
    async with open_bridge(broker) as box:
        robot = await open_robot(broker)
        assert (await robot.call({"text": "x" * 100})).user["status"] == "ok"
        large = await robot.call({"text": "x" * 950}, request_id="large")
        assert large.user["reason"] == "REPLY_TOO_LARGE"
        assert "max_packet_size" in large.json["error"]["message"]
        assert box.bridge.is_connected


async def test_a_client_that_sends_too_much_loses_its_connection_not_ours(
    start_broker: StartBroker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    broker = start_broker(BrokerLimits(max_packet_bytes=20_000))
    async with open_bridge(broker) as box:
        brute = await open_robot(broker, "brute")
        brute.ask({"text": "x" * 30_000})
        await brute.client.event("disconnected")
        robot = await open_robot(broker)
        assert (await robot.call(TEXT)).user["status"] == "ok"
        assert box.bridge.is_connected
        await until(lambda: not box.bridge._table.entries())
