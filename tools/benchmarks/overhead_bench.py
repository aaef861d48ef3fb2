"""`tools/bench overhead`: what a call costs when the model costs nothing.

The whole daemon, in a process of its own, on an engine that answers from a script. A health check
on the same server is the floor: what gRPC and Python take for a call that does nothing. Calls of
all kinds take turns within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2
from mqtt_caller import MqttCaller, MqttKind, broker, broker_kind, skill_kind
from rich.console import Console

from benchmarks.overhead_daemon import JSON_ANSWER, JSON_SKILL, POINTS, TEXT_SKILL
from benchmarks.overhead_report import (
    HEALTH,
    JSON,
    LOOP,
    MQTT_JSON,
    MQTT_TEXT,
    TEXT,
    Results,
    Series,
    Stages,
    write_report,
)
from benchmarks.process import child
from benchmarks.report import circumstances, new_console, progress
from skilld.transports.grpc_client import SkillClient
from skilld.v1 import skill_service_pb2 as v1

_START_TIMEOUT_S = 60.0
_CONNECTIONS = 50
_WARM_UP_CALLS = 200
_TEXT_INPUT = '{"text":"drive"}'
_JSON_INPUT = '{"lines":["EX33 axis end switch tripped","waiting for acknowledge"]}'
_STAGES = {  # what a call does before it passes a point
    "read": "transport: read the request",
    "submitted": "service: check the input, tokenize, prepare the constraint",
    "step begins": "to the engine thread, admit, plan",
    "step ends": "steps: the fake engine, choosing tokens",
    "delivered": "book the last step, free the blocks",
    "dispatched": "back to the event loop",
    "answered": "service: text, check the answer",
    "written": "transport: write the answer",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of call: the gRPC method and the request as it goes over the wire."""

    method: str
    request: bytes


_KINDS: Mapping[str, Kind] = {
    HEALTH: Kind(
        "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest().SerializeToString()
    ),
    TEXT: Kind(
        "/skilld.v1.SkillService/Invoke",
        v1.InvokeRequest(skill=TEXT_SKILL, input_json=_TEXT_INPUT).SerializeToString(),
    ),
    JSON: Kind(
        "/skilld.v1.SkillService/Invoke",
        v1.InvokeRequest(skill=JSON_SKILL, input_json=_JSON_INPUT).SerializeToString(),
    ),
}
_MQTT_KINDS: Mapping[str, MqttKind] = {
    LOOP: broker_kind(),
    MQTT_TEXT: skill_kind(TEXT_SKILL, _TEXT_INPUT, "drive"),
    MQTT_JSON: skill_kind(JSON_SKILL, _JSON_INPUT, json.loads(JSON_ANSWER)),
}


