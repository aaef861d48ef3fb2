"""Writes clauses, heads and asides into a report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from skilld.training import noise
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

from .clause_writer import ClauseWriter
from .clocks import new_code, new_count, new_date, new_span
from .layouts import SIDES
from .meaning import Report, Sensor
from .plant import Plant


class Scribe:
    """Turns templates into text of a report.

    Args:
        plant: what is read.
        clauses: clauses.toml.
    """

    def __init__(self, plant: Plant, clauses: Mapping[str, Any]) -> None:
        self.plant = plant
        drawn = terminals()
        drawn |= {"code": new_code, "date": new_date, "count": new_count, "span": new_span}
        self.grammars = {
            lang: Grammar(clauses["rules"][lang], terminals=drawn) for lang in ("en", "ja")
        }
        self.around = clauses["around"]

    def say(
        self, rng: Random, report: Report, template: str, bound: Mapping[str, str] | None = None
    ) -> None:
        """Write a template in which {h} may set the time that holds from here on."""
        bound = dict(bound or {})
        if "{h}" in template or "{t}" in template:
            shown, time = self.plant.next_time(rng, report)
            bound |= {"h": shown, "t": shown}
            if "{h}" in template:
                report.ambient, report.is_stale = time, False
        report.parts.append(self.grammars[report.lang].expand(template, rng, bound=bound))

    def unit_head(self, rng: Random, report: Report) -> None:
        """Say once which unit all values have."""
        report.common = self.plant.new_sensor(rng, report, avoids=("ph",))
        report.common.is_unit_known = True
        unit = report.common.unit.name
        template = rng.choice(self.around[report.lang]["units"])
        bound = {"u": rng.choice(self.plant.heads.get(unit, [unit.lstrip("?")]))}
        self.say(rng, report, template, bound)
        report.parts.append(" " if report.lang == "en" else "")

    def tail(self, rng: Random, report: Report, joiner: str) -> None:
        """A time at the end that holds for all readings without one."""
        shown, time = self.plant.next_time(rng, report)
        template = rng.choice(self.around[report.lang]["tail"])
        text = self.grammars[report.lang].expand(template, rng, bound={"t": shown})
        report.parts += (joiner, text)
        for reading in report.readings:
            if reading.time is None:
                reading.time = time

    def aside(self, rng: Random, report: Report, kind: str) -> None:
        """Talk of other things: work, counts, limits, events."""
        template = rng.choice(self.around[report.lang][kind])
        other = self.plant.new_sensor(rng, report)
        shown, end = self.plant.next_time(rng, report)[0], self.plant.next_time(rng, report)[0]
        bound = {
            "o": other.shown,
            "w": self.plant.draw_other(rng, other, is_bare=rng.random() < 0.4),
            "w2": self.plant.draw_other(rng, other, is_bare=False),
            "d": self.plant.draw_delta(rng, other),
            "e": shown,
            "e2": end,
        }
        if "{o}" in template:
            report.last = None  # "it" would be this one
        report.parts.append(self.grammars[report.lang].expand(template, rng, bound=bound))

    def clause(self, rng: Random, report: Report, clause: Mapping[str, Any]) -> None:
        """Write one clause and take its readings down."""
        template = rng.choice(clause["text"])
        gives = [entry.split() for entry in clause["gives"]]
        sensors = self._cast(rng, report, clause, gives)
        if sensors is None:
            return
        slots = list(dict.fromkeys(re.findall(r"\{(\w+)\}", template)))
        marks = {slot: chr(0xF0000 + i) for i, slot in enumerate(slots)}
        rules = {"is", "bare", "up", "miss", "limit", "asideadj", "who", "work", "thing", "wa",
                 "desu", "ni", "n", "date", "span", "code", "count", "U1",
                 "lim", "lot", "num", "fix", "later"}  # fmt: skip
        bound = {slot: mark for slot, mark in marks.items() if slot not in rules}
        text = self.grammars[clause["lang"]].expand(template, rng, bound=bound)
        if clause["lang"] == "en":
            if rng.random() < 0.02:
                text = noise.typo(text, rng)
            if rng.random() < 0.4:
                text = text[:1].upper() + text[1:]
        is_list = bool(clause.get("alike"))
        is_one = bool(clause.get("one_name"))
        writer = ClauseWriter(
            self.plant, rng, report, sensors, gives, is_list=is_list, is_one_name=is_one
        )
        offset = report.num_chars
        names = {mark: slot for slot, mark in marks.items()}
        out: list[str] = []
        length = 0
        for i, char in enumerate(text):
            slot = names.get(char)
            before = out[-1] if out else ""
            follows_slot = text[i - 1 : i] in names and char.isascii() and char.isalnum()
            if (slot is not None or follows_slot) and _is_joint(before, text[max(0, i - 2) : i]):
                out.append(" ")
                length += 1
            piece = char if slot is None else writer.slot(slot, offset + length, is_first=i == 0)
            is_value = slot is not None and slot.rstrip("0123456789") == "v"
            if is_value and clause.get("plain") and not report.has_rider and rng.random() < 0.1:
                sensor = writer.sensor_of(str(slot))
                kind = "rider_last" if i == len(text) - 1 and rng.random() < 0.5 else "rider"
                piece += self._rider(rng, report, sensor, kind, writer.prints_unit(sensor))
            is_name = names.get(text[i - 1 : i], "")[:1] == "s"
            if is_name and _runs_on(before, piece):
                out.append("は")
                length += 1
            elif slot is not None and slot[0] == "s" and _runs_on(before, piece):
                out.append("、")
                length += 1
            out.append(piece)
            length += len(piece)
        report.parts.append("".join(out))
        writer.finish(offset + length)

    def _rider(self, rng: Random, report: Report, sensor: Sensor, kind: str, has_unit: bool) -> str:
        """A number beside a value that is no reading: its limit, its lot, yesterday's value."""
        report.has_rider = True
        is_bare = not has_unit or rng.random() < 0.5
        delta = self.plant.draw_delta(rng, sensor)
        bound = {
            "w": self.plant.draw_other(rng, sensor, is_bare=is_bare),
            "w2": self.plant.draw_other(rng, sensor, is_bare=is_bare),
            "d": delta if has_unit else re.sub(r"[^\d.].*$", "", delta),
        }
        template = rng.choice(self.around[report.lang][kind])
        return self.grammars[report.lang].expand(template, rng, bound=bound)

    def _cast(
        self,
        rng: Random,
        report: Report,
        clause: Mapping[str, Any],
        gives: Sequence[Sequence[str]],
    ) -> dict[str, Sensor] | None:
        """The sensors a clause speaks of; None if there is none that "it" could mean."""
        sensors: dict[str, Sensor] = {}
        row: list[str] = []
        is_missing = {entry[0] for entry in gives if entry[1] == "-"}
        for slot in dict.fromkeys(entry[0] for entry in gives):
            if slot == "p":
                if report.last is None:
                    return None
                if any(e[1] == "=" for e in gives) and report.last.last is None:
                    return None
                if slot in is_missing and report.last.quantity == "ph":
                    return None
                sensors[slot] = report.last
                continue
            like = next(iter(sensors.values()), None) if clause.get("alike") else None
            if clause.get("sides"):
                sensors[slot] = self._side(rng, report, first=next(iter(sensors.values()), None))
                continue
            if clause.get("series"):
                if not sensors:
                    row = self.plant.names.series(rng, report, len(gives))
                sensors[slot] = self.plant.new_sensor(
                    rng, report, like=like, avoids=("ph",), called=row[len(sensors)]
                )
                continue
            if clause.get("one_name"):
                if report.common is not None:
                    return None
                avoids = [s.quantity for s in sensors.values()]
                other = self.plant.new_sensor(
                    rng, report, avoids=("ph", *avoids), says_no_unit=True
                )
                first = next(iter(sensors.values()), None)
                if first is not None:
                    report.sensors.remove(other)
                    other.name, other.shown = first.name, first.shown
                elif "-" not in other.name and "_" not in other.name:
                    other.name = other.shown = self.plant.names.machine(rng, report)
                sensors[slot] = other
                continue
            known = [s for s in report.sensors if s not in sensors.values()]
            if known and like is None and not clause.get("apart") and rng.random() < 0.18:
                again = rng.choice(known)
                if not (slot in is_missing and again.quantity == "ph"):
                    sensors[slot] = again
                    continue
            sensors[slot] = self.plant.new_sensor(
                rng,
                report,
                like=like,
                avoids=("ph",) if slot in is_missing else (),
                is_apart=bool(clause.get("apart")),
            )
        return sensors

    def _side(self, rng: Random, report: Report, *, first: Sensor | None) -> Sensor:
        """One of two sides of a machine: "chiller supply", and then "return" alone."""
        sensor = self.plant.new_sensor(rng, report, like=first, avoids=("ph",), says_no_unit=True)
        if first is None:
            sides = rng.choice(SIDES[report.lang])
            machine = rng.choice(report.names[report.lang])
            space = " " if report.lang == "en" else ""
            sensor.name = sensor.shown = f"{machine}{space}{sides[0]}"
        else:
            side = next(b for a, b in SIDES[report.lang] if first.name.endswith(a))
            sensor.name = sensor.shown = side
        return sensor


def _is_joint(before: str, template: str) -> bool:
    """Digits and letters of two slots would run together."""
    if before[-1:].isascii() and before[-1:].isalnum():
        return True
    return before == ":" and len(template) == 2 and ord(template[0]) >= 0xF0000


def _runs_on(before: str, after: str) -> bool:
    """A name in Chinese characters or katakana would run together with its neighbour."""
    last, first = before[-1:].replace("・", ""), after[:1]
    return ("\u30a1" <= last <= "\u30ff" and "\u30a1" <= first <= "\u30ff") or (
        "\u4e00" <= last <= "\u9fff" and "\u4e00" <= first <= "\u9fff"
    )
