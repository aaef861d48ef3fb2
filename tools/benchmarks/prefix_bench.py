"""`tools/bench prefix`: how much sooner an answer begins when its system prompt is known.

One daemon, one engine, two skills whose prompts are as long and hold the same texts in another
order. `warm` begins with its system prompt, which the daemon computes when it loads the engine and
keeps; `cold` begins with a value that is different in every call, so that nothing of its prompt is
known. Both answer with one token, so the latency of a call is the time to its first token. The
calls take turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks import models
from benchmarks.daemon import daemon
from benchmarks.report import Grid, circumstances, new_console, progress, spread, write_markdown
from benchmarks.words import Prose
from skilld.core.manifest import read_manifest
from skilld.transports.grpc_client import SkillClient

_SEEDS = {"0.5b": 0, "135m": 1}  # those of the mix bench, whose engines are taken
_SYSTEM_TOKENS = 300
_NUMBER_TOKENS = 4
_INPUT_TOKENS = 16
_WARM, _COLD = "warm", "cold"
_CALL_TIMEOUT_S = 60.0
_WARM_UP_CALLS = 4
_GOAL = 5.0
_SKILL = """
id = "{name}"
version = "1"
description = "Begins to continue a text."
prompt = '{prompt}'
timeout_s = 60.0
decoding = {{ max_tokens = 1, format = "text" }}
[input_schema]
type = "object"
required = ["number", "text"]
additionalProperties = false
properties.number = {{ type = "string" }}
properties.text = {{ type = "string" }}
[output_schema]
type = "string"
"""


@dataclass(slots=True)
class Series:
    """What the calls of one skill took.

    Attributes:
        client_ms: from sending the call to its answer of one token, per round.
        first_token_ms: as the daemon counts, likewise.
        prompt_tokens: lengths of the prompts that occurred.
    """

    client_ms: list[list[float]] = field(default_factory=list)
    first_token_ms: list[list[float]] = field(default_factory=list)
    prompt_tokens: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Result:
    """One engine.

    Attributes:
        series: by skill.
        found: share of all prompt tokens that the daemon found in its cache.
        pinned_bytes: what the daemon keeps for the warm skill.
    """

    series: dict[str, Series]
    found: float
    pinned_bytes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--geometries",
        type=lambda text: text.split(","),
        default=list(_SEEDS),
        help=f"of {', '.join(_SEEDS)}, with commas",
    )
    parser.add_argument("--calls", type=int, default=20, help="calls per skill and round")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything runs")
    parser.add_argument(
        "--num-threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="CPU threads of a step",
    )
    parser.add_argument("--work-dir", type=Path, default=models.DEFAULT_WORK_DIR)
    parser.add_argument("--quick", action="store_true", help="135m only, 2 rounds of 8 calls")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every call here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Run the bench; returns the exit code, which says nothing about goals."""
    console = new_console()
    if options.quick:
        options.geometries, options.rounds, options.calls = ["135m"], 2, 8
    unknown = set(options.geometries) - set(_SEEDS)
    if unknown:
        raise SystemExit(f"--geometries: {', '.join(sorted(unknown))} is none of {list(_SEEDS)}")
    prepared = [_prepare(console, name, options.work_dir) for name in options.geometries]
    facts = circumstances(sys.argv[1:])
    results: dict[str, Result] = {}
    with progress(console, total=len(prepared) * options.rounds) as (say, done):
        for model in prepared:
            say(f"{model.geometry}: starting")
            prose = Prose(model.tokenizer, seed=1)
            with daemon([model.engine], num_threads=options.num_threads) as address:
                series = {_WARM: Series(), _COLD: Series()}
                with SkillClient(address) as client:
                    _call_in_turn(client, prose, {}, num_calls=_WARM_UP_CALLS)
                    for number in range(options.rounds):
                        say(f"{model.geometry}: round {number + 1} of {options.rounds}")
                        _call_in_turn(client, prose, series, num_calls=options.calls)
                        done()
                    (engine,) = client.status().engines
                found = engine.num_prefix_tokens / engine.num_prompt_tokens
                results[model.geometry] = Result(series, found, engine.kv.pinned_bytes)
            facts[f"engine {model.geometry}"] = f"{read_manifest(model.engine).precision}"
    _report(console, options, results, facts=facts)
    return 0


def _prepare(console: Console, geometry: str, work_dir: Path) -> models.Model:
    """The engine with the two skills; their prompts need its tokenizer first."""
    model = models.model(f"bench-{geometry}", geometry, seed=_SEEDS[geometry], work_dir=work_dir)
    models.prepare(console, model, skills={_WARM: _skill_text(_WARM, "system")})
    system = Prose(model.tokenizer, seed=0).text(_SYSTEM_TOKENS)
    skills = {name: _skill_text(name, system) for name in (_WARM, _COLD)}
    models.prepare(console, model, skills=skills)
    return model


def _skill_text(name: str, system: str) -> str:
    prompt = f"{system}{{number}}{{text}}" if name == _WARM else f"{{number}}{system}{{text}}"
    return _SKILL.format(name=name, prompt=prompt)


