"""What can break, how badly, and the words for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from skilld.training.example import Draw
from skilld.training.grammar import Grammar
from skilld.training.readings import Reading

from .handwriting import roughened
from .layouts import Layout
from .names import NameBook, Names

HANDS_ON = frozenset(
    {
        "inspect", "replace", "check_wiring", "lubricate", "refill", "clean", "clear_jam",
        "call_maintenance", "stop_line",
    }
)  # fmt: skip
"""Actions that need a person at the machine."""

HOLD_EVERY = 8
"""One in so many pairs of a kind of fault and what its severity follows from is held out."""

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

    @property
    def needs_human(self) -> bool:
        """Somebody must go there."""
        return (
            self.action in HANDS_ON
            or self.severity == "critical"
            or self.kind["subsystem"] == "safety"
        )

    @property
    def combination(self) -> str:
        """What may be held out: the kind and what its severity follows from."""
        return _combination(self.kind, self.source)

    def level_shown(self, rng: Random) -> str:
        """The level word of its line: its severity, unless a value in the text says otherwise."""
        if self.source == "limits" and (self.severity == "info" or rng.random() < 0.4):
            return rng.choice(("warning", "alarm", "critical"))
        return self.severity


class Faults:
    """Draws faults.

    Args:
        lexicon: lexicon.toml.
        grammars: what its phrases are made of, by language.
        names: for the codes.
    """

    def __init__(
        self, lexicon: Mapping[str, Any], grammars: Mapping[str, Grammar], names: NameBook
    ) -> None:
        self._kinds: list[dict[str, Any]] = lexicon["kind"]
        self._around = lexicon["around"]
        self._value_only = lexicon["value_only"]
        self._with_limits = lexicon["with_limits"]
        self._grammars = grammars
        self._names = names
        pairs = [
            _combination(kind, source)
            for kind in self._kinds
            for source in ("default", "level", *(("limits",) if "quantity" in kind else ()))
        ]
        # How bad a kind is of itself nobody can know who was not told.
        self.held_combinations = frozenset(
            pair for pair in pairs[HOLD_EVERY // 2 :: HOLD_EVERY] if not pair.endswith("+default")
        )

    def draw(
        self, rng: Random, lang: str, names: Names, *, layout: Layout, draw: Draw, held: bool
    ) -> Fault:
        """A fault in the words of a layout; `held`: of a held-out combination."""
        kind, source = self._pair(rng, layout, held=held)
        grammar = self._grammars[lang]
        phrase = grammar.expand(rng.choice(kind[lang]), rng).strip()
        while source == "limits" and _OPPOSITE[kind["quantity"]["direction"]].search(phrase):
            phrase = grammar.expand(rng.choice(kind[lang]), rng).strip()
        phrase = roughened(rng, phrase, lang, draw)
        if lang == "ja" and rng.random() < 0.12 and not re.search(r"\d", phrase):
            phrase += grammar.expand(rng.choice((" {des}", "\\({des}\\)")), rng)
        if rng.random() < (0.5 if layout.note else 0.18):
            around = rng.choice(self._around["note" if layout.note else "log"][lang])
            phrase = grammar.expand(around, rng, bound={"p": phrase})
        code = None
        if rng.random() < (0.5 if layout.note else 0.78):
            code = self._names.code(rng, names, needs_letter=layout.worded)
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

    def _pair(self, rng: Random, layout: Layout, *, held: bool) -> tuple[dict[str, Any], str]:
        """A kind of fault, and what its severity will follow from."""
        unjudged = "level" if layout.level else "default"
        while True:
            kind = rng.choice(self._kinds)
            source = unjudged
            if "quantity" in kind and rng.random() < 0.62:
                source = "limits"
            if (_combination(kind, source) in self.held_combinations) == held:
                return kind, source


def _combination(kind: Mapping[str, Any], source: str) -> str:
    return f"{kind['id']}+{source}"
