"""A rollout on a terminal: a row for each box, a bar while it fetches, a line that sums it up."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from skilld.cli import rollout_view
from skilld.cli.rollout_view import LiveView, view_of
from skilld.updates.fleet import Report
from skilld.updates.fleet.rollout import Ending, Rollout, RolloutPlan
from skilld.updates.machine import Outcome, Status, Step


@pytest.fixture
def rollout() -> Rollout:
    rollout = Rollout(RolloutPlan("toy", 5, "j1", ("a", "b", "c"), num_canaries=0, max_failures=1))
    rollout.advance(0.0)
    told = Report(box="a", release="toy", rev=3, job="j1", seq=5, status=Status.IN_PROGRESS)
    fetching = {"step": Step.DOWNLOADING, "held_bytes": 5 << 20, "total_bytes": 20 << 20}
    rollout.hear(told.model_copy(update=fetching), 1.0)
    failed = {"box": "b", "status": Status.FAILED, "outcome": Outcome.ROLLBACK_COMPLETE}
    why = {"reason": "TRIAL_FAILED", "message": "9.0% of 100 calls\x1b[2J failed"}
    rollout.hear(told.model_copy(update=failed | why), 1.0)
    return rollout


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(rollout_view, "out", console)
    return screen


def test_a_terminal_shows_a_table_that_lives(rollout: Rollout, terminal: io.StringIO) -> None:
    view = view_of(watches=True, as_json=False)()
    assert isinstance(view, LiveView)
    view.show(rollout)
    view.say("the broker is away")
    view.end(rollout, Ending.STOPPED)
    view.close()
    shown = terminal.getvalue()
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "DOWNLOADING" in rows["a"]
    assert "█████···············" in rows["a"]
    assert "5.0 MiB of 20.0 MiB" in shown
    for word in ("FAILED", "ROLLBACK_COMPLETE", "TRIAL_FAILED", "9.0% of 100 calls"):
        assert word in rows["b"]
    assert "ASKED" in rows["c"]
    assert "the broker is away" in shown
    assert "STOPPED: toy 5: wave 1 of 1, 1 asked, 1 under way, 1 failed, 3 in all" in shown
    assert "\x1b[2J" not in shown, "a box could write over the screen"


def test_what_is_said_of_another_job_is_not_shown_as_of_this_one(terminal: io.StringIO) -> None:
    rollout = Rollout(RolloutPlan("toy", 5, "j1", ("a",)))
    rollout.advance(0.0)
    other = Report(box="a", release="toy", job="j0", seq=4, status=Status.IN_PROGRESS)
    queued = {"answers": [{"job": "j1", "status": "QUEUED", "reason": "AFTER_J0"}]}
    told = Report.model_validate(other.model_dump() | queued | {"step": Step.TRIAL})
    rollout.hear(told, 1.0)
    view = LiveView()
    view.show(rollout)
    view.close()
    shown = terminal.getvalue()
    assert "UNDER_WAY" in shown
    assert "AFTER_J0" in shown
    assert "TRIAL" not in shown
