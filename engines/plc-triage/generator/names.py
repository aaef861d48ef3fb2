"""Names of machines, devices and hosts, and fault codes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from skilld.training.grammar import Grammar

_KINDS = ("machine_en", "machine_ja", "tag", "host", "code")

# These read as device addresses ("M104", "X12"), so no fault code looks like them.
_DEVICE = re.compile(
    r"(?:M|CV|P|AX|DRV|PT|TT|LS|Y|X|K|D|J|B|AI|INV|CAM|T|CH|ST|OP|Q|I"
    r"|S|YV|SOL|LUB|FAN|CB|MCC|TK|HX|PX)[0-9]{1,4}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Names:
    """Templates of names: those of training, or the held-out ones."""

    machine_en: Sequence[str]
    machine_ja: Sequence[str]
    tag: Sequence[str]
    host: Sequence[str]
    code: Sequence[str]


class NameBook:
    """All names.

    Args:
        tables: `names` of lexicon.toml.
        grammar: what their templates are made of.
    """

    def __init__(self, tables: Mapping[str, Sequence[str]], grammar: Grammar) -> None:
        self.open = Names(*(tables[kind] for kind in _KINDS))
        self.held = Names(*(tables[f"{kind}_held"] for kind in _KINDS))
        self.held_stems = tuple(
            value.split("{")[0]
            for kind in _KINDS
            for value in tables[f"{kind}_held"]
            if not value.startswith("{")
        )
        self._grammar = grammar

    def code(self, rng: Random, names: Names, *, needs_letter: bool) -> str:
        """A fault code that cannot be taken for a device."""
        while True:
            code = self._grammar.expand(rng.choice(names.code), rng)
            if rng.random() < 0.04:
                code = code.lower()
            is_open = names is self.held or not code.startswith(self.held_stems)
            is_worded = not needs_letter or any(c.isalpha() for c in code)
            has_digit = any(c.isdigit() for c in code)
            if is_open and is_worded and has_digit and not _DEVICE.fullmatch(code):
                return code