def _call_in_turn(
    client: SkillClient, prose: Prose, all_series: dict[str, Series], *, num_calls: int
) -> None:
    """A round: warm and cold calls, each with an input of its own."""
    clients_ms: dict[str, list[float]] = {_WARM: [], _COLD: []}
    daemons_ms: dict[str, list[float]] = {_WARM: [], _COLD: []}
    for number, skill in itertools.product(range(num_calls), (_WARM, _COLD)):
        values = {"number": prose.text(_NUMBER_TOKENS), "text": prose.text(_INPUT_TOKENS)}
        input_json = json.dumps(values)
        started_s = time.perf_counter()
        usage = client.invoke(skill, input_json, timeout_s=_CALL_TIMEOUT_S).usage
        clients_ms[skill].append((time.perf_counter() - started_s) * 1e3)
        daemons_ms[skill].append(usage.first_token_ms)
        if all_series and number == 0:
            all_series[skill].prompt_tokens.add(usage.prompt_tokens)
    for skill, series in all_series.items():
        series.client_ms.append(clients_ms[skill])
        series.first_token_ms.append(daemons_ms[skill])


def _report(
    console: Console,
    options: argparse.Namespace,
    results: dict[str, Result],
    *,
    facts: dict[str, str],
) -> None:
    grids = [_latency_grid(results), _memory_grid(results), _goal_grid(results)]
    for grid in grids:
        grid.show(console)
    _plot(options.out / "prefix.png", results)
    write_markdown(
        options.out / "prefix.md",
        title="Prefix bench",
        notes=[
            f"One daemon, one client, two skills with prompts of the same length: {_SYSTEM_TOKENS} "
            f"tokens of system prompt, {_NUMBER_TOKENS + _INPUT_TOKENS} tokens of input, and an "
            "answer of one token, so that the latency of a call is the time to its first token. "
            "`warm` begins with the system prompt, which the daemon computed and pinned when it "
            "loaded the engine. `cold` begins with a part of the input that is different in every "
            "call, so that all of its prompt must be computed. Random weights; the calls take "
            "turns, and a ratio is taken within a round.",
        ],
        grids=grids,
        facts=facts,
        plot="prefix.png",
    )
    console.print(f"written: {options.out / 'prefix.md'}")
    if options.json is not None:
        calls = {
            name: {
                "found": result.found,
                "pinned_bytes": result.pinned_bytes,
                **{
                    skill: {"client_ms": s.client_ms, "first_token_ms": s.first_token_ms}
                    for skill, s in result.series.items()
                },
            }
            for name, result in results.items()
        }
        content = {"facts": facts, "engines": calls}
        options.json.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _latency_grid(results: dict[str, Result]) -> Grid:
    rows = []
    for name, result in results.items():
        for skill, series in result.series.items():
            every = [latency for some in series.client_ms for latency in some]
            lengths = series.prompt_tokens
            rows.append(
                [
                    f"{name}, {skill}",
                    f"{min(lengths)}..{max(lengths)}" if len(lengths) > 1 else f"{min(lengths)}",
                    spread(_medians(series.client_ms), digits=1),
                    f"{_percentile(every, 99):.1f}",
                    spread(_medians(series.first_token_ms), digits=1),
                ]
            )
    columns = ["engine, skill", "prompt tokens", "client p50 ms (rounds)", "client p99 ms"]
    columns.append("daemon p50 ms (rounds)")
    return Grid("Time to the first token", columns, rows)


def _memory_grid(results: dict[str, Result]) -> Grid:
    rows = [
        [name, f"{result.pinned_bytes / 1024:,.0f}", f"{result.found:.0%}"]
        for name, result in results.items()
    ]
    columns = ["engine", "pinned, KiB", "prompt tokens found in the cache, both skills"]
    return Grid("What is kept for it", columns, rows)


def _goal_grid(results: dict[str, Result]) -> Grid:
    rows = []
    for name, result in results.items():
        for side in ("client", "daemon"):
            ratios = _ratios(result, side)
            rows.append(
                [
                    f"{name}, as the {side} counts: cold / warm",
                    f">= {_GOAL:.2f}",
                    spread(ratios, digits=2),
                    "met" if statistics.median(ratios) >= _GOAL else "missed",
                ]
            )
    return Grid("Goals", ["figure", "goal", "median (rounds)", ""], rows)


def _ratios(result: Result, side: str) -> list[float]:
    """Cold over warm, within each round."""
    warm, cold = (
        _medians(s.client_ms if side == "client" else s.first_token_ms)
        for s in (result.series[_WARM], result.series[_COLD])
    )
    return [c / w for c, w in zip(cold, warm, strict=True)]


def _medians(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(some) for some in rounds]


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _plot(path: Path, results: dict[str, Result]) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(results), figsize=(5 * len(results), 4), layout="constrained", squeeze=False
    )
    for panel, (name, result) in zip(panels[0], results.items(), strict=True):
        for skill, colour in ((_WARM, "C1"), (_COLD, "C0")):
            latencies = sorted(ms for some in result.series[skill].client_ms for ms in some)
            shares = [(index + 1) / len(latencies) for index in range(len(latencies))]
            panel.plot(latencies, shares, color=colour, label=skill)
        panel.set_title(f"{name}, cold / warm: {statistics.median(_ratios(result, 'client')):.1f}")
        panel.set_xlabel("time to the first token, ms")
        panel.set_xlim(left=0)
        panel.set_ylim(0, 1)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    panels[0][0].set_ylabel("share of calls answered within")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
