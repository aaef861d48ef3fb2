"""`tools/bench share`: what sharing one cache budget brings over dividing it up.

Six engines, of three kinds that differ in the cache they need per token, meet bursts of calls with
deadlines.
The same scheduler serves them with one shared budget, an equal static split, the best static
split that a search finds, and memory without end. The figure is the highest rate of calls at
which 99 % are answered in time.

1. Real engines run for some seconds, and the scheduler's cost models learn what a step costs.
2. With these costs, the scheduler runs in virtual time: all rates, splits and seeds.
3. Real engines meet the same kind of traffic at rates around those found, all contenders in turn.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import models
from benchmarks.arrivals import Traffic, bursts
from benchmarks.report import circumstances, new_console, progress
from benchmarks.share_engines import ShareEngines
from benchmarks.share_report import (
    AMPLE_OURS,
    AMPLE_SPLIT,
    BEST,
    COLOURS,
    COPIES,
    ENDLESS,
    EQUAL,
    OURS,
    SWEPT_NAMES,
    RealRun,
    write_report,
)
from benchmarks.share_search import Effort, Found, Trial, correlated, find
from benchmarks.sharing import IN_TIME, Bench, ResidentCost, Split, Tally, simulate
from skilld.core.manifest import read_manifest

_GEOMETRIES = {"light": "tiny-kv1", "middle": "tiny", "heavy": "tiny-kv6"}
_SEED = 7
_SHARED_TOKENS = 300
_PROMPT_TOKENS = (320, 420)
_OUTPUT_TOKENS = (16, 64)
_PATIENCE = 10.0
_SLOTS_PER_CALL = 2.0  # a slot is as long as this many calls alone
_CORRELATIONS = (0.0, 0.5, 1.0)
_AMPLE = 16  # this many times the budget is more than anybody needs
_SWEPT = (1.5, 2.0, 3.0)
_START_COSTS = (1.0, 0.1, 0.05, 0.0)
_SKILL = """
id = "{name}"
version = "1"
description = "Continues a text with noise."
prompt = "{{text}}"
timeout_s = 60.0
decoding = {{ max_tokens = 64, format = "text" }}
[input_schema]
type = "object"
required = ["text"]
additionalProperties = false
properties.text = {{ type = "string" }}
[output_schema]
type = "string"
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        virtual: effort of a search in virtual time.
        sweep: effort of a search of the sweep over budgets; None leaves it out.
        correlations: of bursts.
        real_rounds: steps of the bisection on real engines.
        real_slots: length of one run on real engines.
    """

    virtual: Effort
    sweep: Effort | None
    correlations: tuple[float, ...]
    real_rounds: int
    real_slots: int


_FULL = Plan(Effort(60, 4, 0.03), Effort(60, 2, 0.05), _CORRELATIONS, 3, 48)
_QUICK = Plan(Effort(40, 1, 0.06), None, (0.0,), 2, 16)
_REAL_SEED = 500
# Where the bisection on real engines starts, relative to the rate found in virtual time.
_REAL_BRACKET = (0.3, 1.1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--num-threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="CPU threads of a step",
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=1.0,
        help="cache budget; at 1, an equal part holds the longest call of the heaviest engine",
    )
    parser.add_argument("--work-dir", type=Path, default=models.DEFAULT_WORK_DIR)
    parser.add_argument(
        "--quick", action="store_true", help="bursts that are independent only, and short runs"
    )
    parser.add_argument(
        "--correlations",
        type=float,
        nargs="+",
        help="of bursts, 0 first; fewer leave time for more rounds on real engines",
    )
    parser.add_argument(
        "--real-rounds", type=int, metavar="N", help="steps of the bisection on real engines"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )
    parser.add_argument("--name", default="share", help="of the report's files")


def main(options: argparse.Namespace) -> int:
    """Run the bench; returns the exit code, which says nothing about goals."""
    console = new_console()
    plan = _QUICK if options.quick else _FULL
    if options.correlations:
        plan = replace(plan, correlations=tuple(options.correlations))
    if options.real_rounds:
        plan = replace(plan, real_rounds=options.real_rounds)
    engine_dirs = _prepare(console, options.work_dir)
    facts = circumstances(sys.argv[1:])
    unknown = _unknown_bench(engine_dirs)
    budget_bytes = _budget_bytes(unknown, options.budget)
    endless_bytes = budget_bytes * _AMPLE
    with ShareEngines(
        engine_dirs, num_threads=options.num_threads, kv_bytes=endless_bytes
    ) as engines:
        console.print("learning what steps cost")
        costs = engines.learn_costs(unknown, Split.shared(endless_bytes, len(engine_dirs)))
        bench = _with_costs(unknown, costs)
        trials = _trials(bench, budget_bytes, plan)
        found = _find_all(console, trials)
        runs = _search_real(console, engines, _to_confirm(found, plan), plan)
        ample = _run_ample(console, engines, bench, found, plan, budget_bytes=endless_bytes)
    facts["cache budget"] = f"{budget_bytes / 1024:,.0f} KiB"
    write_report(console, options, bench, found, runs=runs, ample=ample, facts=facts)
    return 0


# --- what is compared ----------------------------------------------------------------------------


def _prepare(console: Console, work_dir: Path) -> dict[str, Path]:
    """Build the engines unless they exist."""
    folders = {}
    for name, geometry in _GEOMETRIES.items():
        model = models.model(f"share-{name}", geometry, seed=_SEED, work_dir=work_dir)
        models.prepare(console, model, skills={model.name: _SKILL.format(name=model.name)})
        for copy in range(COPIES):
            folders[f"{name} {copy + 1}"] = model.engine
    return folders


def _unknown_bench(engine_dirs: dict[str, Path]) -> Bench:
    """Engines whose costs are still to be learned."""
    engines = []
    for name, path in engine_dirs.items():
        layout = read_manifest(path).cache
        block_bytes = layout.kv_bytes_per_token * layout.block_tokens
        engines.append(ResidentCost(name, layout.block_tokens, block_bytes, _START_COSTS))
    traffic = Traffic(
        num_engines=len(engines),
        correlation=0.0,
        slot_s=1.0,
        shared_tokens=_SHARED_TOKENS,
        prompt_tokens=_PROMPT_TOKENS,
        output_tokens=_OUTPUT_TOKENS,
    )
    return Bench(tuple(engines), traffic, _PATIENCE)


def _with_costs(bench: Bench, costs: tuple[ResidentCost, ...]) -> Bench:
    """The bench with known costs, and bursts that are as long as these make sensible."""
    middle = sum(_PROMPT_TOKENS) // 2, sum(_OUTPUT_TOKENS) // 2
    call_s = sum(engine.unloaded_ms(*middle) for engine in costs) / len(costs) / 1e3
    traffic = replace(bench.traffic, slot_s=_SLOTS_PER_CALL * call_s)
    return replace(bench, engines=costs, traffic=traffic)


def _budget_bytes(bench: Bench, factor: float) -> int:
    longest = _PROMPT_TOKENS[1] + _OUTPUT_TOKENS[1]
    heaviest = max(engine.bytes_for(longest) for engine in bench.engines)
    return int(factor * heaviest * len(bench.engines))


def _trials(bench: Bench, budget_bytes: int, plan: Plan) -> list[Trial]:
    """All questions for virtual time; the first four of every correlation are the contenders."""
    count = len(bench.engines)

    def trial(name: str, some: Bench, kv_bytes: int, effort: Effort) -> Trial:
        splits = {
            EQUAL: Split.static(kv_bytes, [1.0] * count),
            AMPLE_SPLIT: Split.static(kv_bytes, [1.0] * count),
            BEST: None,
        }
        shared = Split.shared(kv_bytes, count)
        return Trial(name, some, splits.get(name, shared), kv_bytes, effort)

    trials = []
    for correlation in plan.correlations:
        some = correlated(bench, correlation)
        for name in (EQUAL, BEST, OURS):
            trials.append(trial(name, some, budget_bytes, plan.virtual))
        trials.append(trial(ENDLESS, some, budget_bytes * _AMPLE, plan.virtual))
    for name in (AMPLE_SPLIT, AMPLE_OURS):
        trials.append(trial(name, bench, budget_bytes * _AMPLE, plan.virtual))
    if plan.sweep is not None:
        for factor, name in itertools.product(_SWEPT, SWEPT_NAMES):
            trials.append(trial(name, bench, int(budget_bytes * factor), plan.sweep))
    return trials


def _find_all(console: Console, trials: Sequence[Trial]) -> list[Found]:
    # Started anew, because a copy of this process would inherit the engines' locks.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context) as pool,
        progress(console, total=len(trials)) as (say, done),
    ):
        say("virtual time")
        futures = [pool.submit(find, trial) for trial in trials]
        for future in futures:
            future.add_done_callback(lambda _: done())
        return [future.result() for future in futures]


def _to_confirm(found: Sequence[Found], plan: Plan) -> list[Found]:
    """The contenders; memory without end only where bursts are independent, to save time."""
    contenders = found[: len(plan.correlations) * len(COLOURS)]
    return [
        f for f in contenders if f.trial.name != ENDLESS or f.trial.bench.traffic.correlation == 0.0
    ]


def _search_real(
    console: Console, engines: ShareEngines, found: Sequence[Found], plan: Plan
) -> list[RealRun]:
    """Bisect the rate on real engines; contenders take turns, every second round backwards."""
    brackets = [[answer.rate_per_s * factor for factor in _REAL_BRACKET] for answer in found]
    runs = []
    with progress(console, total=len(found) * plan.real_rounds) as (say, done):
        for number in range(plan.real_rounds):
            turns = list(zip(found, brackets, strict=True))
            for answer, bracket in turns if number % 2 == 0 else reversed(turns):
                bench, name = answer.trial.bench, answer.trial.name
                rate = math.sqrt(math.prod(bracket))
                say(f"round {number + 1} of {plan.real_rounds}, real engines: {name}")
                arrivals = bursts(
                    bench.traffic, rate_per_s=rate, num_slots=plan.real_slots, seed=_REAL_SEED
                )
                tally = engines.run(bench, answer.split, arrivals)
                predicted = simulate(bench, answer.split, arrivals)
                bracket[tally.in_time < IN_TIME] = rate
                runs.append(RealRun(bench.traffic.correlation, name, rate, tally, predicted))
                done()
    return runs


def _run_ample(
    console: Console,
    engines: ShareEngines,
    bench: Bench,
    found: Sequence[Found],
    plan: Plan,
    *,
    budget_bytes: int,
) -> dict[str, Tally]:
    """Memory for everybody: shared and split on the same calls, below the rate that is too much."""
    rate = 0.8 * next(f.rate_per_s for f in found if f.trial.name == AMPLE_SPLIT)
    count = len(bench.engines)
    splits = {
        AMPLE_SPLIT: Split.static(budget_bytes, [1.0] * count),
        AMPLE_OURS: Split.shared(budget_bytes, count),
    }
    tallies = {name: Tally(0) for name in splits}
    with progress(console, total=2 * len(splits)) as (say, done):
        for number in range(2):
            arrivals = bursts(
                bench.traffic, rate_per_s=rate, num_slots=plan.real_slots, seed=100 + number
            )
            for name in splits if number % 2 == 0 else reversed(splits):
                say(f"real engines: {name}")
                tallies[name].add(engines.run(bench, splits[name], arrivals))
                done()
    return tallies
