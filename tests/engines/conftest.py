"""The specialists of `engines/`, with examples that all their tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache, cached_property
from pathlib import Path
from random import Random

from skilld.skills.pointing import SpanRules
from skilld.skills.skill import Skill, read_skill
from skilld.training.example import Draw, Example, Generator, load_generator

ENGINES = Path(__file__).parents[2] / "engines"
DRAWS = {
    "usual": Draw(),
    "values": Draw(held_values=True),
    "combination": Draw(held_combination=True),
    "noisy": Draw(is_noisy=True),
}


class Specialist:
    """An engine folder: its skill, its generator, and what that draws.

    Examples are drawn once and handed to every test that wants them: none may change one.
    """

    def __init__(self, name: str) -> None:
        self.folder = ENGINES / name
        self._streams: dict[str, tuple[Random, list[Example]]] = {}
        self._of_every_family: dict[str, tuple[Example, ...]] = {}

    @cached_property
    def skill(self) -> Skill:
        (path,) = (self.folder / "skills").glob("*.toml")
        return read_skill(path)

    @property
    def spans(self) -> SpanRules:
        assert self.skill.spans is not None
        return self.skill.spans

    @cached_property
    def generator(self) -> Generator:
        return load_generator(self.folder)

    def draw(self, count: int, wanted: str = "usual") -> list[Example]:
        """The first examples of a stream, in which families are as frequent as in training."""
        rng, drawn = self._streams.setdefault(wanted, (Random(11), []))
        drawn += drawn_from(self.generator, rng, count - len(drawn), wanted)
        return drawn[:count]

    def of_every_family(self, wanted: str = "usual") -> tuple[Example, ...]:
        """One example of each family, in their order."""
        if wanted not in self._of_every_family:
            rng = Random(3)
            self._of_every_family[wanted] = tuple(
                self.generator.sample(rng, family=family, draw=DRAWS[wanted])
                for family in self.generator.families
            )
        return self._of_every_family[wanted]


def drawn_from(generator: Generator, rng: Random, count: int, wanted: str) -> list[Example]:
    families, weights = list(generator.families), list(generator.families.values())
    return [
        generator.sample(rng, family=rng.choices(families, weights)[0], draw=DRAWS[wanted])
        for _ in range(count)
    ]


_PRINT_A_DIGEST = """
import hashlib, sys
from pathlib import Path
from random import Random
from skilld.training.example import Draw, load_generator
folder, prefix, per_family = sys.argv[1:]
generator, digest = load_generator(Path(folder)), hashlib.sha256()
for draw in (Draw(), Draw(held_values=True, is_noisy=True)):
    for family in generator.families:
        for number in range(int(per_family) if family.startswith(prefix) else 0):
            example = generator.sample(Random(f"{family} {number}"), family=family, draw=draw)
            digest.update(repr(example).encode())
print(digest.hexdigest())
"""


def digests_in_processes(engine: Specialist, *, per_family: int, prefix: str = "") -> set[str]:
    """What the same seeds draw in processes that order sets of strings differently, as digests.

    Args:
        engine: a specialist.
        per_family: examples of each family and draw.
        prefix: of the families; all without.
    """
    return {
        subprocess.run(
            [sys.executable, "-c", _PRINT_A_DIGEST, str(engine.folder), prefix, str(per_family)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }


@cache
def specialist(name: str) -> Specialist:
    return Specialist(name)
