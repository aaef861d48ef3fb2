"""What one would do without a model: one regular expression per unit, written in an honest hour.

A number with a unit is a reading; so is one behind a colon, an equals sign or "is". Its sensor is
the tag or the words before it, its time the clock of its line. Limits are known by their words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from skilld.skills.pointing.values import clock_value, number_value

UNITS: tuple[tuple[str, str], ...] = (
    (r"°F|deg F|degrees F|℉|F\b", "degF"),
    (r"°C|℃|deg ?C?|degrees(?: C)?|°|度|C\b", "degC"),
    (r"mbar", "mbar"),
    (r"bar[g]?\b|バール", "bar"),
    (r"MPa|メガパスカル", "MPa"),
    (r"kPa|キロパスカル", "kPa"),
    (r"Pa\b", "Pa"),
    (r"psi[g]?\b", "psi"),
    (r"kgf?/cm2", "kgf_cm2"),
    (r"rpm|r/min|min-1|回転", "rpm"),
    (r"mm/s(?:ec)?|mm/s RMS", "mm_s"),
    (r"m/s2", "m_s2"),
    (r"m/s(?:ec)?", "m_s"),
    (r"m/(?:min|分)", "m_min"),
    (r"L/(?:min|分)|lpm", "L_min"),
    (r"L/h", "L_h"),
    (r"m3/h", "m3_h"),
    (r"m3/min", "m3_min"),
    (r"kg/h", "kg_h"),
    (r"t/h", "t_h"),
    (r"%|percent|pct|パーセント", "percent"),
    (r"kWh", "kWh"),
    (r"kW|キロワット", "kW"),
    (r"MW", "MW"),
    (r"W\b|watts|ワット", "W"),
    (r"kHz", "kHz"),
    (r"Hz|hertz|ヘルツ", "Hz"),
    (r"ppm", "ppm"),
    (r"mg/L", "mg_L"),
    (r"[uμ]S(?:/cm)?", "uS_cm"),
    (r"dB(?:A|\(A\))?|デシベル", "dB"),
    (r"N·?\s?m\b", "Nm"),
    (r"kN", "kN"),
    (r"N\b|ニュートン", "N"),
    (r"[uμ]m|microns|ミクロン", "um"),
    (r"mm\b|ミリ", "mm"),
    (r"cm\b|センチ", "cm"),
    (r"m3|立米", "m3"),
    (r"m\b|meters|メートル", "m"),
    (r"mA\b", "mA"),
    (r"A\b|amps?|アンペア", "A"),
    (r"kV", "kV"),
    (r"mV", "mV"),
    (r"V\b|volts|ボルト", "V"),
    (r"kg|kilos", "kg"),
    (r"g\b|グラム", "g"),
    (r"tons|tonnes|t\b|トン", "t"),
    (r"mL\b|ml\b", "mL"),
    (r"L\b|l\b|lit(?:er|re)s|リットル", "L"),
    (r"cSt", "cSt"),
    (r"lux|lx|ルクス", "lux"),
    (r"pH", "pH"),
    (r"hours|hrs|h\b|時間", "h"),
    (r"minutes|min\b", "min"),
    (r"seconds|sec|s\b|秒", "s"),
    (r"K\b", "K"),
)
_UNIT = "|".join(pattern for pattern, _ in UNITS)
_CLOCK = re.compile(
    r"(?:午前|午後)?\d{1,2}時(?!間)(?:\d{1,2}分|半)?|\d{1,2}:[0-5]\d(?::\d\d)?(?:\s?[ap]m)?"
    r"|\b\d{1,2}\s?[ap]\.?m\b|\bnoon\b|\bmidnight\b|正午|\b[0-2]\d[0-5]\d ?h\b",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?P<number>(?<![\w.])[-−]?\d+(?:[.,]\d+)*|(?<=[^\x00-\x7f])\d+(?:[.,]\d+)*)\s?"
    rf"(?P<unit>{_UNIT})?",
    re.IGNORECASE,
)
_TAG = re.compile(r"\b(?:\d{1,2}-)?[A-Za-z]{1,5}[-_]?\d{1,4}(?:[-_]?[A-Z0-9]{1,2})?\b")
_NAME = re.compile(
    r"((?:(?:[Nn]o\.? ?|#)?[A-Za-z0-9#-]+ ){0,4}?[A-Za-z][A-Za-z-]+(?: \d{1,2})?)"
    r"(?: is| was| reads?| at|:| =|=| showed| stands| -|,)*\s*$"
)
_JA_NAME = re.compile(r"((?:No\.)?[0-9A-Z一-龠ァ-ヺー々の]+?[0-9A-Z]?)(?:は|が|:|=|、|\s)*$")
_NOT_READ = re.compile(
    r"limit|max|min\b|setpoint|target|alarm|normal|range|yesterday|not$|from$|set to|spec|trip"
    r"|上限|下限|設定|目標|警報|基準|規格|範囲|昨日|前日|前回|次回|更に|生産数|出荷",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"not read|no reading|missing|n/a|---|unreadable|out of service|欠測|読め|未測定|測定できず",
    re.IGNORECASE,
)
_STOP = re.compile(r"^(?:the|a|an|and|at|then|it|our|is|was|of|on|by|in|for|with) ", re.IGNORECASE)


def rules(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
    """Answer by units, tags and clocks."""
    return [_extract(unicodedata.normalize("NFKC", i["text"])) for i in inputs]


def copy_slot(
    neighbour_input: Mapping[str, Any], neighbour: Mapping[str, Any], asked: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The neighbour's answer with the tags, numbers and clocks of the asked text, in order."""
    if "abstain" in neighbour:
        return neighbour
    text = unicodedata.normalize("NFKC", asked["text"])
    clocks = [clock_value(found[0]) for found in _CLOCK.finditer(text)]
    bare = _CLOCK.sub(" ", text)
    tags = _TAG.findall(bare)
    numbers = [number_value(found["number"]) for found in _VALUE.finditer(_TAG.sub(" ", bare))]
    readings = []
    for i, reading in enumerate(neighbour["readings"]):
        readings.append(
            {
                "sensor": tags[min(i, len(tags) - 1)] if tags else reading["sensor"],
                "value": numbers[i] if i < len(numbers) else None,
                "unit": reading["unit"],
                "time": clocks[min(i, len(clocks) - 1)] if clocks and reading["time"] else None,
            }
        )
    return {"readings": readings}


