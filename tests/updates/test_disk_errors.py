"""Every single change of the disk may fail, for a moment or until somebody mends it.

The box goes on serving the old release or the new one, says what it is, and holds nothing against
the release: when the disk is well again, the same one gets in.
"""

from __future__ import annotations

import copy
import errno
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.updates.simulated_files import Loss, SimulatedFiles

from skilld.updates.machine import Outcome, Status, Step
from skilld.updates.machine.events import TrialReport

MakeEngine = Callable[..., Path]
MakeRig = Callable[..., Any]
Rig = Any  # the class of conftest.py, which cannot be imported by name

UPDATED = (Status.SUCCEEDED, Outcome.COMMITTED, "")
FULL, READ_ONLY, BROKEN = errno.ENOSPC, errno.EROFS, errno.EIO
REASONS = {FULL: "INSUFFICIENT_SPACE", READ_ONLY: "STORE_FAILED", BROKEN: "STORE_FAILED"}
FOR_GOOD = 1 << 40


@pytest.fixture
def engines(make_engine: MakeEngine) -> list[Path]:
    return [
        make_engine(sizes=[20_000, 300], changed=[0] if n else [], version=f"1.{n}.0")
        for n in range(2)
    ]


@pytest.fixture
def disk(engines: list[Path], make_rig: MakeRig) -> SimulatedFiles:
    """A disk on which release 1 is committed."""
    files = SimulatedFiles()
    rig = make_rig(files, *engines)
    rig.submit(1)
    rig.finish()
    assert rig.outcome == UPDATED
    files.restart(Loss.ALL)
    return files


def outcome_of(rig: Rig) -> tuple[Status, Outcome | None, str]:
    """Of the job as the state on the disk says it, be it at its end or not."""
    record = rig.state.job
    return record.status, record.outcome, record.reason


def failing_updates(
    disk: SimulatedFiles, engines: list[Path], make_rig: MakeRig, *, error: int, for_good: bool
) -> Iterator[Rig]:
    """One box for every change of an update, which this change fails on."""
    files = copy.deepcopy(disk)
    rig = make_rig(files, *engines)
    before = files.num_changes
    rig.submit(2)
    rig.finish()
    total = files.num_changes - before
    assert total > 50
    for number in range(before, before + total):
        files = copy.deepcopy(disk)
        rig = make_rig(files, *engines)
        files.error = error
        failing: Container[int] = range(number, FOR_GOOD if for_good else number + 1)
        files.failing = failing
        rig.submit(2)
        rig.finish()
        yield rig


def assert_mended(rig: Rig) -> None:
    """The disk is well again: the update ends, and if it ended badly, the next one does not."""
    rig.files.failing = ()
    rig.updater.tick()
    rig.finish()
    assert rig.state.bad == ()
    rig.submit(2, issued_s=50)
    rig.finish()
    assert (rig.served, rig.state.active) == (2, 2)
    rig.restart()
    assert rig.served == 2


@pytest.mark.parametrize("error", [FULL, BROKEN], ids=["full", "broken"])
def test_a_change_that_fails_once_ends_the_job_by_name_or_not_at_all(
    disk: SimulatedFiles, engines: list[Path], make_rig: MakeRig, error: int
) -> None:
    seen = set()
    for rig in failing_updates(disk, engines, make_rig, error=error, for_good=False):
        outcome = UPDATED if rig.served == 2 else outcome_of(rig)
        seen.add((outcome, rig.served))
        assert_mended(rig)
    reason = REASONS[error]
    allowed = {
        (UPDATED, 2),
        ((Status.REJECTED, Outcome.NO_STATE_CHANGE, "STORE_FAILED"), 1),  # its description
        ((Status.REJECTED, Outcome.NO_STATE_CHANGE, reason), 1),
        ((Status.FAILED, Outcome.NO_STATE_CHANGE, reason), 1),
        ((Status.FAILED, Outcome.ROLLBACK_COMPLETE, reason), 1),
        # Its state could not be written: it stands still, and goes on at the next tick.
        ((Status.SUCCEEDED, Outcome.COMMITTED, ""), 1),
        ((Status.IN_PROGRESS, None, ""), 1),
    }
    assert seen <= allowed, seen - allowed


@pytest.mark.parametrize("error", [FULL, READ_ONLY], ids=["full", "read-only"])
@pytest.mark.parametrize("is_restarted", [False, True], ids=["goes on", "restarts"])
def test_a_disk_that_fails_for_good_at_any_change_leaves_what_a_restart_would_serve(
    disk: SimulatedFiles,
    engines: list[Path],
    make_rig: MakeRig,
    error: int,
    is_restarted: bool,
) -> None:
    for rig in failing_updates(disk, engines, make_rig, error=error, for_good=True):
        served = rig.served
        assert served in (1, 2)
        if rig.state.job.is_open:
            # Told to who asked, though it cannot be written.
            assert rig.answers[-1][-2:] == (Status.FAILED, "STORE_FAILED")
        if is_restarted:
            rig.restart()
            assert rig.served in (1, served)
        assert_mended(rig)


def test_a_trial_that_went_badly_is_undone_on_a_disk_that_takes_nothing(
    disk: SimulatedFiles, engines: list[Path], make_rig: MakeRig
) -> None:
    for error in (FULL, READ_ONLY, BROKEN):
        files = copy.deepcopy(disk)
        rig = make_rig(files, *engines)
        rig.submit(2)
        rig.work()
        assert rig.state.job.step is Step.TRIAL
        files.error, files.failing = error, range(FOR_GOOD)
        rig.updater.observe("toy", TrialReport(5.0, num_requests=50, num_errors=40))
        rig.work()
        assert rig.served == 1
        files.failing = ()
        rig.updater.tick()
        rig.work()
        assert rig.outcome == (Status.FAILED, Outcome.ROLLBACK_COMPLETE, "TRIAL_FAILED")
