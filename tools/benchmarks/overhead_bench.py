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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2
from rich.console import Console

from benchmarks.overhead_daemon import JSON_ANSWER, JSON_SKILL, POINTS, TEXT_SKILL
from benchmarks.process import child
from benchmarks.report import Grid, circumstances, new_console, progress, spread, write_markdown
from skilld.transports.grpc_client import SkillClient
from skilld.v1 import skill_service_pb2 as v1

_START_TIMEOUT_S = 60.0
_CONNECTIONS = 50
_WARM_UP_CALLS = 200
_HEALTH, _TEXT, _JSON = "health check", "one token", "JSON answer"
_GOAL_P50_MS = 1.0
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
    _HEALTH: Kind(
        "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest().SerializeToString()
    ),
    _TEXT: Kind(
        "/skilld.v1.SkillService/Invoke",
        v1.InvokeRequest(skill=TEXT_SKILL, input_json='{"text":"drive"}').SerializeToString(),
    ),
    _JSON: Kind(
        "/skilld.v1.SkillService/Invoke",
        v1.InvokeRequest(
            skill=JSON_SKILL,
            input_json='{"lines":["EX33 axis end switch tripped","waiting for acknowledge"]}',
        ).SerializeToString(),
    ),
}


@dataclass(slots=True)
class Series:
    """What the calls of one kind took.

    Attributes:
        latencies_ms: of calls one after the other, per round.
        rates: calls per second of every round, by how they were made.
        daemon_us: processor time of the daemon per call, of every round, likewise.
    """

    latencies_ms: list[list[float]] = field(default_factory=list)
    rates: dict[str, list[float]] = field(default_factory=dict)
    daemon_us: dict[str, list[float]] = field(default_factory=dict)

    def percentile_ms(self, percent: int) -> float:
        """Latency that this share of all calls stayed within."""
        every = [latency for latencies in self.latencies_ms for latency in latencies]
        return statistics.quantiles(every, n=100, method="inclusive")[percent - 1]


_ALONE = "one connection, one call at a time"
_MANY = f"one connection, {_CONNECTIONS} calls at a time"
_WIDE = f"{_CONNECTIONS} connections, one call at a time each"
Results = dict[str, Series]


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
    results: Results = {name: Series() for name in _KINDS}
    with tempfile.TemporaryDirectory(prefix="skilld-bench-") as folder:
        socket = Path(folder) / "s"
        with (
            _daemon(socket) as (address, process),
            progress(console, total=rounds * len(_KINDS)) as (say, done),
        ):
            _check_answers(address)
            for number in range(rounds):
                names = list(_KINDS) if number % 2 == 0 else list(_KINDS)[::-1]
                for name in names:
                    say(f"round {number + 1} of {rounds}: {name}")
                    _measure(address, process, _KINDS[name], results[name], num_calls=calls)
                    done()
        stages = _trace(socket, Path(folder) / "trace", num_calls=calls)
        tables = ""
        if options.profile:
            tables = _profile(socket, Path(folder) / "profile", num_calls=calls)
    _report(console, options, results, stages=stages, tables=tables, facts=facts)
    return 0


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


def _check_answers(address: str) -> None:
    """The script must be what comes out, or the figures would be of something else."""
    with _channel(address) as channel:
        for name, wanted in ((_TEXT, '"drive"'), (_JSON, JSON_ANSWER)):
            method: Any = channel.unary_unary(_KINDS[name].method)
            answer = v1.InvokeResponse.FromString(method(_KINDS[name].request)).output_json
            if answer != wanted:
                raise RuntimeError(f"{name}: the daemon answered {answer}, not {wanted}")


def _measure(
    address: str, process: psutil.Process, kind: Kind, series: Series, *, num_calls: int
) -> None:
    def booked(way: str, calls: Callable[[], float]) -> None:
        before = sum(process.cpu_times()[:2])
        elapsed_s = calls()
        used_s = sum(process.cpu_times()[:2]) - before
        series.rates.setdefault(way, []).append(num_calls / elapsed_s)
        series.daemon_us.setdefault(way, []).append(used_s / num_calls * 1e6)

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


Stages = dict[str, dict[str, float]]


def _trace(socket: Path, path: Path, *, num_calls: int) -> Stages:
    """Median microseconds of every stage, by kind of call."""
    client_ms: dict[str, float] = {}
    with _daemon(socket, "--trace", str(path)) as (address, process):
        for name in (_TEXT, _JSON):
            _call_in_turn(address, _KINDS[name], _WARM_UP_CALLS)
            latencies_ms = _call_in_turn(address, _KINDS[name], num_calls)
            client_ms[name] = statistics.median(latencies_ms)
        process.terminate()
        process.wait(_START_TIMEOUT_S)
    calls = json.loads(path.read_text(encoding="utf-8"))
    stages: Stages = {}
    for index, name in enumerate((_TEXT, _JSON)):
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
        for name in (_TEXT, _JSON):
            _call_in_turn(address, _KINDS[name], num_calls)
        process.terminate()
        process.wait(_START_TIMEOUT_S)
    return path.read_text(encoding="utf-8")


