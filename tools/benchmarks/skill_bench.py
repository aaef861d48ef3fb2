"""`tools/bench skill`: calls of a shipped skill, end to end, with and without jump-forward.

A daemon of its own on a unix socket in a temporary folder; clients that call again as soon as
they are answered, with the inputs of the golden cases in turn. Both ways of decoding take turns
within a round.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.process import child
from benchmarks.report import Grid, circumstances, new_console, progress, spread, write_markdown
from skilld.builder.golden import GOLDEN_NAME, GoldenCase, read_golden
from skilld.core.errors import SkilldError
from skilld.core.manifest import read_manifest
from skilld.transports.grpc_client import SkillClient

_START_TIMEOUT_S = 60.0
_CALL_TIMEOUT_S = 60.0
_WARM_UP_CALLS = 10
_PERCENTILES = (50, 95, 99)
_WAYS = {True: "jump-forward", False: "token by token"}


@dataclass(slots=True)
class Series:
    """What the calls of one way of decoding, from so many clients, took.

    Attributes:
        latencies_ms: of every call, from the client's side.
        calls_per_s: of every round.
        usages: output tokens, forced tokens and steps of every call.
        first_token_ms: of every call, as the daemon counts.
        errors: reasons of calls that failed.
    """

    latencies_ms: list[float] = field(default_factory=list)
    calls_per_s: list[float] = field(default_factory=list)
    usages: list[tuple[int, int, int]] = field(default_factory=list)
    first_token_ms: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def percentile_ms(self, percent: int) -> float:
        """Latency that this share of the calls stayed within."""
        return statistics.quantiles(self.latencies_ms, n=100, method="inclusive")[percent - 1]


Results = dict[tuple[int, bool], Series]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--engine",
        type=Path,
        default=Path("engines/plc-triage/engine"),
        help=f"engine folder with {GOLDEN_NAME}",
    )
    parser.add_argument(
        "--clients",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[1, 8, 16],
        help="numbers of simultaneous clients, with commas",
    )
    parser.add_argument("--calls", type=int, default=200, help="calls per round and way")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything runs")
    parser.add_argument("--num-threads", type=int, help="CPU threads of a step; all when absent")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every call here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Run the bench; returns the exit code: 1 when calls failed."""
    console = new_console()
    manifest = read_manifest(options.engine)
    cases = read_golden(options.engine / GOLDEN_NAME)
    if not cases:
        raise SystemExit(f"{options.engine / GOLDEN_NAME} holds no cases to call with")
    facts = circumstances(sys.argv[1:])
    facts["engine"] = (
        f"{manifest.name} {manifest.version}, {manifest.precision}, "
        f"{manifest.geometry.num_parameters / 1e6:.1f} M parameters, digest {manifest.digest[:16]}"
    )
    results: Results = {
        (clients, jumps): Series() for clients in options.clients for jumps in _WAYS
    }
    with (
        _daemon(options) as address,
        progress(console, total=options.rounds * len(results)) as (say, done),
    ):
        say("warming up")
        for jumps in _WAYS:
            _call_in_turn(
                address,
                cases,
                Series(),
                num_clients=1,
                num_calls=_WARM_UP_CALLS,
                jumps=jumps,
                seed=0,
            )
        for number in range(options.rounds):
            order = list(results) if number % 2 == 0 else list(reversed(results))
            for clients, jumps in order:
                say(f"round {number + 1} of {options.rounds}: {_name((clients, jumps))}")
                _call_in_turn(
                    address,
                    cases,
                    results[clients, jumps],
                    num_clients=clients,
                    num_calls=options.calls,
                    jumps=jumps,
                    seed=len(results) * number + order.index((clients, jumps)) + 1,
                )
                done()
    errors = [error for series in results.values() for error in series.errors]
    if errors:
        facts["failed calls"] = f"{len(errors)}: {', '.join(sorted(set(errors)))}"
    _report(console, options, results, facts=facts, num_cases=len(cases))
    return 1 if errors else 0


@contextmanager
def _daemon(options: argparse.Namespace) -> Iterator[str]:
    """`skilld serve`, as anybody would start it; yields its address."""
    with tempfile.TemporaryDirectory(prefix="skilld-bench-") as folder:
        socket, log_path = Path(folder) / "skilld.sock", Path(folder) / "log"
        command = [sys.executable, "-m", "skilld.cli", "serve", str(options.engine)]
        command += ["--socket", str(socket)]
        if options.num_threads is not None:
            command += ["--num-threads", str(options.num_threads)]
        with log_path.open("w", encoding="utf-8") as log, child(command, stderr=log) as process:
            address = f"unix:{socket}"
            with SkillClient(address) as client:
                is_ready = client.wait_ready(_START_TIMEOUT_S)
            if not is_ready or process.poll() is not None:
                raise RuntimeError("the daemon did not start:\n" + log_path.read_text("utf-8"))
            yield address


