"""A depot, a real broker, and boxes: releases over MQTT, whatever happens on the way."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.brokers import PATIENCE_S, Broker, StartBroker, broker, start_broker
from tests.transports.mqtt.conftest import Connect, connect

from skilld.config import MqttConfig
from skilld.core.errors import NotFoundError, UnavailableError
from skilld.mqtt.message import Delivery, Message
from skilld.updates.depot import Depot, DepotLimits, MqttSource, round_trip
from skilld.updates.depot.mqtt_source import SourceLimits
from skilld.updates.trust import BlobRange

__all__ = ["broker", "connect", "start_broker"]

BLOCK = 128 << 10
GET = "skilld/depot/depot/get/asker"
DATA = "skilld/box/asker/ota/data/depot"

Spoil = Callable[[Message], Sequence[Message]]


class Served:
    """A depot on an event loop of its own; `spoil` says what becomes of each answer."""

    def __init__(self, folder: Path, broker: Broker, *, limits: DepotLimits | None = None) -> None:
        self.folder = folder
        self.spoil: Spoil = lambda message: [message]
        self.sent_bytes: dict[str, int] = {}
        self.num_requests = 0
        self._broker = broker
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.start()

    def start(self) -> None:
        async def start() -> None:
            self.depot = Depot(
                self.folder, MqttConfig(broker=self._broker.address), "depot", self._limits
            )
            publish, hear = self.depot.connection.publish, self.depot.on_message

            def spoiled(message: Message, **rest: Any) -> bool:
                box = message.topic.split("/")[2]
                self.sent_bytes[box] = self.sent_bytes.get(box, 0) + len(message.payload)
                for one in self.spoil(message):
                    publish(one, **rest)
                return True

            def heard(delivery: Delivery) -> None:
                self.num_requests += 1
                hear(delivery)

            subscribed = asyncio.Event()
            self.depot.connection._on_subscribed = (  # type: ignore[method-assign]
                lambda reasons: subscribed.set()
            )
            self.depot.connection.publish = spoiled  # type: ignore[method-assign]
            self.depot.on_message = heard  # type: ignore[method-assign]
            self.depot.start()
            async with asyncio.timeout(PATIENCE_S):
                await subscribed.wait()

        asyncio.run_coroutine_threadsafe(start(), self._loop).result(PATIENCE_S)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.depot.stop(), self._loop).result(PATIENCE_S)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def add(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / sha256).write_bytes(data)
        return sha256


class Serve(Protocol):
    def __call__(
        self, broker: Broker, *, limits: DepotLimits | None = None
    ) -> AbstractContextManager[Served]: ...


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    folder = tmp_path / "served"
    (folder / "blobs").mkdir(parents=True)
    (folder / "metadata").mkdir()

    @contextmanager
    def serve(broker: Broker, *, limits: DepotLimits | None = None) -> Iterator[Served]:
        served = Served(folder, broker, limits=limits)
        try:
            yield served
        finally:
            served.close()

    return serve


def source_of(broker: Broker, box: str = "box1", **limits: Any) -> MqttSource:
    return MqttSource(
        MqttConfig(broker=broker.address),
        box=box,
        depot="depot",
        limits=SourceLimits(**{"patience_s": PATIENCE_S, **limits}),
    )


def parts_of(sha256: str, data: bytes, part_bytes: int = 300_000) -> list[BlobRange]:
    return [
        BlobRange(sha256, offset, min(part_bytes, len(data) - offset))
        for offset in range(0, len(data), part_bytes)
    ]


def fetch(source: MqttSource, sha256: str, num_bytes: int) -> bytes:
    """All of a blob, asking again for the parts that came damaged, as the updater does."""
    whole = bytearray(num_bytes)
    for part, data in source.blocks(parts_of(sha256, bytes(num_bytes))):
        assert len(data) == part.num_bytes
        whole[part.offset : part.offset + part.num_bytes] = data
    return bytes(whole)


def test_a_blob_and_metadata_come_whole(broker: Broker, serve: Serve) -> None:
    data, root = random.Random(1).randbytes(3_000_001), b'{"signed": 1}' * 20_000
    with serve(broker) as served, source_of(broker) as source:
        sha256 = served.add(data)
        (served.folder / "metadata/1.root.json").write_bytes(root)
        assert fetch(source, sha256, len(data)) == data
        assert source.metadata("1.root.json", 1 << 20) == root
        assert source.metadata("1.root.json", 1000) == root[:1001]
        assert served.sent_bytes["box1"] < len(data) + len(root) + 2 * BLOCK
        with pytest.raises(NotFoundError) as error:
            source.metadata("2.root.json", 1 << 20)
        assert error.value.reason == "NOT_PUBLISHED"
        assert str(served.folder) not in str(error.value)
        with pytest.raises(NotFoundError):
            list(source.blocks([BlobRange("0" * 64, 0, 10)]))
        with pytest.raises(NotFoundError):  # beyond its end
            list(source.blocks([BlobRange(sha256, len(data) - 5, 10)]))


def test_lost_doubled_and_reordered_blocks_are_survived(broker: Broker, serve: Serve) -> None:
    dice, late = random.Random(2), []

    def spoil(message: Message) -> list[Message]:
        fate = dice.random()
        if fate < 0.2:
            return []
        if fate < 0.4:
            return [message, message]
        if fate < 0.6:
            late.append(message)
            return []
        sent = [message, *late]
        late.clear()
        return sent

    data = random.Random(3).randbytes(5 << 20)
    with serve(broker) as served, source_of(broker) as source:
        sha256 = served.add(data)
        served.spoil = spoil
        assert fetch(source, sha256, len(data)) == data


def test_damaged_and_foreign_blocks_are_no_longer_than_asked(broker: Broker, serve: Serve) -> None:
    def spoil(message: Message) -> list[Message]:
        rest: dict[str, Any] = {"qos": 0, "correlation": message.correlation}
        digest, offset = message.user
        return [
            Message(message.topic, message.payload + b"more", user=message.user, **rest),
            Message(message.topic, message.payload[:-1], user=message.user, **rest),
            Message(message.topic, b"x" * 10, user=(("digest", "f" * 64), offset), **rest),
            Message(message.topic, b"x" * 10, user=(digest, ("offset", "-1")), **rest),
            Message(message.topic, b"x" * 10, user=(digest, ("offset", "9" * 5000)), **rest),
            Message(message.topic, b"", **rest),
            Message(message.topic, message.payload, user=message.user, retain=True, **rest),
            Message(message.topic, bytes(len(message.payload)), user=message.user, **rest),
            message,
        ]

    data = random.Random(4).randbytes(2 * BLOCK)
    with serve(broker) as served, source_of(broker) as source:
        sha256 = served.add(data)
        served.spoil = spoil
        # What has the right length is taken; that it is wrong is for the caller to see.
        assert fetch(source, sha256, len(data)) in (bytes(len(data)), data)
        served.spoil = lambda message: [message]


def test_a_depot_that_went_away_is_taken_up_again(broker: Broker, serve: Serve) -> None:
    data = random.Random(5).randbytes(3 << 20)
    with serve(broker) as served, source_of(broker) as source:
        sha256 = served.add(data)
        came = []
        for part, piece in source.blocks(parts_of(sha256, data)):
            came.append(piece)
            assert data[part.offset : part.offset + part.num_bytes] == piece
            if len(came) == 2:
                served.stop()
                served.start()
        assert len(came) == len(parts_of(sha256, data))


def test_a_broker_that_went_away_is_taken_up_again(start_broker: StartBroker, serve: Serve) -> None:
    own = start_broker()
    data = random.Random(6).randbytes(3 << 20)
    with serve(own) as served, source_of(own) as source:
        sha256 = served.add(data)
        num = 0
        for _ in source.blocks(parts_of(sha256, data)):
            num += 1
            if num == 2:
                own.stop()
                own.start()
        assert num == len(parts_of(sha256, data))


def test_without_a_depot_the_source_is_away(broker: Broker) -> None:
    source = source_of(broker, patience_s=0.5)
    with pytest.raises(UnavailableError, match="has not answered"):
        source.metadata("timestamp.json", 1000)
    source.close()
    with pytest.raises(UnavailableError, match="closed"):
        list(source.blocks([BlobRange("0" * 64, 0, 10)]))


def test_a_wait_that_is_stopped_again_and_again_ends_all_the_same(broker: Broker) -> None:
    stops = itertools.cycle([False, False, True])
    limits = SourceLimits(patience_s=0.5)
    source = MqttSource(
        MqttConfig(broker=broker.address),
        box="box1",
        depot="nobody",
        limits=limits,
        should_stop=lambda: next(stops),
    )

    def wait_and_wait() -> None:
        for _ in range(1000):
            waking = threading.Timer(0.01, source.interrupt)
            waking.start()
            assert list(source.blocks([BlobRange("0" * 64, 0, 10)])) == []
            waking.join()

    with source, pytest.raises(UnavailableError, match="nobody"):
        wait_and_wait()


def test_a_line_that_is_kept_slow_is_not_taken_for_dead(broker: Broker, serve: Serve) -> None:
    data = random.Random(9).randbytes(2 * BLOCK)
    with serve(broker) as served:
        limits = SourceLimits(bytes_per_s=BLOCK / 2, patience_s=1.5)
        with MqttSource(
            MqttConfig(broker=broker.address), box="box1", depot="depot", limits=limits
        ) as source:
            (served.folder / "metadata/1.root.json").write_bytes(b"{}")
            for _ in range(5):  # what is small takes little of it
                assert source.metadata("1.root.json", 1 << 20) == b"{}"
            sha256 = served.add(data)
            assert dict(source.blocks([BlobRange(sha256, 0, len(data))])).popitem()[1] == data


def test_who_waits_can_be_interrupted(broker: Broker) -> None:
    is_ordered = threading.Event()
    config = MqttConfig(broker=broker.address)
    with MqttSource(config, box="box1", depot="depot", should_stop=is_ordered.is_set) as source:

        def order() -> None:
            is_ordered.set()
            source.interrupt()

        threading.Timer(0.2, order).start()
        assert list(source.blocks([BlobRange("0" * 64, 0, 10)])) == []
        with pytest.raises(UnavailableError, match="interrupted"):  # it need not be told again
            source.metadata("timestamp.json", 100)


def test_a_reader_that_pauses_loses_nothing_under_way(
    broker: Broker, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FIRST_S", "_MIN_S"):  # a machine that stalls must not look like a loss
        monkeypatch.setattr(round_trip, name, 20.0)
    data = random.Random(7).randbytes(4 << 20)
    with serve(broker) as served, source_of(broker) as source:
        sha256 = served.add(data)
        missing = parts_of(sha256, data, 1 << 20)
        while missing:
            for part, piece in source.blocks(missing):
                assert hashlib.sha256(piece).digest() == (
                    hashlib.sha256(data[part.offset : part.offset + part.num_bytes]).digest()
                )
                missing.remove(part)
                break
        assert served.sent_bytes["box1"] == len(data)


def test_a_box_that_asks_for_more_does_not_get_more(broker: Broker, serve: Serve) -> None:
    data = random.Random(8).randbytes(6 << 20)
    limits = DepotLimits(bytes_per_s=4 << 20)
    with serve(broker, limits=limits) as served:
        sha256 = served.add(data)
        with (
            source_of(broker, "greedy", max_in_flight=32) as greedy,
            source_of(broker, "modest", max_in_flight=4) as modest,
        ):
            thread = threading.Thread(target=fetch, args=(greedy, sha256, len(data)))
            thread.start()
            assert fetch(modest, sha256, 1 << 20) == data[: 1 << 20]
            taken = served.sent_bytes["greedy"]
            thread.join()
        # Turn and turn about, as long as both ask; it may have begun a little earlier.
        assert taken < 3 << 20


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "BAD_REQUEST"),
        (b"\xff" * 100, "BAD_REQUEST"),
        (b"[" * 900, "BAD_REQUEST"),
        (b"x" * 5000, "BAD_REQUEST"),
        ({"digest": "0" * 64, "offset": 0, "length": 10}, "NOT_PUBLISHED"),
        ({"digest": "../" + "0" * 61, "offset": 0, "length": 10}, "BAD_REQUEST"),
        ({"digest": "0" * 64 + "\n", "offset": 0, "length": 10}, "BAD_REQUEST"),
        ({"metadata": "../metadata/1.root.json", "offset": 0, "length": 10}, "BAD_REQUEST"),
        ({"metadata": "../../etc/passwd", "offset": 0, "length": 10}, "BAD_REQUEST"),
        ({"metadata": "link.json", "offset": 0, "length": 10}, "SOURCE_UNAVAILABLE"),
        ({"metadata": "1.root.json", "offset": 1 << 30, "length": 10}, "OUT_OF_RANGE"),
        ({"digest": "BLOB", "offset": 95, "length": 10}, "OUT_OF_RANGE"),
        ({"digest": "BLOB", "offset": 1 << 40, "length": 10}, "OUT_OF_RANGE"),
        ({"digest": "BLOB", "offset": 0, "length": BLOCK + 1}, "BAD_REQUEST"),
        ({"digest": "BLOB", "offset": 0, "length": 0}, "BAD_REQUEST"),
        ({"digest": "BLOB", "offset": -1, "length": 10}, "BAD_REQUEST"),
        ({"digest": "BLOB", "offset": 0.5, "length": 10}, "BAD_REQUEST"),
        ({"digest": "BLOB", "metadata": "1.root.json", "offset": 0, "length": 1}, "BAD_REQUEST"),
        ({"offset": 0, "length": 10}, "BAD_REQUEST"),
        ({"digest": "BLOB", "offset": 0, "length": 10, "to": "x"}, "BAD_REQUEST"),
    ],
)
async def test_bad_requests_are_refused_in_words(
    broker: Broker, serve: Serve, connect: Connect, payload: Any, reason: str
) -> None:
    with serve(broker) as served:
        sha256 = served.add(bytes(range(100)))
        (served.folder / "metadata/link.json").symlink_to("/etc/passwd")
        box = await connect(broker, "asker")
        await box.subscribe(DATA)
        if isinstance(payload, dict) and payload.get("digest") == "BLOB":
            payload = {**payload, "digest": sha256}
        good = {"digest": sha256, "offset": 10, "length": 5}
        box.publish(GET, good, qos=1)
        first = await box.next()
        assert (first.payload, first.user["offset"]) == (bytes(range(10, 15)), "10")
        box.publish(GET, payload, correlation=b"7")
        refusal = await box.next()
        assert (refusal.user["error"], refusal.json["error"]) == (reason, reason)
        assert refusal.properties["CorrelationData"] == b"7"
        assert str(served.folder) not in refusal.payload.decode()
        box.publish(GET, good)
        assert (await box.next()).payload == bytes(range(10, 15))


async def test_too_many_requests_at_once_are_refused(
    broker: Broker, serve: Serve, connect: Connect
) -> None:
    limits = DepotLimits(bytes_per_s=1000, max_per_box=4)
    with serve(broker, limits=limits) as served:
        sha256 = served.add(bytes(5000))
        box = await connect(broker, "asker")
        await box.subscribe(DATA)
        for offset in range(40):
            box.publish(GET, {"digest": sha256, "offset": offset, "length": 1000}, qos=1)
        reasons = [(await box.next()).user.get("error", "") for _ in range(10)]
        assert reasons.count("TOO_MANY_REQUESTS") >= 8


def test_the_command_serves_and_survives_being_killed(
    broker: Broker, serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "served"
    data = random.Random(9).randbytes(4 << 20)
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / "blobs" / sha256).write_bytes(data)
    command = [sys.executable, "-m", "skilld.cli", "depot", str(folder), "--broker", broker.address]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    processes = [start()]
    try:
        with source_of(broker, patience_s=60.0) as source:
            num = 0
            for _ in source.blocks(parts_of(sha256, data)):
                num += 1
                if num == 2:
                    processes[0].kill()
                    processes[0].communicate()
                    processes.append(start())
            assert num == len(parts_of(sha256, data))
        processes[1].terminate()
        printed, _ = processes[1].communicate(timeout=PATIENCE_S)
        assert processes[1].returncode == 0
        assert f"serves {folder}" in printed
    finally:
        for process in processes:
            process.kill()
            process.wait()