def _extract(text: str) -> Mapping[str, Any]:
    readings: list[dict[str, Any]] = []
    sensor: str | None = None
    for line in re.split(r"\n|(?<!No)\. |。|; ", text):
        times = [(found.start(), clock_value(found[0])) for found in _CLOCK.finditer(line)]
        blank = _CLOCK.sub(lambda found: "@" * len(found[0]), line)
        end = 0
        for found in _VALUE.finditer(blank):
            before = blank[end : found.start()]
            if _is_tag_part(blank, found) or _NOT_READ.search(before[-25:]):
                continue
            named = _sensor(before)
            if found["unit"] is None and named is None:
                continue
            sensor = named or sensor
            end = found.end()
            if sensor is not None:
                number = number_value(found["number"])
                readings.append(_reading(sensor, number, found["unit"], times, found.start()))
        if missing := _MISSING.search(blank[end:]):
            named = _sensor(blank[end : end + missing.start()])
            if named is not None:
                readings.append(_reading(named, None, None, times, end + missing.start()))
    if readings:
        return {"readings": readings[:8]}
    return {"abstain": "no_reading" if _TAG.search(text) or "line" in text else "not_a_report"}


def _is_tag_part(text: str, found: re.Match[str]) -> bool:
    return any(t.start() <= found.start() < t.end() for t in _TAG.finditer(text))


def _sensor(before: str) -> str | None:
    if tags := _TAG.findall(before):
        return str(tags[-1])
    found = _NAME.search(before) or _JA_NAME.search(before)
    if found is None:
        return None
    name = found[1].strip()
    while _STOP.match(name):
        name = name.split(" ", 1)[1]
    return name or None


def _reading(
    sensor: str,
    number: int | float | None,
    unit: str | None,
    times: Sequence[tuple[int, str | None]],
    at: int,
) -> dict[str, Any]:
    name = None
    if unit is not None:
        name = next((n for p, n in UNITS if re.fullmatch(p.replace(r"\b", ""), unit, re.I)), None)
    earlier = [time for start, time in times if start < at]
    time = earlier[-1] if earlier else times[0][1] if times else None
    return {"sensor": sensor, "value": number, "unit": name, "time": time}