def _call_in_turn(
    address: str,
    cases: Sequence[GoldenCase],
    series: Series,
    *,
    num_clients: int,
    num_calls: int,
    jumps: bool,
    seed: int,
) -> None:
    """Make calls from several clients until all are made, and add them to the series."""
    inputs = [(case.skill, json.dumps(case.input, ensure_ascii=False)) for case in cases]
    random_digits = random.Random(seed)
    numbers = iter(range(num_calls))
    taking = threading.Lock()
    is_interrupted = threading.Event()

    def keep_calling() -> None:
        with SkillClient(address) as client:
            while not is_interrupted.is_set():
                with taking:
                    number = next(numbers, None)
                    digits = _other_digits(random_digits)
                if number is None:
                    return
                skill, input_json = inputs[number % len(inputs)]
                input_json = input_json.translate(digits)
                started_s = time.perf_counter()
                try:
                    usage = client.invoke(
                        skill, input_json, timeout_s=_CALL_TIMEOUT_S, jump_forward=jumps
                    ).usage
                except SkilldError as error:
                    series.errors.append(error.reason)
                    continue
                series.latencies_ms.append((time.perf_counter() - started_s) * 1e3)
                series.usages.append((usage.output_tokens, usage.forced_tokens, usage.num_steps))
                series.first_token_ms.append(usage.first_token_ms)

    started_s = time.perf_counter()
    with ThreadPoolExecutor(num_clients, thread_name_prefix="client") as pool:
        try:
            for client in [pool.submit(keep_calling) for _ in range(num_clients)]:
                client.result()
        finally:
            is_interrupted.set()
    series.calls_per_s.append(num_calls / (time.perf_counter() - started_s))


def _other_digits(chooser: random.Random) -> dict[int, str]:
    """Other digits for the same, in a way that leaves times and dates what they are.

    So prompts and the codes in answers hardly ever come twice, and neither the prefix
    cache nor the memory of earlier answers helps more than it would with new calls.
    """
    table: dict[int, str] = {}
    for group in ("345", "6789"):
        others = list(group)
        chooser.shuffle(others)
        table |= {ord(old): new for old, new in zip(group, others, strict=True)}
    return table


def _report(
    console: Console,
    options: argparse.Namespace,
    results: Results,
    *,
    facts: dict[str, str],
    num_cases: int,
) -> None:
    answered = {key: series for key, series in results.items() if len(series.latencies_ms) > 1}
    latency = Grid(
        f"Latency and rate, {options.rounds} rounds of {options.calls} calls",
        [
            "who and how",
            *(f"p{percent} ms" for percent in _PERCENTILES),
            "first token ms",
            "calls/s (min..max)",
        ],
        [
            [
                _name(key),
                *(f"{series.percentile_ms(percent):.1f}" for percent in _PERCENTILES),
                f"{statistics.median(series.first_token_ms):.1f}",
                spread(series.calls_per_s, digits=1),
            ]
            for key, series in answered.items()
        ],
    )
    work = Grid(
        "Work of a call, means",
        ["who and how", "tokens", "of them forced", "steps", "tokens per step"],
        [[_name(key), *_work(series)] for key, series in answered.items()],
    )
    grids = [latency, work, *_gains(options.clients, answered)]
    for grid in grids:
        grid.show(console)
    _plot(options.out / "skill.png", answered)
    write_markdown(
        options.out / "skill.md",
        title="Skill bench",
        notes=[
            f"One daemon, one unix socket, clients that call again as soon as they are answered, "
            f"with the inputs of {num_cases} golden cases in turn, their digits shuffled anew for "
            "every call, so that prompts and codes hardly ever come twice. Latency is the "
            "client's: JSON in, gRPC, validation, tokens, constrained decoding, validation, JSON "
            "out. The clients share the processor with the daemon.",
            "With jump-forward decoding, tokens that the output schema leaves no choice about are "
            "computed together in one row; without it, one by one.",
        ],
        grids=grids,
        facts=facts,
        plot="skill.png",
    )
    console.print(f"written: {options.out / 'skill.md'}")
    if options.json is not None:
        calls = [
            {
                "clients": clients,
                "jump_forward": jumps,
                "latencies_ms": series.latencies_ms,
                "calls_per_s": series.calls_per_s,
                "tokens_forced_steps": series.usages,
                "errors": series.errors,
            }
            for (clients, jumps), series in results.items()
        ]
        content = {"facts": facts, "series": calls}
        options.json.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _name(key: tuple[int, bool]) -> str:
    clients, jumps = key
    return f"{clients} client{'s' if clients > 1 else ''}, {_WAYS[jumps]}"


def _work(series: Series) -> list[str]:
    tokens, forced, steps = (
        statistics.fmean(column) for column in zip(*series.usages, strict=True)
    )
    return [
        f"{tokens:.1f}",
        f"{forced / tokens:.0%}" if tokens else "-",
        f"{steps:.1f}",
        f"{tokens / steps:.2f}" if steps else "-",
    ]


def _gains(all_clients: Sequence[int], results: Results) -> list[Grid]:
    rows = []
    for clients in all_clients:
        jumping, walking = results.get((clients, True)), results.get((clients, False))
        if jumping is None or walking is None:
            continue
        rates = [a / b for a, b in zip(jumping.calls_per_s, walking.calls_per_s, strict=True)]
        faster = walking.percentile_ms(50) / jumping.percentile_ms(50)
        rows.append([str(clients), f"{faster:.2f}", spread(rates, digits=2)])
    if not rows:
        return []
    columns = ["clients", "p50 latency, times shorter", "calls/s, times more (min..max)"]
    return [Grid("What jump-forward brings", columns, rows)]


def _plot(path: Path, results: Results) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for key, series in results.items():
        latencies = sorted(series.latencies_ms)
        shares = [(index + 1) / len(latencies) for index in range(len(latencies))]
        panel.plot(latencies, shares, label=_name(key), linestyle="-" if key[1] else "--")
    for share in (percent / 100 for percent in _PERCENTILES):
        panel.axhline(share, color="lightgrey", linewidth=0.8, zorder=0)
    panel.set_xlabel("latency of a call, ms")
    panel.set_ylabel("share of calls answered within")
    panel.set_xlim(left=0)
    panel.set_ylim(0, 1)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
