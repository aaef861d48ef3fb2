"""How fast a blob comes over MQTT on loopback, beside the broker alone with the same bytes.

    PYTHONPATH=tools .venv/bin/python -m benchmarks.update_bench --broker 127.0.0.1:1883

The broker (`skilld broker-config --development`) must be running. Rounds alternate.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from skilld.config import MqttConfig
from skilld.updates.depot import MqttSource
from skilld.updates.trust import BlobRange

_BLOCK_BYTES = 128 << 10
_CHUNK_BYTES = 4 << 20
_PATIENCE_S = 60.0


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", required=True, metavar="HOST:PORT")
    parser.add_argument("--mb", type=int, default=20, help="size of the blob")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    data = random.Random(1).randbytes(options.mb * 1_000_000)
    raw_s, depot_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "metadata").mkdir()
        (root / "blobs").mkdir()
        sha256 = hashlib.sha256(data).hexdigest()
        (root / "blobs" / sha256).write_bytes(data)
        command = [sys.executable, "-m", "skilld.cli", "depot", folder, "--broker", options.broker]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as depot:
            try:
                config = MqttConfig(broker=options.broker)
                with MqttSource(config, box="bench", depot="depot") as source:
                    list(source.blocks([BlobRange(sha256, 0, 1)]))  # both are connected
                    for _ in range(options.rounds):
                        raw_s.append(_raw(options.broker, data))
                        depot_s.append(_pulled(source, sha256, len(data)))
            finally:
                depot.terminate()
    for name, times_s in (("broker alone", raw_s), ("depot to box", depot_s)):
        rates = [options.mb / time_s for time_s in times_s]
        print(f"{name}: {statistics.median(rates):.0f} MB/s ({min(rates):.0f}..{max(rates):.0f})")


def _pulled(source: MqttSource, sha256: str, num_bytes: int) -> float:
    parts = [
        BlobRange(sha256, offset, min(_CHUNK_BYTES, num_bytes - offset))
        for offset in range(0, num_bytes, _CHUNK_BYTES)
    ]
    started_s = time.perf_counter()
    got = sum(len(data) for _, data in source.blocks(parts))
    assert got == num_bytes
    return time.perf_counter() - started_s


def _raw(broker: str, data: bytes) -> float:
    """One client publishes all blocks, another gets them; at QoS 1, else the broker drops some."""
    host, _, port = broker.rpartition(":")
    topic, left, is_subscribed, is_done = (
        "bench/raw",
        len(data),
        threading.Event(),
        threading.Event(),
    )
    getter, giver = (mqtt.Client(CallbackAPIVersion.VERSION2) for _ in range(2))

    def arrived(_client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        nonlocal left
        left -= len(message.payload)
        if left == 0:
            is_done.set()

    getter.on_message = arrived
    getter.on_subscribe = lambda *_: is_subscribed.set()
    for client in (getter, giver):
        client.connect(host, int(port))
        client.loop_start()
    getter.subscribe(topic, 1)
    assert is_subscribed.wait(_PATIENCE_S)
    started_s = time.perf_counter()
    for offset in range(0, len(data), _BLOCK_BYTES):
        giver.publish(topic, data[offset : offset + _BLOCK_BYTES], qos=1)
    assert is_done.wait(_PATIENCE_S)
    took_s = time.perf_counter() - started_s
    for client in (getter, giver):
        client.disconnect()
        client.loop_stop()
    return took_s


if __name__ == "__main__":
    main()
