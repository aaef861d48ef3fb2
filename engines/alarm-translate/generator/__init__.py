"""Alarm lines that were meant first and written in two languages afterwards.

A meaning is a tree: a shape (shapes.toml) over terms (lexicon.toml), identifiers and values. The
source is one of its wordings with variants, then noise; the translation is its one canonical
wording in the other language. What is no alarm line is in negatives.toml.
"""

from __future__ import annotations

from .generator import AlarmTranslateGenerator


def load() -> AlarmTranslateGenerator:
    """The generator, for `skilld.training`."""
    return AlarmTranslateGenerator()
