"""Fills the slots of one clause and takes its readings down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random

from .meaning import Reading, Report, Sensor
from .plant import Plant


class ClauseWriter:
    """Fills the slots of one clause in the order of its text and takes the readings down."""

    def __init__(
        self,
        plant: Plant,
        rng: Random,
        report: Report,
        sensors: Mapping[str, Sensor],
        gives: Sequence[Sequence[str]],
        *,
        is_list: bool,
        is_one_name: bool,
    ) -> None:
        self._is_one_name = is_one_name
        self._is_list = is_list
        self._is_headed = False
        self._plant = plant
        self._rng = rng
        self._report = report
        self._sensors = sensors
        self._gives = gives
        self._names = {"p": report.last_name}
        self._at: dict[str, int] = {}
        self._values: dict[str, int | float] = {}
        self._times: dict[str, str] = {}
        self._units: dict[int, bool] = {}
        self._printed: set[int] = set()
        self._machine = ""

    def slot(self, slot: str, at: int, *, is_first: bool) -> str:
        """The text of a slot."""
        self._at.setdefault(slot, at)
        kind = slot.rstrip("0123456789")
        match kind:
            case "s":
                return self._name(slot, is_first=is_first)
            case "t" | "h":
                shown, self._times[slot] = self._plant.next_time(self._rng, self._report)
                before = "".join(self._report.parts[-2:])
                if is_first and re.fullmatch(r"\d{4} ?h.*", shown) and before[-1:] in ("", "\n"):
                    return shown[:4]  # at the head of a line it needs no "h"
                return shown
            case "e":
                return self._plant.next_time(self._rng, self._report)[0]
            case "v" | "x" | "q":
                sensor = self.sensor_of(slot)
                is_bare = kind == "x" or not self.prints_unit(sensor)
                text, number = self._plant.print_value(
                    self._rng, self._report, sensor, is_bare=is_bare
                )
                self._values[slot] = number
                if not is_bare:
                    self._printed.add(id(sensor))
                return text
            case "w" | "d":
                sensors = list(self._sensors.values())
                sensor = sensors[1] if slot == "w2" and len(sensors) > 1 else sensors[0]
                has_unit = self.prints_unit(sensor)
                if kind == "d":
                    text = self._plant.draw_delta(self._rng, sensor)
                    return text if has_unit else re.sub(r"[^\d.].*$", "", text)
                is_bare = not has_unit or self._rng.random() < 0.3
                if not is_bare:
                    self._printed.add(id(sensor))
                return self._plant.draw_other(self._rng, sensor, is_bare=is_bare)
            case "u":
                sensor = next(iter(self._sensors.values()))
                self._printed.add(id(sensor))
                self._is_headed = True
                forms = self._plant.heads.get(sensor.unit.name, [sensor.unit.name.lstrip("?")])
                return str(self._rng.choice(forms))
            case "mach":
                words = self._report.names[self._report.lang]
                number = self._rng.randrange(1, 13)
                machine = self._rng.choice(words)
                if self._report.lang == "ja":
                    return self._rng.choice((f"{number}号機", f"{machine}{number}", machine))
                return self._rng.choice((f"{machine} {number}", machine, machine.capitalize()))
        raise AssertionError(slot)

    def finish(self, end: int) -> None:
        """Take the readings down, when all of the clause is written."""
        report = self._report
        heads = [self._times[e[2]] for e in self._gives if e[2].startswith("h")]
        head = heads[-1] if heads else None
        if head is not None:
            report.ambient, report.is_stale = head, False
        previous = report.readings[-1].time if report.readings else None
        is_behind = False
        for sensor_slot, value_slot, time_slot in self._gives:
            sensor = self._sensors[sensor_slot]
            is_printed = id(sensor) in self._printed or (self._is_list and self._printed)
            if is_printed or sensor.names_unit:
                sensor.is_unit_known = True
            match time_slot:
                case "a":
                    time = report.ambient
                case "n":
                    time = None
                case "=":
                    time = previous
                case _:
                    time = self._times[time_slot]
            is_behind |= time_slot not in ("a",) and not time_slot.startswith("h")
            at = self._at.get(value_slot, self._at.get(sensor_slot, end))
            value: int | float | None = None
            unit = None
            if value_slot == "=":
                value, at = sensor.last, end
            elif value_slot != "-":
                value = sensor.last = self._values[value_slot]
            says_unit = sensor.names_unit or self._is_headed or report.common is not None
            if says_unit or (value_slot != "-" and sensor.is_unit_known):
                unit = sensor.unit.answer
            name = self._names.get(sensor_slot, self._names.get("s", ""))
            report.readings.append(Reading(name, value, unit, time, at))
            previous = time
            report.last, report.last_name = sensor, name
        # "it" is the sensor named last in the text.
        named = [slot for slot in self._at if slot.rstrip("0123456789") == "s"]
        if named:
            slot = max(named, key=lambda s: self._at[s])
            report.last, report.last_name = self._sensors[slot], self._names[slot]
        if self._is_one_name:
            report.last = None  # it has several values at once
        if is_behind and report.ambient is not None:
            report.is_stale = True
        elif head is not None:
            report.is_stale = False

    def _name(self, slot: str, *, is_first: bool) -> str:
        sensor = self._sensors[slot]
        shown, name = sensor.shown, sensor.name
        if sensor.last is not None and shown != name and self._rng.random() < 0.6:
            shown = name
        if is_first and shown == name and name[0].islower() and self._rng.random() < 0.4:
            shown = name = name[0].upper() + name[1:]
        self._names[slot] = name
        return shown

    def sensor_of(self, slot: str) -> Sensor:
        """Whose value a slot is."""
        for sensor, value, _ in self._gives:
            if value == slot:
                return self._sensors[sensor]
        return next(iter(self._sensors.values()))

    def prints_unit(self, sensor: Sensor) -> bool:
        """Whether values of the sensor have their unit in this clause."""
        if self._is_one_name:
            return True
        # "oil 85, water 60 °C" might mean the unit for both: a unit is printed always or never.
        units = self._report.printed_units
        unit = sensor.unit.name
        if unit not in units:
            units[unit] = self._rng.random() < self._report.prints_units
        if id(sensor) not in self._units:
            rate = 0.6 if sensor.is_unit_known else 1.0
            self._units[id(sensor)] = units[unit] and self._rng.random() < rate
        return self._units[id(sensor)]
