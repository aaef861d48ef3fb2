"""What is answered of what is said: typed values of a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skilld.skills.pointing.units import converted

from .request import Order, place_of
from .tools import Slot

NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30,
}  # fmt: skip

SMALL_WORDS = frozenset(
    {
        "a", "an", "the", "to", "of", "for", "in", "on", "at", "and", "please", "is", "are", "was",
        "were", "by", "be", "me", "my", "us", "can", "could", "would", "as", "so", "then", "also",
        "pls", "s", "t",
    }
)  # fmt: skip
"""Words that no mark stands behind."""


def call_of(order: Order, texts: Sequence[str]) -> dict[str, Any]:
    """The call of an order; `texts`: the values of the request, as they are written in the end."""
    arguments = {
        slot.name: _argument(order, slot, texts)
        for slot in order.tool.slots
        if slot.name in order.values
    }
    return {"name": order.tool.name, "arguments": arguments}


def trimmed(text: str) -> str:
    """Without the small words at its ends."""
    words = text.split(" ")
    while len(words) > 1 and words[0] in SMALL_WORDS:
        words.pop(0)
    while len(words) > 1 and words[-1] in SMALL_WORDS:
        words.pop()
    return " ".join(words)


def _argument(order: Order, slot: Slot, texts: Sequence[str]) -> Any:
    value = order.values[slot.name]
    if slot.type not in ("string", "integer", "number"):
        return value
    text = texts[place_of(value)]
    if slot.type == "string":
        return trimmed(text)
    if text.lower() in NUMBERS:
        number: int | float = NUMBERS[text.lower()]
    else:
        digits = text.replace(",", "")
        number = float(digits) if "." in digits else int(digits)
    units = order.units.get(slot.name)
    return number if units is None else converted(number, said=units[0], wanted=units[1])
