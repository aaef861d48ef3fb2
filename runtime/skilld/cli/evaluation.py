"""`skilld eval`: how right an engine is, beside what one would do without a model."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from skilld.cli.console import err, out
from skilld.core.errors import ArtefactError

if TYPE_CHECKING:
    from skilld.cli.engine_answers import Asking
    from skilld.cli.judging import Judgement
    from skilld.training import Example

VOTE_TEMPERATURE: Final = 0.7
RETRY_BELOW: Final = 0.6  # for skills without a threshold of their own


def eval_command(options: argparse.Namespace) -> int:
    """Judge an engine on the splits of its generator and on its hand-written cases."""
    from skilld.app import find_engines, num_threads_of
    from skilld.builder.local_runner import LocalRunner
    from skilld.cli.judging import Judgement, judge_baselines, judge_engine, judge_speed
    from skilld.config import EngineConfig
    from skilld.core.manifest import read_manifest
    from skilld.training.preparation import prepare

    source = source_folder(options.engine)
    engine_dir = find_engines([source])[0]
    manifest = read_manifest(engine_dir)
    try:
        with err.status("drawing the tests"):
            prepared = prepare(source)
    except (FileNotFoundError, ValueError) as error:
        raise ArtefactError(str(error), path=source, reason="BAD_DATA") from error
    skill_id = prepared.skill.id
    judgement = Judgement(_chosen(prepared.tests, options.splits, limit=options.limit, path=source))
    has_baselines = True
    with _progress() as progress:
        threads = num_threads_of(EngineConfig(), manifest)
        with LocalRunner(engine_dir, num_threads=threads) as runner:
            entry = runner.catalog.get(skill_id)
            ways = _ways(options, min_confidence=entry.skill.abstain.min_confidence)
            judge_engine(judgement, runner, entry, ways, progress=progress)
        judge_speed(judgement, engine_dir, skill_id, progress)
        if options.baselines:
            has_baselines = judge_baselines(judgement, prepared, progress)
    if options.json is not None:
        engine = {
            "name": manifest.name,
            "version": manifest.version,
            "digest": manifest.digest,
            "precision": manifest.precision,
        }
        record = {
            "engine": engine,
            "generator_version": prepared.generator.version,
            "seed": prepared.settings.data.seed,
            **_record(judgement, num_errors=options.errors),
        }
        text = json.dumps(record, indent=1, ensure_ascii=False)
        if options.json == "-":
            print(text)
            return 0
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    _print(judgement, title=f"{manifest.name} {manifest.version}, {manifest.precision}")
    if not has_baselines:
        out.print(f"[yellow]{escape(str(source))} has no baselines.py to compare with[/]")
    _print_errors(judgement, num_errors=options.errors)
    return 0


def source_folder(engine: str) -> Path:
    """The folder that an engine is made from: a path, or the name of one under `engines/`.

    Raises:
        ArtefactError: reason NO_ENGINE; there is none.
    """
    for folder in (Path(engine), Path("engines") / engine):
        if folder.is_dir():
            # The built engine inside of a source folder means that folder.
            is_built = not (folder / "training.toml").is_file()
            parent = folder.resolve().parent
            return parent if is_built and (parent / "training.toml").is_file() else folder
    known = ", ".join(sorted(path.parent.name for path in Path("engines").glob("*/training.toml")))
    raise ArtefactError(
        "no such folder",
        path=Path(engine),
        hint=f"give engines/<name> or one of {known}" if known else "give engines/<name>",
        reason="NO_ENGINE",
    )


def _ways(options: argparse.Namespace, *, min_confidence: float) -> dict[str, Asking]:
    """The rows of the table that the engine fills, and how it is asked for them."""
    from skilld.cli.engine_answers import Asking
    from skilld.cli.judging import ENGINE, RETRY

    ways = {ENGINE: Asking(exact_confidence=options.confidence)}
    if options.unconstrained:
        ways["without schema"] = Asking(constrained=False)
    if options.votes > 1:
        ways[f"{options.votes} votes"] = Asking(
            temperature=VOTE_TEMPERATURE, num_samples=options.votes
        )
    if options.retry:
        ways[RETRY] = Asking(exact_confidence=True, retry_below=min_confidence or RETRY_BELOW)
    return ways


def _chosen(
    sets: Mapping[str, list[Example]], wanted: str | None, *, limit: int | None, path: Path
) -> dict[str, list[Example]]:
    from skilld.training.splits import EVALUATION_SPLITS

    usual = [name for name in (*EVALUATION_SPLITS, "handmade") if name in sets]
    names = usual if wanted is None else [name.strip() for name in wanted.split(",")]
    for name in names:
        if name not in sets:
            raise ArtefactError(
                f"there is no split {name!r}",
                path=path,
                key="--splits",
                hint=f"known: {', '.join(sets)}",
                reason="UNKNOWN_SPLIT",
            )
    return {name: sets[name][:limit] for name in names if sets[name]}


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


def _record(judgement: Judgement, *, num_errors: int) -> dict[str, Any]:
    from skilld.training.evaluation import as_record, rounded

    record: dict[str, Any] = {"splits": as_record(judgement.scores)}
    if judgement.nearness:
        record["nearest_training_similarity"] = rounded(judgement.nearness)
    if judgement.gates:
        record["confidence"] = {
            split: [rounded(dataclasses.asdict(gate)) for gate in gates]
            for split, gates in judgement.gates.items()
        }
    if judgement.retries:
        record["retries"] = {
            split: rounded(dataclasses.asdict(one)) for split, one in judgement.retries.items()
        }
    if num_errors:
        record["errors"] = {
            split: [
                {"family": example.family, "input": example.input}
                | {"wanted": example.answer, "got": answer}
                for example, answer in _errors(judgement, split)[:num_errors]
            ]
            for split in judgement.sets
        }
    return record


def _errors(judgement: Judgement, split: str) -> list[tuple[Example, Any]]:
    from skilld.training.evaluation import is_right

    asked = zip(judgement.sets[split], judgement.answers[split], strict=True)
    return [(example, answer) for example, answer in asked if not is_right(answer, example)]


def _print(judgement: Judgement, *, title: str) -> None:
    from skilld.training.evaluation import cost_table, field_table, score_table

    for table in (
        score_table(judgement.scores, title=f"{title}: %"),
        field_table(judgement.scores, title="F1 per field, %"),
        cost_table(judgement.scores, title="cost of an answer"),
    ):
        out.print(table, highlight=False)
    if judgement.nearness:
        near = ", ".join(f"{split} {share:.2f}" for split, share in judgement.nearness.items())
        out.print(f"nearest training input, median similarity: {near}", highlight=False)
    if judgement.gates:
        out.print(_gate_table(judgement), highlight=False)
    if judgement.retries:
        out.print(_retry_table(judgement), highlight=False)


def _gate_table(judgement: Judgement) -> Table:
    from skilld.training.evaluation import percent

    table = Table(
        title="declining answers below a confidence, %",
        title_justify="left",
        caption="* as shipped",
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for heading in ("min_confidence", "answered", "exact of them", "wrong of all"):
        table.add_column(heading, justify="right")
    for split, gates in judgement.gates.items():
        for row, gate in enumerate(gates):
            mark = "*" if gate.threshold == judgement.min_confidence else " "
            table.add_row(
                "" if row else f"[bold]{split}[/]",
                f"{gate.threshold:.2f}{mark}",
                percent(gate.answered),
                percent(gate.exact_match),
                percent(gate.wrong),
            )
    return table


def _retry_table(judgement: Judgement) -> Table:
    from skilld.cli.judging import ENGINE, RETRY
    from skilld.training.evaluation import percent

    table = Table(
        title="asking once more where an answer is refused or unsure, % of all",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("")
    for heading in ("asked again", "changed", "mended", "spoiled", "more tokens"):
        table.add_column(heading, justify="right")
    for split, one in judgement.retries.items():
        costs = [judgement.scores[split][name].cost for name in (ENGINE, RETRY)]
        once, twice = (cost.answer_tokens for cost in costs if cost is not None)
        more = twice / once - 1.0 if once else 0.0
        shares = (one.asked_again, one.changed, one.mended, one.spoiled, more)
        table.add_row(f"[bold]{split}[/]", *map(percent, shares))
    return table


def _print_errors(judgement: Judgement, *, num_errors: int) -> None:
    for split in judgement.sets if num_errors else ():
        wrong = _errors(judgement, split)
        out.print(f"\n[bold]{split}[/]: {len(wrong)} wrong", highlight=False)
        for example, answer in wrong[:num_errors]:
            texts = example.input.values()
            for what, text in (
                (f"[dim]{example.family}[/] ", " | ".join(map(_text, texts))),
                ("  [green]wanted[/] ", _text(example.answer)),
                ("  [red]got[/]    ", _text(answer)),
            ):
                out.print(what, end="")
                out.print(text, markup=False, highlight=False, soft_wrap=True)


def _text(value: Any) -> str:  # Any: a JSON value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