_ALONE = "one connection, one call at a time"
_MANY = f"one connection, {_CONNECTIONS} calls at a time"
# Fewer than one client may have on a box before it is refused.
_MQTT_AT_ONCE = 32
_MQTT_MANY = f"one connection, {_MQTT_AT_ONCE} calls at a time"
_WIDE = f"{_CONNECTIONS} connections, one call at a time each"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--calls", type=int, default=1500, help="calls per kind, way and round")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything runs")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 400 calls")
    parser.add_argument(
        "--profile", action="store_true", help="report what both threads spend their time in"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Run the bench; returns the exit code, which says nothing about goals."""
    console = new_console()
    calls, rounds = (400, 2) if options.quick else (options.calls, options.rounds)
    facts = circumstances(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="skilld-bench-") as folder:
        socket = Path(folder) / "s"
        with broker(Path(folder)) as port:
            results = _measure_all(console, socket, port, calls=calls, rounds=rounds)
        stages = _trace(socket, Path(folder) / "trace", num_calls=calls)
        tables = ""
        if options.profile:
            tables = _profile(socket, Path(folder) / "profile", num_calls=calls)
    write_report(console, options, results, stages=stages, tables=tables, facts=facts)
    return 0


def _measure_all(
    console: Console, socket: Path, port: int | None, *, calls: int, rounds: int
) -> Results:
    """All kinds of calls in turn; those over MQTT only where there is a broker."""
    kinds: dict[str, Kind | MqttKind] = dict(_KINDS)
    more: tuple[str, ...] = ()
    if port is None:
        console.print("no mosquitto on this machine: calls over MQTT are not measured")
    else:
        kinds |= _MQTT_KINDS
        more = ("--mqtt", f"127.0.0.1:{port}")
    results: Results = {name: Series() for name in kinds}
    with (
        _daemon(socket, *more) as (address, process),
        progress(console, total=rounds * len(kinds)) as (say, done),
    ):
        _check_answers(address, port)
        for number in range(rounds):
            names = list(kinds) if number % 2 == 0 else list(kinds)[::-1]
            for name in names:
                say(f"round {number + 1} of {rounds}: {name}")
                kind = kinds[name]
                if isinstance(kind, MqttKind):
                    assert port is not None
                    _measure_mqtt(port, process, kind, results[name], num_calls=calls)
                else:
                    _measure(address, process, kind, results[name], num_calls=calls)
                done()
    return results


@contextmanager
def _daemon(socket: Path, *arguments: str) -> Iterator[tuple[str, psutil.Process]]:
    """The daemon under test; yields its address and its process."""
    command = [sys.executable, "-m", "benchmarks.overhead_daemon", str(socket), *arguments]
    address = f"unix:{socket}"
    with child(command) as process:
        with SkillClient(address) as client:
            if not client.wait_ready(_START_TIMEOUT_S) or process.poll() is not None:
                raise RuntimeError("the daemon did not start")
        yield address, psutil.Process(process.pid)


def _check_answers(address: str, port: int | None) -> None:
    """The script must be what comes out, or the figures would be of something else."""
    with _channel(address) as channel:
        for name, wanted in ((TEXT, '"drive"'), (JSON, JSON_ANSWER)):
            method: Any = channel.unary_unary(_KINDS[name].method)
            answer = v1.InvokeResponse.FromString(method(_KINDS[name].request)).output_json
            if answer != wanted:
                raise RuntimeError(f"{name}: the daemon answered {answer}, not {wanted}")
    if port is not None:
        with closing(MqttCaller(port)) as caller:
            for kind in (_MQTT_KINDS[MQTT_TEXT], _MQTT_KINDS[MQTT_JSON]):
                caller.wait_served(kind)


def _measure(
    address: str, process: psutil.Process, kind: Kind, series: Series, *, num_calls: int
) -> None:
    def booked(way: str, calls: Callable[[], float]) -> None:
        _book(process, series, way, calls, num_calls=num_calls)

    def alone() -> float:
        latencies_ms = _call_in_turn(address, kind, num_calls)
        series.latencies_ms.append(latencies_ms)
        return sum(latencies_ms) / 1e3

    _call_in_turn(address, kind, _WARM_UP_CALLS)
    booked(_ALONE, alone)
    booked(_MANY, lambda: asyncio.run(_call_at_once(address, kind, num_calls, connections=1)))
    booked(
        _WIDE,
        lambda: asyncio.run(_call_at_once(address, kind, num_calls, connections=_CONNECTIONS)),
    )


def _measure_mqtt(
    port: int, process: psutil.Process, kind: MqttKind, series: Series, *, num_calls: int
) -> None:
    with closing(MqttCaller(port)) as caller:
        caller.call_in_turn(kind, _WARM_UP_CALLS)

        def alone() -> float:
            latencies_ms = caller.call_in_turn(kind, num_calls)
            series.latencies_ms.append(latencies_ms)
            return sum(latencies_ms) / 1e3

        def at_once() -> float:
            return caller.call_at_once(kind, num_calls, at_once=_MQTT_AT_ONCE)

        _book(process, series, _ALONE, alone, num_calls=num_calls)
        _book(process, series, _MQTT_MANY, at_once, num_calls=num_calls)


def _book(
    process: psutil.Process,
    series: Series,
    way: str,
    calls: Callable[[], float],
    *,
    num_calls: int,
) -> None:
    before = sum(process.cpu_times()[:2])
    elapsed_s = calls()
    used_s = sum(process.cpu_times()[:2]) - before
    series.rates.setdefault(way, []).append(num_calls / elapsed_s)
    series.daemon_us.setdefault(way, []).append(used_s / num_calls * 1e6)


def _call_in_turn(address: str, kind: Kind, num_calls: int) -> list[float]:
    """Milliseconds of each call, from a blocking client."""
    latencies_ms = []
    with _channel(address) as channel:
        method: Any = channel.unary_unary(kind.method)
        for _ in range(num_calls):
            started_s = time.perf_counter()
            method(kind.request)
            latencies_ms.append((time.perf_counter() - started_s) * 1e3)
    return latencies_ms


async def _call_at_once(address: str, kind: Kind, num_calls: int, *, connections: int) -> float:
    """Seconds that `_CONNECTIONS` callers need for all calls, on so many connections."""
    # Without a pool of its own, channels of one process share a connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(connections)]
    numbers = iter(range(num_calls))

    async def keep_calling(method: Any) -> None:
        for _ in numbers:
            await method(kind.request)

    try:
        methods: list[Any] = [channel.unary_unary(kind.method) for channel in channels]
        await asyncio.gather(*(method(kind.request) for method in methods))  # connects
        started_s = time.perf_counter()
        await asyncio.gather(
            *(keep_calling(methods[number % connections]) for number in range(_CONNECTIONS))
        )
        return time.perf_counter() - started_s
    finally:
        for channel in channels:
            await channel.close()


def _channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


def _trace(socket: Path, path: Path, *, num_calls: int) -> Stages:
    """Median microseconds of every stage, by kind of call."""
    client_ms: dict[str, float] = {}
    with _daemon(socket, "--trace", str(path)) as (address, process):
        for name in (TEXT, JSON):
            _call_in_turn(address, _KINDS[name], _WARM_UP_CALLS)
            latencies_ms = _call_in_turn(address, _KINDS[name], num_calls)
            client_ms[name] = statistics.median(latencies_ms)
        process.terminate()
        process.wait(_START_TIMEOUT_S)
    calls = json.loads(path.read_text(encoding="utf-8"))
    stages: Stages = {}
    for index, name in enumerate((TEXT, JSON)):
        end = (index + 1) * (num_calls + _WARM_UP_CALLS)
        counted = calls[end - num_calls : end]
        stages[name] = {
            _STAGES[point]: statistics.median(c[point] - c[before] for c in counted) * 1e6
            for before, point in itertools.pairwise(POINTS)
        }
        rest_us = client_ms[name] * 1e3 - sum(stages[name].values())
        stages[name]["gRPC on both sides, and the client"] = rest_us
    return stages


def _profile(socket: Path, path: Path, *, num_calls: int) -> str:
    """What both threads of the daemon spend their time in, as cProfile says it."""
    with _daemon(socket, "--profile", str(path)) as (address, process):
        for name in (TEXT, JSON):
            _call_in_turn(address, _KINDS[name], num_calls)
        process.terminate()
        process.wait(_START_TIMEOUT_S)
    return path.read_text(encoding="utf-8")
