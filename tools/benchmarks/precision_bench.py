"""`tools/bench precision`: one checkpoint with f32, int8 and int4 weights.

Exact match by the code of `skilld eval`, size on disk and in memory, time of a call alone, and
calls per second with several under way. int4 is built twice: from the weights alone, and with
prompts of the skill to calibrate by.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from benchmarks.models import DEFAULT_WORK_DIR
from benchmarks.report import Grid, circumstances, new_console, spread, write_markdown
from benchmarks.variants import (
    IN_FLIGHT,
    Speed,
    build_variant,
    chosen_splits,
    scores_of,
    share,
    size_bytes,
    speeds_of,
)
from skilld.builder.recipe import read_recipe
from skilld.core.manifest import Precision, read_manifest
from skilld.skills.pointing import SpanError
from skilld.training.batches import as_text
from skilld.training.evaluation import Score
from skilld.training.preparation import Prepared, prepare

_CALIBRATED: Final = "int4 calibrated"
_VARIANTS: Final = {
    "f32": Precision.F32,
    "int8": Precision.INT8,
    "int4": Precision.INT4,
    _CALIBRATED: Precision.INT4,
}
_NUM_CALIBRATION_TEXTS: Final = 128
_NUM_TIMED_INPUTS: Final = 60


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to keep the weights.

    Attributes:
        weights_bytes: `model.bin`.
        engine_bytes: the engine folder, tokenizer and graph included.
        resident_bytes: of a process that loaded it.
        scores: by split.
    """

    weights_bytes: int
    engine_bytes: int
    resident_bytes: int
    scores: dict[str, Score]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--engine", type=Path, default=Path("engines/plc-triage"), help="with its checkpoint"
    )
    parser.add_argument("--splits", metavar="A,B", help="these only")
    parser.add_argument("--limit", type=int, default=500, help="first examples of each split")
    parser.add_argument("--rounds", type=int, default=3, help="of timing")
    parser.add_argument("--work-dir", type=Path, default=DEFAULT_WORK_DIR, help="of engines")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Build, judge and time the variants; returns the exit code."""
    console = new_console()
    facts = circumstances(sys.argv[1:])
    with console.status("drawing the tests"):
        prepared = prepare(options.engine)
    sets = chosen_splits(prepared, options.splits, limit=options.limit)
    engines = _build(options, prepared, console)
    found: dict[str, Variant] = {}
    for name, engine_dir in engines.items():
        manifest = read_manifest(engine_dir)
        assert manifest.measurements is not None
        with Progress(console=console, transient=True) as progress:
            scores = scores_of(engine_dir, prepared.skill.id, sets, progress=progress)
        found[name] = Variant(
            manifest.files["model.bin"].num_bytes,
            size_bytes(manifest),
            manifest.measurements.resident_bytes,
            scores,
        )
    inputs = [example.input for example in next(iter(sets.values()))[:_NUM_TIMED_INPUTS]]
    with console.status("timing") as status:
        speeds = speeds_of(
            engines, prepared.skill.id, inputs, rounds=options.rounds, say=status.update
        )
    shipped = read_manifest(engines["int8"])
    facts["engine"] = (
        f"{shipped.name} {shipped.version}, {shipped.geometry.num_parameters / 1e6:.1f} M "
        f"parameters, checkpoint {shipped.source.sha256[:16]}, "
        f"generator version {prepared.generator.version}"
    )
    _report(console, options, found, speeds, facts=facts)
    return 0


def _build(options: argparse.Namespace, prepared: Prepared, console: Console) -> dict[str, Path]:
    work_dir = options.work_dir / "precision" / prepared.skill.id
    texts = work_dir / "calibration.jsonl"
    _write_calibration(texts, prepared)
    checkpoint = options.engine / read_recipe(options.engine).checkpoint
    engines = {}
    for name, precision in _VARIANTS.items():
        console.print(f"building {name}")
        engines[name] = build_variant(
            options.engine,
            work_dir / name.replace(" ", "-"),
            checkpoint=checkpoint,
            precision=precision,
            calibration=texts if name == _CALIBRATED else None,
        )
    return engines


def _write_calibration(path: Path, prepared: Prepared) -> None:
    """Prompts with their answers, as in training; other examples than any that is judged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    examples = prepared.training_examples(seed=prepared.settings.data.seed)
    lines = []
    for example in islice(examples, _NUM_CALIBRATION_TEXTS):
        with contextlib.suppress(SpanError):  # too many pieces of one kind
            text = as_text(example, skill=prepared.skill, prompt=prepared.prompt)
            words = "".join(words for words, _ in text.segments) + text.answer
            lines.append(json.dumps({"text": words}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


def _report(
    console: Console,
    options: argparse.Namespace,
    found: Mapping[str, Variant],
    speeds: Mapping[str, Speed],
    *,
    facts: dict[str, str],
) -> None:
    first = next(iter(found.values()))
    accuracy = Grid(
        "Exact match, % (95 % interval)",
        ["split, examples", *found],
        [
            [f"{split}, {one.num_examples}", *(share(v.scores[split]) for v in found.values())]
            for split, one in first.scores.items()
        ],
    )
    cost = Grid(
        "Size and time",
        [
            *("weights", "on disk", "engine folder", "resident"),
            *("p50 ms alone", f"calls/s at {IN_FLIGHT} (min..max)"),
        ],
        [_cost(name, variant, speeds[name]) for name, variant in found.items()],
    )
    grids: Sequence[Grid] = (accuracy, cost)
    for grid in grids:
        grid.show(console)
    plot(options.out / "precision.png", found, speeds)
    write_markdown(
        options.out / "precision.md",
        title="Precision bench",
        notes=[
            f"One checkpoint of `{options.engine.name}` with f32, int8 and int4 weights; "
            "everything else is the same: the cache in 8 bits, arithmetic in f32, activations "
            "quantized on the fly where weights are. int8 has one scale per output channel; int4 "
            f"has one per 128 weights, chosen from the weights alone or, calibrated, with "
            f"{_NUM_CALIBRATION_TEXTS} training prompts (AWQ and scale estimation).",
            "Exact match is that of `skilld eval`, without any confidence gate. Calls are made "
            f"through service and engine loop in one process, alone or with {IN_FLIGHT} under "
            "way; engines take turns. All inputs but the hand-made ones come from the skill's own "
            "generator: they are synthetic.",
        ],
        grids=grids,
        facts=facts,
        plot="precision.png",
    )
    console.print(f"written: {options.out / 'precision.md'}")
    if options.json is not None:
        record = {
            name: dataclasses.asdict(variant)
            | {"p50_ms": speeds[name].p50_ms, "calls_per_s": speeds[name].calls_per_s}
            for name, variant in found.items()
        }
        text = json.dumps({"facts": facts, "precisions": record}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


def _cost(name: str, variant: Variant, speed: Speed) -> list[str]:
    return [
        name,
        f"{variant.weights_bytes / 1e6:.1f} MB",
        f"{variant.engine_bytes / 1e6:.1f} MB",
        f"{variant.resident_bytes / 2**20:.0f} MiB",
        f"{speed.p50_ms:.1f}",
        spread(speed.calls_per_s),
    ]


def plot(path: Path, found: Mapping[str, Variant], speeds: Mapping[str, Speed]) -> None:
    """Draw exact match by split, size and speed, one colour per precision."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(10, 4), layout="constrained", width_ratios=(2, 1)
    )
    splits = list(next(iter(found.values())).scores)
    width = 0.8 / len(found)
    for number, (name, variant) in enumerate(found.items()):
        places = [index + number * width for index in range(len(splits))]
        shares = [variant.scores[split].exact_match * 100 for split in splits]
        bars = left.bar(places, shares, width, label=name)
        colour = bars.patches[0].get_facecolor()
        megabytes = variant.weights_bytes / 1e6
        right.plot([megabytes], [speeds[name].p50_ms], "o", color=colour)
        right.annotate(
            name,
            (megabytes, speeds[name].p50_ms),
            xytext=(4, 6),
            textcoords="offset points",
            fontsize=8,
        )
    middles = [index + 0.4 - width / 2 for index in range(len(splits))]
    left.set_xticks(middles, [split.replace("_", "\n") for split in splits], fontsize=8)
    left.set_ylabel("exact match, %")
    left.set_ylim(0, 100)
    left.legend(
        frameon=False, fontsize=8, ncols=len(found), loc="lower left", bbox_to_anchor=(0, 1)
    )
    right.set_xlabel("weights on disk, MB")
    right.set_ylabel("p50 of a call alone, ms")
    right.set_xlim(0, 1.25 * max(variant.weights_bytes for variant in found.values()) / 1e6)
    right.set_ylim(0, 1.25 * max(speeds[name].p50_ms for name in found))
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
