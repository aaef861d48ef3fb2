"""Ways to ask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# A statement ("P-101 is to be greased") cannot follow these.
_ORDERED = re.compile(
    r"\{(?:can|want|please)\}|\bto \{|not\|| \{[ab]\} (?:as|too)|n't|[Ll]et|just|and \{|be so"
)


@dataclass(frozen=True, slots=True)
class Family:
    """One way to ask; see the head of families.toml."""

    id: str
    lang: str
    template: str
    num_calls: int
    trick: str
    kind: str  # of what must be declined, else empty
    weight: float
    is_held: bool

    @property
    def abstain(self) -> str:
        """The reason to decline; empty where calls are the answer."""
        if not self.kind:
            return ""
        return "missing_argument" if self.kind == "missing" else "no_tool"

    @property
    def is_free(self) -> bool:
        """Its orders are put in any form that there is: orders, notes or questions."""
        return "{f}" in self.template or "{F}" in self.template

    @property
    def joins(self) -> bool:
        """Something stands before or behind its first order that a question could not have."""
        return self.num_calls > 1 or bool(self.kind)

    @property
    def may_state(self) -> bool:
        """Its orders may be statements."""
        return not _ORDERED.search(self.template)


def read_families(tables: Mapping[str, Any]) -> dict[str, Family]:
    """The families of families.toml by id."""
    entries = [
        {"lang": lang, **entry}
        for lang, table in (("en", "en"), ("ja", "ja"), ("en", "negative"))
        for entry in tables[table]
    ]
    return {
        entry["id"]: Family(
            id=entry["id"],
            lang=entry["lang"],
            template=entry["t"],
            num_calls=int(entry.get("calls", 1)),
            trick=entry.get("trick", ""),
            kind=entry.get("kind", ""),
            weight=float(entry.get("w", 1)),
            is_held=bool(entry.get("held")),
        )
        for entry in entries
    }


def shares(families: Iterable[Family]) -> dict[str, float]:
    """Family id to how often it is drawn. Negatives are about one in seven."""
    families = list(families)
    total = sum(f.weight for f in families if not f.kind)
    scale = total * 0.165 / sum(f.weight for f in families if f.kind)
    return {
        f.id: f.weight * (scale if f.kind else 1.0) * (0.8 if f.lang == "ja" else 1.0)
        for f in families
    }
