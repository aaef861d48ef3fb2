"""What a field team has: a broker, a key, boxes out there, and `skilld release`."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from tests.brokers import PATIENCE_S, Broker, StartBroker
from tests.updates.simulated_boxes import Fate, SimulatedBox

from skilld.cli import main
from skilld.updates.publishing import make_key

__all__ = ["Box", "Release", "box", "boxes", "broker", "kept", "key", "release", "stages"]

Box = Callable[..., SimulatedBox]
Release = Callable[..., tuple[int, list[Any]]]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "ops.pem", passphrase=None)
    return tmp_path / "ops.pem"


@pytest.fixture
def broker(start_broker: StartBroker) -> Broker:
    return start_broker()


@pytest.fixture
def box(broker: Broker, key: Path) -> Iterator[Box]:
    """Puts boxes on the broker."""
    with contextlib.ExitStack() as stack:

        def box(name: str, fate: Fate, **rest: Any) -> SimulatedBox:
            made = SimulatedBox(broker.port, name, fate, key=key.with_suffix(".pub"), **rest)
            stack.callback(made.close)
            return made

        yield box


@pytest.fixture
def release(broker: Broker, key: Path, capsys: pytest.CaptureFixture[str]) -> Release:
    """Runs `skilld release ...` with --json; returns the exit code and the documents printed."""

    def run(command: str, *words: object) -> tuple[int, list[Any]]:
        signs = [] if command == "fleet" else ["--key", str(key)]
        arguments = ["release", command, *map(str, words), *signs, "--json"]
        code = main([*arguments, "--broker", broker.address])
        printed = capsys.readouterr().out
        if "--watch" in arguments:
            return code, [json.loads(line) for line in printed.splitlines()]
        return code, [json.loads(printed)] if printed else []

    return run


def boxes(*names: str) -> list[str]:
    return [word for name in names for word in ("--box", name)]


def stages(documents: list[Any]) -> dict[str, str]:
    return {box["box"]: box["stage"] for box in documents[-1]["boxes"]}


def kept(broker: Broker, topic: str) -> bytes:
    """What the broker keeps there; b"" for nothing."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    said: list[bytes] = []
    ended = threading.Event()

    def on_message(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == "test/end":
            ended.set()
        else:
            said.append(bytes(message.payload))

    client.on_message = on_message
    client.connect("127.0.0.1", broker.port)
    client.subscribe([(topic, 1), ("test/end", 1)])
    client.publish("test/end", b"", 1)
    client.loop_start()
    assert ended.wait(PATIENCE_S)
    client.disconnect()
    client.loop_stop()
    return said[-1] if said else b""
