"""Power cuts after every single disk operation of a whole update, and what the box then serves.

The old release or the new one, never neither; and the update still comes to its end.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.updates.simulated_files import Loss, PowerCut, SimulatedFiles

from skilld.updates.machine import Outcome, Status
from skilld.updates.machine.machine import MAX_WRITES

MakeEngine = Callable[..., Path]
MakeRig = Callable[..., Any]

UPDATED = (Status.SUCCEEDED, Outcome.COMMITTED, "")


@pytest.fixture
def engines(make_engine: MakeEngine) -> list[Path]:
    sizes = [20_000, 20_000, 300]
    return [
        make_engine(sizes=sizes, changed=[0] if n else [], version=f"1.{n}.0") for n in range(2)
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


def update(rig: Any) -> None:
    rig.submit(2)
    rig.finish()


def num_operations(
    disk: SimulatedFiles, engines: list[Path], make_rig: MakeRig, room: int = 2
) -> int:
    files = copy.deepcopy(disk)
    rig = make_rig(files, *engines, room=room)
    before = files.num_changes
    update(rig)
    assert rig.served == 2
    return files.num_changes - before


@pytest.mark.parametrize("room", [1, 2], ids=["room for one", "room for two"])
@pytest.mark.parametrize("loss", Loss)
def test_cut_after_every_operation_the_box_serves_the_old_or_the_new_release(
    disk: SimulatedFiles, engines: list[Path], make_rig: MakeRig, loss: Loss, room: int
) -> None:
    served = set()
    total = num_operations(disk, engines, make_rig, room)
    assert total > 60
    for cut_after in range(total):
        files = copy.deepcopy(disk)
        rig = make_rig(files, *engines, room=room)
        files.cut_after = files.num_changes + cut_after
        with pytest.raises(PowerCut):
            update(rig)
        files.restart(loss)
        rig.restart()  # loads what it serves, and finds it whole or fails
        assert rig.served in (1, 2), cut_after
        served.add(rig.served)
        update(rig)  # the retained job arrives again
        assert rig.outcome == UPDATED, cut_after
        assert rig.served == 2
        assert rig.state.writes <= MAX_WRITES
    assert served == {1, 2}


def test_cut_again_and_again_it_still_ends(
    disk: SimulatedFiles, engines: list[Path], make_rig: MakeRig
) -> None:
    """A cut every few operations, the starts included: never stuck, and never without a release."""
    for step in range(9, 60, 3):
        files = copy.deepcopy(disk)
        rig = make_rig(files, *engines)
        for _ in range(200):
            files.cut_after = files.num_changes + step
            try:
                rig.restart()
                update(rig)
            except PowerCut:
                files.restart(Loss.ALL)
            else:
                break
        files.cut_after = None
        rig.restart()
        assert rig.served in (1, 2)
        update(rig)
        status, outcome, reason = rig.outcome
        assert (status, reason) in (
            (Status.SUCCEEDED, ""),
            (Status.FAILED, "CRASHED"),
            (Status.FAILED, "LOOP"),
        ), step
        assert rig.served == (2 if outcome is Outcome.COMMITTED else 1)


@pytest.mark.parametrize("loss", Loss)
def test_cut_after_every_operation_of_a_rollback_the_box_serves_the_old_release(
    disk: SimulatedFiles, engines: list[Path], make_rig: MakeRig, loss: Loss
) -> None:
    def update_badly(rig: Any) -> None:
        rig.box.bad_folders.add("2")
        rig.submit(2)
        rig.work()

    files = copy.deepcopy(disk)
    rig = make_rig(files, *engines, room=1)
    before = files.num_changes
    update_badly(rig)
    assert rig.outcome[0] is Status.FAILED
    total = files.num_changes - before
    for cut_after in range(total):
        files = copy.deepcopy(disk)
        rig = make_rig(files, *engines, room=1)
        files.cut_after = files.num_changes + cut_after
        with pytest.raises(PowerCut):
            update_badly(rig)
        files.restart(loss)
        rig.restart()
        assert rig.served == 1
        update_badly(rig)
        assert rig.outcome[0] is Status.FAILED
        assert (rig.served, rig.state.bad) == (1, (2,)), cut_after
