"""`run`: a box with its transports, from the first signal handler to a bounded shutdown."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

from skilld.app.box import Box
from skilld.config import Config
from skilld.transports.grpc_server import GrpcServer

_log = logging.getLogger("skilld.daemon")

_GOODBYE_S = 0.5  # for answers that are on their way when the server closes


def run(config: Config) -> int:
    """Serve until a signal says stop; returns the exit code of the process.

    Raises:
        SkilldError: no engine could be loaded, or an address cannot be listened on.
    """
    return asyncio.run(_serve(config))


async def _serve(config: Config) -> int:
    box = Box(config)
    server = GrpcServer(box.service, config.grpc, status=box.status)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop, number)
    box.start()
    try:
        await server.start()
        _log.info(
            "ready with %d engine(s) and %d skill(s)", len(box.residents), len(box.service.skills())
        )
        await stop.wait()
        server.set_draining()
        if not await box.service.drain(config.grpc.drain_timeout_s):
            _log.warning("calls in flight after %.1f s are cut off", config.grpc.drain_timeout_s)
    finally:
        await server.stop(_GOODBYE_S)
        await box.stop()
    return 0


def _on_signal(stop: asyncio.Event, number: int) -> None:
    name = signal.Signals(number).name
    if stop.is_set():
        _log.warning("%s again: leaving at once", name)
        os._exit(128 + number)
    _log.info("%s: finishing the calls in flight", name)
    stop.set()
