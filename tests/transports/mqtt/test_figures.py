"""What Prometheus is told about MQTT."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families
from tests.transports.conftest import Gate, until
from tests.transports.mqtt.conftest import BOX, Bridged, OpenBridge, OpenRobot, StartBroker

from skilld.config import MetricsConfig, MqttConfig
from skilld.transports.metrics_server import MetricsServer
from skilld.transports.mqtt import MqttBridge

TEXT = {"text": "drive"}


async def figures_of(box: Bridged) -> dict[str, float]:
    """Every sample of MQTT on the page, by name and label."""
    server = MetricsServer(
        MetricsConfig(), status=box.daemon.box.status, others=[box.bridge.metrics]
    )
    page, _ = await server.page()
    return {
        " ".join([sample.name.removeprefix("skilld_mqtt_"), *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name.startswith("skilld_mqtt_")
    }


async def test_requests_replies_and_repeats_are_counted(
    start_broker: StartBroker, open_bridge: OpenBridge, open_robot: OpenRobot, gate: Gate
) -> None:
    broker = start_broker()
    async with open_bridge(broker, before_step=gate) as box:
        robot = await open_robot(broker)
        robot.ask(TEXT, request_id="1")
        await until(lambda: gate.num_held > 0)
        robot.ask(TEXT, request_id="1")
        await robot.client.settled()
        await until(lambda: box.bridge._figures.repeats["joined"] == 1)
        gauges = {family.name: family.samples for family in box.bridge.metrics()}
        assert gauges["skilld_mqtt_running_calls"][0].value == 1
        gate.open()
        await robot.client.next()
        assert (await robot.call(TEXT, request_id="1")).user["status"] == "ok"
        await robot.call({"want": '{"abstain":"unclear"}'}, skill="triage")
        await robot.call({"text": 3})
        await robot.call({}, skill="nothing")
        robot.client.publish(f"skilld/box/{BOX}/cancel/robot1", b"{}")  # of nothing
        await until(lambda: box.bridge._dropped.counts.total() == 1)
        assert await figures_of(box) == {
            "connected": 1,
            "reconnects_total": 0,
            "running_calls": 0,
            "waiting_calls": 0,
            "requests_total": 6,
            "repeats_total joined": 1,
            "repeats_total remembered": 1,
            "replies_total ok": 2,
            "replies_total abstain": 1,
            "replies_total error": 2,
            "refused_total INVALID_INPUT": 1,
            "refused_total UNKNOWN_SKILL": 1,
            "dropped_total INVALID_INPUT": 1,
            "dropped_total UNREADABLE": 0,
        }


async def test_a_broker_that_goes_and_comes_back_is_seen(
    start_broker: StartBroker, open_bridge: OpenBridge
) -> None:
    broker = start_broker()
    async with open_bridge(broker) as box:
        await asyncio.to_thread(broker.stop)
        await until(lambda: not box.bridge.is_connected)
        away = await figures_of(box)
        assert (away["connected"], away["reconnects_total"]) == (0, 0)
        await asyncio.to_thread(broker.start)
        await box.connected()
        back = await figures_of(box)
        assert (back["connected"], back["reconnects_total"]) == (1, 1)


def test_without_a_broker_there_are_no_figures() -> None:
    assert list(MqttBridge(None, MqttConfig()).metrics()) == []  # type: ignore[arg-type]
