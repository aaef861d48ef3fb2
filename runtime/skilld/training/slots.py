"""What of an answer is right, piece by piece.

F1 over slots is how information extraction is judged since MUC-4 (Chinchor, "MUC-4 evaluation
metrics", 1992). A slot is a field with its value: a wrong value is a slot too many and a slot
missed, a null is no slot, and an abstention has none, so answering where nothing was due costs
precision. An array is a set of slots, one per item. Items that are objects (readings, calls)
count twice over: whole (`calls[]`) and, as sets over all items, each field of them
(`calls[].name`); who mixes two items up loses the whole ones only. An object as a value
(`calls[].arguments`) is one slot per key.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

Slots = Counter[tuple[str, str]]
"""How often each pair of a field and a canonical value occurs."""


def canonical(value: Any) -> str:  # Any: a JSON value
    """Text that two JSON values share if and only if they mean the same; see RFC 8785."""
    return json.dumps(
        _plain_numbers(value), ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )


def is_abstain(answer: Mapping[str, Any] | None) -> bool:
    """The answer is to decline."""
    return answer is not None and answer.keys() == {"abstain"}


def slots_of_answer(answer: Mapping[str, Any] | None) -> Slots:
    """The slots of a typed output; none of an abstention or of no answer."""
    if answer is None or is_abstain(answer):
        return Counter()
    slots: Slots = Counter()
    for name, value in answer.items():
        if not isinstance(value, list):
            slots.update(_slots_of(name, value))
            continue
        for item in value:
            if not isinstance(item, Mapping):
                slots.update(_slots_of(f"{name}[]", item))
                continue
            slots[f"{name}[]", canonical(item)] += 1
            for key, inner in item.items():
                slots.update(_slots_of(f"{name}[].{key}", inner))
    return slots


def _slots_of(name: str, value: Any) -> list[tuple[str, str]]:  # Any: a JSON value
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [(name, canonical([key, inner])) for key, inner in value.items()]
    return [(name, canonical(value))]


def f1_counts(given: Slots, meant: Slots, *, names: Collection[str]) -> tuple[int, int]:
    """Numerator and denominator of F1: twice the shared slots, and the slots of both."""
    given = Counter({slot: n for slot, n in given.items() if slot[0] in names})
    meant = Counter({slot: n for slot, n in meant.items() if slot[0] in names})
    return 2 * (given & meant).total(), given.total() + meant.total()


def _plain_numbers(value: Any) -> Any:  # Any: a JSON value
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case Mapping():
            return {key: _plain_numbers(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain_numbers(inner) for inner in value]
    return value
