"""A request while it is written: its values and its orders."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from skilld.skills.pointing.units import Unit
from skilld.training.example import Draw

from .tools import Tool

_FIRST_VALUE = 0xF000
VALUE = re.compile("[\uf000-\uf0ff]")
"""A value stands in a text as one private-use character until noise has passed over the words."""


@dataclass(slots=True)
class Request:
    """What all orders of a request share."""

    lang: str
    draw: Draw
    texts: list[str] = field(default_factory=list)  # of the values

    def add(self, text: str) -> str:
        """The character that stands for a value."""
        self.texts.append(text)
        return chr(_FIRST_VALUE + len(self.texts) - 1)

    def read(self, text: str) -> str:
        """A text with its values in place."""
        return VALUE.sub(lambda found: self.texts[place_of(found[0])], text)


def place_of(mark: str) -> int:
    """Which of the values a character stands for."""
    return ord(mark) - _FIRST_VALUE


@dataclass(slots=True)
class Order:
    """One call and the words that ask for it; `values` are argument values or their characters."""

    tool: Tool
    values: dict[str, Any]
    text: str = ""
    question: str = ""
    is_bare: bool = False  # the words do not say what kind of thing it is
    units: dict[str, tuple[Unit, Unit]] = field(default_factory=dict)  # said and wanted
    told: set[str] = field(default_factory=set)  # parameters said before the order

    def put(self, request: Request, text: str, question: str) -> None:
        """Word it."""
        self.text, self.question = text, question
        plain = request.read(text)
        self.is_bare = not any(noun in plain for noun in self.tool.action.thing.nouns)
