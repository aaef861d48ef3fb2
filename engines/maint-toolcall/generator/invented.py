"""Words that are made up, so that only their letters can be recognised."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .things import Thing, plural


def fake_name(rng: Random) -> str:
    """A name that nobody has."""
    return _syllables(rng, rng.choice((2, 2, 3))).capitalize()


def junk(rng: Random) -> str:
    """What a cat on the keyboard writes."""
    return "".join(rng.choices("asdfghjklqwertzuiopyxcvbnm;", k=rng.randrange(3, 9)))


def invented_thing(rng: Random, things: Sequence[Thing]) -> Thing:
    """A thing with a made-up name and the rest of a known one."""
    model = rng.choice([t for t in things if not t.is_held and t.cls != "person"])
    word = _syllables(rng, rng.choice((2, 3))) + rng.choice(("or", "er", "ator", "", "al", "ex"))
    if rng.random() < 0.3:
        word += " " + rng.choice(("unit", "plate", "sheet", "station", "module", "list"))
    words = (plural(word),)
    return Thing(
        f"invented-{model.cls}", model.cls, words, (), word, model.key, model.keynames,
        model.units, is_held=False,
    )  # fmt: skip


def _syllables(rng: Random, count: int) -> str:
    return "".join(
        rng.choice("bdfgklmnprstv") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "l", "s"))
        for _ in range(count)
    )
