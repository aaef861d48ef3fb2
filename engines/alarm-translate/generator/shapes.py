"""What a line can mean: the shapes of shapes.toml, and the wordings of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .terms import LANGUAGES, read_toml

SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Shape:
    """A sentence shape of shapes.toml."""

    id: str
    weight: float
    canonical: Mapping[str, str]
    sources: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One source wording of a shape."""

    shape: Shape
    lang: str
    template: str
    slots: frozenset[str]


def read_shapes() -> dict[str, Shape]:
    """The shapes of shapes.toml by id."""
    shapes = {}
    for entry in read_toml("shapes.toml")["shape"]:
        shapes[entry["id"]] = Shape(
            id=entry["id"],
            weight=entry.get("weight", 1.0),
            canonical={"en": entry["en"][:1].lower() + entry["en"][1:], "ja": entry["ja"]},
            sources={lang: tuple(entry[f"from_{lang}"]) for lang in LANGUAGES},
            rules=entry,
        )
    return shapes
