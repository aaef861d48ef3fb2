"""A tool of one input, and how tools of one input are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from .actions import Action


@dataclass(slots=True)
class Slot:
    """One argument of a tool."""

    param: str  # "key" for the one that names the thing
    name: str
    type: str
    description: str
    is_required: bool
    unit: str
    words: tuple[str, ...] = ()  # enum words, in the order of `senses`
    senses: tuple[int, ...] = ()


@dataclass(slots=True)
class Tool:
    """A tool of one input."""

    action: Action
    name: str
    description: str
    slots: list[Slot]

    def slot(self, *params: str) -> Slot | None:
        """The first that is one of these parameters."""
        return next((slot for slot in self.slots if slot.param in params), None)

    @property
    def schema(self) -> dict[str, Any]:
        """As the input holds it."""
        properties: dict[str, Any] = {}
        for slot in self.slots:
            part: dict[str, Any] = {"type": "string" if slot.type == "enum" else slot.type}
            if slot.description:
                part["description"] = slot.description
            if slot.type == "enum":
                part["enum"] = list(slot.words)
            properties[slot.name] = part
        return {
            "name": self.name,
            "description": self.description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": [slot.name for slot in self.slots if slot.is_required],
            },
        }


@dataclass(frozen=True, slots=True)
class Style:
    """How all tools of one input are written."""

    spelling: str  # of names: "snake", "camel", "kebab", "pascal"
    speaks_ja: bool  # descriptions are Japanese

    @classmethod
    def draw(cls, rng: Random, lang: str) -> Style:
        """One for a request in a language."""
        spelling = rng.choices(("snake", "camel", "kebab", "pascal"), (60, 22, 8, 10))[0]
        return cls(spelling, lang == "ja" and rng.random() < 0.3)

    def spelt(self, name: str) -> str:
        """A name of one or more words."""
        return _spelt(self.spelling, name)


@lru_cache(maxsize=8192)
def _spelt(spelling: str, name: str) -> str:
    words = [w for w in re.split(r"[ _\-/]+", name) if w]
    match spelling:
        case "camel":
            return words[0].lower() + "".join(w[:1].upper() + w[1:].lower() for w in words[1:])
        case "pascal":
            return "".join(w[:1].upper() + w[1:].lower() for w in words)
        case "kebab":
            return "-".join(w.lower() for w in words)
    return "_".join(w.lower() for w in words)
