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
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.readings import Reading
from skilld.training.terminals import terminals

VERSION = "2.4.0"
FOLDER = Path(__file__).parent
HANDS_ON = frozenset(
    {
        "inspect", "replace", "check_wiring", "lubricate", "refill", "clean", "clear_jam",
        "call_maintenance", "stop_line",
    }
)  # fmt: skip
"""Actions that need a person at the machine."""

LINE_COUNTS = (42, 22, 16, 9, 5, 3, 2, 1)
"""How often a log has 1, 2, ... 8 lines."""

HOLD_EVERY = 8
"""One in so many pairs of a kind of fault and what its severity follows from is held out."""

# These read as device addresses ("M104", "X12"), so no fault code looks like them.
_DEVICE = re.compile(
    r"(?:M|CV|P|AX|DRV|PT|TT|LS|Y|X|K|D|J|B|AI|INV|CAM|T|CH|ST|OP|Q|I)[0-9]{1,4}", re.IGNORECASE
)

# A phrase that says "low" cannot be judged by a value that must not be high, and the other way.
_OPPOSITE = {
    "high": re.compile(
        r"\b(?:low|under|below|drop|dropped|weak|lost|loss of|insufficient|slow|slower|min)\b"
        r"|低|不足|下限|下回|落ち|弱",
        re.IGNORECASE,
    ),
    "low": re.compile(
        r"\b(?:high|hi|over|above|max|exceed\w*|too much|increas\w+|rising|overdue|no.?read)\b"
        r"|高|過大|上限|上昇|超過|超え|増加|多発|オーバー",
        re.IGNORECASE,
    ),
}

LEVEL_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "upper": {
        "critical": ("CRITICAL", "FATAL", "CRIT", "EMERG"),
        "alarm": ("ALARM", "ERROR", "FAULT", "ERR", "ALM"),
        "warning": ("WARNING", "WARN"),
        "info": ("INFO", "OK", "NOTICE", "INFO"),
    },
    "short": {
        "critical": ("CRIT", "FTL", "CRT"),
        "alarm": ("ALM", "ERR", "FLT"),
        "warning": ("WRN", "WARN", "WNG"),
        "info": ("INF", "INFO", "EVT"),
    },
    "letter": {"critical": ("F", "C"), "alarm": ("E", "A"), "warning": ("W",), "info": ("I",)},
    "ja": {
        "critical": ("重大", "重故障", "緊急"),
        "alarm": ("警報", "異常", "アラーム", "故障"),
        "warning": ("警告", "注意", "軽故障"),
        "info": ("情報", "正常", "通知"),
    },
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
    note: bool  # somebody's words, not a machine's: few lines, longer sentences


@dataclass(slots=True)
class Line:
    """One line before it is written."""

    role: str  # "root", "fault", "follower", "repeat", "chatter"
    message: str
    code: str | None
    level: str
    at_s: float = 0.0
    has_clock: bool = True


