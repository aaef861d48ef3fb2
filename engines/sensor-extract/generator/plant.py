"""What there is to be read: sensors, their values and the clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from .clocks import clock_of, time_style
from .layouts import HELD_COMBINATIONS
from .meaning import Report, Sensor, Unit, number_of
from .names import Names

_SAYS_UNIT = re.compile(r"(?<![A-Za-z])(?:pH|rpm|amps|volts)(?![A-Za-z-])", re.IGNORECASE)
_UNITS_SAID = {"ph": "pH", "rpm": "rpm", "amps": "A", "volts": "V"}


class Plant:
    """Draws sensors, values and times.

    Args:
        lexicon: lexicon.toml.
    """

    def __init__(self, lexicon: Mapping[str, Any]) -> None:
        self.names = Names(lexicon["machines"])
        self.heads: Mapping[str, list[str]] = lexicon["heads"]
        self._quantities: dict[str, dict[str, Any]] = {q["id"]: q for q in lexicon["quantity"]}
        self._forms = {
            lang: {u: _weighted(forms) for u, forms in by_unit.items()}
            for lang, by_unit in lexicon["forms"].items()
        }

    def new_sensor(
        self,
        rng: Random,
        report: Report,
        *,
        like: Sensor | None = None,
        avoids: Sequence[str] = (),
        is_apart: bool = False,
        called: str | None = None,
        says_no_unit: bool = False,
    ) -> Sensor:
        """A new sensor. The first one of a report decides the combination."""
        like = like or report.common
        ids = list(self._quantities)
        weights = [self._quantities[i].get("weight", 1.0) for i in ids]
        while True:
            quantity = like.quantity if like else rng.choices(ids, weights)[0]
            if quantity in avoids:
                continue
            is_held = f"{quantity}+{report.layout}" in HELD_COMBINATIONS
            wants_held = report.is_held_combination and not report.sensors
            if like is None and wants_held and not is_held:
                if not any(c.endswith("+" + report.layout) for c in HELD_COMBINATIONS):
                    break
                continue
            if like is None and is_held and not report.is_held_combination:
                continue
            break
        entry = self._quantities[quantity]
        twins: list[Sensor] = []
        folded = ""
        said = None
        for _ in range(40):
            name, shown = self.names.draw(rng, report, entry, is_apart=is_apart)
            if called is not None:
                name = shown = called
            said = _unit_said(shown)
            if said is not None and says_no_unit:
                continue
            if said is not None and like is not None and like.unit.name != said:
                continue
            folded = name.casefold()
            twins = [s for s in report.sensors if s.name.casefold() == folded]
            if not twins or called or (is_apart and twins[0].quantity == quantity):
                break
        if twins and like is None:
            like = twins[0]
        if like is not None:
            unit, form = like.unit, like.form
            typical = like.typical * rng.uniform(0.9, 1.1)
        else:
            units = [u for u in entry["units"] if said in (None, u[0])] or entry["units"]
            drawn = rng.choices(units, [u[4] for u in units])[0]
            unit = Unit(drawn[0], drawn[1], drawn[2], drawn[3])
            same = [s for s in report.sensors if s.unit.name == unit.name]
            form = same[0].form if same else self._form(rng, report.lang, unit.name)
            # Most values lie low in a wide range.
            skew = 1.0 if unit.low < 0 else rng.choice((1.0, 2.0, 3.0))
            typical = unit.low + (unit.high - unit.low) * rng.random() ** skew
        if said is not None and (unit.name == "pH" or rng.random() < 0.6):
            form = ""
        sensor = Sensor(quantity, unit, form, name, shown, typical)
        sensor.names_unit = said is not None
        twin = next((s for s in report.sensors if s.name.casefold() == folded), None)
        sensor.is_unit_known = (
            report.common is not None
            or sensor.names_unit
            or (twin is not None and twin.is_unit_known and twin.unit.name == unit.name)
        )
        if len(report.sensors) < 24:
            report.sensors.append(sensor)
        return sensor

    def _form(self, rng: Random, lang: str, unit: str) -> str:
        forms, weights = self._forms[lang][unit]
        return rng.choices(forms, weights)[0]

    def draw_number(self, rng: Random, sensor: Sensor, *, allows_comma: bool = True) -> str:
        """A value as printed, before its unit."""
        unit = sensor.unit
        value = sensor.typical * rng.uniform(0.9, 1.1)
        if rng.random() < 0.04:
            value = rng.uniform(unit.low, unit.high)
        decimals = unit.decimals
        if decimals and rng.random() < 0.25:
            decimals -= 1
        if abs(value) >= 1000:
            decimals = 0
        if unit.name == "h" and 1000 <= value < 2400:
            value += 5000  # "1054 h" is a time of day
        text = f"{abs(value):.{decimals}f}"
        if value < 0 and float(text) != 0:
            text = "-" + text
        if allows_comma and len(text) >= 4 and text.isdigit() and rng.random() < 0.4:
            text = f"{int(text):,}"
        return text

    def print_value(
        self, rng: Random, report: Report, sensor: Sensor, *, is_bare: bool
    ) -> tuple[str, int | float]:
        """A value as this report prints it, and what it means."""
        text = self.draw_number(rng, sensor)
        number = number_of(text)
        if text.startswith("-"):
            sign = rng.choice(("-", "-", "-", "−", "minus "))
            if report.lang == "ja":
                sign = rng.choice(("-", "-", "マイナス", "−", "-"))
                if sensor.unit.name == "degC" and rng.random() < 0.1:
                    sign = "氷点下"
            text = sign + text[1:]
            if len(sign) > 1 and number == int(number):
                number = int(number)  # words for the sign scale it by -1
        elif "." in text and report.lang == "en" and rng.random() < 0.03:
            text = text.replace(".", ",")
        elif rng.random() < 0.05:
            about = ("約", "およそ") if report.lang == "ja" else ("about ", "~", "approx. ", "ca. ")
            text = rng.choice(about) + text
        form = "" if is_bare else sensor.form
        if sensor.unit.name == "pH" and form and rng.random() < 0.6:
            return f"pH{rng.choice(('', ' '))}{text}", number
        return text + form, number

    def draw_other(self, rng: Random, sensor: Sensor, *, is_bare: bool) -> str:
        """A number that is no reading: a limit, a value of yesterday."""
        text = self.draw_number(rng, sensor)
        if rng.random() < 0.5 and "." in text:
            text = text.split(".")[0]
        return text if is_bare else text + sensor.form

    def draw_delta(self, rng: Random, sensor: Sensor) -> str:
        """A change of a value, as printed."""
        text = rng.choice((str(rng.randrange(1, 9)), f"{rng.uniform(0.1, 5):.1f}"))
        return text + (sensor.form if rng.random() < 0.5 else "")

    def next_time(self, rng: Random, report: Report) -> tuple[str, str]:
        """The next time of the report: as written, and as `HH:MM`."""
        report.minute = (report.minute + report.step * rng.choice((1, 1, 1, 2))) % 1440
        if rng.random() < 0.15:
            report.minute = (report.minute + rng.randrange(1, 30)) % 1440
        style = report.time_style
        if rng.random() < 0.05:
            style = time_style(rng, report.lang)
        return clock_of(rng, report.minute, style)


def _unit_said(name: str) -> str | None:
    """The unit that a name says: "motor amps" are never mA."""
    found = _SAYS_UNIT.search(name)
    return None if found is None else _UNITS_SAID[found[0].lower()]


def _weighted(forms: Sequence[str]) -> tuple[list[str], list[float]]:
    """Forms "text~weight" as texts and weights."""
    split = [form.rsplit("~", 1) if re.search(r"~\d+$", form) else [form, "1"] for form in forms]
    return [text for text, _ in split], [float(weight) for _, weight in split]
