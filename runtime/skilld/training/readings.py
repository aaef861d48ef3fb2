"""`Reading`: a value, the limits written beside it, and how bad that makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

# Which limits are written, and the severities from inside the first to past the last.
_LADDERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "one": ("a", ("warning", "alarm")),
    "only_warn": ("w", ("info", "warning")),
    "only_trip": ("t", ("warning", "critical")),
    "warn": ("wa", ("info", "warning", "alarm")),
    "trip": ("at", ("info", "alarm", "critical")),
    "three": ("wat", ("info", "warning", "alarm", "critical")),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A value, the limits written beside it, and what they make of it.

    Attributes:
        limits: which are written: "one" (without a name), "only_warn", "only_trip", "warn" (warning
            and alarm), "trip" (alarm and trip) or "three".
        severity: info, warning, alarm or critical, by the limits that the value has passed. A
            value equal to its limit has not.
        bound: slots for a grammar: `v` value, `u` unit, `w` `a` `t` limits of warning, alarm and
            trip ("" when not written), `op` `<` or `>` against the last limit, and the words
            `ext` `jext` `H` `hi` for the direction that is bad.
    """

    limits: str
    severity: str
    bound: dict[str, str]

    @classmethod
    def sample(cls, rng: Random, quantity: Mapping[str, Any]) -> Reading:
        """Draw limits, a place between them, and a value there.

        Args:
            rng: source of every choice.
            quantity: `direction` ("high": too much is bad, or "low") and `units`, a list of
                `[unit, smallest limit, largest limit, decimals]`.
        """
        unit, low, high, decimals = rng.choice(quantity["units"])
        is_high = quantity["direction"] == "high"
        limits = rng.choices(tuple(_LADDERS), (62, 6, 4, 15, 9, 4))[0]
        base = rng.uniform(low, high)
        sign = 1.0 if is_high else -1.0
        spread = rng.uniform(0.08, 0.25)
        steps = [round(base + sign * spread * abs(base) * i, decimals) for i in range(3)]
        # Rounding may bring two limits together; they must stay apart by a visible step.
        unit_step = 10.0**-decimals
        for i in (1, 2):
            if sign * (steps[i] - steps[i - 1]) < unit_step:
                steps[i] = round(steps[i - 1] + sign * unit_step * 2, decimals)
        names, ladder = _LADDERS[limits]
        marks = steps[: len(names)]
        rung = rng.randrange(len(ladder))
        if len(ladder) == 2:
            rung = 1 if rng.random() < 0.6 else 0
        value = _value_on(rng, rung, marks, sign=sign, unit_step=unit_step, decimals=decimals)
        if rng.random() < 0.02:
            value = marks[-1]
        reached = sum(sign * (value - mark) > 0 for mark in marks)
        text = {name: f"{mark:.{decimals}f}" for name, mark in zip(names, marks, strict=True)}
        return cls(
            limits,
            ladder[reached],
            {
                "v": f"{value:.{decimals}f}",
                "u": unit,
                "op": ">" if value > marks[-1] else "<" if value < marks[-1] else "=",
                "ext": "max" if is_high else "min",
                "jext": "上限" if is_high else "下限",
                "H": "H" if is_high else "L",
                "hi": "HI" if is_high else "LO",
                "a": text.get("a", ""),
                "w": text.get("w", ""),
                "t": text.get("t", ""),
            },
        )


def _value_on(
    rng: Random, rung: int, marks: list[float], *, sign: float, unit_step: float, decimals: int
) -> float:
    """A value between mark `rung - 1` and mark `rung`, seen in the direction that is bad."""
    margin = max(unit_step, abs(marks[0]) * rng.choice((0.01, 0.03, 0.05)))
    if rung == 0:
        value = marks[0] - sign * max(margin, abs(marks[0]) * rng.uniform(0.02, 0.4))
    elif rung == len(marks):
        far = abs(marks[-1]) * rng.uniform(0.02, 0.6)
        value = marks[-1] + sign * max(margin, far)
    else:
        share = rng.uniform(0.2, 0.9)
        value = marks[rung - 1] + share * (marks[rung] - marks[rung - 1])
    # What starts above zero does not fall below it.
    return round(max(0.0, value) if marks[0] > 0 else value, decimals)