@dataclass(frozen=True, slots=True)
class Fault:
    """What broke and how bad it is, with the words for it."""

    kind: Mapping[str, Any]
    severity: str
    source: str  # of the severity: "limits", "level" or "default"
    message: str
    code: str | None

    @property
    def action(self) -> str:
        """See README.md, "Rules"."""
        if self.severity == "critical":
            return "stop_line"
        if self.source == "limits" and self.severity in ("info", "warning"):
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
                note=f.get("note", False),
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
        pairs = [
            (kind["id"], source)
            for kind in self._kinds
            for source in ("default", "level", *(("limits",) if "quantity" in kind else ()))
        ]
        self._held_pairs = frozenset(pairs[HOLD_EVERY // 2 :: HOLD_EVERY])
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
        scale = total * 0.125 / negative_total
        for name, family in self._negatives.items():
            weights[name] = family.get("weight", 1.0) * scale
        weights["no-fault"] = total * 0.06
        weights["no-fault-held"] = total * 0.06 * len(self._held_families) / len(self._families)
        return weights

    @property
    def held_families(self) -> frozenset[str]:
        """Layouts and kinds of foreign text that training never sees."""
        return frozenset(self._held_families | {"no-fault-held"})

    @property
    def held_values(self) -> tuple[str, ...]:
        """Names and identifier stems that training never sees."""
        return self._held_values

    @property
    def held_combinations(self) -> frozenset[str]:
        """Kinds of fault, each with one source of its severity, that training never sees."""
        return frozenset(f"{kind}+{source}" for kind, source in self._held_pairs)

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family."""
        if family in self._negatives:
            return self._negative(rng, family, draw)
        names = self._held if draw.held_values else self._open
        if family.startswith("no-fault"):
            held = family.endswith("held")
            layouts = [
                f
                for f in self._families.values()
                if (f.id in self._held_families) == held and not f.note
            ]
            layout = rng.choices(layouts, [f.weight for f in layouts])[0]
            lines = self._normal_log(rng, layout, names)
            return Example(family, {"lines": lines}, {"abstain": "no_fault"})
        return self._incident(rng, self._families[family], names, draw)

    # ------------------------------------------------------------ an incident

    def _incident(self, rng: Random, family: Family, names: _Names, draw: Draw) -> Example:
        num_lines = rng.choices(range(1, 9), LINE_COUNTS)[0]
        if family.note:
            num_lines = rng.choice((1, 1, 1, 2, 2, 3))
        log = self._log(rng, family, names)
        lang = _language(family, rng)
        kind, source = self._pair(rng, family, held=draw.held_combination)
        root = self._fault(rng, lang, names, family=family, kind=kind, source=source, draw=draw)
        lines = [Line("root", root.message, root.code, self._level_shown(rng, root))]
        before = 0
        for _ in range(num_lines - 1):
            role = rng.choices(("chatter", "follower", "fault", "repeat"), (32, 34, 26, 8))[0]
            if root.severity == "info":  # nothing can follow from what is in order
                role = "chatter"
            lang = _language(family, rng)
            match role:
                case "chatter":
                    lines.append(self._chatter_line(rng, lang, family=family))
                    before += rng.random() < 0.6
                case "follower":
                    message = self._grammars[lang].expand(rng.choice(self._followers[lang]), rng)
                    code = None
                    if rng.random() < 0.3:
                        code = self._code(rng, names, needs_letter=family.worded)
                    level = rng.choice(("alarm", "warning", "alarm", "critical"))
                    lines.append(Line("follower", message, code, level))
                case "fault":
                    kind, source = self._pair(rng, family, held=False)
                    other = self._fault(
                        rng, lang, names, family=family, kind=kind, source=source, draw=draw
                    )
                    level = self._level_shown(rng, other)
                    lines.append(Line("fault", other.message, other.code, level))
                case _:
                    suffix = rng.choice((" (repeat)", " (x2)", "", "", " again"))
                    lines.append(Line("repeat", root.message + suffix, root.code, lines[0].level))
        chatter = [line for line in lines if line.role == "chatter"]
        rest = [line for line in lines[1:] if line.role != "chatter"]
        rng.shuffle(rest)
        # A repeat or a consequence cannot come first; normal lines may lie anywhere.
        ordered = [*chatter[:before], lines[0], *rest]
        for line in chatter[before:]:
            ordered.insert(rng.randrange(before, len(ordered) + 1), line)
        listed = self._clocked(rng, log, ordered)
        written = [self._write(rng, log, line, draw) for line in listed]
        subsystem = str(root.kind["subsystem"])
        return Example(
            family.id,
            {"lines": written},
            {
                "first_line": 1 + next(i for i, x in enumerate(listed) if x.role == "root"),
                "fault_code": root.code and unicodedata.normalize("NFKC", root.code),
                "subsystem": subsystem,
                "severity": root.severity,
                "action": root.action,
                "needs_human": root.action in HANDS_ON
                or root.severity == "critical"
                or subsystem == "safety",
            },
            combination=f"{root.kind['id']}+{root.source}",
        )

    def _pair(self, rng: Random, family: Family, *, held: bool) -> tuple[dict[str, Any], str]:
        """A kind of fault, and what its severity will follow from."""
        unjudged = "level" if family.level else "default"
        while True:
            kind = rng.choice(self._kinds)
            source = unjudged
            if "quantity" in kind and rng.random() < 0.62:
                source = "limits"
            if ((kind["id"], source) in self._held_pairs) == held:
                return kind, source

    def _fault(
        self,
        rng: Random,
        lang: str,
        names: _Names,
        *,
        family: Family,
        kind: Mapping[str, Any],
        source: str,
        draw: Draw,
    ) -> Fault:
        grammar = self._grammars[lang]
        phrase = grammar.expand(rng.choice(kind[lang]), rng).strip()
        while source == "limits" and _OPPOSITE[kind["quantity"]["direction"]].search(phrase):
            phrase = grammar.expand(rng.choice(kind[lang]), rng).strip()
        phrase = self._noisy(rng, phrase, lang, draw)
        if rng.random() < (0.5 if family.note else 0.18):
            around = rng.choice(self._around["note" if family.note else "log"][lang])
            phrase = grammar.expand(around, rng, bound={"p": phrase})
        code = None
        if rng.random() < (0.5 if family.note else 0.78):
            code = self._code(rng, names, needs_letter=family.worded)
        severity, message = str(kind["severity"]), phrase
        if source == "limits":
            reading = Reading.sample(rng, kind["quantity"])
            severity = reading.severity
            template = rng.choice(self._with_limits[lang][reading.limits])
            message = grammar.expand(template, rng, bound=reading.bound | {"p": phrase})
        elif "quantity" in kind and rng.random() < 0.25:
            reading = Reading.sample(rng, kind["quantity"])
            template = rng.choice(self._value_only[lang])
            message = grammar.expand(template, rng, bound=reading.bound | {"p": phrase})
        if source == "level" and rng.random() < 0.55:
            severity = rng.choice(("warning", "alarm", "critical"))
        return Fault(kind, severity, source, message, code)

    def _level_shown(self, rng: Random, fault: Fault) -> str:
        """The level word of a line: its severity, unless a value in the text says otherwise."""
        if fault.source == "limits" and (fault.severity == "info" or rng.random() < 0.4):
            return rng.choice(("warning", "alarm", "critical"))
        return fault.severity

    def _code(self, rng: Random, names: _Names, *, needs_letter: bool) -> str:
        while True:
            code = self._layout.expand(rng.choice(names.code), rng)
            if rng.random() < 0.04:
                code = code.lower()
            is_open = names is self._held or not code.startswith(self._held_values)
            is_worded = not needs_letter or any(c.isalpha() for c in code)
            has_digit = any(c.isdigit() for c in code)
            if is_open and is_worded and has_digit and not _DEVICE.fullmatch(code):
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
        return [self._write(rng, log, line, Draw()) for line in self._clocked(rng, log, lines)]

    def _noisy(self, rng: Random, phrase: str, lang: str, draw: Draw) -> str:
        """A phrase as fingers and cameras leave it; codes and values are not in it yet."""
        if draw.is_noisy:
            for _ in range(rng.choice((1, 1, 2, 3))):
                change = rng.choice(
                    (noise.typo, noise.typo, noise.misread, _drop_space, noise.recase)
                )
                phrase = change(phrase, rng) if lang == "en" else _drop_one(phrase, rng)
            return phrase
        if lang == "ja":
            return _drop_one(phrase, rng) if rng.random() < 0.03 else phrase
        if rng.random() < 0.12:
            phrase = noise.typo(phrase, rng)
        if rng.random() < 0.03:
            phrase = noise.misread(phrase, rng)
        if rng.random() < 0.03:
            phrase = _drop_space(phrase, rng)
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
        order = rng.choices(("clock", "newest_first", "mixed"), (60, 18, 22))[0]
        for line in ordered:
            line.at_s = at_s
            gap_s = rng.uniform(0.0, longest_s)
            # Equal clocks leave the order to the position, so only where that tells it.
            is_tie = order == "clock" and rng.random() < 0.08
            at_s += 0.0 if is_tie else max(step_s, gap_s - gap_s % step_s)
        if log.ts_style == "none" or len(ordered) < 2:
            return ordered
        match order:
            case "clock":
                if rng.random() < 0.08:
                    for line in ordered[1:]:
                        line.has_clock = rng.random() < 0.5
                return ordered
            case "newest_first":
                return ordered[::-1]
            case _:
                mixed = list(ordered)
                rng.shuffle(mixed)
                return mixed

    def _write(self, rng: Random, log: _Log, line: Line, draw: Draw) -> str:
        layout = log.family.line
        while "«" in layout:
            start, end = layout.index("«"), layout.index("»")
            kept = layout[start + 1 : end] if line.code is not None else ""
            # A column stays when it is empty; «code» alone is a column.
            layout = layout[:start] + kept + layout[end + 1 :]
        if not line.has_clock and layout.startswith("{ts} "):
            layout = layout[5:]
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
        much = 5 if draw.is_noisy else 1
        if log.family.lang != "en" and rng.random() < 0.04 * much:
            text = noise.half_width_kana(text)
        elif rng.random() < 0.02 * much:
            text = noise.full_width(text)
        return text.strip()

    def _negative(self, rng: Random, family: str, draw: Draw) -> Example:
        entry = self._negatives[family]
        num_lines = rng.randrange(entry.get("min_lines", 1), entry.get("max_lines", 2) + 1)
        lines = []
        for _ in range(num_lines):
            text = self._layout.expand(rng.choice(entry["text"]), rng)
            if entry["reason"] == "not_a_log" and rng.random() < (0.8 if draw.is_noisy else 0.1):
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
        case "lower":
            return rng.choice(LEVEL_WORDS["upper"][tier]).lower()
        case "title":
            return rng.choice(LEVEL_WORDS["upper"][tier]).title()
        case _:
            return rng.choice(LEVEL_WORDS[style][tier])


def _drop_space(text: str, rng: Random) -> str:
    places = [i for i, char in enumerate(text) if char == " "]
    if not places:
        return text
    i = rng.choice(places)
    return text[:i] + text[i + 1 :]


def _drop_one(text: str, rng: Random) -> str:
    """One kana less; digits and Latin letters stay."""
    places = [i for i, char in enumerate(text) if "\u3040" <= char <= "\u30ff"]
    if len(text) < 6 or not places:
        return text
    i = rng.choice(places)
    return text[:i] + text[i + 1 :]
