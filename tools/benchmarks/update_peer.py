"""Raw mosquitto moving the same bytes: what a box's download is held against.

    python -m benchmarks.update_peer BROKER BYTES

gives blocks of that many random bytes to whoever asks; `pull` is the other side. Both are a paho
client and nothing else: QoS 0, MQTT 5, TCP_NODELAY on every socket, 128 KiB blocks, 16 asked for at
once, one SHA-256 over each block, as a box hashes its chunks. What they have not: files on either
side, queues and fairness, retries, a rate limit.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import socket
import threading
import time
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

BLOCK_BYTES = 128 << 10
IN_FLIGHT = 16
_ASK, _GIVE = "bench/ask", "bench/give"
_PATIENCE_S = 60.0


def pull(broker: str, num_bytes: int) -> float:
    """Fetch everything from a giver that runs; returns the seconds it took.

    Raises:
        RuntimeError: it did not all come.
    """
    blocks = list(range(0, num_bytes, BLOCK_BYTES))
    state = {"asked": 0, "came": 0}
    is_subscribed, is_done = threading.Event(), threading.Event()
    client = _client(broker, _GIVE, is_subscribed)

    def ask() -> None:
        if state["asked"] < len(blocks):
            client.publish(_ASK, str(blocks[state["asked"]]))
            state["asked"] += 1

    def arrived(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        hashlib.sha256(message.payload).digest()
        state["came"] += len(message.payload)
        if state["came"] >= num_bytes:
            is_done.set()
        ask()

    client.on_message = arrived
    client.loop_start()
    try:
        if not is_subscribed.wait(_PATIENCE_S):
            raise RuntimeError("the broker takes no subscription")
        started_s = time.perf_counter()
        for _ in range(IN_FLIGHT):
            ask()
        if not is_done.wait(_PATIENCE_S):
            raise RuntimeError(f"{state['came']} of {num_bytes} bytes came over the broker alone")
        return time.perf_counter() - started_s
    finally:
        client.disconnect()
        client.loop_stop()


def _client(broker: str, topic: str, is_subscribed: threading.Event) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe(topic, 0)
    client.on_subscribe = lambda *_: is_subscribed.set()

    def opened(_client: object, _data: object, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = opened
    host, _, port = broker.rpartition(":")
    client.connect(host, int(port))
    return client


def main() -> None:
    """Give to whoever asks, until ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("broker")
    parser.add_argument("num_bytes", type=int)
    options = parser.parse_args()
    data = random.Random(1).randbytes(options.num_bytes)
    is_subscribed = threading.Event()
    client = _client(options.broker, _ASK, is_subscribed)

    def asked(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        offset = int(message.payload)
        client.publish(_GIVE, data[offset : offset + BLOCK_BYTES])

    client.on_message = asked
    client.loop_start()
    is_subscribed.wait(_PATIENCE_S)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
