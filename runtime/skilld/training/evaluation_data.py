"""`EvaluationData`: what an engine folder is judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skilld.core.errors import ArtefactError
from skilld.training.example import Example, Generator, load_generator, read_examples
from skilld.training.settings import SETTINGS_NAME, read_settings
from skilld.training.splits import EVALUATION_SPLITS, draw_tests, training_stream

HANDMADE_NAME: Final = "handmade.jsonl"


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """See the module docstring.

    Attributes:
        skill: id of the skill that is judged.
        sets: by split: what the generator draws, and the hand-written cases as "handmade".
        generator: of the specialist.
        seed: of its data.
        tests: everything that training keeps away from.
    """

    skill: str
    sets: dict[str, list[Example]]
    generator: Generator
    seed: int
    tests: list[Example]

    def training_examples(self) -> Iterator[Example]:
        """The examples that training begins with, without end."""
        return training_stream(self.generator, seed=self.seed, avoid=self.tests)


def read_evaluation_data(source: Path) -> EvaluationData:
    """Draw the test splits of a specialist and read its hand-written cases.

    Args:
        source: `engines/<name>`, with training settings and generator.

    Raises:
        ArtefactError: there are no settings or they are wrong; or there is no generator.
        ValueError: a hand-written case is wrong, or the generator has too little variety.
    """
    if not (source / SETTINGS_NAME).is_file():
        raise ArtefactError(
            f"has no {SETTINGS_NAME}",
            path=source,
            hint="give the folder that the engine is made from, engines/<name>",
            reason="NO_ENGINE",
        )
    settings = read_settings(source)
    try:
        generator = load_generator(source)
    except FileNotFoundError as error:
        raise ArtefactError(str(error), path=source, reason="NO_ENGINE") from error
    data = settings.data
    splits = draw_tests(
        generator, seed=data.seed, num_validation=data.num_validation, num_test=data.num_test
    )
    sets: dict[str, list[Example]] = {
        name: splits[name] for name in EVALUATION_SPLITS if name in splits
    }
    handmade = source / HANDMADE_NAME
    if handmade.is_file():
        sets["handmade"] = read_examples(handmade)
    tests = [*splits["validation"], *(e for examples in sets.values() for e in examples)]
    return EvaluationData(settings.skill, sets, generator, data.seed, tests)
