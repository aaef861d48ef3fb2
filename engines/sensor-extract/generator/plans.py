"""Which clauses a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any


class Plans:
    """Draws clauses that go together.

    Args:
        clauses: entries of clauses.toml.
    """

    def __init__(self, clauses: Mapping[str, Mapping[str, Any]]) -> None:
        self._pool = {
            lang: [c for c in clauses.values() if c["lang"] == lang and c.get("plain", False)]
            for lang in ("en", "ja")
        }
        self._pool_weights = {
            lang: [c.get("weight", 1.0) for c in pool] for lang, pool in self._pool.items()
        }

    def plan(
        self, rng: Random, own: Mapping[str, Any], wanted: int, times: str, lang: str
    ) -> list[Mapping[str, Any]]:
        """Clauses of a report: its own family and others that go with it."""
        plan: list[Mapping[str, Any]] = [own]
        count = len(own["gives"])
        if own.get("needs"):
            plan.insert(0, self.other(rng, lang, times, is_first=True))
            count += len(plan[0]["gives"])
        while count < wanted:
            clause = (
                own
                if own.get("plain") and rng.random() < 0.3
                else self.other(rng, lang, times, is_first=False)
            )
            count += len(clause["gives"])
            is_before = rng.random() < 0.4 and not own.get("needs") and not clause.get("needs")
            plan.insert(0 if is_before else len(plan), clause)
        return plan

    def other(self, rng: Random, lang: str, times: str, *, is_first: bool) -> Mapping[str, Any]:
        """A plain clause of any family that goes with these times."""
        while True:
            clause = rng.choices(self._pool[lang], self._pool_weights[lang])[0]
            if is_first and clause.get("needs"):
                continue
            if times in ("none", "tail") and brings_time(clause):
                continue
            return clause


def brings_time(clause: Mapping[str, Any]) -> bool:
    """Every reading of the clause has a time of its own."""
    return all(entry.split()[2] != "a" for entry in clause["gives"])


def is_timed_behind(clause: Mapping[str, Any]) -> bool:
    """A time stands behind a reading."""
    return any(entry.split()[2].startswith("t") for entry in clause["gives"])


def shares_time_behind(clause: Mapping[str, Any]) -> bool:
    """One time behind several readings."""
    times = [entry.split()[2] for entry in clause["gives"]]
    return any(time.startswith("t") and times.count(time) > 1 for time in times)
