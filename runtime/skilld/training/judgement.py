"""`judge`: the report on a trained checkpoint beside its baselines."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from skilld.training.answerers import checkpoint_answerer, nearest_neighbour_answerer
from skilld.training.evaluation import Answerer, Score, evaluate
from skilld.training.example import Example, read_examples
from skilld.training.preparation import CHECKPOINT_DIR, Prepared
from skilld.training.splits import EVALUATION_SPLITS

HANDMADE_NAME = "handmade.jsonl"
_NUM_NEIGHBOURS = 20_000


def evaluation_sets(engine_dir: Path, prepared: Prepared) -> dict[str, list[Example]]:
    """The splits that are judged, and the hand-written cases if there are any."""
    sets = {name: prepared.splits[name] for name in EVALUATION_SPLITS}
    handmade = engine_dir / HANDMADE_NAME
    if handmade.exists():
        sets["handmade"] = read_examples(handmade)
    return sets


def judge(
    engine_dir: Path,
    prepared: Prepared,
    *,
    on_progress: Callable[[str], None] = lambda text: None,
) -> dict[str, dict[str, Score]]:
    """Scores by split, then by answerer: model, nearest neighbour, and the specialist's rules.

    Args:
        engine_dir: `engines/<name>`; may hold a `baselines.py` with `rules` and `copy_slot`.
        prepared: the same splits that were trained on.
        on_progress: called with a line of text now and then.
    """
    answerers: dict[str, Answerer] = {
        "model": checkpoint_answerer(
            engine_dir / CHECKPOINT_DIR,
            prompt=prepared.prompt,
            max_new_tokens=prepared.skill.decoding.max_tokens,
        )
    }
    if (engine_dir / "baselines.py").exists():
        baselines = _load(engine_dir / "baselines.py")
        answerers["nearest neighbour"] = nearest_neighbour_answerer(
            prepared.splits["train"][:_NUM_NEIGHBOURS], copy_slot=baselines.copy_slot
        )
        answerers["rules"] = baselines.rules
    scores: dict[str, dict[str, Score]] = {}
    for split, examples in evaluation_sets(engine_dir, prepared).items():
        scores[split] = {}
        for name, answerer in answerers.items():
            scores[split][name] = evaluate(answerer, examples)
            on_progress(f"{split}: {name} {scores[split][name].exact_match:.1%}")
    return scores


def _load(path: Path) -> ModuleType | Any:  # Any: the module has no declared type
    name = f"skilld_baselines_{path.parent.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
