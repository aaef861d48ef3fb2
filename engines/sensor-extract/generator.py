"""Shift reports whose readings were drawn first and written down afterwards.

A report is prose (clauses of clauses.toml), a list, a chat or a table. Readings are taken while it
is written, so labels come from what was meant. What is measured and its units: lexicon.toml; texts
that must be declined: negatives.toml. The rules of the answers are in README.md.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from skilld.skills.spans import SpanError, SpanRules
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

VERSION = "2.0.0"
FOLDER = Path(__file__).parent
MAX_READINGS = 8
MAX_CHARS = 420

NUM_READINGS = {
    "prose": (40, 30, 18, 8, 3, 1),
    "chat": (36, 32, 18, 8, 4, 2),
    "list": (0, 22, 26, 20, 12, 10, 6, 4),
    "table": (1,),
}
"""How often a report of a layout has 1, 2, ... readings, where its clauses allow it. A table has
what its rows and columns give."""

HELD_COMBINATIONS = frozenset(
    {
        "temperature+chat", "pressure+list", "flow+table", "level+chat", "vibration+table",
        "current+list", "humidity+prose", "torque+table", "ph+list", "frequency+chat",
        "weight+list", "conductivity+prose", "force+chat", "power+table", "voltage+chat",
    }
)  # fmt: skip
"""Quantity and layout of the first reading that never occur together in training."""

TABLES: Mapping[str, tuple[str, ...]] = {
    # Orientation to the separators it is written with.
    "times-down": ("pipe", "edged", "tab", "comma", "semicolon", "space"),
    "times-across": ("pipe", "edged", "tab", "comma", "semicolon", "space"),
    "rows": ("pipe", "edged", "tab", "comma", "semicolon", "space"),
    "limits": ("pipe", "edged", "tab", "comma", "semicolon"),
    "one-row": ("pipe", "tab", "comma", "space"),
    "machines": ("pipe", "edged", "tab", "comma", "space"),
}
HELD_TABLES = frozenset(
    {
        "times-down-semicolon",
        "times-across-tab",
        "rows-edged",
        "limits-comma",
        "one-row-tab",
        "machines-edged",
    }
)
SEPARATORS = {
    "pipe": (" | ", " | ", "|"), "edged": (" | ",), "tab": ("\t",), "comma": (",", ", ", ","),
    "semicolon": (";", "; "), "space": ("  ", "   ", "    "),
}  # fmt: skip
LISTS: Mapping[str, tuple[str, ...]] = {
    "list-colon": ("{s}: {v}", "{s} : {v}", "{s}:{v}"),
    "list-dash": ("- {s} {v}", "- {s}: {v}", "* {s} {v}"),
    "list-dot": ("・{s} {v}", "・{s}:{v}", "・{s}{v}", "● {s} {v}"),
    "list-equal": ("{s} = {v}", "{s}={v}"),
    "list-plain": ("{s} {v}",),
    "list-number": ("{i}. {s} {v}", "{i}\\) {s}: {v}", "\\({i}\\) {s} {v}"),
    "list-status": ("{s}: {v} (OK|ok|normal|high|low|NG|正常|高め)", "{s} {v} - (ok|high|正常)"),
    "list-limit": ("{s}: {v} \\((max|limit|上限|設定) {w}\\)", "{s} {v} / (SP|target|基準) {w}"),
    "list-unit-first": ("{s} \\({u}\\): {x}", "{s} [{u}] {x}", "{s}\\({u}\\) {x}", "{s}, {u}: {x}"),
    "list-timed": ("{h} {s} {v}", "{h} - {s}: {v}", "{h}, {s}, {v}", "{h} {s}={v}"),
    "list-time-behind": ("{s}: {v} \\({t}\\)", "{s} {v} @ {t}", "{s} {v} {t}"),
    "list-arrow": ("{s} -> {v}", "> {s} {v}", "{s} .. {v}"),
    "list-tabbed": ("{s}\t{v}", "{s}    {v}"),
}
HELD_LISTS = frozenset({"list-arrow", "list-number", "list-time-behind"})
CHATS: Mapping[str, tuple[str, ...]] = {
    "chat-stamped": ("\\[{h}] {who}: ", "\\[{h}] {who} "),
    "chat-clock-name": ("{h} {who}: ", "{h} {who}> ", "{h} {who} - "),
    "chat-name-clock": ("{who} ({h}): ", "{who} {h}: ", "{who}, {h}: "),
    "chat-angle": ("<{who}> ", "<{who} {h}> "),
    "chat-names": ("{who}: ", "{who}> "),
    "chat-at": ("@{who} ", "{who} "),
    "chat-radio": ("{who} to control, ", "control from {who}, ", "{who}です、"),
}
HELD_CHATS = frozenset({"chat-angle"})
ASKED = "chat-asked"
MISSING_CELLS = ("---", "-", "N/A", "n/a", "--", "欠測", "×", "x", "", "not read", "ERR", "読めず",
                 "—", "*", "n.r.", "未測定", "?", "no signal")  # fmt: skip
_SAYS_UNIT = re.compile(r"\b(?:pH|rpm|amps|volts)$", re.IGNORECASE)


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
    is_stale: bool = False  # a time stood behind the last reading: the next must bring its own

    @property
    def num_chars(self) -> int:
        """Length of what is written so far."""
        return sum(map(len, self.parts))


class SensorExtractGenerator:
    """See the module docstring; the protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        def read(name: str) -> dict[str, Any]:
            return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))

        lexicon, clauses, negatives = (
            read(n) for n in ("lexicon.toml", "clauses.toml", "negatives.toml")
        )
        skill = read("skills/sensor-extract.toml")
        self._rules = SpanRules.model_validate(skill["spans"])
        self._schema = skill["output_schema"]
        self._quantities: dict[str, dict[str, Any]] = {q["id"]: q for q in lexicon["quantity"]}
        self._forms = {
            lang: {u: _weighted(forms) for u, forms in by_unit.items()}
            for lang, by_unit in lexicon["forms"].items()
        }
        self.heads = lexicon["heads"]
        machines = lexicon["machines"]
        self._words = {
            False: {"en": machines["en"], "ja": machines["ja"]},
            True: {"en": machines["en_held"], "ja": machines["ja_held"]},
        }
        self._places = {"en": machines["places_en"], "ja": machines["places_ja"]}
        self._tags_held: list[str] = machines["tags_held"]
        self._held_values = tuple(
            machines["en_held"] + machines["ja_held"] + [f"{tag}" for tag in self._tags_held]
        )
        drawn = terminals()
        drawn |= {"code": _code, "date": _date, "count": _count, "span": _span}
        self.grammars = {
            lang: Grammar(clauses["rules"][lang], terminals=drawn) for lang in ("en", "ja")
        }
        self.around = clauses["around"]
        self._clauses: dict[str, dict[str, Any]] = {c["id"]: c for c in clauses["clause"]}
        self._pool = {
            lang: [c for c in self._clauses.values() if c["lang"] == lang and c.get("plain", False)]
            for lang in ("en", "ja")
        }
        self._pool_weights = {
            lang: [c.get("weight", 1.0) for c in pool] for lang, pool in self._pool.items()
        }
        self._negatives = {f["id"]: f for f in negatives["family"]}
        self._negative_grammar = Grammar(negatives["rules"], terminals=terminals())
        self._tables = {
            f"{orientation}-{separator}": (orientation, separator)
            for orientation, separators in TABLES.items()
            for separator in separators
        }

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. About one in eight is to be declined."""
        prose = {
            c["id"]: c.get("weight", 1.0) ** 0.5 * (5.0 if c.get("plain") else 1.0)
            for c in self._clauses.values()
        }
        shares: list[tuple[dict[str, float], float]] = [
            (prose, 0.50),
            ({t: 3.0 if "pipe" in t else 1.0 for t in self._tables}, 0.20),
            (dict.fromkeys(LISTS, 1.0), 0.095),
            (dict.fromkeys([*CHATS, ASKED], 1.0), 0.07),
            ({i: f.get("weight", 1.0) for i, f in self._negatives.items()}, 0.135),
        ]
        return {
            family: weight / sum(weights.values()) * share
            for weights, share in shares
            for family, weight in weights.items()
        }

    @property
    def held_families(self) -> frozenset[str]:
        """Ways of writing that training never sees."""
        entries = [*self._clauses.values(), *self._negatives.values()]
        held = {entry["id"] for entry in entries if entry.get("held")}
        return frozenset(held | HELD_TABLES | HELD_LISTS | HELD_CHATS)

    @property
    def held_values(self) -> tuple[str, ...]:
        """Machines and stems of tags that training never sees."""
        return self._held_values

    @property
    def held_combinations(self) -> frozenset[str]:
        """Quantity and layout that never meet in training."""
        return HELD_COMBINATIONS

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family."""
        if family in self._negatives:
            return self._negative(rng, family, draw)
        while True:
            report = self._report(rng, family, draw)
            text = "".join(report.parts).strip()
            if not report.readings or not report.is_own_said or len(text) > MAX_CHARS:
                continue
            text, readings = self._disturb(rng, text, report, draw)
            answer = {"readings": [reading.answer() for reading in readings]}
            if self._can_point(text, answer):
                break
        combination = f"{report.sensors[0].quantity}+{report.layout}"
        return Example(family, {"text": text}, answer, combination=combination)

    def _can_point(self, text: str, answer: Mapping[str, Any]) -> bool:
        """Whether nothing ran together by chance: two numbers, a clock and a number."""
        try:
            self._rules.mark({"text": text}).point(answer, self._schema)
        except SpanError:
            return False
        return True

    # ------------------------------------------------------------ a report

    def _report(self, rng: Random, family: str, draw: Draw) -> Report:
        layout, lang = "prose", rng.choice(("en", "en", "ja"))
        if family in self._clauses:
            lang = self._clauses[family]["lang"]
        elif family in self._tables:
            layout = "table"
        else:
            layout = "list" if family in LISTS else "chat"
        report = Report(
            lang=lang,
            names=self._words[draw.held_values] | {"is_held": draw.held_values},
            layout=layout,
            is_held_combination=draw.held_combination,
            time_style=_time_style(rng, lang),
            minute=rng.randrange(1440),
            step=rng.choice((5, 10, 15, 30, 60, 60, 120)),
            prints_units=rng.choices((1.0, 0.5, 0.0), (84, 6, 10))[0],
        )
        report.minute -= report.minute % rng.choice((1, 5, 5, 10, 30, 60))
        shares = NUM_READINGS[layout]
        wanted = 1 + rng.choices(range(len(shares)), shares)[0]
        match layout:
            case "prose":
                self._prose(rng, report, self._clauses[family], wanted)
            case "list":
                self._list(rng, report, LISTS[family], wanted)
            case "chat":
                self._chat(rng, report, family, wanted)
            case _:
                _Table(self, rng, report, *self._tables[family]).write()
        report.readings.sort(key=lambda reading: reading.at)
        return report

    def _prose(self, rng: Random, report: Report, own: Mapping[str, Any], wanted: int) -> None:
        lang = report.lang
        around = self.around[lang]
        report.is_own_said = False
        joiner = rng.choice(around["joiner"])
        is_mixed = rng.random() < 0.03
        times = rng.choices(("none", "head", "any", "tail"), (28, 24, 40, 8))[0]
        if _brings_time(own) and times in ("none", "tail"):
            times = rng.choice(("head", "any"))
        if rng.random() < 0.3:
            self._say(rng, report, rng.choice(around["opener"]))
            report.parts.append(" " if lang == "en" else "")
        if report.prints_units == 0.0 and rng.random() < 0.4:
            self._unit_head(rng, report)
        if _shares_time_behind(own):
            # Whether a time that holds or the one behind is meant for the first would be a guess.
            times = "none"
        if rng.random() < 0.1:
            kind = "event" if rng.random() < 0.5 else "aside"
            self._aside(rng, report, kind)
            report.parts.append(rng.choice(_SENTENCE_ENDS[lang]))
        if times == "head" and not any(g.endswith(" h") for g in own["gives"]):
            self._say(rng, report, rng.choice(around["head"]))
            report.parts.append(" " if lang == "en" else "")
        plan = self._plan(rng, own, wanted, times, "en" if is_mixed and lang == "ja" else lang)
        for i, clause in enumerate(plan):
            if i and len(report.readings) + len(clause["gives"]) > MAX_READINGS:
                break
            if i and report.num_chars > 260:
                break
            if report.is_stale and not _brings_time(clause):
                continue
            if report.ambient is not None and _shares_time_behind(clause):
                continue
            is_last = i == len(plan) - 1
            num_before = len(report.readings)
            self._clause(rng, report, clause)
            report.is_own_said |= clause is own and len(report.readings) > num_before
            glue = joiner
            if rng.random() < 0.2:
                glue = rng.choice(around["joiner"])
            if not is_last and report.ambient is None and _is_timed_behind(plan[i + 1]):
                # In one sentence its time would hold for what stands before it.
                is_short = len(report.readings) == 1 and plan[i + 1].get("needs")
                if not is_short and "." not in glue and "。" not in glue and "\n" not in glue:
                    glue = rng.choice(_SENTENCE_ENDS[lang])
            if rng.random() < 0.08:
                report.parts.append(glue)
                kind = "aside"
                if report.ambient is None and not report.is_stale and rng.random() < 0.3:
                    kind = "event"
                self._aside(rng, report, kind)
            report.parts.append("" if is_last else glue)
        if report.parts[-1] == joiner:
            report.parts.pop()
        if times == "tail" and report.ambient is None:
            self._tail(rng, report, joiner)
        if rng.random() < 0.55:
            report.parts.append("。" if lang == "ja" else ".")
        if rng.random() < 0.12:
            report.parts.append(rng.choice(("\n", " ")))
            self._say(rng, report, rng.choice(around["closer"]))

    def _plan(
        self, rng: Random, own: Mapping[str, Any], wanted: int, times: str, lang: str
    ) -> list[Mapping[str, Any]]:
        """Clauses of a report: its own family and others that go with it."""
        plan: list[Mapping[str, Any]] = [own]
        count = len(own["gives"])
        if own.get("needs"):
            plan.insert(0, self._other(rng, lang, times, is_first=True))
            count += len(plan[0]["gives"])
        while count < wanted:
            clause = (
                own
                if own.get("plain") and rng.random() < 0.3
                else self._other(rng, lang, times, is_first=False)
            )
            count += len(clause["gives"])
            is_before = rng.random() < 0.4 and not own.get("needs") and not clause.get("needs")
            plan.insert(0 if is_before else len(plan), clause)
        return plan

    def _other(self, rng: Random, lang: str, times: str, *, is_first: bool) -> Mapping[str, Any]:
        while True:
            clause = rng.choices(self._pool[lang], self._pool_weights[lang])[0]
            if is_first and clause.get("needs"):
                continue
            if times in ("none", "tail") and _brings_time(clause):
                continue
            return clause

    def _say(
        self, rng: Random, report: Report, template: str, bound: Mapping[str, str] | None = None
    ) -> None:
        """Write a template in which {h} may set the time that holds from here on."""
        bound = dict(bound or {})
        if "{h}" in template or "{t}" in template:
            shown, time = self.next_time(rng, report)
            bound |= {"h": shown, "t": shown}
            if "{h}" in template:
                report.ambient, report.is_stale = time, False
        report.parts.append(self.grammars[report.lang].expand(template, rng, bound=bound))

    def _unit_head(self, rng: Random, report: Report) -> None:
        """Say once which unit all values have."""
        report.common = self.new_sensor(rng, report, avoids=("ph",))
        report.common.is_unit_known = True
        unit = report.common.unit.name
        template = rng.choice(self.around[report.lang]["units"])
        bound = {"u": rng.choice(self.heads.get(unit, [unit.lstrip("?")]))}
        self._say(rng, report, template, bound)
        report.parts.append(" " if report.lang == "en" else "")

    def _tail(self, rng: Random, report: Report, joiner: str) -> None:
        shown, time = self.next_time(rng, report)
        template = rng.choice(self.around[report.lang]["tail"])
        text = self.grammars[report.lang].expand(template, rng, bound={"t": shown})
        report.parts += (joiner, text)
        for reading in report.readings:
            if reading.time is None:
                reading.time = time

    def _aside(self, rng: Random, report: Report, kind: str) -> None:
        template = rng.choice(self.around[report.lang][kind])
        other = self.new_sensor(rng, report)
        shown, end = self.next_time(rng, report)[0], self.next_time(rng, report)[0]
        bound = {
            "o": other.shown, "w": self.draw_other(rng, other, is_bare=rng.random() < 0.4),
            "w2": self.draw_other(rng, other, is_bare=False), "d": self.draw_delta(rng, other),
            "e": shown, "e2": end,
        }  # fmt: skip
        if "{o}" in template:
            report.last = None  # "it" would be this one
        report.parts.append(self.grammars[report.lang].expand(template, rng, bound=bound))

    # ------------------------------------------------------------ a clause

    def _clause(self, rng: Random, report: Report, clause: Mapping[str, Any]) -> None:
        template = rng.choice(clause["text"])
        gives = [entry.split() for entry in clause["gives"]]
        sensors = self._cast(rng, report, clause, gives)
        if sensors is None:
            return
        slots = list(dict.fromkeys(re.findall(r"\{(\w+)\}", template)))
        marks = {slot: chr(0xF0000 + i) for i, slot in enumerate(slots)}
        rules = {"is", "bare", "up", "miss", "limit", "asideadj", "who", "work", "thing", "wa",
                 "desu", "ni", "n", "date", "span", "code", "count", "U1"}  # fmt: skip
        bound = {slot: mark for slot, mark in marks.items() if slot not in rules}
        text = self.grammars[clause["lang"]].expand(template, rng, bound=bound)
        if clause["lang"] == "en":
            if rng.random() < 0.02:
                text = noise.typo(text, rng)
            if rng.random() < 0.4:
                text = text[:1].upper() + text[1:]
        is_list = bool(clause.get("alike"))
        is_one = bool(clause.get("one_name"))
        writer = _ClauseWriter(
            self, rng, report, sensors, gives, is_list=is_list, is_one_name=is_one
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

    def _cast(
        self,
        rng: Random,
        report: Report,
        clause: Mapping[str, Any],
        gives: Sequence[Sequence[str]],
    ) -> dict[str, Sensor] | None:
        """The sensors a clause speaks of; None if there is none that "it" could mean."""
        sensors: dict[str, Sensor] = {}
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
            if clause.get("one_name"):
                if report.common is not None:
                    return None
                avoids = [s.quantity for s in sensors.values()]
                other = self.new_sensor(rng, report, avoids=("ph", *avoids))
                first = next(iter(sensors.values()), None)
                other.names_unit = False
                if first is not None:
                    report.sensors.remove(other)
                    other.name, other.shown = first.name, first.shown
                elif "-" not in other.name and "_" not in other.name:
                    other.name = other.shown = self._machine(rng, report)
                sensors[slot] = other
                continue
            known = [s for s in report.sensors if s not in sensors.values()]
            if known and like is None and not clause.get("apart") and rng.random() < 0.18:
                again = rng.choice(known)
                if not (slot in is_missing and again.quantity == "ph"):
                    sensors[slot] = again
                    continue
            sensors[slot] = self.new_sensor(
                rng,
                report,
                like=like,
                avoids=("ph",) if slot in is_missing else (),
                is_apart=bool(clause.get("apart")),
            )
        return sensors

    def _side(self, rng: Random, report: Report, *, first: Sensor | None) -> Sensor:
        """One of two sides of a machine: "chiller supply", and then "return" alone."""
        sensor = self.new_sensor(rng, report, like=first, avoids=("ph",))
        sensor.names_unit = False
        if first is None:
            sides = rng.choice(_SIDES[report.lang])
            machine = rng.choice(report.names[report.lang])
            space = " " if report.lang == "en" else ""
            sensor.name = sensor.shown = f"{machine}{space}{sides[0]}"
        else:
            side = next(b for a, b in _SIDES[report.lang] if first.name.endswith(a))
            sensor.name = sensor.shown = side
        return sensor

    # ------------------------------------------------------------ lists and chats

    def _list(self, rng: Random, report: Report, lines: Sequence[str], wanted: int) -> None:
        line = rng.choice(lines)
        around = self.around[report.lang]
        is_apart = rng.random() < 0.3
        if is_apart:
            is_timed = "{h}" in line or "{t}" in line
            title = rng.choice(around["title"] if is_timed else around["title"] + around["titled"])
            self._say(rng, report, title, {"mach": self._machine(rng, report)})
            report.parts.append("\n")
        elif rng.random() < 0.5 and "{h}" not in line and "{t}" not in line:
            self._say(rng, report, rng.choice(around["head"]))
            report.parts.append("\n")
        elif rng.random() < 0.5:
            self._say(rng, report, rng.choice(around["opener"]))
            report.parts.append("\n")
        end = "\n" if rng.random() < 0.9 else rng.choice((" / ", "; ", "、", ", "))
        for i in range(max(2, wanted)):
            gives = ["s v t" if "{t}" in line else "s v h" if "{h}" in line else "s v a"]
            if "{x}" in line:
                gives = ["s x a"]
            if rng.random() < 0.1 and "(" not in line:
                gives = [gives[0].replace("v", "-").replace("x", "-")]
            if "{h}" in line and i and rng.random() < 0.2:
                report.minute -= report.step  # the same time again
            text = line.replace("{i}", str(i + 1))
            if "-" in gives[0]:
                text = text.replace("{v}", "{miss}").replace("{x}", "{miss}")
            clause = {"text": [text], "gives": gives, "lang": report.lang, "apart": is_apart}
            self._clause(rng, report, clause)
            report.parts.append(end)
            if rng.random() < 0.06:
                self._aside(rng, report, "aside")
                report.parts.append(end)
        report.parts.pop()

    def _chat(self, rng: Random, report: Report, family: str, wanted: int) -> None:
        prefixes = CHATS[rng.choice(sorted(CHATS)) if family == ASKED else family]
        prefix = rng.choice(prefixes)
        lang = report.lang
        times = "head" if "{h}" in prefix else rng.choice(("none", "any"))
        plan = self._plan(rng, self._other(rng, lang, "none", is_first=True), wanted, times, lang)
        people = [self.grammars[lang].expand("{who}", rng) for _ in range(2)]
        for i, clause in enumerate(plan):
            if i and (len(report.readings) + len(clause["gives"]) > MAX_READINGS):
                break
            if i and report.num_chars > 230:
                break
            if report.is_stale and not _brings_time(clause) and "{h}" not in prefix:
                continue
            if i:
                report.parts.append("\n")
            who = {"who": people[i % 2]}
            self._say(rng, report, prefix.replace("(", "\\(").replace(")", "\\)"), who)
            if family == ASKED and rng.random() < 0.7:
                asked = self.new_sensor(rng, report)
                questions = {
                    "en": ("what about {s}?", "{s}?", "and {s}?", "how is the {s}?", "{s} please"),
                    "ja": ("{s}は?", "{s}はどう?", "{s}お願いします", "{s}いくつ?"),
                }[lang]
                report.parts.append(rng.choice(questions).replace("{s}", asked.shown) + "\n")
                report.last, report.last_name = asked, asked.name
                self._say(
                    rng,
                    report,
                    prefix.replace("(", "\\(").replace(")", "\\)"),
                    {"who": people[(i + 1) % 2]},
                )
                replies = {
                    "en": ("{v}", "it is {v}", "{v} now", "reads {v}", "{v}, ok"),
                    "ja": ("{v}です", "{v}", "今{v}", "{v}でした"),
                }[lang]
                clause = {"text": replies, "gives": ["p v a"], "lang": lang}
            self._clause(rng, report, clause)
            if rng.random() < 0.15:
                report.parts.append("\n")
                self._say(rng, report, prefix.replace("(", "\\(").replace(")", "\\)"), who)
                self._aside(rng, report, "aside")

    # ------------------------------------------------------------ sensors, values, times

    def new_sensor(
        self,
        rng: Random,
        report: Report,
        *,
        like: Sensor | None = None,
        avoids: Sequence[str] = (),
        is_apart: bool = False,
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
        for _ in range(40):
            name, shown = self._name(rng, report, entry, is_apart=is_apart)
            folded = name.casefold()
            twins = [s for s in report.sensors if s.name.casefold() == folded]
            if not twins or (is_apart and twins[0].quantity == quantity):
                break
        if twins and like is None:
            like = twins[0]
        if like is not None:
            unit, form = like.unit, like.form
            typical = like.typical * rng.uniform(0.9, 1.1)
        else:
            drawn = rng.choices(entry["units"], [u[4] for u in entry["units"]])[0]
            unit = Unit(drawn[0], drawn[1], drawn[2], drawn[3])
            same = [s for s in report.sensors if s.unit.name == unit.name]
            form = same[0].form if same else self._form(rng, report.lang, unit.name)
            # Most values lie low in a wide range.
            skew = 1.0 if unit.low < 0 else rng.choice((1.0, 2.0, 3.0))
            typical = unit.low + (unit.high - unit.low) * rng.random() ** skew
        if _SAYS_UNIT.search(name) and (unit.name == "pH" or rng.random() < 0.6):
            form = ""
        sensor = Sensor(quantity, unit, form, name, shown, typical)
        sensor.names_unit = _SAYS_UNIT.search(name) is not None
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

    def _name(
        self, rng: Random, report: Report, entry: Mapping[str, Any], *, is_apart: bool
    ) -> tuple[str, str]:
        lang = report.lang
        if rng.random() < 0.04:
            lang = "en" if lang == "ja" else "ja"
        tags = self._tags_held if report.names["is_held"] else entry["tags"]
        if not is_apart and rng.random() < (0.34 if report.layout != "table" else 0.5):
            tag = _tag(rng, rng.choice(tags), is_any=not report.names["is_held"])
            if rng.random() < 0.72:
                return tag, tag
            name = self._plain_name(rng, report, entry, lang)
            shapes: tuple[str, ...] = (
                "{n} {t}",
                "{n} ({t})",
                "{t} ({n})",
                "{t} {n}",
                "{n} [{t}]",
                "{n} - {t}",
            )
            if lang == "ja":
                shapes = ("{n}{t}", "{n}({t})", "{t}({n})", "{t} {n}", "{n} {t}", "{t}の{n}")
            if report.layout == "table":
                shapes = ("{t} {n}", "{n} {t}", "{n} ({t})")
            if name[-1].isascii():
                shapes = ("{n} {t}", "{t} {n}", "{n} ({t})")
            return tag, rng.choice(shapes).replace("{n}", name).replace("{t}", tag)
        if is_apart:
            name = rng.choice(entry[lang])
            if rng.random() < 0.4:
                name = f"{rng.choice(self._places[lang])}{' ' if lang == 'en' else ''}{name}"
            return name, name
        name = self._plain_name(rng, report, entry, lang)
        return name, name

    def _machine(self, rng: Random, report: Report) -> str:
        """A machine, with its number or as a tag."""
        machine, number = rng.choice(report.names[report.lang]), rng.randrange(1, 13)
        if report.lang == "ja":
            return rng.choice(
                (f"{number}号機", f"{machine}{number}", machine, f"No.{number}{machine}")
            )
        if rng.random() < 0.3 and not report.names["is_held"]:
            return _tag(
                rng, rng.choice(("P", "M", "K", "C", "MTR", "PMP", "FAN", "E")), is_any=True
            )
        name = rng.choice(
            (f"{machine} {number}", f"{machine} {number}", machine, f"{machine} #{number}")
        )
        return name[0].upper() + name[1:] if rng.random() < 0.4 else name

    def _plain_name(self, rng: Random, report: Report, entry: Mapping[str, Any], lang: str) -> str:
        quantity = rng.choice(entry[lang])
        machine = rng.choice(report.names[lang])
        is_held = report.names["is_held"]
        place = rng.choice(self._places[lang])
        number = str(rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, rng.randrange(1, 40))))
        letter = rng.choice("ABCDEFGH")
        stem = machine if is_held else rng.choice(entry[f"stems_{lang}"])
        if lang == "ja":
            return self._ja_name(rng, quantity, machine, stem, place, number, letter)
        numbered = rng.choice(
            (f"{machine} {number}",) * 5
            + (f"{machine} {letter}", f"{machine} #{number}", f"No. {number} {machine}",
               f"{machine} no. {number}", f"#{number} {machine}", f"No.{number} {machine}")
        )  # fmt: skip
        if entry["id"] == "ph":
            return f"{rng.choice((stem, numbered, machine))} pH" if rng.random() < 0.9 else "pH"
        shape = rng.choices(range(10), (22, 18, 16, 9 * (not is_held), 9, 8, 6, 5, 5, 5))[0]
        match shape:
            case 0:
                name = f"{stem} {quantity}"
            case 1:
                name = f"{numbered} {quantity}"
            case 2:
                name = f"{machine} {quantity}"
            case 3:
                name = quantity
            case 4:
                name = f"{machine} {place} {quantity}"
            case 5:
                name = f"{numbered} {place} {quantity}"
            case 6:
                name = numbered
            case 7:
                name = f"{quantity} {rng.choice(('of', 'on', 'at', 'in'))} {numbered}"
                if rng.random() < 0.4:
                    name = f"{quantity} of the {machine}"
            case 8:
                name = stem
            case _:
                name = f"{numbered} {stem} {quantity}"
        words = name.split(" ")
        if len(words) > 1 and words[-1] == words[-2]:
            name = " ".join(words[:-1])
        if rng.random() < 0.12:
            name = " ".join(word[:1].upper() + word[1:] for word in name.split(" "))
        return name

    def _ja_name(
        self, rng: Random, quantity: str, machine: str, stem: str, place: str, number: str,
        letter: str,
    ) -> str:  # fmt: skip
        of = rng.choice(("", "", "の"))
        is_named = quantity[-1] in "温圧水油" and len(quantity) == 2
        if quantity == "pH":
            return f"{rng.choice((stem, machine))}{of}pH" if rng.random() < 0.9 else "pH"
        numbered = rng.choice(
            (f"{number}号{rng.choice(('機', '炉', machine))}",) * 3
            + (f"No.{number}{machine}",) * 2
            + (f"{machine}{number}", f"{machine}{letter}", f"第{number}{machine}")
        )
        match rng.choices(range(9), (20, 18, 18, 10, 9, 8, 9, 5, 6))[0]:
            case 0:
                return f"{stem}{'の' if is_named else ''}{quantity}"
            case 1:
                return f"{numbered}{of}{quantity}"
            case 2:
                return f"{machine}{of}{quantity}"
            case 3:
                return quantity if machine in self._words[False]["ja"] else f"{machine}{quantity}"
            case 4:
                return f"{machine}{place}{'の' if of else ''}{quantity}"
            case 5:
                return f"{numbered}の{machine}{quantity}"
            case 6:
                return numbered
            case 7:
                return stem
            case _:
                meter = {"温度": "温度計", "圧力": "圧力計", "流量": "流量計", "電流": "電流計"}
                base = meter.get(quantity, quantity)
                return f"{base if machine in self._words[False]['ja'] else machine + base}{number}"

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
        number = _meaning(text)
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
            style = _time_style(rng, report.lang)
        return _clock(rng, report.minute, style)

    # ------------------------------------------------------------ noise, negatives

    def _disturb(
        self, rng: Random, text: str, report: Report, draw: Draw
    ) -> tuple[str, list[Reading]]:
        """Widths and case, over the whole report; what answers copy changes with it."""
        readings = report.readings
        rate = 1.0 if draw.is_noisy else 0.2
        if rng.random() < 0.3 * rate and report.layout != "table":
            text = re.sub(r"[.。]$", "", text)
        if rng.random() < 0.35 * rate:
            change: Callable[[str], str] = rng.choice((str.upper, str.lower))
            # Case must not change a unit into another one, or a name's length.
            units = {sensor.unit.name for sensor in report.sensors}
            if not units & {"mA", "MW", "kW", "W", "m", "t", "K", "mV", "m_s2", "g"}:
                if any(re.search(r"(?<![A-Za-z0-9])A$", r.sensor) for r in readings):
                    change = str.upper  # "tank a" would end in an article
                text = change(text)
                for reading in readings:
                    reading.sensor = change(reading.sensor)
        if rng.random() < 0.4 * rate and (report.lang == "ja" or rng.random() < 0.3):
            if rng.random() < 0.5:
                text = noise.full_width(text)
            else:
                text = re.sub(r"[0-9.:]+", lambda found: noise.full_width(found[0]), text)
        if report.lang == "ja" and rng.random() < 0.2 * rate:
            text = noise.half_width_kana(text)
        is_timed = any(reading.time is not None for reading in readings)
        if draw.is_noisy and report.layout != "table" and not is_timed:
            # Sentences say for what a time holds: their marks stay where there is one.
            if rng.random() < 0.5:
                text = text.replace(", ", rng.choice((" ", " , ")))
            if rng.random() < 0.5:
                text = text.replace("、", " ")
        for reading in readings:
            reading.sensor = unicodedata.normalize("NFKC", reading.sensor)
        return text, readings

    def _negative(self, rng: Random, family: str, draw: Draw) -> Example:
        entry = self._negatives[family]
        lines = []
        for _ in range(rng.randrange(1, entry.get("max_lines", 1) + 1)):
            text = self._negative_grammar.expand(rng.choice(entry["text"]), rng)
            if entry["reason"] != "unreadable":
                if rng.random() < (0.6 if draw.is_noisy else 0.1):
                    text = noise.typo(text, rng)
                if rng.random() < 0.35:
                    text = text[:1].upper() + text[1:]
                elif rng.random() < 0.06:
                    text = noise.recase(text, rng)
                if rng.random() < (0.3 if draw.is_noisy else 0.04):
                    text = noise.full_width(text)
            lines.append(text)
        joined = rng.choice(("\n", " ", ". ")).join(lines).strip() or "�"
        return Example(family, {"text": joined}, {"abstain": entry["reason"]})


