"""Things and messages, and the one canonical wording of a name or a value."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

from skilld.training.example import Draw

from .terms import Term

_BEHIND_VALUE = re.compile(r"(?<=\d[%秒分個])[ ](?=[にをがは未])|(?<=\d時間)[ ](?=[にをがは未])")
_OTHER = {"en": "ja", "ja": "en"}
_JA_TIME = {"s": "秒", "min": "分", "h": "時間"}
Words = dict[str, str]


@dataclass(frozen=True, slots=True)
class Thing:
    """A named thing: the right conveyor, conveyor 3, pump P-101, the motor of conveyor 3."""

    term: Term
    ident: str = ""
    side: Term | None = None
    owner: Thing | None = None


@dataclass(slots=True)
class Message:
    """A meaning while it is put together: words of both sides, and what it combines."""

    rng: Random
    draw: Draw
    lang: str
    source: Words = field(default_factory=dict)
    target: Words = field(default_factory=dict)
    combination: str = ""

    @property
    def to(self) -> str:
        """The language translated into."""
        return _OTHER[self.lang]


def canonical_name(thing: Thing, lang: str) -> str:
    """The one name of a thing in a translation."""
    word, ident = thing.term.canonical(lang), thing.ident
    if thing.side is not None:
        return thing.side.canonical(lang) + (" " if lang == "en" else "") + word
    if thing.term.en == "axis" and ident and not ident.isdigit() and len(ident) == 1:
        name = f"{ident}-axis" if lang == "en" else f"{ident}軸"
    else:
        name = word + (" " if lang == "en" and ident else "") + ident
    if thing.owner is None:
        return name
    return canonical_name(thing.owner, lang) + joint(thing.owner, lang) + name


def joint(owner: Thing, lang: str) -> str:
    """What stands between a thing and its part or quantity."""
    if lang == "en":
        return " "
    return "の" if owner.ident else ""


def canonical_value(number: str, unit: str, lang: str) -> str:
    """A number with its unit as translations print it."""
    if unit == "%":
        return f"{number}%"
    if lang == "ja" and unit in (*_JA_TIME, "parts"):
        return f"{number}{_JA_TIME.get(unit, '個')}"
    return f"{number} {unit}"


def sentence_case(text: str) -> str:
    """A capital at the beginning, unless the line begins with a code."""
    return text[:1].upper() + text[1:] if re.match(r"[a-z]{2}", text) else text


def tight_units(text: str) -> str:
    """No space behind a Japanese unit or a percent sign."""
    return _BEHIND_VALUE.sub("", text)
