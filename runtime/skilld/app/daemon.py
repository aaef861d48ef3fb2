"""`run`: a box with its transports, from the first signal handler to a bounded shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator

from skilld.app.box import Box
from skilld.app.box_plan import check_fits
from skilld.app.box_updates import BoxUpdates
from skilld.app.host_memory import HostMemory, watch_memory
from skilld.config import Config
from skilld.kvcache.pressure import PressureGauge
from skilld.transports.grpc_server import GrpcServer
from skilld.transports.metrics_server import MetricsServer
from skilld.transports.mqtt import MqttBridge

_log = logging.getLogger("skilld.daemon")

_GOODBYE_S = 0.5  # for answers that are on their way when the server closes


def run(config: Config) -> int:
    """Serve until a signal says stop; returns the exit code of the process.

    Raises:
        SkilldError: the engines do not fit, none could be loaded, or an address cannot be
            listened on.
    """
    return asyncio.run(_serve(config))


async def _serve(config: Config) -> int:
    host = HostMemory()
    check_fits(config, host)
    updates = BoxUpdates(config, host) if config.updates.source is not None else None
    box = Box(config, instead=updates.folders if updates is not None else None)
    server = GrpcServer(box.service, config.grpc, status=box.status)
    mqtt = MqttBridge(box.service, config.mqtt)
    metrics = MetricsServer(config.metrics, status=box.status, others=[mqtt.metrics])
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _on_signal, stop, number)
    box.start()
    try:
        await metrics.start()
        await server.start()
        mqtt.start()
        if updates is not None:
            updates.start(box)
        async with watching(box, host):
            _log.info(
                "ready with %d engine(s) and %d skill(s)",
                len(box.residents),
                len(box.service.offering.skills()),
            )
            await stop.wait()
            if updates is not None:
                await updates.stop()
            server.set_draining()
            mqtt.set_draining()
            if not await box.service.drain(config.grpc.drain_timeout_s):
                _log.warning(
                    "calls in flight after %.1f s are cut off", config.grpc.drain_timeout_s
                )
    finally:
        await metrics.stop()
        await asyncio.gather(server.stop(_GOODBYE_S), mqtt.stop())
        await box.stop()
    return 0


@contextlib.asynccontextmanager
async def watching(box: Box, host: HostMemory) -> AsyncIterator[None]:
    """Keep the cache of a running box within what the machine can spare."""
    # The account belongs to the engine thread. A few integers read from here may be those of two
    # moments; the next reading, half a second later, mends that.
    ledger = box.ledger
    task = asyncio.create_task(
        watch_memory(
            PressureGauge(ledger.budget_bytes, reserve_bytes=box.config.memory.reserve_bytes),
            host,
            cache_bytes=lambda: sum(
                account.used_bytes + account.cached_bytes
                for account in list(ledger.accounts.values())
            ),
            floor_bytes=lambda: sum(
                account.min_bytes for account in list(ledger.accounts.values())
            ),
            set_limit=box.engine_loop.set_memory_limit,
        ),
        name="skilld-memory",
    )
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _on_signal(stop: asyncio.Event, number: int) -> None:
    name = signal.Signals(number).name
    if stop.is_set():
        _log.warning("%s again: leaving at once", name)
        os._exit(128 + number)
    _log.info("%s: finishing the calls in flight", name)
    stop.set()
