"""What a report is about: sensors, their units, the readings taken down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Unit:
    """One range of values of a quantity, in one unit."""

    name: str
    low: float
    high: float
    decimals: int

    @property
    def answer(self) -> str | None:
        """Its canonical word; None where the skill has none for it ("?NTU" in lexicon.toml)."""
        return None if self.name.startswith("?") else self.name


@dataclass(slots=True)
class Sensor:
    """Something that is read in this report.

    Attributes:
        quantity: id in lexicon.toml.
        unit: of its values, and how this report writes it.
        name: what answers call it.
        shown: how it is written; holds `name`.
        typical: a value, so that several look alike.
        is_unit_known: a unit was printed that holds for its next values.
    """

    quantity: str
    unit: Unit
    form: str
    name: str
    shown: str
    typical: float
    last: Any = None  # number of its last reading
    is_unit_known: bool = False
    names_unit: bool = False  # "pH", "RPM", "motor amps"


@dataclass(slots=True)
class Reading:
    """One entry of the answer, and where in the text it stands."""

    sensor: str
    value: float | int | None
    unit: str | None
    time: str | None
    at: int = 0

    def answer(self) -> dict[str, Any]:
        """The entry, keys in schema order."""
        return {
            "sensor": self.sensor, "value": self.value, "unit": self.unit, "time": self.time,
        }  # fmt: skip


@dataclass(slots=True)
class Report:
    """What all parts of one report share while it is written."""

    lang: str
    names: Mapping[str, Any]  # words to draw from, open or held out
    layout: str
    is_held_combination: bool
    time_style: str
    minute: int
    step: int
    prints_units: float
    parts: list[str] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    sensors: list[Sensor] = field(default_factory=list)
    last: Sensor | None = None
    last_name: str = ""
    ambient: str | None = None
    common: Sensor | None = None  # whose unit all sensors have, said once at the head
    is_own_said: bool = True  # the clause of the report's own family could be written
    is_short: bool = False
    has_rider: bool = False  # a number beside a value, at most one
    printed_units: dict[str, bool] = field(default_factory=dict)
    is_stale: bool = False  # a time stood behind the last reading: the next must bring its own

    @property
    def num_chars(self) -> int:
        """Length of what is written so far."""
        return sum(map(len, self.parts))


def number_of(text: str) -> int | float:
    """What a number means that was printed here: an integer if it has no decimals."""
    plain = text.replace(",", "")
    return float(plain) if "." in plain else int(plain)
