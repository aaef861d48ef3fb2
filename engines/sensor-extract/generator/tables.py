"""Reports as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from .clocks import new_date
from .layouts import GRIDS, MAX_READINGS, MISSING_CELLS, SEPARATORS, SHORT_GRIDS
from .meaning import Reading, Report, Sensor, number_of
from .scribe import Scribe

_LIMITS: Mapping[str, Sequence[str]] = {
    "en": ("limit", "limit", "setpoint", "set point", "max", "max.", "target", "SP", "Limit", "Set",
           "min", "spec", "nominal", "alarm", "trip", "hi alarm", "low limit", "design", "normal",
           "previous", "last shift", "yesterday", "ref.", "TARGET"),
    "ja": ("上限", "下限", "設定", "設定値", "目標", "目標値", "基準", "管理値", "規格", "警報値",
           "定格", "標準", "前日", "前回", "SP"),
}  # fmt: skip
_VALUES: Mapping[str, Sequence[str]] = {
    "en": ("value", "reading", "Value", "actual", "PV", "measured", "now", "meas.", "Reading",
           "today", "act.", "ACTUAL"),
    "ja": ("値", "測定値", "実測", "実測値", "現在値", "指示値", "今回", "本日"),
}  # fmt: skip


class Table:
    """A table of one report: draws it cell by cell and notes where each value stands."""

    def __init__(
        self,
        scribe: Scribe,
        rng: Random,
        report: Report,
        orientation: str,
        separator: str,
    ) -> None:
        self._scribe = scribe
        self._plant = scribe.plant
        self._rng = rng
        self._report = report
        self._orientation = orientation
        self._kind = separator
        self._separator = rng.choice(SEPARATORS[separator])
        self._missing = rng.choice(MISSING_CELLS)
        if separator == "space" and not self._missing:
            self._missing = "---"
        self._unit_place = rng.choices(("head", "cell", "none"), (6, 3, 1))[0]
        self._miss_rate = rng.choice((0.0, 0.08, 0.15, 0.25))
        self._is_dated = rng.random() < 0.07
        self._is_iso = report.time_style == "hm" and rng.random() < 0.2

    def write(self) -> None:
        """Write it."""
        rng = self._rng
        if rng.random() < 0.25:
            title = rng.choice(self._scribe.around[self._report.lang]["opener"])
            self._report.parts += (
                self._scribe.grammars[self._report.lang].expand(title, rng).strip(),
                "\n",
            )
        match self._orientation:
            case "times-down":
                self._grid(is_times_down=True)
            case "times-across":
                self._grid(is_times_down=False)
            case "one-row":
                self._one_row()
            case "machines":
                self._machines()
            case _:
                self._rows(has_limits=self._orientation == "limits")

    def _grid(self, *, is_times_down: bool) -> None:
        """Times one way, sensors the other."""
        rng = self._rng
        num_sensors, num_times = rng.choice(SHORT_GRIDS if self._report.is_short else GRIDS)
        # Where a line of limits stands among the lines of values, or a column among columns.
        limits_at = rng.choice((0, -1, -1)) if rng.random() < 0.12 else None
        limit = self._word(_LIMITS["en"], _LIMITS["ja"])
        sensors = self._sensors(num_sensors)
        times = self._times(num_times)
        corner = self._word(("time", "Time", "", "clock", "TIME"), ("時刻", "時間", "", "測定時刻"))
        if is_times_down:
            self._row([corner, *(self._head(s) for s in sensors)], is_head=True)
            if limits_at == 0:
                self._row([limit, *map(self._limit, sensors)])
            for shown, time in times:
                cells = [self._cell(s, time) for s in sensors]
                self._row([shown, *cells])
            if limits_at == -1:
                self._row([limit, *map(self._limit, sensors)])
            return
        corner = self._word(
            ("sensor", "Sensor", "", "point", "tag"), ("項目", "計器", "", "測定点")
        )
        heads = [corner, *(shown for shown, _ in times)]
        if limits_at is not None:
            heads.insert(1 if limits_at == 0 else len(heads), limit)
        self._row(heads, is_head=True)
        for sensor in sensors:
            row: list[Any] = [self._head(sensor), *(self._cell(sensor, time) for _, time in times)]
            if limits_at is not None:
                row.insert(1 if limits_at == 0 else len(row), self._limit(sensor))
            self._row(row)

    def _one_row(self) -> None:
        """Sensors in the head, one line of values, the time beside or above or nowhere."""
        rng = self._rng
        sensors = self._sensors(rng.choice((2, 3, 3, 4)))
        time = None
        if rng.random() < 0.5:
            shown, time = self._times(1)[0]
            self._report.parts += (shown, rng.choice((":", "", " readings")), "\n")
        self._row([self._head(s) for s in sensors], is_head=True)
        self._row([self._cell(s, time) for s in sensors])

    def _machines(self) -> None:
        """Machines down, quantities across: the quantity is the sensor."""
        rng = self._rng
        num_machines, num_sensors = rng.choice(
            ((2, 1), (3, 1), (2, 2), (2, 2), (3, 1), (2, 2))
            if self._report.is_short
            else ((2, 2), (2, 2), (3, 2), (2, 3), (4, 2), (2, 1))
        )
        first: list[Sensor] = []
        while len(first) < num_sensors:
            sensor = self._plant.new_sensor(rng, self._report, avoids=("ph",), is_apart=True)
            if all(sensor.name.casefold() != s.name.casefold() for s in first):
                first.append(sensor)
        time = None
        if rng.random() < 0.4:
            shown, time = self._times(1)[0]
            self._report.parts += (shown, rng.choice((":", "", " round")), "\n")
        words = self._report.names[self._report.lang]
        machine = rng.choice(words)
        corner = self._word(("machine", "", "Machine", "unit"), ("機械", "", "設備", "号機"))
        self._row([corner, *(self._head(s) for s in first)], is_head=True)
        space = " " if self._report.lang == "en" else ""
        for i in range(num_machines):
            name = rng.choice((f"{machine}{space}{i + 1}", f"{machine}{space}{i + 1}"))
            if rng.random() < 0.3:
                name = rng.choice(words)
            if self._kind == "comma" and name[-1].isdigit():
                self._separator = ", "
            self._row([name, *(self._cell(s, time) for s in first)])

    def _rows(self, *, has_limits: bool) -> None:
        """One line for each reading."""
        rng = self._rng
        sizes = (2, 2, 3, 3, 4) if self._report.is_short else (2, 3, 3, 4, 5)
        sensors = self._sensors(rng.choice(sizes))
        columns = ["sensor", "value"]
        unit_column = self._unit_place != "none" and rng.random() < (0.3 if has_limits else 0.5)
        if unit_column:
            columns.append("unit")
        if has_limits:
            columns.insert(rng.randrange(1, len(columns) + 1), "limit")
            if rng.random() < 0.25:
                columns.insert(rng.randrange(1, len(columns) + 1), "limit2")
            if rng.random() < 0.4:
                columns.append("status")
        if rng.random() < 0.6:
            columns.insert(rng.choice((0, len(columns))), "time")
        limits = rng.sample(_LIMITS["ja" if self._report.lang == "ja" else "en"], 2)
        titles = {
            "sensor": self._word(("sensor", "Sensor", "tag", "point"), ("項目", "計器", "測定点")),
            "value": self._word(_VALUES["en"], _VALUES["ja"]),
            "unit": self._word(("unit", "Unit"), ("単位",)),
            "limit": limits[0],
            "limit2": limits[1],
            "status": self._word(("status", "ok?", "note"), ("判定", "備考")),
            "time": self._word(("time", "Time", "at"), ("時刻", "時間")),
        }
        if has_limits or rng.random() < 0.6:
            self._row([titles[c] for c in columns], is_head=True)
        times = self._times(1) if rng.random() < 0.4 else []
        for sensor in sensors:
            shown, time = times[0] if times else self._times(1)[0]
            cells: list[Any] = []
            for column in columns:
                match column:
                    case "sensor":
                        in_head = self._unit_place == "head" and not unit_column
                        cells.append(self._head(sensor) if in_head else self._name(sensor))
                    case "value":
                        stamp = time if "time" in columns else None
                        cells.append(self._cell(sensor, stamp, unit_column=unit_column))
                    case "unit":
                        cells.append(self._unit_text(sensor))
                    case "limit" | "limit2":
                        cells.append(self._limit(sensor, is_bare=unit_column))
                    case "status":
                        cells.append(
                            self._word(("ok", "OK", "high", ""), ("良", "正常", "高め", ""))
                        )
                    case _:
                        cells.append(shown)
            self._row(cells)

    def _sensors(self, count: int) -> list[Sensor]:
        like = None
        sensors: list[Sensor] = []
        for _ in range(count):
            sensor = self._plant.new_sensor(self._rng, self._report, like=like, avoids=("ph",))
            if self._kind == "comma" and (
                self._orientation == "one-row" or sensor.shown[-1].isdigit()
            ):
                self._separator = ", "  # else "841,817" is one number
            sensors.append(sensor)
            like = sensor if self._rng.random() < 0.35 else None
        return sensors

    def _times(self, count: int) -> list[tuple[str, str]]:
        times = []
        date = new_date(self._rng)
        is_dated = self._is_dated and "月" not in date
        for _ in range(count):
            shown, time = self._plant.next_time(self._rng, self._report)
            if is_dated:
                shown = f"{date}{'T' if self._is_iso else ' '}{shown}"
            times.append((shown, time))
        return times

    def _word(self, en: Sequence[str], ja: Sequence[str]) -> str:
        return self._rng.choice(ja if self._report.lang == "ja" else en)

    def _name(self, sensor: Sensor) -> str:
        return sensor.shown

    def _unit_text(self, sensor: Sensor) -> str:
        forms = self._plant.heads.get(sensor.unit.name, [sensor.unit.name.lstrip("?")])
        return str(self._rng.choice(forms))

    def _head(self, sensor: Sensor) -> str:
        if self._unit_place != "head":
            return sensor.shown
        unit = self._unit_text(sensor)
        shapes = ("{s} ({u})", "{s} [{u}]", "{s} {u}", "{s}({u})")
        shape = self._rng.choice(shapes[:2] + shapes[3:] if self._kind == "space" else shapes)
        return shape.replace("{s}", sensor.shown).replace("{u}", unit)

    def _cell(self, sensor: Sensor, time: str | None, *, unit_column: bool = False) -> Any:
        rng = self._rng
        if rng.random() < self._miss_rate:
            has_unit = self._unit_place == "head" or unit_column or sensor.names_unit
            unit = sensor.unit.answer if has_unit else None
            return self._missing, Reading(sensor.name, None, unit, time)
        has_comma = self._kind == "semicolon" and rng.random() < 0.1
        text = self._plant.draw_number(rng, sensor, allows_comma=False)
        number = number_of(text)
        if has_comma:
            text = text.replace(".", ",")
        says_unit = self._unit_place != "none" or unit_column or sensor.names_unit
        unit = sensor.unit.answer if says_unit else None
        if self._unit_place == "cell" and not unit_column:
            text += sensor.form
        return text, Reading(sensor.name, number, unit, time)

    def _limit(self, sensor: Sensor, *, is_bare: bool = False) -> str:
        """A cell that is no reading."""
        bare = is_bare or self._unit_place != "cell"
        return self._plant.draw_other(self._rng, sensor, is_bare=bare).replace(",", "")

    def _row(self, cells: Sequence[Any], *, is_head: bool = False) -> None:
        parts = self._report.parts
        if self._kind == "edged":
            parts.append("| ")
        for i, cell in enumerate(cells):
            if i:
                parts.append(self._separator)
            if isinstance(cell, tuple):
                text, reading = cell
                reading.at = self._report.num_chars
                if len(self._report.readings) < MAX_READINGS:
                    self._report.readings.append(reading)
                else:
                    text = ""
                parts.append(text)
            else:
                parts.append(cell)
        if self._kind == "edged":
            parts.append(" |")
            if is_head and self._rng.random() < 0.6:
                parts.append("\n|" + "---|" * len(cells))
        parts.append("\n")
