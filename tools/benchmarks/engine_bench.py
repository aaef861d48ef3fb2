"""`tools/bench engine`: the graph, our loop around it, and llama.cpp, on random weights.

Every contender runs in a process of its own, one after the other, in rounds; every second round
goes backwards, so that none always follows the same one. A ratio is taken within a round, where
both sides met the same machine, and its median over the rounds is what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks.checkpoint import SHAPES, write_checkpoint, write_gguf, write_recipe
from benchmarks.peer import BATCHED_BENCH, BENCH, LlamaCpp
from benchmarks.process import run
from benchmarks.report import Grid, circumstances, new_console, progress, spread, write_markdown
from benchmarks.workload import Figures, Workload
from skilld.core.manifest import read_manifest

_BATCHES = (1, 4, 8, 16)
_PREFILLS = (128, 512)
_CONTEXT_TOKENS = 128
_GENERATED_TOKENS = 64
_SPEEDS = tuple(f"decode_{batch}" for batch in _BATCHES) + tuple(
    f"prefill_{length}" for length in _PREFILLS
)
_PEER_KINDS = {"int8": "Q8_0", "int4": "Q4_0"}


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two contenders that we hold ourselves to."""

    over: str
    under: str
    figure: str
    at_least: float


_GOALS = {
    "0.5b": (
        Goal("loop int8", "graph int8", "decode_8", 0.95),
        Goal("loop int8", "graph int8", "decode_16", 0.95),
        Goal("loop int8", "llama.cpp Q8_0", "decode_8", 3.0),
        Goal("loop int8", "llama.cpp Q8_0", "decode_16", 2.5),
        Goal("loop int8", "llama.cpp Q8_0", "prefill_512", 3.0),
    ),
    "135m": (),
    "tiny": (Goal("loop int8", "graph int8", "decode_8", 0.6),),
}
_SHIPPED_GOALS = (Goal("loop int8", "graph int8", "decode_8", 0.6),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--llama-dir",
        type=Path,
        help=f"folder with {BENCH} and {BATCHED_BENCH}; without it llama.cpp is left out",
    )
    parser.add_argument(
        "--geometry", choices=sorted(SHAPES), default="0.5b", help="shape of the random model"
    )
    parser.add_argument(
        "--engine",
        type=Path,
        metavar="DIR",
        help="measure this engine folder, without peers, instead of a random model",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often all contenders run")
    parser.add_argument(
        "--num-threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="CPU threads; the peer takes the better of 1 and this many",
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path.home() / ".cache" / "skilld-bench",
        help="where weights and engines are kept for the next time",
    )
    parser.add_argument("--rebuild", action="store_true", help="build the engines again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every round here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Run the bench; returns the exit code, which says nothing about goals."""
    console = new_console()
    workload = Workload(
        batches=_BATCHES,
        context=_CONTEXT_TOKENS,
        generated=_GENERATED_TOKENS,
        prefills=_PREFILLS,
        num_threads=options.num_threads,
    )
    folder: Path = options.work_dir / options.geometry
    if options.engine is not None:
        manifest = read_manifest(options.engine)
        options.geometry, options.llama_dir = manifest.name, None
        engines = {str(manifest.precision): options.engine.resolve()}
    else:
        engines = _prepare_engines(console, options, folder)
    peers: dict[str, LlamaCpp] = {}
    if options.llama_dir is not None:
        for kind, path in _prepare_gguf(console, options, folder).items():
            peers[f"llama.cpp {kind}"] = LlamaCpp(options.llama_dir, path, workload)
    facts = circumstances(sys.argv[1:])
    contenders = _contenders(engines, peers, workload)
    with progress(console, total=options.rounds * len(contenders) + len(peers)) as (say, done):
        for name, peer in peers.items():
            say(f"tuning {name}")
            peer.tune()
            facts[f"{name} runs with"] = "the best of: " + "; ".join(map(str, peer.settings))
            done()
        rounds: list[dict[str, Figures]] = []
        for number in range(options.rounds):
            order = list(contenders) if number % 2 == 0 else list(reversed(contenders))
            figures: dict[str, Figures] = {}
            for name in order:
                say(f"round {number + 1} of {options.rounds}: {name}")
                figures[name] = contenders[name]()
                done()
            rounds.append({name: figures[name] for name in contenders})
    if peers:
        facts["llama.cpp"] = next(iter(peers.values())).version()
    _report(console, options, rounds, workload=workload, facts=facts)
    return 0


def _prepare_engines(
    console: Console, options: argparse.Namespace, folder: Path
) -> dict[str, Path]:
    checkpoint = folder / "checkpoint"
    if not checkpoint.is_dir():
        console.print(f"writing random weights, geometry {options.geometry}")
        write_checkpoint(checkpoint, SHAPES[options.geometry])
    engines = {}
    for precision in _PEER_KINDS:
        recipe_dir = folder / precision
        engines[precision] = recipe_dir / "engine"
        if options.rebuild:
            shutil.rmtree(engines[precision], ignore_errors=True)
        if not engines[precision].is_dir():
            write_recipe(
                recipe_dir,
                name=f"bench-{options.geometry}-{precision}",
                precision=precision,
                checkpoint=Path("..") / checkpoint.name,
            )
            console.print(f"building the {precision} engine")
            # A process of its own: the build tools would stay in our memory.
            command = [sys.executable, "-m", "skilld.cli", "build", str(recipe_dir)]
            subprocess.run(command, check=True)
    return engines


def _prepare_gguf(console: Console, options: argparse.Namespace, folder: Path) -> dict[str, Path]:
    for tool in (BENCH, BATCHED_BENCH):
        if not (options.llama_dir / tool).is_file():
            raise SystemExit(f"{options.llama_dir} has no {tool}; see tools/benchmarks/README.md")
    files = {kind: folder / f"{kind}.gguf" for kind in _PEER_KINDS.values()}
    for kind, path in files.items():
        if not path.is_file():
            console.print(f"writing {path.name}")
            write_gguf(path, folder / "checkpoint", SHAPES[options.geometry], kind=kind)
    return files


def _contenders(
    engines: dict[str, Path], peers: dict[str, LlamaCpp], workload: Workload
) -> dict[str, Callable[[], Figures]]:
    contenders: dict[str, Callable[[], Figures]] = {}
    for precision, kind in _PEER_KINDS.items():
        if precision not in engines:
            continue
        for contender in ("graph", "loop"):
            name = f"{contender} {precision}"
            contenders[name] = partial(_measure_ours, contender, engines[precision], workload)
        if (name := f"llama.cpp {kind}") in peers:
            contenders[name] = peers[name].measure
    return contenders


def _measure_ours(contender: str, engine_dir: Path, workload: Workload) -> Figures:
    module = [sys.executable, "-m", "benchmarks.contender"]
    finished = run([*module, contender, str(engine_dir), workload.to_json()])
    figures: Figures = json.loads(finished.stdout)
    return figures | {"resident": finished.resident_bytes}


def _report(
    console: Console,
    options: argparse.Namespace,
    rounds: Sequence[dict[str, Figures]],
    *,
    workload: Workload,
    facts: dict[str, str],
) -> None:
    speeds = Grid(
        f"Decode by batch, and prefill, in tokens/s: median (min..max) of {len(rounds)} rounds",
        ["contender", *(_title(figure) for figure in _SPEEDS)],
        [
            [name, *(spread([r[name][figure] for r in rounds]) for figure in _SPEEDS)]
            for name in rounds[0]
        ],
    )
    costs = Grid(
        "Start and memory",
        ["contender", "start to first step, s", "resident, MiB"],
        [
            [
                name,
                spread([r[name]["start"] for r in rounds], digits=2),
                spread([r[name]["resident"] / 2**20 for r in rounds]),
            ]
            for name in rounds[0]
        ],
    )
    grids = [speeds, _ratios(rounds), *_goals(options.geometry, rounds), costs]
    for grid in grids:
        grid.show(console)
    stem = "engine" if options.engine is None else f"engine-{options.geometry}"
    _plot(options.out / f"{stem}.png", rounds, geometry=options.geometry)
    write_markdown(
        options.out / f"{stem}.md",
        title="Engine bench",
        notes=_notes(options.geometry, workload),
        grids=grids,
        facts=facts,
        plot=f"{stem}.png",
    )
    console.print(f"written: {options.out / f'{stem}.md'}")
    if options.json is not None:
        content = {"facts": facts, "workload": asdict(workload), "rounds": list(rounds)}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _ratios(rounds: Sequence[dict[str, Figures]]) -> Grid:
    pairs = [
        (f"{over} {precision}", f"{under} {precision if under == 'graph' else kind}")
        for precision, kind in _PEER_KINDS.items()
        for over, under in (("loop", "graph"), ("loop", "llama.cpp"))
    ]
    return Grid(
        "Ratios within a round: median (min..max)",
        ["ratio", *(_title(figure) for figure in _SPEEDS)],
        [
            [f"{over} / {under}"]
            + [spread(_ratio(rounds, over, under, figure=f), digits=2) for f in _SPEEDS]
            for over, under in pairs
            if under in rounds[0]
        ],
    )


def _goals(geometry: str, rounds: Sequence[dict[str, Figures]]) -> list[Grid]:
    rows = []
    for goal in _GOALS.get(geometry, _SHIPPED_GOALS):
        if goal.under in rounds[0]:
            measured = statistics.median(_ratio(rounds, goal.over, goal.under, figure=goal.figure))
            rows.append(
                [
                    f"{goal.over} / {goal.under}, {_title(goal.figure)}",
                    f">= {goal.at_least:.2f}",
                    f"{measured:.2f}",
                    "met" if measured >= goal.at_least else "missed",
                ]
            )
    return [Grid("Goals", ["ratio", "goal", "measured", ""], rows)] if rows else []


def _ratio(
    rounds: Sequence[dict[str, Figures]], over: str, under: str, *, figure: str
) -> list[float]:
    return [figures[over][figure] / figures[under][figure] for figures in rounds]


def _title(figure: str) -> str:
    kind, _, number = figure.partition("_")
    return f"batch {number}" if kind == "decode" else f"prefill {number}"


def _notes(geometry: str, workload: Workload) -> list[str]:
    return [
        (
            f"Random weights in the shape `{geometry}`; speed does not depend on what they say. "
            if geometry in SHAPES
            else f"The engine `{geometry}` of this repository, free text, no drafts. "
        )
        + f"Decode: tokens per second of all sequences together, {workload.generated} steps after "
        f"{workload.context} tokens of context each. Prefill: one prompt, one row of logits.",
        "`graph` is the compiled model with its inputs filled beforehand, one step at the mean "
        "context over and over, and nothing around it but an argmax. `loop` is everything the "
        "daemon runs between the transport and the graph: scheduler, ledger, arena, sampler. "
        "llama.cpp runs `llama-batched-bench` and `llama-bench` on the same weights, quantized to "
        "its formats, with its own defaults for cache and kernels; numbers of threads and ways of "
        "waiting were tried beforehand, and every figure is the best of the settings that won "
        "something. It chooses no tokens, we do.",
        "Every contender ran in its own process; `resident` is the median over the second half of "
        "its life, mapped weight files included, `start` counts the interpreter and imports.",
    ]


def _plot(path: Path, rounds: Sequence[dict[str, Figures]], *, geometry: str) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = list(rounds[0])
    width = 0.8 / len(names)
    figure, panels = pyplot.subplots(
        1, 2, figsize=(12, 4.5), width_ratios=[len(_BATCHES), len(_PREFILLS)], layout="constrained"
    )
    for panel, prefix in zip(panels, ("decode", "prefill"), strict=True):
        shown = [name for name in _SPEEDS if name.startswith(prefix)]
        for index, name in enumerate(names):
            values = [[r[name][speed] for r in rounds] for speed in shown]
            middle = [statistics.median(v) for v in values]
            reach = [
                [m - min(v) for m, v in zip(middle, values, strict=True)],
                [max(v) - m for m, v in zip(middle, values, strict=True)],
            ]
            places = [place + index * width for place in range(len(shown))]
            panel.bar(places, middle, width, yerr=reach, label=name, capsize=2)
        panel.set_xticks(
            [place + 0.4 - width / 2 for place in range(len(shown))], list(map(_title, shown))
        )
        panel.set_title(f"{prefix}, {geometry}")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("tokens/s, median; whiskers: min to max")
    panels[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
