"""Engines of one specialist, made otherwise than it ships, and how each of them does.

Built from a checkpoint and the skills of a source folder, into a work folder; judged by the code
of `skilld eval`; timed by calls through service and engine loop, all engines in turn.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rich.progress import Progress

from skilld.app import Box, num_threads_of
from skilld.builder.checkpoint import read_checkpoint
from skilld.builder.local_runner import LocalRunner
from skilld.builder.recipe import RECIPE_NAME, read_recipe
from skilld.cli.engine_answers import Asking
from skilld.cli.judging import ENGINE, Judgement, judge_engine
from skilld.config import Config, EngineConfig
from skilld.core.errors import SkilldError
from skilld.core.manifest import MANIFEST_NAME, EngineManifest, Precision, read_manifest
from skilld.service import Call
from skilld.training.evaluation import Score
from skilld.training.example import Example
from skilld.training.preparation import Prepared
from skilld.training.splits import EVALUATION_SPLITS

IN_FLIGHT = 8
_WARM_UP_CALLS = 5


@dataclass(slots=True)
class Speed:
    """What calls of one engine took.

    Attributes:
        alone_ms: of calls made one after the other, of all rounds.
        calls_per_s: with `IN_FLIGHT` calls under way, one figure per round.
    """

    alone_ms: list[float] = field(default_factory=list)
    calls_per_s: list[float] = field(default_factory=list)

    @property
    def p50_ms(self) -> float:
        """Median of the calls alone."""
        return statistics.median(self.alone_ms)


def build_variant(
    source: Path,
    folder: Path,
    *,
    checkpoint: Path,
    precision: Precision,
    calibration: Path | None = None,
) -> Path:
    """Build an engine with the skills of `source`, unless it is there already.

    Args:
        source: `engines/<name>` with `recipe.toml` and `skills/`.
        folder: gets the recipe and the engine.
        checkpoint: that the engine is built from.
        precision: of its weights.
        calibration: texts for int4; see `Recipe.calibration`.

    Returns:
        The engine folder.

    Raises:
        ArtefactError: recipe or checkpoint are wrong.
        RuntimeError: it cannot be built.
    """
    recipe = read_recipe(source)
    text = (
        f"name = {json.dumps(recipe.name)}\nversion = {json.dumps(recipe.version)}\n"
        f"checkpoint = {json.dumps(str(checkpoint.resolve()))}\n"
        f"licence = {json.dumps(recipe.licence)}\nprecision = {json.dumps(precision)}\n"
    )
    if recipe.context_limit is not None:
        text += f"context_limit = {recipe.context_limit}\n"
    if calibration is not None:
        text += f"calibration = {json.dumps(str(calibration.resolve()))}\n"
    engine_dir = folder / "engine"
    if _is_built(folder, text, source=source, checkpoint=checkpoint):
        return engine_dir
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECIPE_NAME).write_text(text, encoding="utf-8")
    shutil.rmtree(folder / "skills", ignore_errors=True)
    shutil.copytree(source / "skills", folder / "skills")
    # A process of its own: the build tools would stay in our memory.
    command = [sys.executable, "-m", "skilld.cli", "build", str(folder), "--json"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise RuntimeError(f"{folder} was not built:\n{built.stderr}")
    return engine_dir


def _is_built(folder: Path, recipe: str, *, source: Path, checkpoint: Path) -> bool:
    engine_dir = folder / "engine"
    if not (engine_dir / MANIFEST_NAME).is_file():
        return False
    same_skills = all(
        (engine_dir / "skills" / path.name).is_file()
        and (engine_dir / "skills" / path.name).read_bytes() == path.read_bytes()
        for path in (source / "skills").glob("*.toml")
    )
    same_recipe = (folder / RECIPE_NAME).read_text(encoding="utf-8") == recipe
    made_from = read_manifest(engine_dir).source.sha256
    return same_skills and same_recipe and made_from == read_checkpoint(checkpoint).sha256()


def size_bytes(manifest: EngineManifest) -> int:
    """Of the files of an engine."""
    return sum(entry.num_bytes for entry in manifest.files.values())


def chosen_splits(
    prepared: Prepared, wanted: str | None, *, limit: int | None
) -> dict[str, list[Example]]:
    """The splits that are judged, and the first examples of each.

    Args:
        prepared: the specialist.
        wanted: names with commas; all when None.
        limit: most examples per split.

    Raises:
        RuntimeError: there is no such split.
    """
    known: list[str] = [name for name in (*EVALUATION_SPLITS, "handmade") if name in prepared.tests]
    names = known if wanted is None else [name.strip() for name in wanted.split(",")]
    if unknown := set(names) - set(known):
        raise RuntimeError(f"no splits {sorted(unknown)}; there are {', '.join(known)}")
    return {name: prepared.tests[name][:limit] for name in names if prepared.tests[name]}


def scores_of(
    engine_dir: Path, skill_id: str, sets: Mapping[str, list[Example]], *, progress: Progress
) -> dict[str, Score]:
    """What `skilld eval` says of an engine, by split."""
    judgement = Judgement(dict(sets))
    threads = num_threads_of(EngineConfig(), read_manifest(engine_dir))
    with LocalRunner(engine_dir, num_threads=threads) as runner:
        entry = runner.catalog.get(skill_id)
        judge_engine(judgement, runner, entry, {ENGINE: Asking()}, progress=progress)
    return {split: by_name[ENGINE] for split, by_name in judgement.scores.items()}


def share(score: Score) -> str:
    """Exact match in percent, with its 95 % interval."""
    low, high = score.intervals["exact_match"]
    return f"{score.exact_match * 100:.1f} ({low * 100:.0f}-{high * 100:.0f})"


def speeds_of(
    engines: Mapping[str, Path],
    skill_id: str,
    inputs: Sequence[Mapping[str, Any]],
    *,
    rounds: int,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Speed]:
    """Time calls of engines in turn, every second round backwards.

    Args:
        engines: folders by name.
        skill_id: that they all have.
        inputs: that are asked, in every round once alone and at least once together.
        rounds: how often.
        say: told what runs.
    """
    speeds = {name: Speed() for name in engines}
    for number in range(rounds):
        for name in list(engines) if number % 2 == 0 else reversed(list(engines)):
            say(f"round {number + 1} of {rounds}: {name}")
            asyncio.run(_time(engines[name], skill_id, inputs, speeds[name]))
    return speeds


async def _time(
    engine_dir: Path, skill_id: str, inputs: Sequence[Mapping[str, Any]], speed: Speed
) -> None:
    box = Box(Config(engines=(engine_dir,)))
    box.start()

    async def ask(values: Mapping[str, Any]) -> float | None:
        started_s = time.perf_counter()
        try:
            await box.service.invoke(Call(skill_id, values))
        except SkilldError:  # an input that does not fit
            return None
        return (time.perf_counter() - started_s) * 1000.0

    try:
        for values in islice(cycle(inputs), _WARM_UP_CALLS):
            await ask(values)
        taken_ms = [await ask(values) for values in inputs]
        speed.alone_ms += [one_ms for one_ms in taken_ms if one_ms is not None]
        waiting = iter([*inputs, *inputs])
        answered = 0

        async def keep_asking() -> None:
            nonlocal answered
            for values in waiting:
                answered += await ask(values) is not None

        started_s = time.perf_counter()
        await asyncio.gather(*(keep_asking() for _ in range(IN_FLIGHT)))
        speed.calls_per_s.append(answered / (time.perf_counter() - started_s))
    finally:
        await box.stop()
