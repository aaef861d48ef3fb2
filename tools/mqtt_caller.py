"""Calls over MQTT for demo and bench: a broker with our configuration, and a blocking client."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from skilld.transports.mqtt.broker_config import development_text

BOX = "here"  # what the daemons that are called this way are named
_PATIENCE_S = 20.0
_REPLIES = "skilld/client/caller/resp"


@dataclass(frozen=True, slots=True)
class MqttKind:
    """One kind of message: where it goes, and what it says.

    Attributes:
        topic: of the request; its replies come back to the caller.
        payload: of the request.
        wanted: the output that must come back; None when the message itself does.
    """

    topic: str
    payload: bytes
    wanted: Any = None


def broker_kind() -> MqttKind:
    """The floor: a message to the caller itself, through the broker."""
    return MqttKind(_REPLIES, b'{"output":null}')


def skill_kind(skill: str, payload: str, wanted: Any) -> MqttKind:
    """A call of a skill."""
    return MqttKind(f"skilld/box/{BOX}/skill/{skill}/req/caller", payload.encode(), wanted)


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int | None]:
    """A mosquitto on a free port; None when there is none on this machine."""
    program = shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/sbin"
    )
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path = folder / "mosquitto.conf"
    path.write_text(development_text(port=port), encoding="utf-8")
    with (folder / "mosquitto.log").open("w") as log:
        process = subprocess.Popen([program, "-c", str(path)], stderr=log)
    try:
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError("mosquitto did not start")
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


class MqttCaller:
    """A client without a thread: it asks, and reads until the answer is there.

    Args:
        port: of the broker.
    """

    def __init__(self, port: int) -> None:
        self._replies: list[bytes] = []
        self._is_ready = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self._replies.append(
            bytes(message.payload)
        )
        self._client.on_socket_open = _send_at_once
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.max_inflight_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._until(lambda: self._is_ready)
        self._properties = Properties(PacketTypes.PUBLISH)
        self._properties.ResponseTopic = _REPLIES

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()

    def call(self, kind: MqttKind) -> bytes:
        """One call; returns the payload of its reply."""
        self._publish(kind)
        self._until(lambda: bool(self._replies))
        return self._replies.pop()

    def wait_served(self, kind: MqttKind) -> None:
        """Until a box answers this call as it should.

        Raises:
            RuntimeError: it answers something else, or not at all.
        """
        deadline_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline_s:
            self._publish(kind)
            moment_s = time.monotonic() + 0.5
            while not self._replies and time.monotonic() < moment_s:
                self._client.loop(0.05)
            if self._replies:
                output = json.loads(self._replies.pop())["output"]
                if output != kind.wanted:
                    raise RuntimeError(f"the daemon answered {output}, not {kind.wanted}")
                return
        raise RuntimeError("no box answers over MQTT")

    def call_in_turn(self, kind: MqttKind, num_calls: int) -> list[float]:
        """Milliseconds of each call, one after the other."""
        latencies_ms = []
        for _ in range(num_calls):
            started_s = time.perf_counter()
            self.call(kind)
            latencies_ms.append((time.perf_counter() - started_s) * 1e3)
        return latencies_ms

    def call_at_once(self, kind: MqttKind, num_calls: int, *, at_once: int) -> float:
        """Seconds for all calls, so many on their way at a time."""
        started_s = time.perf_counter()
        for _ in range(at_once):
            self._publish(kind)
        num_sent, num_done = at_once, 0
        while num_done < num_calls:
            self._until(lambda: bool(self._replies))
            for _ in range(len(self._replies)):
                self._replies.pop()
                num_done += 1
                if num_sent < num_calls:
                    num_sent += 1
                    self._publish(kind)
        return time.perf_counter() - started_s

    def _publish(self, kind: MqttKind) -> None:
        self._client.publish(kind.topic, kind.payload, qos=1, properties=self._properties)

    def _until(self, fact: Any) -> None:  # Any: a function without arguments
        deadline_s = time.monotonic() + _PATIENCE_S
        while not fact():
            if self._client.loop(1.0) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise RuntimeError("the broker hung up")
            if time.monotonic() > deadline_s:
                raise RuntimeError("no reply")

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe(_REPLIES, qos=1)

    def _on_subscribe(self, *_: object) -> None:
        self._is_ready = True


def _send_at_once(_client: object, _data: object, sock: Any) -> None:  # Any: paho's socket type
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
