"""Logs of faults that were imagined first and written down afterwards.

An incident is sampled (what broke, how badly, what it dragged along, when), then its lines are
rendered in one family's layout; labels come from the incident, never from the text. Words are in
lexicon.toml, layouts in families.toml, inputs that are no fault log in negatives.toml.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from skilld.training import noise
from skilld.training.clocks import CLOCKS, RESOLUTION_S
from skilld.training.example import Example
from skilld.training.grammar import Grammar
from skilld.training.readings import Reading
from skilld.training.terminals import terminals

VERSION = "1.0.0"
FOLDER = Path(__file__).parent
HANDS_ON = frozenset(
    {
        "inspect", "replace", "check_wiring", "lubricate", "refill", "clean", "clear_jam",
        "call_maintenance", "stop_line",
    }
)  # fmt: skip
"""Actions that need a person at the machine."""

LINE_COUNTS = (26, 16, 17, 13, 10, 7, 6, 5)
"""How often a log has 1, 2, ... 8 lines."""

# These read as device addresses ("M104", "X12"), so no fault code looks like them.
_DEVICE = re.compile(
    r"(?:M|CV|P|AX|DRV|PT|TT|LS|Y|X|K|D|J|B|AI|INV|CAM|T|CH|ST|OP|Q|I)[0-9]{1,4}", re.IGNORECASE
)

LEVEL_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "upper": {
        "critical": ("CRITICAL", "FATAL", "CRIT", "EMERG"),
        "alarm": ("ALARM", "ERROR", "FAULT", "ERR", "ALM"),
        "warning": ("WARNING", "WARN"),
        "info": ("INFO", "OK", "NOTICE", "INFO"),
    },
    "short": {
        "critical": ("CRIT", "FTL"),
        "alarm": ("ALM", "ERR", "FLT"),
        "warning": ("WRN", "WARN"),
        "info": ("INF", "INFO", "EVT"),
    },
}
_JA_LEVELS = {
    "critical": ("重大", "重故障", "緊急"),
    "alarm": ("警報", "異常", "アラーム", "故障"),
    "warning": ("警告", "注意", "軽故障"),
    "info": ("情報", "正常", "通知"),
}


@dataclass(frozen=True, slots=True)
class Family:
    """One layout; see the head of families.toml."""

    id: str
    lang: str
    ts: tuple[str, ...]
    line: str
    level: str
    weight: float
    caps: bool
    worded: bool  # a code stands beside numbers, so it must hold a letter to be told apart


@dataclass(slots=True)
class Line:
    """One line before it is written."""

    role: str  # "root", "fault", "follower", "repeat", "chatter"
    message: str
    code: str | None
    level: str
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What broke and how bad it is, with the words for it."""

    kind: Mapping[str, Any]
    severity: str
    is_judged: bool
    message: str
    code: str | None

    @property
    def action(self) -> str:
        """See README.md, "Rules"."""
        if self.severity == "critical":
            return "stop_line"
        if self.is_judged and self.severity in ("info", "warning"):
            return "monitor"
        return str(self.kind["action"])


@dataclass(slots=True)
class _Names:
    machine_en: list[str]
    machine_ja: list[str]
    tag: list[str]
    host: list[str]
    code: list[str]


@dataclass(slots=True)
class _Log:
    """What all lines of one log share."""

    family: Family
    ts_style: str
    start_s: float
    machine: str
    host: str
    tag: str
    seq: int
    pid: int
    level_words: dict[str, str] = field(default_factory=dict)