def _report(
    console: Console,
    options: argparse.Namespace,
    results: Results,
    *,
    stages: Stages,
    tables: str,
    facts: dict[str, str],
) -> None:
    grids = [_latency_grid(results), _rate_grid(results), _stage_grid(stages), _goal_grid(results)]
    for grid in grids:
        grid.show(console)
    if tables:
        console.print(tables, markup=False, highlight=False)
    _plot(options.out / "overhead.png", results, stages)
    notes = [
        "Calls through the whole daemon, over a unix socket, on an engine that answers from a "
        "script: what is left is what skilld adds to a call. The floor is a health check on the "
        "same server. `one token`: free text, a prompt of 2 tokens, one step. `JSON answer`: the "
        "tokenizer of a shipped engine, an output schema of six fields, 18 tokens of which the "
        "schema forces some. Calls one at a time come from a blocking client, the others from "
        "one asyncio client; it is a process of its own, on the same processor, and often the "
        "slower of the two.",
        "Where the time goes was measured in a run of its own, with a clock at every point.",
    ]
    if tables:
        notes.append(f"What both threads spend their time in:\n\n```\n{tables.strip()}\n```")
    write_markdown(
        options.out / "overhead.md",
        title="Overhead bench",
        notes=notes,
        grids=grids,
        facts=facts,
        plot="overhead.png",
    )
    console.print(f"written: {options.out / 'overhead.md'}")
    if options.json is not None:
        content = {
            "facts": facts,
            "calls": {
                name: {
                    "latencies_ms": series.latencies_ms,
                    "calls_per_s": series.rates,
                    "daemon_us": series.daemon_us,
                }
                for name, series in results.items()
            },
            "stages_us": stages,
        }
        options.json.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _latency_grid(results: Results) -> Grid:
    floor_ms = results[_HEALTH].percentile_ms(50)
    rows = []
    for name, series in results.items():
        medians = [statistics.median(latencies) for latencies in series.latencies_ms]
        rows.append(
            [
                name,
                spread(medians, digits=2),
                f"{series.percentile_ms(90):.2f}",
                f"{series.percentile_ms(99):.2f}",
                f"{series.percentile_ms(50) - floor_ms:.2f}",
            ]
        )
    columns = ["call", "p50 ms (rounds)", "p90 ms", "p99 ms", "p50 above the floor, ms"]
    return Grid("Latency, one connection, one call at a time", columns, rows)


def _rate_grid(results: Results) -> Grid:
    rows = [
        [f"{name}, {way}", spread(series.rates[way]), spread(series.daemon_us[way])]
        for name, series in results.items()
        for way in series.rates
    ]
    return Grid("Calls per second", ["call", "calls/s", "daemon, CPU us per call"], rows)


def _stage_grid(stages: Stages) -> Grid:
    rows = [[stage, *(f"{stages[name][stage]:.0f}" for name in stages)] for stage in stages[_TEXT]]
    return Grid("Where the time goes, medians", ["stage", *(f"{n}, us" for n in stages)], rows)


def _goal_grid(results: Results) -> Grid:
    measured = results[_TEXT].percentile_ms(50)
    verdict = "met" if measured < _GOAL_P50_MS else "missed"
    row = ["one token, p50 ms", f"< {_GOAL_P50_MS:.2f}", f"{measured:.2f}", verdict]
    return Grid("Goals", ["figure", "goal", "measured", ""], [row])


def _plot(path: Path, results: Results, stages: Stages) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    for name, series in results.items():
        latencies = sorted(latency for round_ms in series.latencies_ms for latency in round_ms)
        shares = [(index + 1) / len(latencies) for index in range(len(latencies))]
        left.plot(latencies, shares, label=name)
    left.axvline(_GOAL_P50_MS, color="lightgrey", linewidth=0.8, zorder=0)
    left.set_xlim(0, results[_JSON].percentile_ms(99) * 1.2)
    left.set_ylim(0, 1)
    left.set_xlabel("latency of a call, ms")
    left.set_ylabel("share of calls answered within")
    left.legend(frameon=False)
    names = list(stages)
    bottoms = [0.0] * len(names)
    for stage in reversed(stages[_TEXT]):
        heights = [stages[name][stage] for name in names]
        right.bar(names, heights, bottom=bottoms, label=stage, width=0.5)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    right.set_ylabel("microseconds of a call")
    _legend_upwards(right)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _legend_upwards(panel: Any) -> None:  # Any: matplotlib has no types
    """A legend in the order of the bars, from the top down."""
    handles: Sequence[Any]
    handles, labels = panel.get_legend_handles_labels()
    panel.legend(
        handles[::-1],
        labels[::-1],
        frameon=False,
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
