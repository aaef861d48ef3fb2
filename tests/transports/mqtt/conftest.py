"""Clients of a broker, and daemons that listen to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from tests.brokers import (
    PATIENCE_S,
    Broker,
    StartBroker,
    broker,
    free_port,
    program,
    start_broker,
)
from tests.transports.conftest import Daemon, OpenDaemon

from skilld.config import MqttConfig
from skilld.core.batch import Batch
from skilld.transports.mqtt import MqttBridge

BOX = "box1"
__all__ = ["PATIENCE_S", "Broker", "StartBroker", "broker", "free_port", "program", "start_broker"]


@dataclass(frozen=True)
class Received:
    """A message that a client got."""

    topic: str
    payload: bytes
    retain: bool
    properties: dict[str, Any]

    @property
    def json(self) -> Any:
        return json.loads(self.payload)

    @property
    def user(self) -> dict[str, str]:
        return dict(self.properties.get("UserProperty", ()))


class Client:
    """A client of a broker; what arrives is read with `next`."""

    def __init__(
        self, port: int, name: str, *, v5: bool = True, tls: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[Received] = asyncio.Queue()
        self._events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"test-{name}-{id(self)}",
            protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311,
        )
        self._v5 = v5
        if tls is not None:
            self._client.tls_set(
                ca_certs=tls["ca"], certfile=tls.get("certificate"), keyfile=tls.get("key")
            )
        self._client.on_connect = lambda *args: self._tell(("connected", args[3]))
        self._client.on_disconnect = lambda *args: self._tell(("disconnected", args[3]))
        self._client.on_subscribe = lambda *args: self._tell(("subscribed", args[3]))
        self._client.on_publish = lambda *args: self._tell(("published", args[3]))
        self._client.on_message = self._on_message
        self._client.on_socket_open = _send_at_once
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def _tell(self, event: tuple[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._arrived.put_nowait, _received(message))

    async def event(self, name: str) -> Any:
        """Wait for something to happen to the connection."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                what, value = await self._events.get()
                if what == name:
                    return value

    async def subscribe(self, *topics: str) -> list[Any]:
        self._client.subscribe([(topic, 1) for topic in topics])
        return list(await self.event("subscribed"))

    def publish(
        self,
        topic: str,
        payload: Any = b"",
        *,
        reply_to: str | None = None,
        correlation: bytes | None = None,
        expiry_s: int | None = None,
        content_type: str | None = None,
        user: Sequence[tuple[str, str]] = (),
        retain: bool = False,
        qos: int = 1,
    ) -> None:
        if isinstance(payload, dict | list):
            payload = json.dumps(payload)
        properties = Properties(PacketTypes.PUBLISH) if self._v5 else None
        if properties is not None:
            for key, value in (
                ("ResponseTopic", reply_to),
                ("CorrelationData", correlation),
                ("MessageExpiryInterval", expiry_s),
                ("ContentType", content_type),
                ("UserProperty", list(user) or None),
            ):
                if value is not None:
                    setattr(properties, key, value)
        self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)

    async def next(self) -> Received:
        async with asyncio.timeout(PATIENCE_S):
            return await self._arrived.get()

    def has_more(self) -> bool:
        return not self._arrived.empty()

    async def settled(self) -> None:
        """Wait until everything published before has been through the broker and back."""
        await self.subscribe(f"test/{self.name}/echo")
        self.publish(f"test/{self.name}/echo", b"")
        kept = []
        while (message := await self.next()).topic != f"test/{self.name}/echo":
            kept.append(message)
        for message in kept:
            self._arrived.put_nowait(message)

    async def close(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)


def _send_at_once(_client: object, _data: object, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _received(message: mqtt.MQTTMessage) -> Received:
    properties = {} if message.properties is None else vars(message.properties)
    return Received(message.topic, bytes(message.payload), message.retain, dict(properties))


class Connect(Protocol):
    """Opens a client of a broker and waits until it is connected."""

    async def __call__(
        self,
        broker: Broker,
        name: str = "robot1",
        *,
        v5: bool = True,
        tls: Mapping[str, str] | None = None,
    ) -> Client: ...


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with contextlib.AsyncExitStack() as stack:

        async def opened(
            broker: Broker,
            name: str = "robot1",
            *,
            v5: bool = True,
            tls: Mapping[str, str] | None = None,
        ) -> Client:
            client = Client(broker.port, name, v5=v5, tls=tls)
            stack.push_async_callback(client.close)
            await client.event("connected")
            return client

        yield opened


@dataclass(frozen=True)
class Bridged:
    """A daemon and its bridge."""

    daemon: Daemon
    bridge: MqttBridge

    async def connected(self) -> None:
        """Wait until the broker has confirmed the announcements, sent after the subscriptions."""
        connection = self.bridge._connection
        assert connection is not None
        async with asyncio.timeout(PATIENCE_S):
            while not connection.is_up or connection._unsent:  # noqa: ASYNC110 - only tests ask
                await asyncio.sleep(0.005)


class OpenBridge(Protocol):
    """Opens a daemon with a bridge to a broker; further keys are those of `[mqtt]`."""

    def __call__(
        self,
        broker: Broker,
        *,
        before_step: Callable[[Batch], None] | None = None,
        engines: Sequence[Path] = (),
        waits: bool = True,
        address: str | None = None,
        **config: Any,
    ) -> contextlib.AbstractAsyncContextManager[Bridged]: ...


@pytest.fixture
def open_bridge(open_daemon: OpenDaemon) -> OpenBridge:
    @contextlib.asynccontextmanager
    async def opened(
        broker: Broker,
        *,
        before_step: Callable[[Batch], None] | None = None,
        engines: Sequence[Path] = (),
        waits: bool = True,
        address: str | None = None,
        **config: Any,
    ) -> AsyncIterator[Bridged]:
        settings = MqttConfig(broker=address or broker.address, **{"box": BOX, **config})
        async with open_daemon(before_step=before_step, engines=engines) as daemon:
            bridge = MqttBridge(daemon.box.service, settings)
            bridge.start()
            bridged = Bridged(daemon, bridge)
            try:
                if waits:
                    await bridged.connected()
                yield bridged
            finally:
                await bridge.stop()
                bridge._table.check()
                assert not bridge._table.entries()

    return opened


@dataclass(frozen=True)
class Robot:
    """A client that calls skills and reads its replies."""

    client: Client

    @property
    def replies(self) -> str:
        return f"skilld/client/{self.client.name}/resp"

    def ask(
        self,
        payload: Any,
        *,
        skill: str = "echo",
        topic: str | None = None,
        request_id: str | None = None,
        user: Sequence[tuple[str, str]] = (),
        **rest: Any,
    ) -> None:
        if request_id is not None:
            user = [*user, ("request_id", request_id)]
        self.client.publish(
            topic or f"skilld/box/{BOX}/skill/{skill}/req/{self.client.name}",
            payload,
            **{"reply_to": self.replies, **rest},
            user=user,
        )

    async def call(self, payload: Any, **rest: Any) -> Received:
        self.ask(payload, **rest)
        return await self.client.next()


class OpenRobot(Protocol):
    """Opens a client that listens for its replies."""

    async def __call__(self, broker: Broker, name: str = "robot1", *, v5: bool = True) -> Robot: ...


@pytest.fixture
def open_robot(connect: Connect) -> OpenRobot:
    async def opened(broker: Broker, name: str = "robot1", *, v5: bool = True) -> Robot:
        robot = Robot(await connect(broker, name, v5=v5))
        await robot.client.subscribe(f"{robot.replies}/#")
        return robot

    return opened
