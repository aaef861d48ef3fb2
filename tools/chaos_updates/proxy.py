"""`BadLine`: a TCP proxy in front of a server, whose connections are as bad as a `LinkRule` says.

Nothing is dropped, doubled or changed, as under TCP. A cut ends both sides with a reset; what was
under way then is lost, as it is when a modem goes down, and with it messages of QoS 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Self

from chaos_updates.link import Link, LinkRule

_READ_BYTES = 64 << 10
_RESET = struct.pack("ii", 1, 0)  # linger for no time: close with a reset
_START_TIMEOUT_S = 10.0


class BadLine:
    """See the module docstring. Runs in a thread of its own.

    Args:
        port: of the server, on 127.0.0.1.
        rule: how bad the line is, in both directions.
        seed: of all losses and cuts.

    Attributes:
        port: where to connect to instead.
        num_connections: accepted so far.
        num_cuts: connections cut so far.
        num_lost: segments lost so far.
        num_bytes: from the server that came out of the line so far.
    """

    def __init__(self, port: int, rule: LinkRule, *, seed: int) -> None:
        self.port = 0
        self.num_connections = 0
        self.num_cuts = 0
        self.num_lost = 0
        self.num_bytes = 0
        self._to = port
        self._rule = rule
        self._dice = random.Random(seed)
        self._loop: asyncio.AbstractEventLoop
        self._stop: Callable[[], None]
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bad-line", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._is_listening.wait(_START_TIMEOUT_S):
            raise RuntimeError("the proxy does not listen")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(_START_TIMEOUT_S)

    def cut(self) -> None:
        """Cut every connection now; from any thread."""
        self._loop.call_soon_threadsafe(self._cut)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._stop = stop.set
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ_BYTES)
        self.port = int(server.sockets[0].getsockname()[1])
        self._is_listening.set()
        await stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled at the end only; the server would tell of that as of an error.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            far_reader, far_writer = await asyncio.open_connection(
                "127.0.0.1", self._to, limit=_READ_BYTES
            )
            writers = {writer, far_writer}
            self._open |= writers
            try:
                await self._carry(reader, far_writer, far_reader, writer)
            finally:
                self._open -= writers
                for one in writers:
                    _abort(one)
        _abort(writer)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Both directions, until one ends; a half-closed connection is of no use to MQTT."""
        for one in (writer, far_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        jobs = [
            asyncio.ensure_future(self._pump(reader, far_writer, is_down=False)),
            asyncio.ensure_future(self._pump(far_reader, writer, is_down=True)),
        ]
        if self._rule.cut_every_s:
            jobs.append(asyncio.ensure_future(self._cut_later((writer, far_writer))))
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_down: bool
    ) -> None:
        """Read, and write each piece when it arrives. What is under way fills the window only."""
        link = Link(self._rule, random.Random(self._dice.random()))
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(self._rule.window_segments)

        async def read() -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(_READ_BYTES):
                    begin, lost = 0, link.num_lost
                    for when_s, size in link.send(time.monotonic(), len(data)):
                        await under_way.put((when_s, data[begin : begin + size]))
                        begin += size
                    self.num_lost += link.num_lost - lost
            await under_way.put((0.0, b""))

        reading = asyncio.ensure_future(read())
        try:
            while True:
                when_s, data = await under_way.get()
                if not data:
                    return
                if (wait_s := when_s - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
                writer.write(data)
                self.num_bytes += len(data) if is_down else 0
                await writer.drain()
        except OSError:
            return
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _cut_later(self, writers: tuple[asyncio.StreamWriter, ...]) -> None:
        await asyncio.sleep(self._dice.expovariate(1 / self._rule.cut_every_s))
        self.num_cuts += 1
        for writer in writers:
            _abort(writer)

    def _cut(self) -> None:
        self.num_cuts += len(self._open) // 2
        for writer in self._open:
            _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
