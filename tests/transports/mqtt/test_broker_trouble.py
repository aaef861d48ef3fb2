"""A broker that is away, comes late, restarts; and what the box says of itself meanwhile."""

from __future__ import annotations

import asyncio
import getpass
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.transports.conftest import Gate, until
from tests.transports.mqtt.conftest import (
    BOX,
    Broker,
    Connect,
    OpenBridge,
    OpenRobot,
    StartBroker,
    free_port,
    program,
)

from skilld.transports.mqtt.broker_config import BrokerLimits, development_text
from skilld.v1 import skill_service_pb2 as v1

TEXT = {"text": "drive"}
CALL = v1.InvokeRequest(skill="echo", input_json='{"text": "a"}')
STATUS = f"skilld/box/{BOX}/status"
ECHO_META = f"skilld/box/{BOX}/skill/echo/meta"


async def test_a_broker_that_is_away_hurts_nobody(
    open_bridge: OpenBridge, open_robot: OpenRobot, tmp_path: Path
) -> None:
    port = free_port()
    path = tmp_path / "mosquitto.conf"
    path.write_text(development_text(port=port))
    absent = Broker.__new__(Broker)
    absent.port = port
    async with open_bridge(absent, waits=False) as box:
        assert (await box.daemon.stub.Invoke(CALL)).output_json == '"a"'
        assert not box.bridge.is_connected
        broker = Broker(path, port)
        try:
            await box.connected()
            robot = await open_robot(broker)
            assert (await robot.call(TEXT)).user["status"] == "ok"
        finally:
            broker.stop()
        assert (await box.daemon.stub.Invoke(CALL)).output_json == '"a"'


