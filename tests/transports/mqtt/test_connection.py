"""Two threads write to one socket: what arrives is whole, and what is done with is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator

import pytest
from tests.brokers import PATIENCE_S, StartBroker

from skilld.config import MqttConfig
from skilld.mqtt.connection import Connection, Subscription
from skilld.mqtt.connection_settings import connection_settings
from skilld.mqtt.message import Delivery, Message

TOPIC = "skilld/client/me/resp"
NUM_MESSAGES = 120
MESSAGE_BYTES = 64_000
TAKEN_BYTES = 8_000  # at once, by a socket that takes little


class Echo:
    """Listens to what it says itself."""

    def __init__(self, address: str) -> None:
        settings = connection_settings(MqttConfig(broker=address), client_id="me", will=None)
        assert settings is not None
        self.came: list[Message] = []
        self.is_up = asyncio.Event()
        self.connection = Connection(settings, self)

    def on_up(self) -> None:
        self.connection.subscribe([Subscription(TOPIC)])
        self.is_up.set()

    def on_down(self, reason: str) -> None:
        self.is_up.clear()

    def on_message(self, delivery: Delivery) -> None:
        self.came.append(delivery.message)
        # Acknowledged from the event loop and, behind a message of ours, from paho's thread.
        if len(self.came) % 2:
            self.connection.acknowledge(delivery)
        else:
            self.connection.publish(Message("skilld/nobody", b"done"), acknowledges=[delivery])


def message(number: int) -> Message:
    body = hashlib.sha256(str(number).encode()).digest() * (MESSAGE_BYTES // 32)
    return Message(TOPIC, body, qos=number % 2, user=(("number", str(number)),))


def take_little(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the socket take part of a packet, and let the other thread try then."""
    send = connection._client._sock_send

    def send_part(data: bytes) -> int:
        num_bytes = send(data[:TAKEN_BYTES])
        time.sleep(0.0005)
        return num_bytes

    monkeypatch.setattr(connection._client, "_sock_send", send_part)


@pytest.mark.parametrize("takes_little", [True, False])
async def test_what_two_threads_write_arrives_whole(
    start_broker: StartBroker, monkeypatch: pytest.MonkeyPatch, takes_little: bool
) -> None:
    echo = Echo(start_broker().address)
    connection = echo.connection
    connection.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await echo.is_up.wait()
            if takes_little:
                take_little(connection, monkeypatch)
            for number in range(NUM_MESSAGES):
                connection.publish(message(number))
                await connection.written(4)
            await connection.confirmed()
            while len(echo.came) < NUM_MESSAGES:  # noqa: ASYNC110 - told on the same loop
                await asyncio.sleep(0.01)
            await connection.confirmed()
    finally:
        await connection.stop(1.0)
    # The broker answers in the order of arrival within one quality of service.
    for qos in (0, 1):
        told = [one for one in echo.came if one.qos == qos]
        assert [dict(one.user)["number"] for one in told] == [
            str(number) for number in range(NUM_MESSAGES) if number % 2 == qos
        ]
    assert {one.payload for one in echo.came} == {
        message(number).payload for number in range(NUM_MESSAGES)
    }
    assert connection._number == 1  # nothing was broken on the way


class LooseBroker:
    """Accepts a client and passes on what no good broker would; remembers what it is told.

    mosquitto refuses such messages itself, so that there is no other way to have them delivered.
    """

    def __init__(self, *packets: bytes) -> None:
        self._packets = packets
        self.num_clients = 0
        self.told = b""
        self.port = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[LooseBroker]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_clients += 1
        await reader.read(1000)
        writer.write(b"\x20\x03\x00\x00\x00" + b"".join(self._packets))
        while data := await reader.read(1000):
            self.told += data
        writer.close()


def publish_packet(number: int, properties: bytes, *, qos: int) -> bytes:
    packet_id = number.to_bytes(2, "big") if qos else b""
    content = b"\x00\x01t" + packet_id + bytes([len(properties)]) + properties + b"payload"
    return bytes([0x30 | qos << 1, len(content)]) + content


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_message_that_cannot_be_read_is_dropped_and_acknowledged(
    caplog: pytest.LogCaptureFixture, qos: int
) -> None:
    poison = b"\x26\x00\x01k\x00\x02\xff\xfe"
    packets = [publish_packet(number, poison, qos=qos) for number in (1, 2, 3)]
    async with LooseBroker(*packets, publish_packet(4, b"", qos=1)).serving() as broker:
        echo = Echo(f"127.0.0.1:{broker.port}")
        echo.connection.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while b"\x40\x02\x00\x04" not in broker.told:  # noqa: ASYNC110 - of a socket
                    await asyncio.sleep(0.01)
        finally:
            await echo.connection.stop(1.0)
    assert [one.payload for one in echo.came] == [b"payload"]
    assert echo.connection.num_unreadable == 3
    assert caplog.text.count("could not be read and was dropped") == 1
    for number in (1, 2, 3):
        assert (b"\x40\x02\x00" + bytes([number]) in broker.told) == (qos == 1)
    assert broker.num_clients == 1


async def test_a_message_at_a_quality_nobody_asked_for_costs_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with LooseBroker(publish_packet(1, b"", qos=2)).serving() as broker:
        echo = Echo(f"127.0.0.1:{broker.port}")
        echo.connection.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while broker.num_clients < 2:  # noqa: ASYNC110 - of a socket
                    await asyncio.sleep(0.01)
        finally:
            await echo.connection.stop(1.0)
    assert echo.came == []
    assert "quality of service that was not asked for" in caplog.text
