"""Puts everything together: one example of a family."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

from .faults import Faults
from .incidents import Incidents
from .layouts import read_layouts
from .logs import LogWriter
from .names import NameBook, Names

VERSION = "2.6.0"
FOLDER = Path(__file__).parents[1]


class PlcTriageGenerator:
    """See the package; the protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        def read(name: str) -> dict[str, Any]:
            return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))

        lexicon, families, negatives = (
            read(n) for n in ("lexicon.toml", "families.toml", "negatives.toml")
        )
        self._layouts = read_layouts(families["family"])
        self._negatives = {f["id"]: f for f in negatives["family"]}
        self._held_families = {layout.id for layout in self._layouts.values() if layout.held}
        self._held_families |= {f["id"] for f in negatives["family"] if f.get("held")}
        drawn = terminals()
        grammars = {lang: Grammar(lexicon["slots"][lang], terminals=drawn) for lang in ("en", "ja")}
        self._grammar = Grammar(negatives["rules"], terminals=drawn)
        self._names = NameBook(lexicon["names"], self._grammar)
        self._faults = Faults(lexicon, grammars, self._names)
        self._incidents = Incidents(
            lexicon,
            grammars,
            names=self._names,
            faults=self._faults,
            writer=LogWriter(self._names, self._grammar),
        )

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in seven."""
        weights = {layout.id: layout.weight for layout in self._layouts.values()}
        total = sum(weights.values())
        negative_total = sum(f.get("weight", 1.0) for f in self._negatives.values())
        # "no_fault" logs are written in the layouts above, as one more family of their own.
        scale = total * 0.125 / negative_total
        for name, family in self._negatives.items():
            weights[name] = family.get("weight", 1.0) * scale
        weights["no-fault"] = total * 0.06
        weights["no-fault-held"] = total * 0.06 * len(self._held_families) / len(self._layouts)
        return weights

    @property
    def held_families(self) -> frozenset[str]:
        """Layouts and kinds of foreign text that training never sees."""
        return frozenset(self._held_families | {"no-fault-held"})

    @property
    def held_values(self) -> tuple[str, ...]:
        """Names and identifier stems that training never sees."""
        return self._names.held_stems

    @property
    def held_combinations(self) -> frozenset[str]:
        """Kinds of fault, each with one source of its severity, that training never sees."""
        return self._faults.held_combinations

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family."""
        if family in self._negatives:
            return self._negative(rng, family, draw)
        names = self._names.held if draw.held_values else self._names.open
        if family.startswith("no-fault"):
            return self._normal(rng, family, names)
        return self._incidents.incident(rng, self._layouts[family], names, draw)

    def _normal(self, rng: Random, family: str, names: Names) -> Example:
        held = family.endswith("held")
        layouts = [x for x in self._layouts.values() if x.held == held and not x.note]
        layout = rng.choices(layouts, [x.weight for x in layouts])[0]
        lines = self._incidents.normal_log(rng, layout, names)
        return Example(family, {"lines": lines}, {"abstain": "no_fault"})

    def _negative(self, rng: Random, family: str, draw: Draw) -> Example:
        entry = self._negatives[family]
        num_lines = rng.randrange(entry.get("min_lines", 1), entry.get("max_lines", 2) + 1)
        lines = []
        for _ in range(num_lines):
            text = self._grammar.expand(rng.choice(entry["text"]), rng)
            if entry["reason"] == "not_a_log" and rng.random() < (0.8 if draw.is_noisy else 0.1):
                text = noise.typo(text, rng)
            if rng.random() < 0.08:
                text = noise.recase(text, rng)
            lines.append(text)
        return Example(family, {"lines": lines}, {"abstain": entry["reason"]})
