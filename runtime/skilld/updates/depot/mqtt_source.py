"""`MqttSource`: a depot behind a broker, as a source of metadata and blobs.

It is used by one thread, the updater's; only `interrupt` and `close` may be called by others. The
connection lives on an event loop in a thread of its own, which decides nothing: it puts what
arrives into a bounded queue.
"""

from __future__ import annotations

import asyncio
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from skilld.config import MqttConfig
from skilld.core.errors import NotFoundError, UnavailableError
from skilld.mqtt.connection import Connection, Subscription
from skilld.mqtt.connection_settings import connection_settings
from skilld.mqtt.message import Delivery
from skilld.mqtt.topics import DepotTopics
from skilld.updates.depot.protocol import (
    Answer,
    BlockRequest,
    block_limit,
    read_answer,
    request_message,
)
from skilld.updates.depot.token_bucket import TokenBucket
from skilld.updates.depot.window import Window
from skilld.updates.trust.sources import BlobRange, check_digest, check_name

_STOP_S = 8.0
_MIN_BLOCK_BYTES = 1024


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What a box asks for at most.

    Attributes:
        max_in_flight: blocks at once.
        bytes_per_s: it asks for; None for as fast as it goes.
        patience_s: without anything useful, after which the depot is taken for away.
    """

    max_in_flight: int = 16
    bytes_per_s: float | None = None
    patience_s: float = 30.0


class MqttSource:
    """See the module docstring.

    Args:
        config: of the broker.
        box: name of this box in topics.
        depot: name of the depot in topics.
        limits: what is asked for at most.
        should_stop: whether who waits has something better to do; asked in its thread.

    Raises:
        SkilldError: the configuration or one of its files cannot be right.
    """

    def __init__(
        self,
        config: MqttConfig,
        *,
        box: str,
        depot: str,
        limits: SourceLimits | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._limits = limits or SourceLimits()
        self._should_stop = should_stop
        self._topics = DepotTopics(config.prefix, depot)
        self._box = box
        self._data_topic = self._topics.data(box)
        settings = connection_settings(config, client_id=f"skilld-{box}-releases", will=None)
        assert settings is not None
        self._packet_bytes = settings.max_packet_bytes
        self._blobs = Window(max_in_flight=self._limits.max_in_flight)
        self._metadata = Window(max_in_flight=1, may_be_short=True)
        self._bucket = TokenBucket(self._limits.bytes_per_s)
        self._session = secrets.token_hex(4)  # an answer to whom was here before us is not timed
        self._metadata_number = 0
        self._silent_s = 0.0  # for how long nothing useful came before the last wait was stopped
        self._is_closed = False
        self._max_events = 4 * self._limits.max_in_flight + 16
        # Answers; True for a new connection; None to look up.
        self._events: queue.SimpleQueue[Answer | bool | None] = queue.SimpleQueue()
        self._connection = Connection(settings, self)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="skilld-releases", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- on the updater's thread ---------------------------------------------------------------

    def metadata(self, name: str, max_bytes: int) -> bytes:
        """See `BlobSource`."""
        check_name(name)
        data = b""
        while (room := max_bytes + 1 - len(data)) > 0:
            # An answer to an earlier asking may be older than what a box has seen since.
            self._metadata_number += 1
            part = BlobRange(name, len(data), min(room, self._block_bytes()))
            self._metadata.want([part], block_bytes=part.num_bytes)
            piece = next((piece for _, piece in self._pull(self._metadata)), None)
            if piece is None:
                raise _unavailable("interrupted")
            data += piece
            if len(piece) < part.num_bytes:
                break
        return data

    def blocks(self, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
        """See `BlobSource`. What is under way when its reader stops is not lost for the next."""
        parts = list(wanted)
        for part in parts:
            check_digest(part.sha256)
        self._blobs.want(parts, block_bytes=self._block_bytes())
        yield from self._pull(self._blobs)

    def _pull(self, window: Window) -> Iterator[tuple[BlobRange, bytes]]:
        useful_s = time.monotonic() - self._silent_s
        self._silent_s = 0.0
        while True:
            while not self._events.empty():
                if self._handle(self._events.get(), window):
                    useful_s = time.monotonic()
            while complete := window.take():
                yield complete
                useful_s = time.monotonic()
            if window.is_done:
                return
            if self._should_stop():
                self._silent_s = time.monotonic() - useful_s
                return
            if self._is_closed:
                raise _unavailable("closed")
            now_s = time.monotonic()
            left_s = useful_s + self._limits.patience_s - now_s
            if left_s <= 0:
                raise _unavailable(self._why_silent())
            wait_s = min(left_s, self._ask(window, now_s))
            try:
                event = self._events.get(timeout=max(0.0, wait_s))
            except queue.Empty:
                continue
            if self._handle(event, window):
                useful_s = time.monotonic()

    def _ask(self, window: Window, now_s: float) -> float:
        """Ask for what is due; returns when to look again, in seconds from now."""
        if not self._connection.is_up:
            return self._limits.patience_s
        while not (delay_s := self._bucket.delay_s(now_s)):
            due = window.ask(now_s)
            if due is None:
                break
            block, asking = due
            is_blob = window is self._blobs
            request = BlockRequest(
                digest=block.what if is_blob else None,
                metadata=None if is_blob else block.what,
                offset=block.offset,
                length=block.num_bytes,
            )
            correlation = f"{self._token(is_blob)}.{asking}".encode()
            message = request_message(self._topics, self._box, request, correlation)
            self._loop.call_soon_threadsafe(self._connection.publish, message)
            if is_blob:  # of metadata nobody knows how much there is
                self._bucket.take(block.num_bytes, now_s)
        if delay_s:
            return delay_s
        again_s = window.next_s()
        return self._limits.patience_s if again_s is None else again_s - now_s

    def _handle(self, event: Answer | bool | None, window: Window) -> bool:
        """Take an event; returns whether it was useful.

        Raises:
            NotFoundError: reason NOT_PUBLISHED.
            UnavailableError: reason SOURCE_UNAVAILABLE.
        """
        if event is True:
            self._blobs.reconnected()
            self._metadata.reconnected()
        if not isinstance(event, Answer):
            return False
        is_blob = len(event.what) == 64 and not event.what.endswith(".json")
        to = self._blobs if is_blob else self._metadata
        token, _, asking = event.correlation.partition(b".")
        is_ours = token == self._token(is_blob).encode()
        if not is_blob:
            self._bucket.take(len(event.data), time.monotonic())
            if not is_ours:
                return False
        if event.error:
            if to is window and is_ours and to.wants(event.what, event.offset):
                _raise(event)
            return False
        return to.arrived(
            event.what,
            event.offset,
            event.data,
            asking=int(asking) if is_ours and asking.isdigit() and len(asking) < 4 else None,
            now_s=time.monotonic(),
        )

    def _token(self, is_blob: bool) -> str:
        return self._session if is_blob else f"{self._session}-{self._metadata_number}"

    def _block_bytes(self) -> int:
        limit = block_limit(min(self._packet_bytes, self._connection.max_packet_bytes))
        if not limit:
            raise _unavailable("the broker's max_packet_size leaves no room for data")
        # On a slow line something arrives every second all the same, and others get their turn.
        rate = self._limits.bytes_per_s
        return limit if rate is None else min(limit, max(_MIN_BLOCK_BYTES, int(rate)))

    def _why_silent(self) -> str:
        depot = f"depot {self._topics.depot}"
        if not self._connection.is_up:
            return f"no way to {depot}: {self._connection.problem or 'no connection to the broker'}"
        return (
            f"{depot} has not answered for {self._limits.patience_s:.0f} s; does it run, and does "
            f"the broker's access list know both?"
        )

    # --- for other threads ---------------------------------------------------------------------

    def interrupt(self) -> None:
        """Have who waits ask `should_stop` again; what is under way is not lost."""
        self._events.put(None)

    def close(self) -> None:
        """End the connection. Whoever waits, or asks later, is told that it is closed."""
        if self._is_closed:
            return
        self._is_closed = True
        self._events.put(None)
        stopping = asyncio.run_coroutine_threadsafe(self._connection.stop(1.0), self._loop)
        try:
            stopping.result(_STOP_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_STOP_S)

    # --- on the connection's thread ------------------------------------------------------------

    def _run(self) -> None:
        self._loop.call_soon(self._connection.start)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def on_up(self) -> None:
        """A connection is there."""
        self._connection.subscribe([Subscription(self._data_topic)])
        if (
            self._events.qsize() <= self._max_events
        ):  # else what is lost is asked for when it is late
            self._events.put(True)

    def on_down(self, reason: str) -> None:
        """It is gone; what was asked for will be asked for again."""

    def on_message(self, delivery: Delivery) -> None:
        """Something arrived."""
        self._connection.acknowledge(delivery)
        if delivery.message.topic != self._data_topic or self._events.qsize() > self._max_events:
            return  # nobody asked for so much
        answer = read_answer(delivery.message)
        if answer is not None:
            self._events.put(answer)


def _raise(answer: Answer) -> None:
    text = answer.data.decode(errors="replace")
    if answer.error in ("NOT_PUBLISHED", "OUT_OF_RANGE"):
        raise NotFoundError(f"{answer.what}: {text}", reason="NOT_PUBLISHED")
    if answer.error != "TOO_MANY_REQUESTS":  # that one passes; it will be asked again
        raise _unavailable(f"the depot refuses {answer.what}: {answer.error[:40]}: {text}")


def _unavailable(message: str) -> UnavailableError:
    return UnavailableError(message, reason="SOURCE_UNAVAILABLE")
