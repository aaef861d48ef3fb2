"""`Depot`: serves a repository folder over MQTT."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from skilld.config import MqttConfig
from skilld.core.errors import (
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    SkilldError,
)
from skilld.mqtt.connection import Connection, Subscription
from skilld.mqtt.connection_settings import connection_settings
from skilld.mqtt.message import Delivery, Message
from skilld.mqtt.topics import DepotTopics
from skilld.updates.depot.protocol import (
    BlockRequest,
    block_limit,
    block_message,
    read_request,
    refusal_message,
)
from skilld.updates.depot.request_queue import RequestQueue, Waiting
from skilld.updates.depot.token_bucket import TokenBucket
from skilld.updates.trust.sources import BlobRange, FolderSource

_log = logging.getLogger("skilld.depot")

# Blocks handed to paho that the socket has not taken: enough to keep it busy, few enough that a
# slow line delays the next box by little.
_MAX_UNWRITTEN = 8
_MAX_UNWRITTEN_REFUSALS = 64
_MAX_METADATA_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class DepotLimits:
    """What a depot does at most.

    Attributes:
        bytes_per_s: it sends; None for as fast as it can.
        max_per_box: requests of one box that wait; more are refused.
        max_boxes: boxes whose requests wait.
    """

    bytes_per_s: float | None = None
    max_per_box: int = 32
    max_boxes: int = 1024


class Depot:
    """See the module docstring. Lives on the event loop it is started on.

    Args:
        folder: the repository, with `metadata/` and `blobs/`.
        config: of the broker.
        name: in topics; the broker lets only one depot have it.
        limits: what it does at most.

    Raises:
        SkilldError: the configuration or one of its files cannot be right.
    """

    def __init__(
        self, folder: Path, config: MqttConfig, name: str, limits: DepotLimits | None = None
    ) -> None:
        limits = limits or DepotLimits()
        self.topics = DepotTopics(config.prefix, name)
        settings = connection_settings(config, client_id=f"skilld-depot-{name}", will=None)
        assert settings is not None
        self._source = FolderSource(folder)
        self._queue = RequestQueue(max_per_box=limits.max_per_box, max_boxes=limits.max_boxes)
        self._bucket = TokenBucket(limits.bytes_per_s)
        self._has_work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connection = Connection(settings, self)

    def start(self) -> None:
        """Begin to serve, as soon as there is a connection."""
        self.connection.start()
        self._task = asyncio.create_task(self._serve(), name="depot")

    async def stop(self) -> None:
        """Answer nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.connection.stop(timeout_s=1.0)

    def on_up(self) -> None:
        """A connection is there."""
        self.connection.subscribe([Subscription(self.topics.requests)])

    def on_down(self, reason: str) -> None:
        """It is gone, and so are the boxes as far as anybody can tell; they will ask again."""
        self._queue.clear()

    def on_message(self, delivery: Delivery) -> None:
        """A box asks."""
        self.connection.acknowledge(delivery)
        message = delivery.message
        box = self.topics.box_of(message.topic)
        if box is None or message.retain:
            return
        request: BlockRequest | None = None
        try:
            request = read_request(message)
            limit = block_limit(self.connection.max_packet_bytes)
            if request.length > limit:
                raise InvalidRequestError(
                    f"length: {request.length} bytes, at most {limit} fit into a packet of this "
                    "broker",
                    reason="BLOCK_TOO_LARGE",
                )
            self._queue.put(Waiting(box, request, message.correlation))
            self._has_work.set()
        except (InvalidRequestError, OverloadedError) as error:
            self._refuse(box, request, error, message.correlation)

    async def _serve(self) -> None:
        while True:
            waiting = self._queue.next()
            if waiting is None:
                self._has_work.clear()
                await self._has_work.wait()
                continue
            if delay_s := self._bucket.delay_s(time.monotonic()):
                await asyncio.sleep(delay_s)
            await self.connection.written(_MAX_UNWRITTEN)
            try:
                data = self._read(waiting.request)
            except SkilldError as error:
                self._refuse(waiting.box, waiting.request, error, waiting.correlation)
                await asyncio.sleep(0)  # a flood of them must not keep others from being heard
                continue
            except Exception:
                _log.exception("a request of %s could not be answered", waiting.box)
                continue
            self._bucket.take(len(data), time.monotonic())
            self._send(
                block_message(
                    self.topics.data(waiting.box), waiting.request, data, waiting.correlation
                )
            )
            await asyncio.sleep(0)

    def _read(self, request: BlockRequest) -> bytes:
        """What a request asks for.

        Raises:
            NotFoundError: reason NOT_PUBLISHED.
            InvalidRequestError: reason OUT_OF_RANGE.
            UnavailableError: reason SOURCE_UNAVAILABLE.
        """
        if request.digest is None:
            until = request.offset + request.length
            if until > _MAX_METADATA_BYTES:
                raise InvalidRequestError(
                    f"metadata beyond {_MAX_METADATA_BYTES} bytes", reason="OUT_OF_RANGE"
                )
            whole = self._source.metadata(request.what, until - 1)
            return whole[request.offset :]
        part = BlobRange(request.digest, request.offset, request.length)
        for _, data in self._source.blocks([part]):
            if len(data) == request.length:
                return data
            raise InvalidRequestError(
                f"{request.length} bytes from {request.offset} go beyond the blob's end",
                reason="OUT_OF_RANGE",
            )
        raise NotFoundError("nothing there", reason="NOT_PUBLISHED")

    def _refuse(
        self,
        box: str,
        request: BlockRequest | None,
        error: SkilldError,
        correlation: bytes | None,
    ) -> None:
        _log.debug("%s is refused: %s", box, error.message)
        # Folders of this machine are nobody's business.
        if error.reason == "NOT_PUBLISHED":
            error = NotFoundError("no such file here", reason=error.reason)
        elif error.reason == "SOURCE_UNAVAILABLE":
            _log.warning("%s", error.message)
            error = SkilldError("the repository cannot be read", reason=error.reason)
        if self.connection.num_unwritten < _MAX_UNWRITTEN_REFUSALS:
            self._send(refusal_message(self.topics.data(box), request, error, correlation))

    def _send(self, message: Message) -> None:
        if self.connection.is_up and message.packet_bytes <= self.connection.max_packet_bytes:
            self.connection.publish(message)
