"""Orders from other threads, and the end of the updater's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.updates.simulated_files import SimulatedFiles

from skilld.core.errors import UnavailableError
from skilld.updates.box.updater_thread import UpdaterThread
from skilld.updates.machine import Outcome, SkillState
from skilld.updates.machine.events import TrialReport

MakeEngine = Callable[..., Path]
MakeRig = Callable[..., Any]
Rig = Any  # the class of conftest.py, which cannot be imported by name
_PATIENCE_S = 30.0


@pytest.fixture
def rig(make_engine: MakeEngine, make_rig: MakeRig) -> Rig:
    return make_rig(SimulatedFiles(), make_engine())


def test_an_update_runs_through_in_the_thread(rig: Rig) -> None:
    committed = threading.Event()
    died: list[BaseException] = []

    def on_state(state: SkillState) -> None:
        if state.job is not None and state.job.outcome is Outcome.COMMITTED:
            committed.set()

    rig.on_state = on_state
    thread = UpdaterThread(
        rig.updater,
        reports=lambda: {"toy": TrialReport(600.0, num_requests=50)},
        on_dead=died.append,
        tick_s=0.001,
    )
    thread.start()
    thread.order(lambda updater: rig.submit(1)).result(_PATIENCE_S)
    assert committed.wait(_PATIENCE_S)
    assert thread.stop(_PATIENCE_S)
    assert died == []
    assert rig.served == 1


def test_an_order_that_fails_is_told_to_who_gave_it(rig: Rig) -> None:
    thread = UpdaterThread(rig.updater, reports=dict, on_dead=lambda error: None)
    thread.start()
    rig.trust.is_reachable = False
    with pytest.raises(UnavailableError):
        thread.order(lambda updater: rig.submit(1)).result(_PATIENCE_S)
    assert thread.order(lambda updater: len(updater.states())).result(_PATIENCE_S) == 0
    assert thread.stop(_PATIENCE_S)


def test_an_error_nobody_expected_is_not_silent(rig: Rig) -> None:
    dead = threading.Event()
    errors: list[BaseException] = []

    def on_dead(error: BaseException) -> None:
        errors.append(error)
        dead.set()

    def reports() -> dict[str, TrialReport]:
        raise ZeroDivisionError

    thread = UpdaterThread(rig.updater, reports=reports, on_dead=on_dead, tick_s=0.001)
    thread.start()
    assert dead.wait(_PATIENCE_S)
    assert isinstance(errors[0], ZeroDivisionError)
    with pytest.raises(UnavailableError, match="ZeroDivisionError") as late:
        thread.order(lambda updater: updater.states()).result(_PATIENCE_S)
    assert late.value.reason == "UPDATER_FAILED"


def test_who_waits_for_an_updater_that_dies_is_told(rig: Rig) -> None:
    def reports() -> dict[str, TrialReport]:
        raise ZeroDivisionError

    thread = UpdaterThread(rig.updater, reports=reports, on_dead=lambda error: None)
    began = threading.Event()
    thread.order(lambda updater: began.wait(_PATIENCE_S))
    late: list[Future[int]] = []

    def last(updater: object) -> None:  # it dies after this one, with the next one in its queue
        late.append(thread.order(lambda updater: 1))
        while not rig.updater.inbox.empty():
            rig.updater.inbox.get()

    thread.order(last)
    thread.start()
    began.set()
    assert thread.stop(_PATIENCE_S)
    with pytest.raises(UnavailableError):
        late[0].result(_PATIENCE_S)
