"""Calls count for the version that answered them, while it serves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from skilld.app.trials import Trials
from skilld.skills import RegisteredSkill


def entry(name: str, lane: str) -> RegisteredSkill:
    manifest = SimpleNamespace(name=name)
    return cast(RegisteredSkill, SimpleNamespace(manifest=manifest, runs_on=lane))


def test_a_version_begins_with_the_error_rate_of_the_one_before() -> None:
    trials = Trials()
    trials.begin("a", "a")
    for is_error in (True, False, False, False):
        trials.ended(entry("a", "a"), 5.0, is_error)
    assert trials.reports()["a"].num_errors == 1
    trials.begin("a", "a@2")
    report = trials.reports()["a"]
    assert (report.num_requests, report.old_error_rate) == (0, 0.25)


def test_stragglers_of_the_old_version_are_not_held_against_the_new_one() -> None:
    trials = Trials()
    trials.begin("a", "a@2")
    trials.ended(entry("a", "a"), 5.0, True)
    trials.ended(entry("b", "b"), 5.0, True)
    trials.ended(entry("a", "a@2"), 5.0, False)
    trials.begin("a", "a@2")  # as after a repeated order
    report = trials.reports()["a"]
    assert (report.num_requests, report.num_errors) == (1, 0)
