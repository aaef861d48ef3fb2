"""Clauses that say arguments: "by Friday", "in 20 minutes", "it can wait"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from skilld.skills.pointing.tool_schemas import argument_unit
from skilld.skills.pointing.units import unit_behind

from .request import VALUE, Order, Request
from .tools import Slot

_BIG_UNITS = ("minutes", "min", "hours", "h", "hrs", "days", "cm", "m", "kg", "liters", "l")


class Clauses:
    """Writes what is not said in the order itself.

    Args:
        params: params.toml.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def whole(self, rng: Random, order: Order, request: Request) -> dict[str, str]:
        """Enum values said in a clause of their own ("it can wait"), by parameter."""
        found = {}
        for slot in order.tool.slots:
            if slot.type != "enum" or slot.name not in order.values or rng.random() < 0.6:
                continue
            i = slot.words.index(order.values[slot.name])
            sense = self._params[slot.param]["sense"][slot.senses[i]]
            options = sense.get("ja_direct" if request.lang == "ja" else "direct", ())
            # "high" beside no "urgent" would be asked for in the words of either.
            if options:
                found[slot.param] = rng.choice(options)
        return found

    def rest(
        self,
        rng: Random,
        order: Order,
        request: Request,
        spoken: Mapping[str, str],
        used: set[str],
    ) -> list[str]:
        """Clauses for all that is to be said and not yet used."""
        clauses = []
        for slot in order.tool.slots:
            if slot.param not in spoken or slot.param in used or slot.param == "key":
                continue
            if slot.param in order.told and rng.random() < 0.7:
                continue
            spec, value = self._params[slot.param], spoken[slot.param]
            if slot.type == "boolean":
                clauses.append(value)
                continue
            templates, weights = _weighted(spec[request.lang])
            template = rng.choices(templates, weights)[0]
            unit = slot.unit
            if "°" in unit or unit in ("C", "degrees", "K"):
                unit = rng.choice(("°C", "C", "degrees"))
            if "{u}" in template and VALUE.fullmatch(value) and rng.random() < 0.2:
                other = other_unit(rng, slot, order)
                # A slip in it would change the number.
                unit = request.add(other) if other else unit
            clauses.append(template.replace("{u}", unit).replace("{v}", value).rstrip())
        rng.shuffle(clauses)
        return clauses


def other_unit(rng: Random, slot: Slot, order: Order) -> str:
    """A bigger unit than the one that is wanted, where that is said."""
    wanted = argument_unit(slot.name, slot.description)
    if wanted is None or wanted.quantity not in ("time", "length", "mass", "volume"):
        return ""
    most = 60 if wanted.quantity == "time" else 1000  # nobody asks for 10 hours in seconds
    known = {u: unit for u in _BIG_UNITS if (unit := unit_behind(u)) is not None}
    bigger = [
        u
        for u, unit in known.items()
        if unit.quantity == wanted.quantity and wanted.factor < unit.factor <= wanted.factor * most
    ]
    if not bigger:
        return ""
    said = rng.choice(bigger)
    order.units[slot.name] = (known[said], wanted)
    return said


def _weighted(templates: Sequence[str]) -> tuple[list[str], list[float]]:
    parts = [t.partition("~") for t in templates]
    return [p[0] for p in parts], [float(p[2] or 1) for p in parts]
