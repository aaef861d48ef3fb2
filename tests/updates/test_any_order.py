"""A box that is updated, cancelled, cut off, starved and restarted in any order still serves."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.updates.simulated_files import Loss, PowerCut, SimulatedFiles

from skilld.updates.machine import Outcome, Step
from skilld.updates.machine.events import TrialReport
from skilld.updates.machine.machine import MAX_WRITES

MakeEngine = Callable[..., Path]
MakeRig = Callable[..., Any]

ORDERS = st.one_of(
    st.tuples(st.just("job"), st.integers(1, 4)),
    st.tuples(st.just("work"), st.integers(1, 12)),
    st.tuples(st.just("cut"), st.integers(0, 40)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("trial"), st.integers(0, 1)),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("break"), st.integers(1, 4)),
    st.tuples(st.just("full"), st.booleans()),
    st.tuples(st.just("read-only"), st.booleans()),
    st.tuples(st.just("line"), st.integers(0, 3)),
)


@pytest.fixture(scope="module")
def shapes() -> list[tuple[int, ...]]:
    return [(0,), (1,), (0, 1), (2,)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(orders=st.lists(ORDERS, min_size=5, max_size=40), seed=st.integers(0, 99))
def test_whatever_happens_the_box_serves_a_whole_release(
    make_engine: MakeEngine,
    make_rig: MakeRig,
    shapes: list[tuple[int, ...]],
    orders: list[tuple[str, int]],
    seed: int,
) -> None:
    draw = random.Random(seed)
    engines = [
        make_engine(sizes=[20_000, 18_000, 200], changed=changed, version=str(number))
        for number, changed in enumerate(shapes)
    ]
    files = SimulatedFiles()
    rig = make_rig(files, *engines, room=draw.choice([1, 2]))
    rig.submit(1)
    rig.finish()
    issued_s = 1

    def spoil(sent: list[Any]) -> list[Any]:
        return [block for block in draw.sample(sent, len(sent)) if draw.random() < 0.7]

    for what, how in orders:
        try:
            match what:
                case "job":
                    issued_s += 1
                    rig.submit(how, issued_s=issued_s, force=draw.random() < 0.3)
                case "work":
                    rig.clock_s += 60.0
                    for _ in range(how):
                        rig.updater.work()
                case "cut":
                    files.cut_after = files.num_changes + how
                case "restart":
                    rig.restart()
                case "trial":
                    rig.updater.observe(
                        "toy", TrialReport(600.0, num_requests=50, num_errors=how * 40)
                    )
                case "cancel":
                    rig.updater.cancel(f"j{issued_s}")
                case "break":
                    rig.box.bad_folders ^= {str(how)}
                case "full":
                    files.capacity_bytes = 0 if how else 1 << 30
                case "read-only":
                    files.is_read_only = bool(how)
                case _:
                    rig.source.spoil = spoil if how else list
            rig.updater.tick()
        except PowerCut:
            files.restart(draw.choice(list(Loss)))
            rig.restart()  # the box itself checks that what it loads is whole
        for state in rig.updater.states():
            assert state.writes <= MAX_WRITES
        record = rig.state.job
        if record.step in (None, Step.TRIAL) and record.outcome is not Outcome.UNABLE_TO_ROLLBACK:
            # Nothing is being switched: the file says what is served, if it can be written.
            assert rig.served == rig.state.serving or rig.updater._halted

    # When the storm is over, a good release still gets in.
    files.cut_after, files.is_read_only, files.capacity_bytes = None, False, 1 << 30
    rig.source.spoil = list
    rig.restart()
    rig.updater.tick()
    for _ in range(3):  # the job at hand, and one that is queued behind it
        rig.finish()
    assert not rig.state.job.is_open
    newest = max(1, rig.state.high_water_seq)
    rig.submit(newest, issued_s=issued_s + 1, force=True)
    rig.finish()
    assert rig.state.active == newest
    assert rig.served == newest
