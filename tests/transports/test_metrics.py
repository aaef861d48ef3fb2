"""The page that Prometheus reads, fetched from a real port and parsed by its own parser."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.transports.conftest import Daemon

from skilld.config import Config, MetricsConfig, read_config
from skilld.core.address import ListenError
from skilld.core.errors import ArtefactError
from skilld.transports.metrics_server import MetricsServer
from skilld.v1 import skill_service_pb2 as v1


@contextlib.asynccontextmanager
async def serving(daemon: Daemon, config: MetricsConfig) -> AsyncIterator[MetricsServer]:
    server = MetricsServer(config, status=daemon.box.status)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def metrics(daemon: Daemon) -> AsyncIterator[MetricsServer]:
    async with serving(daemon, MetricsConfig(address="127.0.0.1:0")) as server:
        yield server


async def get(server: MetricsServer, *, accept: str = "") -> tuple[str, str]:
    """Body and content type of the page, as a reader of the network gets them."""

    def fetch() -> tuple[str, str]:
        request = urllib.request.Request(f"http://{server.address}/metrics")
        request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.read().decode(), response.headers["Content-Type"]

    return await asyncio.to_thread(fetch)


async def raw(server: MetricsServer, request: bytes) -> bytes:
    """What the server says to these bytes."""
    assert server.address is not None
    host, _, port = server.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def families_of(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}


def value_of(families: dict[str, Metric], sample: str, **labels: str) -> float:
    (value,) = [
        s.value
        for family in families.values()
        for s in family.samples
        if s.name == sample and labels.items() <= s.labels.items()
    ]
    return value


async def test_a_call_shows_up_in_counters_and_histograms(
    daemon: Daemon, metrics: MetricsServer
) -> None:
    before = families_of((await get(metrics))[0])
    assert value_of(before, "skilld_call_seconds_count", engine="fake") == 0
    call = v1.InvokeRequest(skill="echo", input_json='{"text": "abcdef"}')
    usage = (await daemon.stub.Invoke(call)).usage
    page, content_type = await get(metrics)
    assert content_type.startswith("text/plain")
    after = families_of(page)
    assert value_of(after, "skilld_calls_ended_total", engine="fake", reason="stop") == 1
    assert value_of(after, "skilld_output_tokens_total", engine="fake") == usage.output_tokens
    assert value_of(after, "skilld_steps_total", engine="fake") == usage.num_steps
    assert value_of(after, "skilld_step_seconds_count", engine="fake") == usage.num_steps
    for histogram, milliseconds in (
        ("skilld_call_seconds", usage.total_ms),
        ("skilld_call_queue_seconds", usage.queue_ms),
        ("skilld_first_token_seconds", usage.first_token_ms),
    ):
        assert value_of(after, f"{histogram}_count", engine="fake") == 1
        assert value_of(after, f"{histogram}_sum", engine="fake") == pytest.approx(
            milliseconds / 1000
        )


async def test_buckets_are_fine_enough_for_small_models_and_cumulate(
    daemon: Daemon, metrics: MetricsServer
) -> None:
    await daemon.stub.Invoke(v1.InvokeRequest(skill="echo", input_json='{"text": "abc"}'))
    families = families_of((await get(metrics))[0])
    for name in ("skilld_step_seconds", "skilld_call_seconds"):
        buckets = [s for s in families[name].samples if s.name.endswith("_bucket")]
        bounds = [float(s.labels["le"]) for s in buckets]
        counts = [s.value for s in buckets]
        assert bounds == sorted(bounds)
        assert bounds[0] == 0.00025
        assert bounds[-1] == float("inf")
        assert counts == sorted(counts)
        assert counts[-1] == value_of(families, f"{name}_count", engine="fake") > 0


async def test_the_page_agrees_with_the_status(daemon: Daemon, metrics: MetricsServer) -> None:
    (engine,) = (await daemon.box.status()).engines
    families = families_of((await get(metrics))[0])
    for sample, figure in (
        ("skilld_kv_min_bytes", "kv_min_bytes"),
        ("skilld_kv_max_bytes", "kv_max_bytes"),
        ("skilld_kv_firm_bytes", "kv_firm_bytes"),
        ("skilld_kv_cached_bytes", "kv_cached_bytes"),
        ("skilld_engine_weight", "weight"),
        ("skilld_queued_calls", "waiting"),
    ):
        assert value_of(families, sample, engine="fake") == engine.figures[figure]
    assert value_of(families, "skilld_kv_budget_bytes") == 16 << 20
    assert value_of(families, "skilld_kv_limit_bytes") == 16 << 20
    assert value_of(families, "process_resident_memory_bytes") > 10 << 20


async def test_names_carry_the_prefix_and_help_and_only_bounded_labels(
    metrics: MetricsServer,
) -> None:
    families = families_of((await get(metrics))[0])
    for family in families.values():
        assert family.name.startswith(("skilld_", "process_"))
        assert family.documentation
        for sample in family.samples:
            assert sample.labels.keys() <= {"engine", "reason", "le", "version"}


async def test_a_reader_of_openmetrics_gets_openmetrics(metrics: MetricsServer) -> None:
    page, content_type = await get(metrics, accept="application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    parse: Callable[[str], Iterator[Metric]] = openmetrics.text_string_to_metric_families
    assert "skilld_step_seconds" in {family.name for family in parse(page)}


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 "),
        (b"GET\r\n\r\n", b"HTTP/1.1 404 "),
        (b"\x16\x03\x01\x02\x00", b""),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n", b""),
    ],
)
async def test_what_is_not_a_scrape_gets_no_page(
    metrics: MetricsServer, request_bytes: bytes, answer: bytes
) -> None:
    with contextlib.suppress(ConnectionError):  # it may hang up while we still talk
        assert (await raw(metrics, request_bytes)).startswith(answer)
    page, _ = await get(metrics)
    assert "skilld_build_info" in page


async def test_nothing_is_served_until_configured(daemon: Daemon) -> None:
    async with serving(daemon, Config().metrics) as server:
        assert server.address is None


@pytest.mark.parametrize(
    ("address", "reason", "said"),
    [
        ("9464", "BAD_ADDRESS", "metrics.address: '9464' is not an address"),
        ("127.0.0.1:99999", "BAD_ADDRESS", "metrics.address"),
        ("192.0.2.1:0", "PLAINTEXT_ON_NETWORK", "metrics.allow_plaintext_on_network"),
    ],
)
async def test_a_bad_address_is_refused_in_words(
    daemon: Daemon, address: str, reason: str, said: str
) -> None:
    with pytest.raises(ListenError) as refused:
        await MetricsServer(MetricsConfig(address=address), status=daemon.box.status).start()
    assert refused.value.reason == reason
    assert said in refused.value.message


async def test_a_taken_port_is_refused_in_words(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = MetricsConfig(address=f"127.0.0.1:{port}")
        with pytest.raises(
            ListenError, match=rf"metrics.address: cannot listen .*:{port}: Address"
        ):
            await MetricsServer(config, status=daemon.box.status).start()


def test_the_configuration_file_says_where(tmp_path: Path) -> None:
    path = tmp_path / "skilld.toml"
    path.write_text('[metrics]\naddress = "127.0.0.1:9464"\n')
    assert read_config(path).metrics.address == "127.0.0.1:9464"
    path.write_text('[metrics]\nadress = "127.0.0.1:9464"\n')
    with pytest.raises(ArtefactError, match="did you mean `address`"):
        read_config(path)
