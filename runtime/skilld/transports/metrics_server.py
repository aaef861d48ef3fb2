"""`MetricsServer`: the figures of the box as a page that Prometheus reads.

Served by a few lines of HTTP of our own: the server that prometheus-client starts asks DNS for
this machine's name, and the daemon opens no connection off the box. The registry is ours alone,
and what it shows is read when somebody asks: nothing is kept twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from skilld.config import MetricsConfig
from skilld.core.address import TcpAddress
from skilld.service import BoxStatus, EngineStatus
from skilld.transports import listener

_log = logging.getLogger("skilld.metrics")

_MAX_HEAD_BYTES = 8192
_PATIENCE_S = 5.0
_LABELS = ("engine",)

StatusFn = Callable[[], Awaitable[BoxStatus]]
MetricsFn = Callable[[], Iterable[Metric]]

# Name on the page, name in `SkillService.snapshot`, what it tells; for counters, what one of
# the snapshot's is in the unit of the page.
_GAUGES = (
    ("skilld_kv_min_bytes", "kv_min_bytes", "Cache memory guaranteed to the engine."),
    ("skilld_kv_max_bytes", "kv_max_bytes", "Most cache memory the engine may hold."),
    ("skilld_kv_firm_bytes", "kv_firm_bytes", "Reserved and never taken back."),
    ("skilld_kv_revocable_bytes", "kv_revocable_bytes", "Reserved by batch calls."),
    ("skilld_kv_used_bytes", "kv_used_bytes", "Held in blocks by calls and pins."),
    ("skilld_kv_cached_bytes", "kv_cached_bytes", "Held in blocks in case they come again."),
    ("skilld_kv_pinned_bytes", "kv_pinned_bytes", "Held by fixed beginnings of prompts."),
    ("skilld_kv_resident_bytes", "kv_resident_bytes", "As the operating system counts it."),
    ("skilld_running_calls", "running", "Calls being computed."),
    ("skilld_queued_calls", "waiting", "Calls waiting."),
    ("skilld_engine_weight", "weight", "Part of the device time under competition."),
)
_COUNTERS: tuple[tuple[str, str, float, str], ...] = (
    ("skilld_steps", "num_steps", 1, "Steps computed."),
    ("skilld_busy_seconds", "busy_ms", 1e-3, "Time spent in steps."),
    ("skilld_device_seconds", "device_ms", 1e-3, "Device time, as the scheduler counts it."),
    ("skilld_prompt_tokens", "num_prompt_tokens", 1, "Tokens of prompts."),
    ("skilld_prefix_tokens", "num_prefix_tokens", 1, "Prompt tokens found in the cache."),
    ("skilld_output_tokens", "num_output_tokens", 1, "Tokens given to callers."),
    ("skilld_draft_tokens", "num_draft_tokens", 1, "Tokens guessed ahead."),
    ("skilld_accepted_draft_tokens", "num_accepted_tokens", 1, "Guesses that were right."),
    ("skilld_deadline_refusals", "num_deadline_refusals", 1, "Calls refused: no time."),
    ("skilld_deadline_misses", "num_deadline_misses", 1, "Calls let in that came too late."),
    ("skilld_preemptions", "num_preemptions", 1, "Batch calls that lost their memory."),
    ("skilld_recomputed_tokens", "num_recomputed_tokens", 1, "Tokens computed a second time."),
)
_HISTOGRAMS = (
    ("skilld_step_seconds", "step_ms_histogram", "Duration of a step."),
    ("skilld_call_queue_seconds", "queue_ms_histogram", "Arrival to first step."),
    ("skilld_first_token_seconds", "first_token_ms_histogram", "Arrival to first chosen token."),
    ("skilld_call_seconds", "call_ms_histogram", "Arrival to end."),
)


class MetricsServer:
    """Serves `/metrics`. Lives on one event loop.

    Args:
        config: where to serve it, if at all.
        status: reads the figures.
        others: what further parts of the daemon have to show.
    """

    def __init__(
        self, config: MetricsConfig, *, status: StatusFn, others: Sequence[MetricsFn] = ()
    ) -> None:
        self._config = config
        self._status = status
        self._others = others
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        self._server: asyncio.Server | None = None
        self.address: str | None = None

    async def start(self) -> None:
        """Bind and serve, if an address is configured; `address` then tells where.

        Raises:
            ListenError: an address that cannot or must not be used.
        """
        address = listener.metrics_address_of(self._config)
        if address is None:
            return
        try:
            self._server = await asyncio.start_server(
                self._answer, address.host, address.port, limit=_MAX_HEAD_BYTES
            )
        except OSError as error:
            raise listener.explain_bind_failure(address, key="metrics.address") from error
        port = self._server.sockets[0].getsockname()[1]
        self.address = str(TcpAddress(address.host, port))
        _log.info("metrics on http://%s/metrics", self.address)

    async def stop(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def page(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type, in the format that the reader accepts."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Snapshot(await self._status(), self._others, self._process))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._response(head.decode("latin-1")))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # not HTTP, too slow, or gone: nobody to tell
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _response(self, head: str) -> bytes:
        request_line, *lines = head.split("\r\n")
        method, path, *_ = [*request_line.split(" "), ""]
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        if method not in ("GET", "HEAD"):
            return _http("405 Method Not Allowed", b"only GET\n")
        if path.partition("?")[0] != "/metrics":
            return _http("404 Not Found", b"see /metrics\n")
        try:
            body, content_type = await self.page(headers.get("accept", ""))
        except Exception:
            _log.exception("the metrics page could not be made")
            return _http("500 Internal Server Error", b"the daemon's log says more\n")
        return _http("200 OK", body, content_type, is_head=method == "HEAD")


def _http(
    status: str, body: bytes, content_type: str = "text/plain", *, is_head: bool = False
) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (b"" if is_head else body)


class _Snapshot(Collector):
    """One reading of the box as metrics."""

    def __init__(
        self, status: BoxStatus, others: Sequence[MetricsFn], process: CollectorRegistry
    ) -> None:
        self._status = status
        self._others = others
        self._process = process

    def collect(self) -> Iterable[Metric]:
        status = self._status
        yield InfoMetricFamily("skilld_build", "Of the daemon.", {"version": status.version})
        yield GaugeMetricFamily(
            "skilld_kv_budget_bytes", "Cache memory of all engines.", status.kv_budget_bytes
        )
        yield GaugeMetricFamily(
            "skilld_kv_limit_bytes",
            "Of the budget, what may be used now; less under memory pressure.",
            status.kv_limit_bytes,
        )
        yield from _of_engines(status.engines)
        for metrics in self._others:
            yield from metrics()
        yield from self._process.collect()


def _of_engines(engines: Iterable[EngineStatus]) -> Iterator[Metric]:
    # Of two versions of an engine, the one that is offered.
    in_order = sorted(engines, key=lambda engine: bool(engine.skills))
    by_name = {engine.manifest.name: engine.figures for engine in in_order}
    for name, key, text in _GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=_LABELS)
        for engine, figures in by_name.items():
            gauge.add_metric([engine], figures[key])
        yield gauge
    for name, key, factor, text in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=_LABELS)
        for engine, figures in by_name.items():
            counter.add_metric([engine], figures[key] * factor)
        yield counter
    ended = CounterMetricFamily("skilld_calls_ended", "Calls ended.", labels=("engine", "reason"))
    for engine, figures in by_name.items():
        for reason, count in figures["ended"].items():
            ended.add_metric([engine, reason], count)
    yield ended
    for name, key, text in _HISTOGRAMS:
        histogram = HistogramMetricFamily(name, text, labels=_LABELS)
        for engine, figures in by_name.items():
            booked = figures[key]
            buckets = []
            count = 0
            bounds = [*(f"{bound / 1e3:g}" for bound in booked["bounds"]), "+Inf"]
            for bound, here in zip(bounds, booked["counts"], strict=True):
                count += here
                buckets.append((bound, float(count)))
            histogram.add_metric([engine], buckets, booked["sum"] / 1e3)
        yield histogram
