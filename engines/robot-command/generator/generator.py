"""Orders to a robot, imagined first and then written down.

An order is an action with its object, target, speed and constraints (meaning.toml). A family
decides how it is put (families.toml, negatives.toml): politely, shouted, corrected, negated, as a
form, over the radio. Words are in lexicon.toml, ways to say things in phrases.toml. Object and
target are framed in the text by private characters, so that whatever happens to the text (typos,
case, width) happens to the answer, too.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Mapping
from random import Random

from skilld.skills.pointing import SpanError, SpanRules
from skilld.training.example import Draw, Example

from .draft import Draft
from .handwriting import noisy
from .order import FRAMES, OBJECT, TARGET, Family, framed
from .scribe import MAX_CHARS, Scribe
from .vocabulary import ROOM, Vocabulary

VERSION = "11"
ATTEMPTS = 2000


class RobotCommandGenerator:
    """Draws orders."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        skill = tomllib.loads((ROOM / "skills" / "robot-command.toml").read_text(encoding="utf-8"))
        self._spans = SpanRules(**skill["spans"])
        self._schema = skill["output_schema"]

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in seven."""
        return self._vocabulary.weights

    @property
    def held_families(self) -> frozenset[str]:
        """Ways to put an order that training never sees."""
        families = self._vocabulary.families.values()
        return frozenset(family.id for family in families if family.fields.get("held"))

    @property
    def held_values(self) -> tuple[str, ...]:
        """Names of things, places and people that training never sees."""
        tables = (self._vocabulary.things, self._vocabulary.places)
        return tuple(
            word
            for table in tables
            for (_, _, is_held), words in table.items()
            if is_held
            for word in words
        )

    @property
    def held_combinations(self) -> frozenset[str]:
        """Pairs of action and class of thing that training never sees."""
        return self._vocabulary.held_combinations

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One order, written in a family.

        Raises:
            ValueError: no order could be written so that its answer can be pointed at.
        """
        kind = self._vocabulary.families[family]
        for _ in range(ATTEMPTS):
            example = self._attempt(rng, kind, draw)
            if example is not None:
                return example
        raise ValueError(f"family {family!r}: no order in {ATTEMPTS} attempts")

    def _attempt(self, rng: Random, family: Family, draw: Draw) -> Example | None:
        scribe = Scribe(
            Draft(
                self._vocabulary,
                rng,
                family,
                is_held=draw.held_values,
                wants_pair=draw.held_combination,
            )
        )
        order = scribe.order()
        written = None if order is None else scribe.write(order)
        if order is None or written is None:
            return None
        written = noisy(written, rng, family, is_heavy=draw.is_noisy)
        text = FRAMES.sub("", written)
        if not text or len(unicodedata.normalize("NFKC", text)) > MAX_CHARS:
            return None
        if family.reason:
            return Example(family.id, {"text": text}, {"abstain": family.reason})
        thing, place = framed(written, OBJECT), framed(written, TARGET)
        if (order.thing is None, order.place is None) != (thing is None, place is None):
            return None
        answer = {
            "action": order.action,
            "object": thing,
            "target": place,
            "speed_mm_s": None if order.speed is None else order.speed.mm_s,
            "constraints": [c for c in self._vocabulary.constraints if c in order.constraints],
        }
        try:
            self._spans.mark({"text": text}).point(answer, self._schema)
        except SpanError:
            return None  # such as a name that the text also has in another reading
        is_paired = len(self._vocabulary.actions[order.action].get("things", ())) > 1
        pair = f"{order.action}+{order.thing_class}" if order.thing and is_paired else ""
        is_held = pair in self.held_combinations
        if is_held != draw.held_combination and (is_held or pair):
            return None
        return Example(family.id, {"text": text}, answer, pair)
