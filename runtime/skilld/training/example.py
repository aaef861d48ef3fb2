"""`Example` and the `Generator` that a specialist brings along."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol, cast


@dataclass(frozen=True, slots=True)
class Example:
    """One input with the answer that was meant when it was made.

    Attributes:
        family: id of the template family it was written in.
        input: as the skill's input schema wants it.
        answer: the typed output, or `{"abstain": reason}`. Keys in schema order.
        combination: what was put together in it ("place+gripper"), as one word that
            `Generator.held_combinations` may hold; empty when the skill has no such pairing here.
    """

    family: str
    input: Mapping[str, Any]  # Any: a JSON value
    answer: Mapping[str, Any]
    combination: str = ""

    @property
    def is_abstain(self) -> bool:
        """The right answer is to decline."""
        return "abstain" in self.answer

    @property
    def target(self) -> str:
        """The answer as the model writes it."""
        return canonical_json(self.answer)


@dataclass(frozen=True, slots=True)
class Draw:
    """What is wanted of an example, beside its family.

    Attributes:
        held_values: open slots (names, identifiers, number ranges) come from the held-out values.
        held_combination: `Example.combination` is one of `Generator.held_combinations`; without
            it, it is none of them.
        is_noisy: written with much more noise (typing, scanning and speech errors, widths, case)
            than training has on average.
    """

    held_values: bool = False
    held_combination: bool = False
    is_noisy: bool = False


class Generator(Protocol):
    """What `engines/<name>/generator` gives as `load()`.

    Everything a generator draws comes from the `rng` it is handed, so a seed is a data set.
    """

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to how often it is drawn, relative to the others."""

    @property
    def held_families(self) -> frozenset[str]:
        """Families that training never sees."""

    @property
    def held_values(self) -> tuple[str, ...]:
        """Beginnings of words (names, identifiers) that training never sees."""

    @property
    def held_combinations(self) -> frozenset[str]:
        """Values of `Example.combination` that training never sees."""

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family.

        A family that cannot do what `draw` asks (a negative has no held-out combination) gives
        what it can; the splits throw the example away.
        """


def canonical_json(value: Mapping[str, Any]) -> str:
    """Compact JSON in the order of the mapping, text as it is: what the model is trained on."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load_generator(folder: Path) -> Generator:
    """Load `generator.py` of an engine folder by path, or the package `generator/`.

    Modules of a package import each other by relative imports.

    Raises:
        FileNotFoundError: the folder has no generator.
        AttributeError: it has no `load` function.
    """
    path = folder / "generator.py"
    package = folder / "generator"
    if not path.is_file():
        path = package / "__init__.py"
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: a specialist needs a generator with load()")
    module_name = f"skilld_generator_{folder.name.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(
        module_name,
        path,
        submodule_search_locations=[str(package)] if path.parent == package else None,
    )
    for name in [n for n in sys.modules if n.startswith(f"{module_name}.")]:
        del sys.modules[name]  # of a folder elsewhere with the same name
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return cast(Generator, module.load())


def read_examples(path: Path) -> list[Example]:
    """Read a `.jsonl` of cases: `input` with `output` or `abstain`.

    Raises:
        ValueError: a line is not such a case; names file and line.
    """
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
            answer = {"abstain": case["abstain"]} if "abstain" in case else case["output"]
            examples.append(Example(family=path.stem, input=case["input"], answer=answer))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path}:{number}: expected {{"input", "output" or "abstain"}}: {error!r}'
            ) from error
    return examples
