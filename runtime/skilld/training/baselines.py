"""What a specialist is judged beside: its rules, and the nearest training example."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from skilld.training.evaluation import Answerer
from skilld.training.example import Example
from skilld.training.neighbours import nearest_neighbour_answerer

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


def _load(path: Path) -> ModuleType | Any:  # Any: the module has no declared type
    name = f"skilld_baselines_{path.parent.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
