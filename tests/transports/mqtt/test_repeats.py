"""At least once: repeats, cancellations, deadlines, floods."""

from __future__ import annotations

import asyncio
import threading

from tests.transports.conftest import Gate, slow_step, until
from tests.transports.mqtt.conftest import BOX, Broker, OpenBridge, OpenRobot, Robot

from skilld.core.batch import Batch

TEXT = {"text": "drive"}


async def test_repeats_are_computed_once(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    async with open_bridge(broker, before_step=gate) as box:
        robot = await open_robot(broker)
        robot.ask(TEXT, request_id="1")
        await until(lambda: gate.num_held > 0)
        robot.ask(TEXT, request_id="1")
        robot.ask(TEXT, request_id="1", reply_to=f"{robot.replies}/again", correlation=b"2")
        await until(lambda: len(box.bridge._table.entries()[0].waiters) == 2)
        gate.open()
        first, again = sorted(
            [await robot.client.next(), await robot.client.next()], key=lambda m: m.topic
        )
        later = await robot.call(TEXT, request_id="1")
        assert (await box.daemon.ended()) == {"stop": 1}
        assert first.payload == again.payload == later.payload
        assert again.properties["CorrelationData"] == b"2"
        await robot.client.settled()
        assert not robot.client.has_more()
        reused = await robot.call({"text": "other"}, request_id="1")
        assert reused.user["reason"] == "REQUEST_ID_REUSED"


async def test_an_envelope_and_properties_are_the_same_caller(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    async with open_bridge(broker) as box:
        robot = await open_robot(broker)
        for _ in range(2):
            envelope = {"input": TEXT, "request_id": "e", "reply_to": robot.replies}
            robot.client.publish(f"skilld/box/{BOX}/skill/echo/req", envelope)
            assert (await robot.client.next()).json["output"] == "drive"
        assert (await box.daemon.ended()) == {"stop": 1}


async def test_refusals_are_not_remembered(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    async with open_bridge(
        broker, before_step=gate, max_running=1, max_running_per_client=1, max_waiting_per_client=1
    ) as box:
        robot = await open_robot(broker)
        robot.ask(TEXT, request_id="1")
        await until(lambda: gate.num_held > 0)
        robot.ask(TEXT, request_id="2")
        refused = await robot.call(TEXT, request_id="3")
        assert refused.user["reason"] == "CLIENT_QUEUE_FULL"
        assert int(refused.user["retry_after_ms"]) > 0
        gate.open()
        assert {(await robot.client.next()).user["request_id"] for _ in range(2)} == {"1", "2"}
        assert (await robot.call(TEXT, request_id="3")).user["status"] == "ok"
        assert (await box.daemon.ended()) == {"stop": 3}


async def test_a_running_call_can_be_cancelled(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    async with open_bridge(broker, before_step=gate) as box:
        robot = await open_robot(broker)
        for request_id, topic in (
            ("a", f"skilld/box/{BOX}/cancel/robot1"),
            ("b", "skilld/pool/echo/cancel/robot1"),
        ):
            held = gate.num_held
            robot.ask(TEXT, request_id=request_id)
            await until(lambda held=held: gate.num_held > held)  # type: ignore[misc]
            robot.client.publish(topic, {"request_id": request_id})
            reply = await robot.client.next()
            assert reply.user["reason"] == "CANCELLED"
            gate.let(1)
            await box.daemon.left_alone()
        again = await robot.call(TEXT, request_id="a")
        assert again.user["reason"] == "CANCELLED"
        gate.open()
        robot.client.publish(f"skilld/box/{BOX}/cancel/robot1", {"request_id": "unknown"})
        assert (await robot.call(TEXT)).user["status"] == "ok"


async def test_a_waiting_call_can_be_cancelled_but_not_by_others(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    async with open_bridge(broker, before_step=gate, max_running=1, max_running_per_client=1):
        robot = await open_robot(broker)
        robot.ask(TEXT, request_id="1")
        await until(lambda: gate.num_held > 0)
        robot.ask(TEXT, request_id="2")
        robot.client.publish(f"skilld/box/{BOX}/cancel/somebody", {"request_id": "1"})
        robot.client.publish(f"skilld/box/{BOX}/cancel/robot1", {"request_id": "2"})
        reply = await robot.client.next()
        assert (reply.user["request_id"], reply.user["reason"]) == ("2", "CANCELLED")
        gate.open()
        assert (await robot.client.next()).user["status"] == "ok"


def crawl(batch: Batch) -> None:
    threading.Event().wait(0.04)


async def test_the_shorter_deadline_ends_a_call(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    async with open_bridge(broker, before_step=crawl):
        robot = await open_robot(broker)
        long = {"text": "x" * 900}
        for rest in (
            {"user": [("deadline_ms", "60")], "expiry_s": 30},
            {"user": [("deadline_ms", "30000")], "expiry_s": 1},
        ):
            reply = await robot.call(long, **rest)
            assert reply.user["reason"] == "DEADLINE_EXCEEDED"


async def test_a_deadline_that_passes_in_the_queue_is_answered_at_once(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    async with open_bridge(broker, before_step=gate, max_running=1, max_running_per_client=1):
        robot = await open_robot(broker)
        robot.ask(TEXT, request_id="1")
        await until(lambda: gate.num_held > 0)
        late = await robot.call(TEXT, request_id="2", user=[("deadline_ms", "30")])
        assert (late.user["request_id"], late.user["reason"]) == ("2", "DEADLINE_EXCEEDED")
        gate.open()
        assert (await robot.client.next()).user["request_id"] == "1"


async def test_an_expired_request_never_arrives(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    robot = await open_robot(broker, "early")
    robot.ask(TEXT, request_id="nobody", expiry_s=1)  # no box is there
    await robot.client.settled()
    async with open_bridge(broker) as box:
        assert (await robot.call(TEXT, request_id="now")).user["request_id"] == "now"
        assert (await box.daemon.ended()) == {"stop": 1}


async def test_a_flood_does_not_starve_a_quiet_client(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot
) -> None:
    async with open_bridge(broker, before_step=slow_step, max_running=8, max_running_per_client=6):
        flood, quiet = await open_robot(broker, "flood"), await open_robot(broker, "quiet")

        async def keep_flooding(robot: Robot) -> dict[str, int]:
            words: dict[str, int] = {}
            for number in range(400):
                robot.ask({"text": "x" * 60}, request_id=str(number))
            for _ in range(400):
                word = (await robot.client.next()).user.get("reason", "ok")
                words[word] = words.get(word, 0) + 1
            return words

        flooding = asyncio.create_task(keep_flooding(flood))
        for number in range(5):
            reply = await quiet.call({"text": "a"}, request_id=f"q{number}")
            assert reply.user["status"] == "ok"
            assert reply.json["usage"]["total_ms"] < 2000
        words = await flooding
    assert set(words) == {"ok", "CLIENT_QUEUE_FULL"}
    assert words["CLIENT_QUEUE_FULL"] > 0 < words["ok"]


async def test_the_broker_hands_over_no_more_than_the_window(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    async with open_bridge(broker, before_step=gate, max_unanswered=4) as box:
        robot = await open_robot(broker)
        for number in range(12):
            robot.ask(TEXT, request_id=str(number))
        await robot.client.settled()
        await until(lambda: len(box.bridge._table.entries()) == 4)
        await robot.client.settled()
        assert len(box.bridge._table.entries()) == 4
        gate.open()
        got = {(await robot.client.next()).user["request_id"] for _ in range(12)}
    assert got == {str(number) for number in range(12)}
