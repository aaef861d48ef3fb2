"""What a specialist is judged beside, and the report on a checkpoint."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from skilld.training.evaluation import Answerer, Score, evaluate
from skilld.training.evaluation_data import HANDMADE_NAME
from skilld.training.example import Example, read_examples
from skilld.training.neighbours import nearest_neighbour_answerer
from skilld.training.splits import EVALUATION_SPLITS

if TYPE_CHECKING:
    from skilld.training.preparation import Prepared

BASELINES_NAME: Final = "baselines.py"
NUM_NEIGHBOURS: Final = 20_000
"""Training examples that the nearest one is looked for among."""


def baseline_answerers(
    engine_dir: Path,
    train: Sequence[Example],
    *,
    on_similarity: Callable[[float], None] = lambda similarity: None,
) -> dict[str, Answerer]:
    """What `baselines.py` of a specialist has to offer, by name; nothing without one.

    Args:
        engine_dir: `engines/<name>`; `baselines.py` has `rules` and `copy_slot`.
        train: the nearest neighbour is looked for among `NUM_NEIGHBOURS` of them.
        on_similarity: called for each input with how similar its nearest neighbour is, 0 to 1.
    """
    path = engine_dir / BASELINES_NAME
    if not path.exists():
        return {}
    baselines = _load(path)
    return {
        "nearest neighbour": nearest_neighbour_answerer(
            train[:NUM_NEIGHBOURS], copy_slot=baselines.copy_slot, on_similarity=on_similarity
        ),
        "rules": baselines.rules,
    }


def composed_field(output_schema: Mapping[str, Any]) -> str | None:
    """The field of an answer that holds a text of the model's own words, for chrF; or None.

    That is a string that is neither chosen from a list nor pointed at, though it may contain
    pieces that are.
    """
    for name, field in output_schema.get("properties", {}).items():
        if field.get("type") == "string" and not {"enum", "const", "x-span"} & field.keys():
            return str(name)
    return None


def judge(
    engine_dir: Path,
    prepared: Prepared,
    *,
    on_progress: Callable[[str], None] = lambda text: None,
) -> dict[str, dict[str, Score]]:
    """Scores of a checkpoint by split, then by answerer: the model and the baselines.

    Args:
        engine_dir: `engines/<name>`.
        prepared: the same splits that were trained on.
        on_progress: called with a line of text now and then.
    """
    # These need the [train] extra, the rest does not.
    from skilld.training.answerers import checkpoint_answerer
    from skilld.training.preparation import CHECKPOINT_DIR

    answerers: dict[str, Answerer] = {
        "model": checkpoint_answerer(
            engine_dir / CHECKPOINT_DIR,
            prompt=prepared.prompt,
            max_new_tokens=prepared.skill.decoding.max_tokens,
        ),
        **baseline_answerers(engine_dir, prepared.splits["train"]),
    }
    field = composed_field(prepared.skill.output_schema)
    scores: dict[str, dict[str, Score]] = {}
    sets: dict[str, list[Example]] = {
        name: prepared.splits[name] for name in EVALUATION_SPLITS if name in prepared.splits
    }
    if (engine_dir / HANDMADE_NAME).exists():
        sets["handmade"] = read_examples(engine_dir / HANDMADE_NAME)
    for split, examples in sets.items():
        scores[split] = {}
        for name, answerer in answerers.items():
            scores[split][name] = evaluate(answerer, examples, text_field=field)
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
