"""Two threads write to one socket: what arrives is whole, and what is done with is acknowledged."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest
from tests.brokers import PATIENCE_S, Broker, StartBroker

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

    def __init__(self, broker: Broker) -> None:
        settings = connection_settings(MqttConfig(broker=broker.address), client_id="me", will=None)
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
    echo = Echo(start_broker())
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
