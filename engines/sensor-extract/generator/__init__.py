"""Shift reports whose readings were drawn first and written down afterwards.

A report is prose (clauses of clauses.toml), a list, a chat or a table. Readings are taken while it
is written, so labels come from what was meant. What is measured and its units: lexicon.toml; texts
that must be declined: negatives.toml. The rules of the answers are in README.md.
"""

from __future__ import annotations

from .generator import SensorExtractGenerator


def load() -> SensorExtractGenerator:
    """The generator, for `skilld.training`."""
    return SensorExtractGenerator()
