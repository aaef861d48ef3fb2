"""What can be done to things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Verb = Mapping[str, Any]
"""An entry of verbs.toml; see its head."""


def read_verbs(tables: Mapping[str, Any]) -> list[Verb]:
    """The verbs of verbs.toml, and one for each word that is said as it is written in a name."""
    return [*tables["verb"], *_literal_verbs(tables["literal"])]


def _literal_verbs(literal: Mapping[str, Any]) -> list[Verb]:
    made: list[Verb] = []
    words = [(w, False) for w in literal["words"]]
    words += [(w, True) for w in literal["held"]]
    for word, is_held in words:
        near = [w for group in literal["near"] if word in group for w in group]
        made.append(
            {
                "id": word.replace(" ", "-"),
                "on": ["device", "gate"],
                "object": "one",
                "name": [word],
                "desc": [
                    f"{word.capitalize()} a {{t}}",
                    f"{word.capitalize()} the given {{t}}",
                    f"{word} {{ts}}",
                ],
                "say": [f"{word} {{o}}"],
                "may": ["duration", "text", "person", "delay"],
                "near": [w.replace(" ", "-") for w in near if w != word],
                "held": is_held,
                "w": 0.22,
            }
        )
    return made
