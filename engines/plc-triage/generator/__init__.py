"""Logs of faults that were imagined first and written down afterwards.

An incident is sampled (what broke, how badly, what it dragged along, when), then its lines are
rendered in one family's layout; labels come from the incident, never from the text. Words are in
lexicon.toml, layouts in families.toml, inputs that are no fault log in negatives.toml.
"""

from __future__ import annotations

from .generator import PlcTriageGenerator


def load() -> PlcTriageGenerator:
    """The generator, for `skilld.training`."""
    return PlcTriageGenerator()
