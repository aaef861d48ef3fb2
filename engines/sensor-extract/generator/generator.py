"""Puts everything together: one example of a family."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from skilld.skills.pointing import SpanError, SpanRules
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

from .clocks import time_style
from .layouts import (
    ASKED,
    CHATS,
    HELD_CHATS,
    HELD_COMBINATIONS,
    HELD_LISTS,
    HELD_TABLES,
    LISTS,
    MAX_CHARS,
    NUM_READINGS,
    NUM_SHORT,
    TABLES,
)
from .lists import Lists
from .meaning import Reading, Report
from .plans import Plans
from .plant import Plant
from .prose import Prose
from .scribe import Scribe
from .tables import Table

VERSION = "2.1.0"
FOLDER = Path(__file__).parents[1]


class SensorExtractGenerator:
    """See the package; the protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        def read(name: str) -> dict[str, Any]:
            return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))

        lexicon, clauses, negatives = (
            read(n) for n in ("lexicon.toml", "clauses.toml", "negatives.toml")
        )
        skill = read("skills/sensor-extract.toml")
        self._rules = SpanRules.model_validate(skill["spans"])
        self._schema = skill["output_schema"]
        self._clauses: dict[str, dict[str, Any]] = {c["id"]: c for c in clauses["clause"]}
        self._plant = Plant(lexicon)
        self._scribe = Scribe(self._plant, clauses)
        plans = Plans(self._clauses)
        self._prose = Prose(self._scribe, plans)
        self._lists = Lists(self._scribe, plans)
        machines = lexicon["machines"]
        self._held_values = (
            *machines["en_held"],
            *machines["ja_held"],
            *machines["tags_held"],
        )
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
            c["id"]: c.get("weight", 1.0) ** 0.5 * (7.0 if c.get("plain") else 1.0)
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
            names={**self._plant.names.words[draw.held_values], "is_held": draw.held_values},
            layout=layout,
            is_held_combination=draw.held_combination,
            time_style=time_style(rng, lang),
            minute=rng.randrange(1440),
            step=rng.choice((5, 10, 15, 30, 60, 60, 120)),
            prints_units=rng.choices((1.0, 0.5, 0.0), (80, 11, 9))[0],
            is_short=rng.random() < 0.5,
        )
        report.minute -= report.minute % rng.choice((1, 5, 5, 10, 30, 60))
        if draw.held_values or draw.held_combination or family in self.held_families:
            report.is_short = False  # what is held out is as long as ever
        shares = (NUM_SHORT if report.is_short else NUM_READINGS)[layout]
        wanted = 1 + rng.choices(range(len(shares)), shares)[0]
        match layout:
            case "prose":
                self._prose.write(rng, report, self._clauses[family], wanted)
            case "list":
                self._lists.write(rng, report, LISTS[family], wanted)
            case "chat":
                self._lists.write_chat(rng, report, family, wanted)
            case _:
                Table(self._scribe, rng, report, *self._tables[family]).write()
        report.readings.sort(key=lambda reading: reading.at)
        return report

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