class _ClauseWriter:
    """Fills the slots of one clause in the order of its text and takes the readings down."""

    def __init__(
        self,
        generator: SensorExtractGenerator,
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
        self._generator = generator
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
                shown, self._times[slot] = self._generator.next_time(self._rng, self._report)
                before = "".join(self._report.parts[-2:])
                if is_first and re.fullmatch(r"\d{4} ?h.*", shown) and before[-1:] in ("", "\n"):
                    return shown[:4]  # at the head of a line it needs no "h"
                return shown
            case "e":
                return self._generator.next_time(self._rng, self._report)[0]
            case "v" | "x" | "q":
                sensor = self._sensor_of(slot)
                is_bare = kind == "x" or not self._prints_unit(sensor)
                text, number = self._generator.print_value(
                    self._rng, self._report, sensor, is_bare=is_bare
                )
                self._values[slot] = number
                if not is_bare:
                    self._printed.add(id(sensor))
                return text
            case "w" | "d":
                sensors = list(self._sensors.values())
                sensor = sensors[1] if slot == "w2" and len(sensors) > 1 else sensors[0]
                has_unit = self._prints_unit(sensor)
                if kind == "d":
                    text = self._generator.draw_delta(self._rng, sensor)
                    return text if has_unit else re.sub(r"[^\d.].*$", "", text)
                is_bare = not has_unit or self._rng.random() < 0.3
                if not is_bare:
                    self._printed.add(id(sensor))
                return self._generator.draw_other(self._rng, sensor, is_bare=is_bare)
            case "u":
                sensor = next(iter(self._sensors.values()))
                self._printed.add(id(sensor))
                self._is_headed = True
                forms = self._generator.heads.get(sensor.unit.name, [sensor.unit.name.lstrip("?")])
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
            if is_printed or sensor.unit.name == "pH":
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

    def _sensor_of(self, slot: str) -> Sensor:
        for sensor, value, _ in self._gives:
            if value == slot:
                return self._sensors[sensor]
        return next(iter(self._sensors.values()))

    def _prints_unit(self, sensor: Sensor) -> bool:
        """Whether values of the sensor have their unit in this clause."""
        if self._is_one_name:
            return True
        if id(sensor) not in self._units:
            rate = self._report.prints_units * (0.6 if sensor.is_unit_known else 1.0)
            self._units[id(sensor)] = self._rng.random() < rate
        return self._units[id(sensor)]


class _Table:
    """A table of one report: draws it cell by cell and notes where each value stands."""

    def __init__(
        self,
        generator: SensorExtractGenerator,
        rng: Random,
        report: Report,
        orientation: str,
        separator: str,
    ) -> None:
        self._generator = generator
        self._rng = rng
        self._report = report
        self._orientation = orientation
        self._kind = separator
        self._separator = rng.choice(SEPARATORS[separator])
        self._missing = rng.choice(MISSING_CELLS)
        if separator == "space" and not self._missing:
            self._missing = "---"
        self._unit_place = rng.choices(("head", "cell", "none"), (6, 3, 1))[0]
        self._miss_rate = rng.choice((0.0, 0.08, 0.15))
        self._is_dated = rng.random() < 0.07
        self._is_iso = report.time_style == "hm" and rng.random() < 0.2

    def write(self) -> None:
        """Write it."""
        rng = self._rng
        if rng.random() < 0.25:
            title = rng.choice(self._generator.around[self._report.lang]["opener"])
            self._report.parts += (
                self._generator.grammars[self._report.lang].expand(title, rng).strip(),
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
        num_sensors, num_times = rng.choice(
            ((1, 2), (1, 3), (2, 2), (2, 2), (2, 3), (3, 2), (2, 4), (4, 2), (3, 1), (2, 1), (1, 4))
        )
        sensors = self._sensors(num_sensors)
        times = self._times(num_times)
        corner = self._word(("time", "Time", "", "clock", "TIME"), ("時刻", "時間", "", "測定時刻"))
        if is_times_down:
            self._row([corner, *(self._head(s) for s in sensors)], is_head=True)
            for shown, time in times:
                cells = [self._cell(s, time) for s in sensors]
                self._row([shown, *cells])
            return
        corner = self._word(
            ("sensor", "Sensor", "", "point", "tag"), ("項目", "計器", "", "測定点")
        )
        self._row([corner, *(shown for shown, _ in times)], is_head=True)
        for sensor in sensors:
            self._row([self._head(sensor), *(self._cell(sensor, time) for _, time in times)])

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
        num_machines, num_sensors = rng.choice(((2, 2), (2, 2), (3, 2), (2, 3), (4, 2), (2, 1)))
        first: list[Sensor] = []
        while len(first) < num_sensors:
            sensor = self._generator.new_sensor(rng, self._report, avoids=("ph",), is_apart=True)
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
        sensors = self._sensors(rng.choice((2, 3, 3, 4, 5)))
        columns = ["sensor", "value"]
        unit_column = self._unit_place != "none" and rng.random() < 0.5 and not has_limits
        if unit_column:
            columns.append("unit")
        if has_limits:
            columns.insert(rng.choice((1, 2, 2)), "limit")
            if rng.random() < 0.4:
                columns.append("status")
        if rng.random() < 0.6:
            columns.insert(rng.choice((0, len(columns))), "time")
        titles = {
            "sensor": self._word(("sensor", "Sensor", "tag", "point"), ("項目", "計器", "測定点")),
            "value": self._word(("value", "reading", "Value", "actual"), ("値", "測定値", "実測")),
            "unit": self._word(("unit", "Unit"), ("単位",)),
            "limit": self._word(
                ("limit", "setpoint", "max", "target", "SP"), ("上限", "設定", "目標", "基準")
            ),
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
                    case "limit":
                        bare = self._unit_place != "cell"
                        text = self._generator.draw_other(rng, sensor, is_bare=bare).replace(
                            ",", ""
                        )
                        cells.append(text)
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
            sensor = self._generator.new_sensor(self._rng, self._report, like=like, avoids=("ph",))
            if self._kind == "comma" and (
                self._orientation == "one-row" or sensor.shown[-1].isdigit()
            ):
                self._separator = ", "  # else "841,817" is one number
            sensors.append(sensor)
            like = sensor if self._rng.random() < 0.35 else None
        return sensors

    def _times(self, count: int) -> list[tuple[str, str]]:
        times = []
        date = _date(self._rng)
        is_dated = self._is_dated and "月" not in date
        for _ in range(count):
            shown, time = self._generator.next_time(self._rng, self._report)
            if is_dated:
                shown = f"{date}{'T' if self._is_iso else ' '}{shown}"
            times.append((shown, time))
        return times

    def _word(self, en: Sequence[str], ja: Sequence[str]) -> str:
        return self._rng.choice(ja if self._report.lang == "ja" else en)

    def _name(self, sensor: Sensor) -> str:
        return sensor.shown

    def _unit_text(self, sensor: Sensor) -> str:
        forms = self._generator.heads.get(sensor.unit.name, [sensor.unit.name.lstrip("?")])
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
            has_unit = self._unit_place == "head" or unit_column
            unit = sensor.unit.answer if has_unit else None
            return self._missing, Reading(sensor.name, None, unit, time)
        has_comma = self._kind == "semicolon" and rng.random() < 0.1
        text = self._generator.draw_number(rng, sensor, allows_comma=False)
        number = _meaning(text)
        if has_comma:
            text = text.replace(".", ",")
        unit = sensor.unit.answer if self._unit_place != "none" or unit_column else None
        if self._unit_place == "cell" and not unit_column:
            text += sensor.form
        return text, Reading(sensor.name, number, unit, time)

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


def load() -> SensorExtractGenerator:
    """The generator, for `skilld.training`."""
    return SensorExtractGenerator()


def _brings_time(clause: Mapping[str, Any]) -> bool:
    return all(entry.split()[2] != "a" for entry in clause["gives"])


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


def _shares_time_behind(clause: Mapping[str, Any]) -> bool:
    """One time behind several readings."""
    times = [entry.split()[2] for entry in clause["gives"]]
    return any(time.startswith("t") and times.count(time) > 1 for time in times)


def _is_timed_behind(clause: Mapping[str, Any]) -> bool:
    return any(entry.split()[2].startswith("t") for entry in clause["gives"])


def _weighted(forms: Sequence[str]) -> tuple[list[str], list[float]]:
    """Forms "text~weight" as texts and weights."""
    split = [form.rsplit("~", 1) if re.search(r"~\d+$", form) else [form, "1"] for form in forms]
    return [text for text, _ in split], [float(weight) for _, weight in split]


def _meaning(text: str) -> int | float:
    """What a number means that was printed here: an integer if it has no decimals."""
    plain = text.replace(",", "")
    return float(plain) if "." in plain else int(plain)


def _tag(rng: Random, stem: str, *, is_any: bool) -> str:
    if is_any and rng.random() < 0.12:
        stem = "".join(rng.choices("ABCDEFGHIJKLMNOPRSTUVWXYZ", k=rng.randrange(1, 5)))
    stem = stem.rstrip("-")
    digits = rng.choice((1, 2, 3, 3, 3, 4))
    number = "".join(rng.choices("0123456789", k=digits))
    suffix = rng.choice(("",) * 7 + ("A", "B", "-1", "-2"))
    if stem.upper() == "PH":
        return f"{stem}-{number}"
    shape = rng.choice(("{s}-{n}",) * 5 + ("{s}{n}",) * 4 + ("{s}_{n}", "{p}-{s}-{n}", "{p}{s}{n}"))
    tag = (
        shape.replace("{s}", stem).replace("{n}", number).replace("{p}", str(rng.randrange(1, 30)))
    )
    if tag[0].isdigit() and "-" not in tag and len(stem) < 2:
        tag = f"{stem}-{number}"
    return tag + suffix


_SIDES = {
    "en": (("supply", "return"), ("inlet", "outlet"), ("top", "bottom"), ("left", "right"),
           ("suction", "discharge"), ("upper", "lower"), ("front", "rear")),
    "ja": (("入口", "出口"), ("上部", "下部"), ("左側", "右側"), ("吸込", "吐出"),
           ("前側", "後側")),
}  # fmt: skip
_SENTENCE_ENDS = {"en": (". ", ". ", "\n", ".\n", "; "), "ja": ("。", "。", "\n", "。\n")}
_EN_STYLES = (
    ("hm",) * 10 + ("ampm",) * 4 + ("short",) * 4 + ("h", "military", "zero", "oclock", "hms")
)
_JA_STYLES = ("hm",) * 6 + ("ji",) * 7 + ("gogo",) * 4


def _time_style(rng: Random, lang: str) -> str:
    return rng.choice(_EN_STYLES if lang == "en" else _JA_STYLES)


def _clock(rng: Random, minute: int, style: str) -> tuple[str, str]:
    """A time of day as written, and as `HH:MM`."""
    hour, past = divmod(minute, 60)
    label = f"{hour:02d}:{past:02d}"
    twelve = hour % 12 or 12
    half = "am" if hour < 12 else "pm"
    if style in ("ampm", "short"):
        half = rng.choice((half, half, half.upper(), f"{half[0]}.m."))
        space = rng.choice(("", " "))
        if minute in (0, 720) and rng.random() < 0.5:
            return ("midnight", "noon")[minute // 720], label
        if past == 0 and (style == "short" or rng.random() < 0.3):
            return f"{twelve}{space}{half}", label
        return f"{twelve}:{past:02d}{space}{half}", label
    match style:
        case "ji" | "gogo":
            if style == "gogo":
                if minute == 720 and rng.random() < 0.7:
                    return "正午", label
                prefix, hour = ("午前", hour) if hour < 12 else ("午後", hour - 12)
                if (prefix, hour) == ("午後", 0):
                    hour = 12
            else:
                prefix = ""
            if past == 0:
                return f"{prefix}{hour}時", label
            if past == 30 and rng.random() < 0.6:
                return f"{prefix}{hour}時半", label
            return f"{prefix}{hour}時{past}分", label
        case "h":
            return f"{hour}h{past:02d}", label
        case "military":
            return f"{hour:02d}{past:02d}{rng.choice(('h', ' hrs', 'hrs', ' h'))}", label
        case "zero" if hour < 10:
            return f"{hour:02d}{past:02d}", label
        case "oclock" if past == 0 and 1 <= hour <= 12:
            return f"{hour} o'clock", label
        case "hms":
            return f"{hour:02d}:{past:02d}:{rng.randrange(60):02d}", label
    if minute == 720 and rng.random() < 0.2:
        return "noon", label
    if rng.random() < 0.03:
        return label + rng.choice(("h", " h", " hrs")), label
    return rng.choice((f"{hour}:{past:02d}", label)), label


def _code(rng: Random) -> str:
    letters = "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=rng.randrange(1, 4)))
    digits = "".join(rng.choices("0123456789", k=rng.randrange(3, 7)))
    return rng.choice((digits, f"{letters}{digits}", f"{letters}-{digits}"))


def _count(rng: Random) -> str:
    return str(rng.choice((rng.randrange(1, 20), rng.randrange(20, 2000), rng.randrange(1, 9))))


def _date(rng: Random) -> str:
    year, month, day = rng.randrange(2023, 2028), rng.randrange(1, 13), rng.randrange(1, 29)
    return rng.choice(
        (f"{year}-{month:02d}-{day:02d}", f"{year}/{month}/{day}", f"{day}.{month}.{year}",
         f"{month}月{day}日", f"{month}/{day}/{year}")
    )  # fmt: skip


def _span(rng: Random) -> str:
    start = rng.choice((6, 7, 8, 14, 22, 23))
    return f"{start:02d}:00{rng.choice(('-', ' - ', ' to ', '–'))}{(start + 8) % 24:02d}:00"
