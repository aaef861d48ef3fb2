"""What an order means, and the family it is put in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Private characters around object, target and a place that needs no preposition.
OBJECT, TARGET, THERE = ("\uf8f0", "\uf8f1"), ("\uf8f2", "\uf8f3"), "\uf8ff"
FRAMES = re.compile("[\uf8f0-\uf8f3]")
FRAMED = re.compile("[\uf8f0\uf8f2][^\uf8f1\uf8f3]*[\uf8f1\uf8f3]")
OF_THE_ROBOT = ("stop", "pause", "resume", "set_speed")

Table = Mapping[str, Any]  # Any: a TOML table
Bound = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """How an order is put.

    Attributes:
        id: unique.
        lang: "en" or "ja".
        text: templates.
        fields: its entry in families.toml or negatives.toml.
        reason: to abstain; empty when the order is to be answered.
        needs_wrong: it names what is not meant.
    """

    id: str
    lang: str
    text: tuple[str, ...]
    fields: Table
    reason: str
    needs_wrong: bool

    @classmethod
    def read(cls, entry: Table) -> Family:
        """From its entry in a TOML file."""
        said = repr(entry)
        needs_wrong = "wrong" in entry or any(f"{name}2}}" in said for name in "OTs")
        text = tuple(entry["text"])
        return cls(entry["id"], entry["lang"], text, entry, entry.get("reason", ""), needs_wrong)


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing, a place or a person.

    Attributes:
        text: as the answer has it.
        head: its noun alone.
        plural: it is several.
        bare: it stands without an article ("bin 4").
        number: behind the noun, where a family asks for one.
        is_unknown: nobody has heard of it.
    """

    text: str
    head: str
    plural: bool = False
    bare: bool = False
    number: str = ""
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Speed:
    """As written, and in mm/s as the answer has it."""

    text: str
    mm_s: int | float


@dataclass(frozen=True, slots=True)
class Order:
    """What is meant. `thing_class` is empty without a thing."""

    action: str
    thing_class: str = ""
    thing: Noun | None = None
    place: Noun | None = None
    speed: Speed | None = None
    constraints: tuple[str, ...] = ()


def framed(text: str, frame: tuple[str, str]) -> str | None:
    """What is inside a frame, in Unicode form NFKC; None if there is none."""
    start = text.find(frame[0])
    if start < 0:
        return None
    return unicodedata.normalize("NFKC", text[start + 1 : text.index(frame[1], start)])
