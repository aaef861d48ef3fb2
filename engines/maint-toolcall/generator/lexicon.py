"""What arguments are said to be, and the grammars that all templates are expanded with."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

from .invented import fake_name, junk
from .request import Request

_SMALL_TALK = {
    "adj": ["very old", "brand new", "quite loud", "my favourite machine", "blue"],
    "city": ["Tokyo", "Berlin", "Osaka", "Paris", "Hamburg", "London", "Nagoya"],
    "country": ["France", "Peru", "Japan", "Spain", "Kenya", "Norway"],
}


class Lexicon:
    """The words of values.toml.

    Args:
        tables: values.toml.
        rules: of families.toml.
    """

    def __init__(self, tables: Mapping[str, Any], rules: Mapping[str, Sequence[str]]) -> None:
        self._values = {name: v for name, v in tables.items() if name != "parts_of_speech"}
        speech = tables["parts_of_speech"]
        self._bad = {word.split(" ")[0] for word in speech["bad"]}
        drawn = terminals()
        drawn |= {
            "fake": fake_name, "mm": _in_range(1, 12), "dd": _in_range(1, 28),
            "hh": _in_range(6, 22), "mi": lambda rng: rng.choice(("00", "15", "30", "45", "50")),
            "h": lambda rng: str(rng.randrange(1, 12)), "ww": _in_range(1, 52),
            "day": lambda rng: str(rng.randrange(1, 29)),
            "mon": lambda rng: str(rng.randrange(1, 13)), "junk": junk,
        }  # fmt: skip
        trained = {name: value["train"] for name, value in self._values.items()}
        japanese = {name: v.get("ja", v["train"]) for name, v in self._values.items()}
        common = {**speech, **rules, "jname": self._values["name"]["ja"], **_SMALL_TALK}
        self.grammars = {
            "en": Grammar({**trained, **common}, terminals=drawn),
            "ja": Grammar({**japanese, **common}, terminals=drawn),
        }
        self._held_grammar = Grammar({**trained, **speech}, terminals=drawn)

    def draw(self, rng: Random, request: Request, name: str) -> str:
        """A value of one of the lists."""
        lists = self._values[name]
        if request.draw.held_values and rng.random() < 0.6:
            return self._held_grammar.expand(rng.choice(lists["held"]), rng)
        trained = lists["train"]
        options = lists.get(request.lang, trained) if rng.random() < 0.75 else trained
        text = self.grammars[request.lang].expand(rng.choice(options), rng)
        return unicodedata.normalize("NFKC", text)

    def expand(self, rng: Random, lang: str, template: str) -> str:
        """A text of a template in the words of all lists."""
        text = self.grammars[lang].expand(template, rng) if "{" in template else template
        return unicodedata.normalize("NFKC", text)

    def is_state(self, text: str) -> bool:
        """It says how a machine is ("leaking"), not what is there ("a leak")."""
        return text.split(" ")[0] in self._bad

    @property
    def held_stems(self) -> set[str]:
        """Beginnings of values that training never sees."""
        stems = {
            held.split("{")[0].strip() for value in self._values.values() for held in value["held"]
        }
        return {stem for stem in stems if sum(map(str.isalpha, stem)) > 1}


def _in_range(first: int, last: int) -> Callable[[Random], str]:
    return lambda rng: f"{rng.randrange(first, last + 1):02d}"