class PlcTriageGenerator:
    """See the module docstring; the protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        lexicon = tomllib.loads((FOLDER / "lexicon.toml").read_text(encoding="utf-8"))
        layouts = tomllib.loads((FOLDER / "families.toml").read_text(encoding="utf-8"))
        negatives = tomllib.loads((FOLDER / "negatives.toml").read_text(encoding="utf-8"))
        self._kinds: list[dict[str, Any]] = lexicon["kind"]
        self._followers = lexicon["followers"]
        self._chatter = lexicon["chatter"]
        self._around = lexicon["around"]
        self._value_only = lexicon["value_only"]
        self._with_limits = lexicon["with_limits"]
        names = lexicon["names"]
        self._open = _Names(*(names[k] for k in _Names.__slots__))
        self._held = _Names(*(names[f"{k}_held"] for k in _Names.__slots__))
        self._families = {
            f["id"]: Family(
                id=f["id"],
                lang=f["lang"],
                ts=tuple(f["ts"]),
                line=f["line"],
                level=f["level"],
                weight=f.get("weight", 1.0),
                caps=f.get("caps", False),
                worded=f.get("worded", False),
            )
            for f in layouts["family"]
        }
        self._held_families = {f["id"] for f in layouts["family"] if f.get("held")}
        self._negatives = {f["id"]: f for f in negatives["family"]}
        self._held_families |= {f["id"] for f in negatives["family"] if f.get("held")}
        self._held_values = tuple(
            value.split("{")[0]
            for k in _Names.__slots__
            for value in names[f"{k}_held"]
            if not value.startswith("{")
        )
        drawn = terminals()
        self._grammars = {
            lang: Grammar(lexicon["slots"][lang], terminals=drawn) for lang in ("en", "ja")
        }
        self._layout = Grammar(negatives["rules"], terminals=drawn)

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in seven."""
        weights = {f.id: f.weight for f in self._families.values()}
        total = sum(weights.values())
        negative_total = sum(f.get("weight", 1.0) for f in self._negatives.values())
        # "no_fault" logs are written in the layouts above, as one more family of their own.
        scale = total * 0.115 / negative_total
        for name, family in self._negatives.items():
            weights[name] = family.get("weight", 1.0) * scale
        weights["no-fault"] = total * 0.05
        weights["no-fault-held"] = total * 0.05 * len(self._held_families) / len(self._families)
        return weights

    @property
    def held_families(self) -> frozenset[str]:
        """Layouts and kinds of foreign text that training never sees."""
        return frozenset(self._held_families | {"no-fault-held"})

    @property
    def held_values(self) -> tuple[str, ...]:
        """Names and identifier stems that training never sees."""
        return self._held_values

    def sample(self, rng: Random, *, family: str, use_held_values: bool) -> Example:
        """One example of a family."""
        if family in self._negatives:
            return self._negative(rng, family)
        names = self._held if use_held_values else self._open
        if family.startswith("no-fault"):
            held = family.endswith("held")
            layouts = [
                f
                for f in self._families.values()
                if (f.id in self._held_families) == held and f.id not in ("en-note", "ja-note")
            ]
            layout = rng.choices(layouts, [f.weight for f in layouts])[0]
            lines = self._normal_log(rng, layout, names)
            return Example(family, {"lines": lines}, {"abstain": "no_fault"})
        return self._incident(rng, self._families[family], names)

    # ------------------------------------------------------------ an incident

    def _incident(self, rng: Random, family: Family, names: _Names) -> Example:
        num_lines = rng.choices(range(1, 9), LINE_COUNTS)[0]
        log = self._log(rng, family, names)
        has_level = "{lvl}" in family.line
        root = self._fault(rng, _language(family, rng), names, family=family)
        root_level = self._level_shown(rng, root, has_level=has_level)
        lines = [Line("root", root.message, root.code, root_level)]
        before = 0
        for _ in range(num_lines - 1):
            role = rng.choices(("chatter", "follower", "fault", "repeat"), (34, 34, 22, 10))[0]
            if root.severity == "info":  # nothing can follow from what is in order
                role = "chatter"
            lang = _language(family, rng)
            match role:
                case "chatter":
                    lines.append(self._chatter_line(rng, lang, family=family))
                    before += rng.random() < 0.6
                case "follower":
                    message = self._grammars[lang].expand(rng.choice(self._followers[lang]), rng)
                    code = (
                        self._code(rng, names, needs_letter=family.worded)
                        if rng.random() < 0.35
                        else None
                    )
                    level = rng.choice(("alarm", "warning", "alarm", "critical"))
                    lines.append(Line("follower", message, code, level))
                case "fault":
                    other = self._fault(rng, lang, names, family=family)
                    level = self._level_shown(rng, other, has_level=has_level)
                    lines.append(Line("fault", other.message, other.code, level))
                case _:
                    suffix = rng.choice((" (repeat)", " (x2)", "", "", " again"))
                    message = root.message + suffix
                    lines.append(Line("repeat", message, root.code, root_level))
        chatter = [line for line in lines if line.role == "chatter"]
        rest = [line for line in lines[1:] if line.role != "chatter"]
        rng.shuffle(rest)
        # A repeat or a consequence cannot come first; normal lines may lie anywhere.
        ordered = [*chatter[:before], lines[0], *rest]
        for line in chatter[before:]:
            ordered.insert(rng.randrange(before, len(ordered) + 1), line)
        listed = self._clocked(rng, log, ordered)
        written = [self._write(rng, log, line) for line in listed]
        first_line = 1 + next(i for i, line in enumerate(listed) if line.role == "root")
        code = root.code
        if code is not None:
            code = unicodedata.normalize("NFKC", code)
        subsystem = str(root.kind["subsystem"])
        return Example(
            family.id,
            {"lines": written},
            {
                "fault_code": code,
                "subsystem": subsystem,
                "severity": root.severity,
                "first_line": first_line,
                "action": root.action,
                "needs_human": root.action in HANDS_ON
                or root.severity == "critical"
                or subsystem == "safety",
            },
        )

    def _fault(self, rng: Random, lang: str, names: _Names, *, family: Family) -> Fault:
        has_level = "{lvl}" in family.line
        kind = rng.choice(self._kinds)
        phrase = self._grammars[lang].expand(rng.choice(kind[lang]), rng).strip()
        if rng.random() < 0.15:
            around = rng.choice(self._around[lang])
            phrase = self._grammars[lang].expand(around, rng, bound={"p": phrase})
        phrase = self._noisy(rng, phrase, lang)
        code = self._code(rng, names, needs_letter=family.worded) if rng.random() < 0.8 else None
        severity, is_judged, message = str(kind["severity"]), False, phrase
        quantity = kind.get("quantity")
        if quantity is not None and rng.random() < 0.72:
            reading = Reading.sample(rng, quantity)
            if rng.random() < 0.15:
                message = self._grammars[lang].expand(
                    rng.choice(self._value_only[lang]), rng, bound=reading.bound | {"p": phrase}
                )
            else:
                severity, is_judged = reading.severity, True
                template = rng.choice(self._with_limits[lang][reading.limits])
                message = self._grammars[lang].expand(
                    template, rng, bound=reading.bound | {"p": phrase}
                )
        if not is_judged and has_level and rng.random() < 0.45:
            severity = rng.choice(("warning", "alarm", "critical"))
        return Fault(kind, severity, is_judged, message, code)

    def _level_shown(self, rng: Random, fault: Fault, *, has_level: bool) -> str:
        """The level word of a line: its severity, unless a value in the text says otherwise."""
        if has_level and fault.is_judged and rng.random() < 0.4:
            return rng.choice(("warning", "alarm", "critical"))
        return fault.severity

    def _code(self, rng: Random, names: _Names, *, needs_letter: bool) -> str:
        while True:
            code = self._layout.expand(rng.choice(names.code), rng)
            if rng.random() < 0.05:
                code = code.lower()
            is_open = names is self._held or not code.startswith(self._held_values)
            is_worded = not needs_letter or any(c.isalpha() for c in code)
            if is_open and is_worded and not _DEVICE.fullmatch(code):
                return code

    def _chatter_line(self, rng: Random, lang: str, *, family: Family) -> Line:
        message = self._grammars[lang].expand(rng.choice(self._chatter[lang]), rng)
        code = None
        if rng.random() < 0.12:
            code = self._code(rng, self._open, needs_letter=family.worded)
        return Line("chatter", message, code, "info")

    def _normal_log(self, rng: Random, family: Family, names: _Names) -> list[str]:
        log = self._log(rng, family, names)
        num_lines = rng.choices(range(1, 9), LINE_COUNTS)[0]
        lines = [
            self._chatter_line(rng, _language(family, rng), family=family) for _ in range(num_lines)
        ]
        return [self._write(rng, log, line) for line in self._clocked(rng, log, lines)]

    def _noisy(self, rng: Random, phrase: str, lang: str) -> str:
        if lang == "en":
            if rng.random() < 0.12:
                phrase = noise.typo(phrase, rng)
            if rng.random() < 0.03:
                phrase = noise.misread(phrase, rng)
            if rng.random() < 0.35:
                phrase = phrase[:1].upper() + phrase[1:]
            elif rng.random() < 0.18:
                phrase = noise.recase(phrase, rng)
        return phrase

    # ------------------------------------------------------------ writing it down

    def _log(self, rng: Random, family: Family, names: _Names) -> _Log:
        machines = names.machine_ja if family.lang == "ja" else names.machine_en
        log = _Log(
            family=family,
            ts_style=rng.choice(family.ts),
            start_s=float(rng.randrange(0, 86400 * 700)),
            machine=rng.choice(machines),
            host=self._layout.expand(rng.choice(names.host), rng),
            tag=self._layout.expand(rng.choice(names.tag), rng),
            seq=rng.choice((1, rng.randrange(1, 100), rng.randrange(100, 9000))),
            pid=rng.randrange(100, 32000),
        )
        for tier in ("critical", "alarm", "warning", "info"):
            log.level_words[tier] = _level_word(rng, family.level, tier)
        return log

    def _clocked(self, rng: Random, log: _Log, ordered: list[Line]) -> list[Line]:
        """Give every line its time, then list them as such logs are listed."""
        step_s = RESOLUTION_S[log.ts_style]
        longest_s = rng.choice((2.0, 30.0, 240.0))
        # Clocks without a date or in 12 hours must not wrap within one log.
        at_s = log.start_s - log.start_s % 43200 + rng.uniform(3600, 34000)
        at_s -= at_s % step_s
        log.start_s = at_s
        for line in ordered:
            line.at_s = at_s
            gap_s = rng.uniform(0.0, longest_s)
            at_s += max(step_s, gap_s - gap_s % step_s)
        if log.ts_style == "none" or len(ordered) < 2:
            return ordered
        match rng.choices(("clock", "newest_first", "mixed"), (62, 18, 20))[0]:
            case "clock":
                return ordered
            case "newest_first":
                return ordered[::-1]
            case _:
                mixed = list(ordered)
                rng.shuffle(mixed)
                return mixed

    def _write(self, rng: Random, log: _Log, line: Line) -> str:
        layout = log.family.line
        while "«" in layout:
            start, end = layout.index("«"), layout.index("»")
            kept = layout[start + 1 : end] if line.code is not None else ""
            # A column stays when it is empty; «code» alone is a column.
            layout = layout[:start] + kept + layout[end + 1 :]
        if rng.random() < 0.06:
            log.tag = self._layout.expand(rng.choice(self._open.tag), rng)
        message = line.message
        if log.family.caps:
            message = message.upper()
        if line.role in ("chatter", "follower") and rng.random() < 0.05:
            message = noise.truncate(message, rng)
        bound = {
            "ts": CLOCKS[log.ts_style](line.at_s, log.start_s),
            "lvl": log.level_words[line.level],
            "code": line.code or "",
            "msg": message,
            "mc": log.machine,
            "tag": log.tag,
            "host": log.host,
            "seq": str(log.seq),
            "pid": str(log.pid),
        }
        log.seq += 1
        text = self._layout.expand(layout, rng, bound=bound)
        if log.family.lang != "en" and rng.random() < 0.04:
            text = noise.half_width_kana(text)
        elif rng.random() < 0.02:
            text = noise.full_width(text)
        return text.strip()

    def _negative(self, rng: Random, family: str) -> Example:
        entry = self._negatives[family]
        num_lines = rng.randrange(entry.get("min_lines", 1), entry.get("max_lines", 2) + 1)
        lines = []
        for _ in range(num_lines):
            text = self._layout.expand(rng.choice(entry["text"]), rng)
            if entry["reason"] == "not_a_log" and rng.random() < 0.1:
                text = noise.typo(text, rng)
            if rng.random() < 0.08:
                text = noise.recase(text, rng)
            lines.append(text)
        return Example(family, {"lines": lines}, {"abstain": entry["reason"]})


def load() -> PlcTriageGenerator:
    """The generator, for `skilld.training`."""
    return PlcTriageGenerator()


def _language(family: Family, rng: Random) -> str:
    return rng.choice(("en", "ja")) if family.lang == "mixed" else family.lang


def _level_word(rng: Random, style: str, tier: str) -> str:
    match style:
        case "":
            return ""
        case "ja":
            return rng.choice(_JA_LEVELS[tier])
        case "lower":
            return rng.choice(LEVEL_WORDS["upper"][tier]).lower()
        case "title":
            return rng.choice(LEVEL_WORDS["upper"][tier]).title()
        case _:
            return rng.choice(LEVEL_WORDS[style][tier])
