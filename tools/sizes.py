"""The size curve: one skill, models of several sizes, each trained for the same time.

Every size is trained from random weights with the data and settings of the engine folder, built
with int8 weights, and judged by the code of `skilld eval`. What ships is
trained for longer, so it is better than any of these: this compares sizes, and nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import DEFAULT_WORK_DIR
from benchmarks.report import Grid, circumstances, new_console, write_markdown
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
from rich.console import Console
from rich.progress import Progress

from skilld.core.errors import SkilldError
from skilld.core.manifest import Precision, read_manifest
from skilld.training.evaluation import Score
from skilld.training.preparation import CHECKPOINT_DIR, Prepared, prepare
from skilld.training.settings import ModelSettings
from skilld.training.specialist import make_specialist

_NUM_TIMED_INPUTS = 60
_PLOTTED = ("same", "held_families", "held_values", "held_combinations", "handmade")


@dataclass(frozen=True, slots=True)
class Size:
    """One point of the curve.

    Attributes:
        shape: hidden size and layers, "256x6".
        num_parameters: embeddings included.
        engine_bytes: of the engine folder, tokenizer included.
        resident_bytes: of a process that loaded it.
        num_steps: of training, in the time.
        scores: by split.
    """

    shape: str
    num_parameters: int
    engine_bytes: int
    resident_bytes: int
    num_steps: int
    scores: dict[str, Score]


def main() -> int:
    """Train, build, judge, time, report."""
    options = _parser().parse_args()
    console = new_console()
    facts = circumstances(sys.argv[1:], program="tools/sizes")
    with console.status("drawing the tests"):
        prepared = prepare(options.engine)
    sets = chosen_splits(prepared, options.splits, limit=options.limit)
    sizes: list[Size] = []
    engines: dict[str, Path] = {}
    for shape in options.shapes:
        folder = _folder(options, prepared, shape)
        _train(options, folder, model_of(shape, like=prepared.settings.model), console)
        console.print(f"{shape}: building")
        engines[shape] = build_variant(
            options.engine,
            folder,
            checkpoint=folder / CHECKPOINT_DIR,
            precision=Precision.INT8,
        )
        manifest = read_manifest(engines[shape])
        with Progress(console=console, transient=True) as progress:
            scores = scores_of(engines[shape], prepared.skill.id, sets, progress=progress)
        assert manifest.measurements is not None
        sizes.append(
            Size(
                shape,
                manifest.geometry.num_parameters,
                size_bytes(manifest),
                manifest.measurements.resident_bytes,
                _num_steps(folder),
                scores,
            )
        )
        console.print(
            f"{shape}: "
            + ", ".join(f"{split} {one.exact_match:.1%}" for split, one in scores.items())
        )
    inputs = [example.input for example in next(iter(sets.values()))[:_NUM_TIMED_INPUTS]]
    speeds = speeds_of(engines, prepared.skill.id, inputs, rounds=options.rounds, say=console.print)
    facts["data"] = f"generator version {prepared.generator.version}"
    _report(console, options, prepared.skill.id, sizes, speeds, facts=facts)
    return 0


def shapes_of(text: str) -> list[str]:
    """Shapes with commas, checked.

    Raises:
        argparse.ArgumentTypeError: one is not WIDTHxLAYERS.
    """
    shapes = [part.strip() for part in text.split(",")]
    for shape in shapes:
        width, _, layers = shape.partition("x")
        if not (width.isdigit() and layers.isdigit() and int(width) and int(layers)):
            raise argparse.ArgumentTypeError(f"{shape!r} is not WIDTHxLAYERS, as in 256x6")
    return shapes


def model_of(shape: str, *, like: ModelSettings) -> ModelSettings:
    """The model of a checked shape.

    Args:
        shape: "256x6".
        like: has the vocabulary, the size of a head, and the proportions.

    Raises:
        RuntimeError: the width is no multiple of the size of a head.
    """
    width, layers = map(int, shape.split("x"))
    if width % like.head_size:
        raise RuntimeError(f"{shape}: the width must be a multiple of {like.head_size}")
    num_heads = width // like.head_size
    most_kv_heads = max(1, num_heads * like.num_kv_heads // like.num_heads)
    return like.model_copy(
        update={
            "hidden_size": width,
            "num_layers": layers,
            "num_heads": num_heads,
            "num_kv_heads": next(n for n in range(most_kv_heads, 0, -1) if num_heads % n == 0),
            "feed_forward_size": round(width * like.feed_forward_size / like.hidden_size / 32) * 32,
        }
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/sizes",
        description="Trains one skill in several sizes for the same time.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("engine", type=Path, help="engines/<name>")
    parser.add_argument(
        "--shapes",
        type=shapes_of,
        default=shapes_of("128x4,192x4,256x6"),
        help="WIDTHxLAYERS, with commas",
    )
    parser.add_argument("--time-limit-s", type=float, default=300.0, help="of each training")
    parser.add_argument("--splits", metavar="A,B", help="these only")
    parser.add_argument("--limit", type=int, default=300, help="first examples of each split")
    parser.add_argument("--rounds", type=int, default=3, help="of timing")
    parser.add_argument("--work-dir", type=Path, default=DEFAULT_WORK_DIR)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )
    return parser


def _folder(options: argparse.Namespace, prepared: Prepared, shape: str) -> Path:
    # Other data or another time is another training.
    name = f"{shape}-{options.time_limit_s:g}s-data{prepared.generator.version}"
    work_dir: Path = options.work_dir
    return work_dir / "sizes" / prepared.skill.id / name


def _train(
    options: argparse.Namespace, folder: Path, model: ModelSettings, console: Console
) -> None:
    done = folder / "trained"
    if done.exists():
        console.print(f"{folder.name}: trained already")
        return
    console.print(f"{folder.name}: training for {options.time_limit_s:g} s")
    # A process of its own, because torch remembers what it compiled for another shape.
    child = multiprocessing.get_context("spawn").Process(
        target=_train_one, args=(options.engine, folder, model, options.time_limit_s)
    )
    child.start()
    try:
        child.join()
    finally:
        if child.is_alive():
            child.terminate()
            child.join()
    if child.exitcode != 0:
        raise RuntimeError(f"training of {folder.name} ended with {child.exitcode}")
    done.touch()


def _train_one(engine_dir: Path, folder: Path, model: ModelSettings, time_limit_s: float) -> None:
    console = Console(soft_wrap=True)
    make_specialist(
        engine_dir, console=console, into=folder, shape=model, time_limit_s=time_limit_s
    )


def _num_steps(folder: Path) -> int:
    lines = (folder / "runs" / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    return int(json.loads(lines[-1])["step"])


def _report(
    console: Console,
    options: argparse.Namespace,
    skill_id: str,
    sizes: Sequence[Size],
    speeds: Mapping[str, Speed],
    *,
    facts: dict[str, str],
) -> None:
    splits = list(sizes[0].scores)
    accuracy = Grid(
        "Exact match, % (95 % interval)",
        ["split, examples", *(size.shape for size in sizes)],
        [
            [
                f"{split}, {sizes[0].scores[split].num_examples}",
                *(share(size.scores[split]) for size in sizes),
            ]
            for split in splits
        ],
    )
    cost = Grid(
        "Size and time",
        [
            *("shape", "parameters", "engine", "resident", "training steps"),
            *("p50 ms alone", f"calls/s at {IN_FLIGHT}"),
        ],
        [
            [
                size.shape,
                f"{size.num_parameters / 1e6:.1f} M",
                f"{size.engine_bytes / 1e6:.1f} MB",
                f"{size.resident_bytes / 2**20:.0f} MiB",
                f"{size.num_steps:,}",
                f"{speeds[size.shape].p50_ms:.1f}",
                f"{statistics.median(speeds[size.shape].calls_per_s):.0f}",
            ]
            for size in sizes
        ],
    )
    for grid in (accuracy, cost):
        grid.show(console)
    plot(options.out / "sizes.png", sizes, speeds, title=skill_id)
    write_markdown(
        options.out / "sizes.md",
        title=f"Sizes of {skill_id}",
        notes=[
            f"Models of several sizes, each trained from random weights for "
            f"{options.time_limit_s:g} s on the same machine with the same data, batches and "
            "rates, built with int8 weights and judged by `skilld eval`. A shape is width x "
            "layers. What ships may be trained for longer: this compares sizes with each other.",
            "All inputs but the hand-made ones come from the skill's own generator: they are "
            "synthetic.",
        ],
        grids=[accuracy, cost],
        facts=facts,
        plot="sizes.png",
    )
    console.print(f"written: {options.out / 'sizes.md'}")
    if options.json is not None:
        record = {"skill": skill_id, "time_limit_s": options.time_limit_s, "facts": facts}
        text = json.dumps(record | {"sizes": _record(sizes, speeds)}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


def _record(sizes: Sequence[Size], speeds: Mapping[str, Speed]) -> list[dict[str, Any]]:
    return [
        dataclasses.asdict(size)
        | {"p50_ms": speeds[size.shape].p50_ms, "calls_per_s": speeds[size.shape].calls_per_s}
        for size in sizes
    ]


def plot(path: Path, sizes: Sequence[Size], speeds: Mapping[str, Speed], *, title: str) -> None:
    """Draw exact match over engine size, and over the time of an answer."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4.5), layout="constrained", sharey=True)
    axes = {
        "engine, MB": [size.engine_bytes / 1e6 for size in sizes],
        "p50 of a call alone, ms": [speeds[size.shape].p50_ms for size in sizes],
    }
    for panel, (label, places) in zip(panels, axes.items(), strict=True):
        for split in (name for name in _PLOTTED if name in sizes[0].scores):
            shares = [size.scores[split].exact_match * 100 for size in sizes]
            panel.plot(places, shares, marker="o", label=split)
        for size, place in zip(sizes, places, strict=True):
            panel.annotate(size.shape, (place, 101), ha="center", fontsize=8, annotation_clip=False)
        panel.set_xlabel(label)
        panel.set_xlim(0, 1.15 * max(places))
        panel.set_ylim(0, 100)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("exact match, %")
    panels[0].legend(frameon=False, title=title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":  # the process that trains imports this file, too
    try:
        sys.exit(main())
    except (SkilldError, RuntimeError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