async def test_after_a_restart_of_the_broker_everything_is_there_again(
    start_broker: StartBroker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    broker = start_broker()
    async with open_bridge(broker, before_step=gate) as box:
        robot = await open_robot(broker)
        robot.ask(TEXT, request_id="before")
        await until(lambda: gate.num_held > 0)
        broker.stop()
        await until(lambda: not box.bridge.is_connected)
        gate.open()  # answered while nobody is there to take it
        await until(lambda: not box.bridge._table.entries())
        assert (await box.daemon.stub.Invoke(CALL)).output_json == '"a"'
        broker.start()
        await box.connected()
        again = await open_robot(broker)
        reply = await again.call(TEXT, request_id="before")
        assert reply.user == {
            **{"request_id": "before", "status": "ok", "seq": "0", "final": "true"}
        }
        pooled = await again.call(TEXT, topic="skilld/pool/echo/req/robot1", request_id="new")
        assert pooled.user["request_id"] == "new"
        assert (await box.daemon.ended()) == {"stop": 3}  # two here, one over gRPC
        watcher = await open_robot(broker, "watcher")
        await watcher.client.subscribe(STATUS, ECHO_META)
        said = {(m := await watcher.client.next()).topic: m.json["state"] for _ in range(2)}
        assert said == {STATUS: "online", ECHO_META: "serving"}


async def next_that(client: object, fact: Callable[[dict[str, object]], bool]) -> object:
    while True:
        message = await client.next()  # type: ignore[attr-defined]
        if message.payload and fact(json.loads(message.payload)):
            return message


async def test_the_box_tells_what_it_is_and_when_it_leaves(
    broker: Broker, open_bridge: OpenBridge, connect: Connect
) -> None:
    watcher = await connect(broker, "watcher")
    await watcher.subscribe(STATUS)
    async with open_bridge(broker, max_payload_bytes=12345) as box:
        online = await next_that(watcher, lambda said: said["state"] == "online")
        said = online.json  # type: ignore[attr-defined]
        assert (said["box"], said["version"]) == (BOX, "0.1.0")
        (engine,) = said["engines"]
        assert len(engine["digest"]) == 64
        late = await connect(broker, "late")
        await late.subscribe(ECHO_META)
        meta = await late.next()
        assert meta.retain
        assert meta.json["limits"]["max_payload_bytes"] == 12345
        assert meta.json["engine"]["digest"] == engine["digest"]
        assert meta.json["input_schema"]["required"] == ["text"]
        assert len(meta.json["schema_digest"]) == 64
        box.bridge.set_draining()
        draining = await next_that(watcher, lambda said: said["state"] == "draining")
        assert draining.json["boot_id"] == said["boot_id"]  # type: ignore[attr-defined]
    offline = await next_that(watcher, lambda said: said["state"] == "offline")
    assert offline.json["boot_id"] == said["boot_id"]  # type: ignore[attr-defined]


async def test_descriptions_follow_the_skills(
    broker: Broker, open_bridge: OpenBridge, connect: Connect, open_robot: OpenRobot
) -> None:
    stale = await connect(broker, "stale")
    gone = f"skilld/box/{BOX}/skill/gone/meta"
    stale.publish(gone, {"skill": "gone"}, retain=True)
    await stale.settled()
    await stale.subscribe(gone, ECHO_META)
    assert (await stale.next()).payload
    async with open_bridge(broker) as box:
        messages = [await stale.next(), await stale.next()]
        while messages[-1].topic != gone or messages[-1].payload:
            messages.append(await stale.next())
        robot = await open_robot(broker)
        assert (await robot.call(TEXT)).user["status"] == "ok"
        stale.publish(ECHO_META, b"lies", retain=True)
        while (message := await stale.next()).payload != b"lies":
            pass
        message = await stale.next()
        assert message.json["skill"] == "echo"  # put right
        (engine,) = box.daemon.box.residents
        await asyncio.to_thread(box.daemon.box.unload, engine.manifest.name)
        while (message := await stale.next()).topic != ECHO_META or message.payload:
            pass
        assert (await robot.call(TEXT)).user["reason"] == "UNKNOWN_SKILL"
        await asyncio.to_thread(box.daemon.box.load, engine.path)
        while (message := await stale.next()).topic != ECHO_META or not message.payload:
            pass
        reply = await robot.call(TEXT, topic="skilld/pool/echo/req/robot1")
        assert reply.user["status"] == "ok"


async def test_an_old_will_that_comes_late_is_put_right(
    broker: Broker, open_bridge: OpenBridge, connect: Connect
) -> None:
    async with open_bridge(broker):
        watcher = await connect(broker, "watcher")
        await watcher.subscribe(STATUS)
        await next_that(watcher, lambda said: said["state"] == "online")
        watcher.publish(STATUS, {"state": "offline", "boot_id": "earlier"}, retain=True)
        await next_that(watcher, lambda said: said["state"] == "offline")
        await next_that(watcher, lambda said: said["state"] == "online")


async def test_at_the_stop_every_caller_gets_a_word(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    robot = await open_robot(broker)
    async with open_bridge(
        broker, before_step=gate, max_running=1, max_running_per_client=1
    ) as box:
        robot.ask(TEXT, request_id="running")
        await until(lambda: gate.num_held > 0)
        robot.ask(TEXT, request_id="waiting")
        await until(lambda: len(box.bridge._table.entries()) == 2)
        box.bridge.set_draining()
        await robot.client.settled()
        robot.ask(TEXT, request_id="late")  # nobody listens any more
        await robot.client.settled()
        stopping = asyncio.create_task(box.bridge.stop())
        words = [await robot.client.next() for _ in range(2)]
        await stopping
        gate.open()
    assert {word.user["request_id"] for word in words} == {"running", "waiting"}
    assert {word.user["reason"] for word in words} == {"DRAINING"}


async def test_two_boxes_of_one_name_are_told_apart(
    broker: Broker, open_bridge: OpenBridge, connect: Connect, caplog: object
) -> None:
    async with open_bridge(broker) as box:
        rival = await connect(broker, "rival")
        rival.publish(STATUS, {"state": "online", "boot_id": "other"}, retain=True)
        await until(lambda: "another daemon" in caplog.text)  # type: ignore[attr-defined]
        assert box.bridge.is_connected
        rival.publish(STATUS, b"", retain=True)


async def test_a_broker_that_refuses_the_box_is_asked_again_until_it_does_not(
    open_bridge: OpenBridge, open_robot: OpenRobot, tmp_path: Path, caplog: object
) -> None:
    port = free_port()
    path, secrets, password = (tmp_path / name for name in ("m.conf", "secrets", "password"))
    path.write_text(
        development_text(port=port).replace("allow_anonymous true", "allow_anonymous false")
        + f"password_file {secrets}\nuser {getpass.getuser()}\n"
    )
    secrets.write_text("")
    broker = Broker(path, port)
    password.write_text("s3cret\n")
    try:
        async with open_bridge(broker, waits=False, username="box1", password_file=password) as box:
            await until(lambda: "refuses this box" in caplog.text)  # type: ignore[attr-defined]
            assert (await box.daemon.stub.Invoke(CALL)).output_json == '"a"'
            command = [program("mosquitto_passwd"), "-b", str(secrets), "box1", "s3cret"]
            await asyncio.to_thread(subprocess.run, command, check=True)
            broker.reload()
            await box.connected()
    finally:
        broker.stop()


async def test_a_broker_that_takes_smaller_packets_now_is_not_sent_old_large_replies(
    open_bridge: OpenBridge, open_robot: OpenRobot, tmp_path: Path, gate: Gate
) -> None:
    port = free_port()
    path = tmp_path / "m.conf"
    path.write_text(development_text(port=port))
    broker = Broker(path, port)
    try:
        async with open_bridge(broker, before_step=gate) as box:
            robot = await open_robot(broker)
            robot.ask({"text": "x" * 900}, request_id="large")
            await until(lambda: gate.num_held > 0)
            broker.stop()
            await until(lambda: not box.bridge.is_connected)
            gate.open()
            await until(lambda: not box.bridge._table.entries())
            limits = BrokerLimits(max_packet_bytes=1000)
            path.write_text(development_text(port=port, limits=limits))
            broker.start()
            await box.connected()
            again = await open_robot(broker)
            assert (await again.call(TEXT)).user["status"] == "ok"
    finally:
        broker.stop()


async def test_a_running_call_is_finished_before_the_box_leaves(
    broker: Broker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    robot = await open_robot(broker)
    async with open_bridge(
        broker, before_step=gate, max_running=1, max_running_per_client=1
    ) as box:
        robot.ask(TEXT, request_id="running")
        await until(lambda: gate.num_held > 0)
        robot.ask(TEXT, request_id="waiting")
        await until(lambda: len(box.bridge._table.entries()) == 2)
        box.bridge.set_draining()
        draining = asyncio.create_task(box.daemon.box.service.drain(10.0))
        await until(lambda: box.daemon.box.service.is_draining)
        gate.open()
        assert await draining
        words = {(m := await robot.client.next()).user["request_id"]: m for _ in range(2)}
        await robot.client.subscribe(STATUS)
        assert (await robot.client.next()).json["state"] == "draining"
    assert words["running"].user["status"] == "ok"
    assert words["waiting"].user["reason"] == "DRAINING"
    assert (await robot.client.next()).json["state"] == "offline"
