"""What everything that takes part in one order shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from .order import Bound, Family
from .vocabulary import Vocabulary


@dataclass(slots=True)
class Draft:
    """One order in the making.

    Attributes:
        words: to draw from.
        rng: source of every choice.
        family: how it is put.
        is_held: names are held-out ones.
        wants_pair: action and class of thing are a held-out pair.
        template: of the family.
        end: the ending of Japanese verbs; None for any.
    """

    words: Vocabulary
    rng: Random
    family: Family
    is_held: bool
    wants_pair: bool
    template: str = field(init=False)
    end: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.template = self.rng.choice(self.family.text)
        self.end = self.family.fields.get("end")

    @property
    def lang(self) -> str:
        """Of the order: "en" or "ja"."""
        return self.family.lang

    @property
    def noun_lang(self) -> str:
        """Of its names; some mix the two."""
        is_foreign = bool(self.family.fields.get("foreign"))
        return {"en": "ja", "ja": "en"}[self.lang] if is_foreign else self.lang

    def expand(self, template: str, bound: Bound | None = None) -> str:
        """One text of a template."""
        return self.words.grammars[self.lang].expand(template, self.rng, bound=bound)
