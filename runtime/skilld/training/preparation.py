"""`prepare`: from an engine folder to tests set apart and a stream of training examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from skilld.skills.prompt import Prompt
from skilld.skills.skill import Skill, read_skill
from skilld.training.example import Example, Generator, load_generator, read_examples
from skilld.training.leaks import LeakGates
from skilld.training.settings import TrainingSettings, read_settings
from skilld.training.splits import draw_tests, training_stream

CHECKPOINT_DIR = "checkpoint"
HANDMADE_NAME = "handmade.jsonl"


@dataclass(frozen=True)
class Prepared:
    """What training and evaluation start from.

    Attributes:
        engine_dir: `engines/<name>`.
        tests: every split but training, by name; see `skilld.training.splits`. The hand-written
            cases are among them as "handmade", so training keeps away from those, too.
        dropped: how many draws of training were thrown away so far, by reason.
    """

    engine_dir: Path
    settings: TrainingSettings
    skill: Skill
    generator: Generator
    tests: dict[str, list[Example]]
    dropped: Counter[str] = field(default_factory=Counter)

    @cached_property
    def prompt(self) -> Prompt:
        """Of the skill, parsed."""
        return Prompt(self.skill.prompt, fields=self.skill.input_schema.get("properties", {}))

    @cached_property
    def gates(self) -> LeakGates:
        """What keeps training and tests apart."""
        return LeakGates(self.tests, self.generator)

    def training_examples(self, *, seed: int) -> Iterator[Example]:
        """Examples to train on, without end; each of them passed the gates.

        Args:
            seed: other examples for another seed.

        Raises:
            LeakError: something held out came through.
        """
        return training_stream(self.generator, seed=seed, gates=self.gates, dropped=self.dropped)


def prepare(engine_dir: Path) -> Prepared:
    """Read settings and skill, load the generator, draw the tests.

    Args:
        engine_dir: `engines/<name>`.

    Raises:
        ArtefactError: settings or skill are wrong.
        FileNotFoundError: there is no generator.
        ValueError: a hand-written case is wrong, or the generator has too little variety.
    """
    settings = read_settings(engine_dir)
    skill = read_skill(engine_dir / "skills" / f"{settings.skill}.toml")
    generator = load_generator(engine_dir)
    tests = draw_tests(
        generator,
        seed=settings.data.seed,
        num_validation=settings.data.num_validation,
        num_test=settings.data.num_test,
    )
    handmade = engine_dir / HANDMADE_NAME
    if handmade.is_file():
        tests["handmade"] = read_examples(handmade)
    return Prepared(engine_dir, settings, skill, generator, tests)
