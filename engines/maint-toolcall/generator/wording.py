"""Templates of wording.toml, and what stands in braces in any template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any


class Wording:
    """How nouns and whole orders are put.

    Args:
        tables: wording.toml.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables

    def draw(self, rng: Random, kind: str) -> str:
        """One of the wordings of a kind, not filled in."""
        return str(rng.choice(self._tables[kind]))

    def put(self, rng: Random, kind: str, slots: Mapping[str, str]) -> str:
        """One of the wordings of a kind, filled in."""
        return re.sub(r"\{(\w+)\}", lambda f: slots.get(f[1], f[0]), self.draw(rng, kind))

    def is_pronoun(self, text: str) -> bool:
        """It stands for something that was named before."""
        return text in self._tables["it"] or text in self._tables["it_again"]

    def participle(self, verb: str) -> str:
        """What is "done" once somebody does it: "switch off" gives "switched off"."""
        first, _, rest = verb.partition(" ")
        irregular = self._tables["irregular"]
        if verb in irregular:
            return str(irregular[verb])
        if first in irregular:
            done = str(irregular[first])
        elif first.endswith("e"):
            done = first + "d"
        elif first.endswith("y") and first[-2] not in "aeiou":
            done = first[:-1] + "ied"
        else:
            done = first + "ed"
        return f"{done} {rest}".strip()


def slots_of(template: str) -> set[str]:
    """The names in its braces."""
    return set(re.findall(r"\{(\w+)\}", template))
