"""Incidents: a root fault and what is logged around it, or nothing but normal lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from random import Random
from typing import Any

from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar

from .faults import Fault, Faults
from .layouts import Layout
from .logs import Line, LogWriter
from .names import NameBook, Names

LINE_COUNTS = (42, 22, 16, 9, 5, 3, 2, 1)
"""How often a log has 1, 2, ... 8 lines."""


class Incidents:
    """Makes logs with a fault in them, and logs without.

    Args:
        lexicon: lexicon.toml.
        grammars: what its phrases are made of, by language.
        names: for codes.
        faults: what can break.
        writer: of the lines.
    """

    def __init__(
        self,
        lexicon: Mapping[str, Any],
        grammars: Mapping[str, Grammar],
        *,
        names: NameBook,
        faults: Faults,
        writer: LogWriter,
    ) -> None:
        self._followers = lexicon["followers"]
        self._chatter = lexicon["chatter"]
        self._grammars = grammars
        self._names = names
        self._faults = faults
        self._writer = writer

    def incident(self, rng: Random, layout: Layout, names: Names, draw: Draw) -> Example:
        """A log whose root fault is the answer."""
        num_lines = rng.choices(range(1, 9), LINE_COUNTS)[0]
        if layout.note:
            num_lines = rng.choice((1, 1, 1, 2, 2, 3))
        log = self._writer.new(rng, layout, names)
        lang = layout.language(rng)
        root = self._faults.draw(
            rng, lang, names, layout=layout, draw=draw, held=draw.held_combination
        )
        lines = [_line_of(rng, "root", root)]
        before = 0  # so many normal lines may stand above the root
        for _ in range(num_lines - 1):
            role = rng.choices(("chatter", "follower", "fault", "repeat"), (32, 34, 26, 8))[0]
            if root.severity == "info":  # nothing can follow from what is in order
                role = "chatter"
            lang = layout.language(rng)
            match role:
                case "chatter":
                    lines.append(self._normal_line(rng, lang, layout))
                    before += rng.random() < 0.6
                case "follower":
                    lines.append(self._follower(rng, lang, names, layout))
                case "fault":
                    other = self._faults.draw(
                        rng, lang, names, layout=layout, draw=draw, held=False
                    )
                    lines.append(_line_of(rng, "fault", other))
                case _:
                    suffix = rng.choice((" (repeat)", " (x2)", "", "", " again"))
                    lines.append(Line("repeat", root.message + suffix, root.code, lines[0].level))
        listed = self._writer.listed(rng, log, _ordered(rng, lines, before))
        written = [self._writer.write(rng, log, line, draw) for line in listed]
        return Example(
            layout.id,
            {"lines": written},
            {
                "first_line": 1 + next(i for i, x in enumerate(listed) if x.role == "root"),
                "fault_code": root.code and unicodedata.normalize("NFKC", root.code),
                "subsystem": str(root.kind["subsystem"]),
                "severity": root.severity,
                "action": root.action,
                "needs_human": root.needs_human,
            },
            combination=root.combination,
        )

    def normal_log(self, rng: Random, layout: Layout, names: Names) -> list[str]:
        """The lines of a log of a machine that runs."""
        log = self._writer.new(rng, layout, names)
        num_lines = rng.choices(range(1, 9), LINE_COUNTS)[0]
        lines = [self._normal_line(rng, layout.language(rng), layout) for _ in range(num_lines)]
        listed = self._writer.listed(rng, log, lines)
        return [self._writer.write(rng, log, line, Draw()) for line in listed]

    def _follower(self, rng: Random, lang: str, names: Names, layout: Layout) -> Line:
        """A consequence of the root fault."""
        message = self._grammars[lang].expand(rng.choice(self._followers[lang]), rng)
        code = None
        if rng.random() < 0.3:
            code = self._names.code(rng, names, needs_letter=layout.worded)
        return Line(
            "follower", message, code, rng.choice(("alarm", "warning", "alarm", "critical"))
        )

    def _normal_line(self, rng: Random, lang: str, layout: Layout) -> Line:
        message = self._grammars[lang].expand(rng.choice(self._chatter[lang]), rng)
        code = None
        if rng.random() < 0.12:
            code = self._names.code(rng, self._names.open, needs_letter=layout.worded)
        return Line("chatter", message, code, "info")


def _line_of(rng: Random, role: str, fault: Fault) -> Line:
    return Line(role, fault.message, fault.code, fault.level_shown(rng))


def _ordered(rng: Random, lines: list[Line], before: int) -> list[Line]:
    """In the order of time: the root is the first of `lines`, and so many normal ones precede it.

    A repeat or a consequence cannot come first; normal lines may lie anywhere.
    """
    chatter = [line for line in lines if line.role == "chatter"]
    rest = [line for line in lines[1:] if line.role != "chatter"]
    rng.shuffle(rest)
    ordered = [*chatter[:before], lines[0], *rest]
    for line in chatter[before:]:
        ordered.insert(rng.randrange(before, len(ordered) + 1), line)
    return ordered
