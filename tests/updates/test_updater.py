"""Whole updates on a simulated disk, with everything that can go wrong on the way."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.updates.simulated_files import SimulatedFiles

from skilld.core.errors import UnavailableError, UpdateError
from skilld.updates.machine import Outcome, SkillState, Status, Step
from skilld.updates.machine.events import TrialReport
from skilld.updates.trust import BlobRange

MakeEngine = Callable[..., Path]
MakeRig = Callable[..., Any]
Rig = Any  # the class of conftest.py, which cannot be imported by name

UPDATED = (Status.SUCCEEDED, Outcome.COMMITTED, "")


@pytest.fixture
def engines(make_engine: MakeEngine) -> list[Path]:
    return [make_engine(changed=[0] if n else [], version=f"1.{n}.0") for n in range(3)]


@pytest.fixture(params=[1, 2], ids=["room for one", "room for two"])
def rig(request: pytest.FixtureRequest, engines: list[Path], make_rig: MakeRig) -> Rig:
    """A box that runs release 1, and can get 2 and 3."""
    rig = make_rig(SimulatedFiles(), *engines, room=request.param)
    rig.submit(1)
    rig.finish()
    assert rig.outcome == UPDATED
    rig.box.events.clear()
    rig.source.num_bytes = 0
    return rig


def test_an_update_is_fetched_activated_tried_and_committed(rig: Rig) -> None:
    rig.history.clear()
    rig.submit(2)
    rig.finish()
    assert rig.outcome == UPDATED
    assert rig.served == 2
    steps = [state.job.step for state in rig.history]
    draining = [Step.DRAINING] if rig.room == 1 else []
    assert steps == [
        *(Step.SCHEDULED, Step.DOWNLOADING, Step.DOWNLOADED, Step.VERIFIED, Step.STAGED),
        *(*draining, Step.ACTIVATING, Step.TRIAL, None),
    ]
    order = (
        ["load 2", "route 2", "retire 1"] if rig.room == 2 else ["retire 1", "load 2", "route 2"]
    )
    assert rig.box.events == order


def test_only_what_changed_is_fetched(rig: Rig) -> None:
    rig.submit(2)
    rig.finish()
    # One tensor of 40,000 bytes, the manifest, and nothing else.
    assert 40_000 < rig.source.num_bytes < 45_000


def test_old_releases_are_collected_and_the_previous_one_is_kept(rig: Rig) -> None:
    for seq in (2, 3):
        rig.submit(seq)
        rig.finish()
    assert rig.files.list("releases/toy") == ["2", "3"]
    assert rig.files.list("partial") == []
    assert rig.files.list("incoming") == []
    rig.submit(2, issued_s=10)
    rig.source.num_bytes = 0
    rig.finish()
    assert (rig.outcome, rig.served, rig.source.num_bytes) == (UPDATED, 2, 0)


def test_a_candidate_that_fails_its_self_test_never_gets_a_call(rig: Rig) -> None:
    rig.box.bad_folders.add("2")
    rig.submit(2)
    rig.work()
    status, outcome, reason = rig.outcome
    assert (status, reason, rig.served) == (Status.FAILED, "SELF_TEST_FAILED", 1)
    untouched = Outcome.NO_STATE_CHANGE if rig.room == 2 else Outcome.ROLLBACK_COMPLETE
    assert outcome is untouched
    assert "route 2" not in rig.box.events
    assert rig.box.loaded == {("toy", Path("/store/releases/toy/1"))}
    rig.submit(2, issued_s=20)
    assert rig.outcome == (Status.REJECTED, Outcome.NO_STATE_CHANGE, "BAD_RELEASE")


def test_a_candidate_that_cannot_be_loaded_leaves_the_old_release(rig: Rig) -> None:
    rig.box.broken_folders.add("2")
    rig.submit(2)
    rig.work()
    assert (rig.outcome[2], rig.served) == ("BAD_ENGINE", 1)


def test_an_old_release_that_does_not_load_again_is_said_to_be_so(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    rig.box.broken_folders.add("1")
    rig.updater.observe("toy", TrialReport(1.0, num_crashes=2))
    rig.work()
    assert rig.outcome == (Status.FAILED, Outcome.UNABLE_TO_ROLLBACK, "TRIAL_FAILED")
    rig.restart()  # which mends it, if anything does
    assert rig.served == 1


def test_a_trial_that_goes_badly_is_rolled_back(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    assert rig.served == 2
    rig.updater.observe("toy", TrialReport(5.0, num_requests=50, num_errors=40))
    rig.work()
    assert rig.outcome == (Status.FAILED, Outcome.ROLLBACK_COMPLETE, "TRIAL_FAILED")
    assert (rig.served, rig.state.bad) == (1, (2,))


def test_a_trial_goes_on_after_a_restart_and_ends_after_three(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    for _ in range(2):
        rig.restart()
        assert rig.served == 2
    rig.restart()
    assert rig.served == 1
    assert rig.outcome == (Status.FAILED, Outcome.ROLLBACK_COMPLETE, "CRASHED")


def test_a_candidate_that_does_not_load_after_a_restart_is_rolled_back(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    rig.restart()
    rig.updater.lost("toy", "cannot be loaded")
    rig.work()
    assert (rig.outcome[2], rig.served) == ("LOAD_FAILED", 1)


def test_a_release_that_was_undone_after_a_restart_can_be_forced_in(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    rig.restart()  # which looks at what there is of it
    rig.updater.lost("toy", "cannot be loaded")
    rig.work()
    assert (rig.served, rig.state.bad) == (1, (2,))
    rig.submit(2, issued_s=30, force=True)
    rig.finish()
    assert (rig.outcome, rig.served, rig.state.bad) == (UPDATED, 2, ())


@pytest.mark.parametrize("kind", ["lost", "doubled", "reordered", "damaged", "foreign", "short"])
def test_a_bad_line_makes_it_slower_and_nothing_else(rig: Rig, kind: str) -> None:
    draw = random.Random(3)

    def spoil(sent: list[tuple[BlobRange, bytes]]) -> list[tuple[BlobRange, bytes]]:
        match kind:
            case "lost":
                return [block for block in sent if draw.random() < 0.5] or sent[:1]
            case "doubled":
                return sent + sent
            case "reordered":
                return draw.sample(sent, len(sent))
            case "damaged":
                return [(p, b"!" + d[1:] if draw.random() < 0.4 else d) for p, d in sent] + sent
            case "foreign":
                return [(BlobRange("f" * 64, 0, 4), b"spam"), *sent]
            case _:
                return [(sent[0][0], sent[0][1][:-1]), *sent]

    rig.source.spoil = spoil
    rig.submit(2)
    rig.finish()
    assert (rig.outcome, rig.served) == (UPDATED, 2)


def test_a_source_that_sends_nothing_but_rubbish_cannot_blacklist_a_release(rig: Rig) -> None:
    rig.source.spoil = lambda sent: [(part, b"x" * len(data)) for part, data in sent] * 80
    rig.submit(2)
    rig.work()
    assert rig.outcome == (Status.FAILED, Outcome.NO_STATE_CHANGE, "DIGEST_MISMATCH")
    assert (rig.served, rig.state.bad) == (1, ())


def test_a_source_that_is_away_is_asked_again(rig: Rig) -> None:
    rig.source.spoil = lambda sent: []
    rig.submit(2)
    rig.work()
    assert rig.state.job.step is Step.DOWNLOADING
    rig.source.spoil = list
    rig.work()  # not yet: it waits a second
    assert rig.state.job.step is Step.DOWNLOADING
    rig.clock_s += 1.0
    rig.finish()
    assert rig.outcome == UPDATED


def test_a_job_that_cannot_be_checked_is_not_taken(rig: Rig) -> None:
    rig.trust.is_reachable = False
    with pytest.raises(UnavailableError):
        rig.submit(2)
    assert rig.state.job.job.seq == 1


def test_a_job_for_other_boxes_is_not_taken(rig: Rig) -> None:
    with pytest.raises(UpdateError) as error:
        rig.submit(2, boxes=["box2"])
    assert error.value.reason == "NOT_FOR_THIS_BOX"
    rig.submit(2, boxes=["box2", "box1"])
    rig.finish()
    assert rig.outcome == UPDATED


def test_a_download_can_be_cancelled_between_two_chunks(rig: Rig) -> None:
    def cancel(sent: list[tuple[BlobRange, bytes]]) -> list[tuple[BlobRange, bytes]]:
        rig.updater.inbox.put(lambda updater: updater.cancel("j2"))
        return sent

    rig.source.spoil = cancel
    rig.submit(2)
    rig.work()
    rig.work()
    assert rig.outcome == (Status.CANCELED, Outcome.NO_STATE_CHANGE, "CANCELED")
    assert rig.served == 1
    assert rig.files.list("partial") == []


def test_a_full_disk_is_found_before_anything_is_fetched(rig: Rig) -> None:
    rig.files.capacity_bytes -= rig.files.free_bytes() - 20_000
    rig.submit(2)
    rig.work()
    assert rig.outcome == (Status.REJECTED, Outcome.NO_STATE_CHANGE, "INSUFFICIENT_SPACE")
    assert (rig.served, rig.source.num_bytes) == (1, 0)


def test_a_disk_that_fills_up_on_the_way_changes_nothing(rig: Rig) -> None:
    def fill(sent: list[tuple[BlobRange, bytes]]) -> list[tuple[BlobRange, bytes]]:
        rig.files.capacity_bytes -= max(0, rig.files.free_bytes() - 100)
        return sent

    rig.source.spoil = fill
    rig.submit(2)
    rig.work()
    assert rig.served == 1
    if rig.state.job.is_open:  # nothing could even be written
        assert rig.answers[-1][1:] == (Status.FAILED, "STORE_FAILED")
    else:
        assert rig.outcome == (Status.FAILED, Outcome.NO_STATE_CHANGE, "INSUFFICIENT_SPACE")
    rig.files.capacity_bytes = 1 << 30
    rig.source.spoil = list
    rig.updater.tick()
    rig.submit(2, issued_s=30)
    rig.finish()
    assert (rig.outcome, rig.served) == (UPDATED, 2)


@pytest.mark.parametrize("step", [Step.DRAINING, Step.ACTIVATING])
def test_a_disk_that_fills_up_in_the_switch_brings_the_old_release_back(
    rig: Rig, step: Step
) -> None:
    if step is Step.DRAINING and rig.room == 2:
        return  # nothing is drained where there is room for both
    rig.submit(2)
    while rig.state.job.step is not step:
        assert rig.updater.work()
    rig.files.capacity_bytes = 0
    rig.work()
    assert rig.served == 1
    assert rig.state.job.step is step
    rig.files.capacity_bytes = 1 << 30
    rig.updater.tick()
    rig.finish()
    assert (rig.outcome, rig.served) == (UPDATED, 2)


def test_a_trial_goes_on_though_nothing_can_be_written(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    rig.files.is_read_only = True
    for number in range(5):
        rig.submit(3, issued_s=60 + number)
        rig.updater.tick()
        rig.work()
        rig.files.is_read_only = False
        rig.updater.tick()
        rig.work()
        rig.files.is_read_only = True
    assert (rig.served, rig.state.trial_left) == (2, 3)
    rig.updater.observe("toy", TrialReport(600.0, num_requests=100))
    assert rig.state.job.step is Step.TRIAL  # a commit that is not written is none
    rig.files.is_read_only = False
    rig.updater.tick()
    rig.finish()
    assert (rig.outcome, rig.served) == (UPDATED, 2)


def test_a_rollback_that_cannot_be_written_happens_and_is_written_later(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    rig.files.is_read_only = True
    for _ in range(3):
        rig.updater.observe("toy", TrialReport(5.0, num_crashes=2))
        rig.updater.tick()
        rig.work()
    assert rig.served == 1
    assert rig.answers.count(("j2", Status.FAILED, "STORE_FAILED")) == 1
    rig.files.is_read_only = False
    rig.updater.tick()
    rig.work()
    assert rig.outcome == (Status.FAILED, Outcome.ROLLBACK_COMPLETE, "TRIAL_FAILED")
    assert (rig.served, rig.state.bad) == (1, (2,))


def test_a_store_that_is_read_only_from_the_start_still_serves(rig: Rig) -> None:
    rig.submit(2)
    rig.work()
    rig.files.is_read_only = True
    rig.restart()
    assert rig.served == 1  # a trial whose starts cannot be counted is none
    rig.submit(3)
    assert rig.answers[-1] == ("j3", Status.FAILED, "STORE_FAILED")
    rig.files.is_read_only = False
    rig.updater.tick()
    rig.work()
    assert rig.outcome == (Status.FAILED, Outcome.ROLLBACK_COMPLETE, "STORE_FAILED")
    assert (rig.served, rig.state.bad) == (1, ())


@pytest.mark.parametrize("time_s", [0.0, 4.1e9], ids=["1970", "2100"])
@pytest.mark.parametrize("num_actions", [0, 2, 6])
def test_a_clock_that_jumps_during_an_update_ends_nothing(
    rig: Rig, time_s: float, num_actions: int
) -> None:
    rig.submit(2)
    for _ in range(num_actions):
        rig.updater.work()
    rig.trust.time_s = time_s
    rig.updater.tick()
    rig.finish()
    assert (rig.outcome, rig.served) == (UPDATED, 2)


def test_a_damaged_state_file_falls_back_to_the_newest_whole_release(rig: Rig) -> None:
    rig.submit(2)
    rig.finish()
    rig.files.write("state/toy.json", b"\0" * 100)
    rig.restart()
    assert rig.served == 2
    rig.submit(1, issued_s=40)
    assert rig.outcome == (Status.REJECTED, Outcome.NO_STATE_CHANGE, "ROLLBACK")


def test_a_release_that_is_not_what_it_says_is_bad(
    rig: Rig, make_engine: MakeEngine, engines: list[Path]
) -> None:
    release = rig.trust.releases["toy", 2]
    engine = release.engine.model_copy(update={"digest": "d" * 64})
    rig.trust.releases["toy", 2] = release.model_copy(update={"engine": engine})
    rig.submit(2)
    rig.work()
    assert rig.outcome == (Status.FAILED, Outcome.NO_STATE_CHANGE, "BAD_CONTENTS")
    assert (rig.served, rig.state.bad) == (1, (2,))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("skilld", "9.0", "WRONG_VERSION"),
        ("runtime_version", "2027.1", "WRONG_RUNTIME"),
        ("arch", ("aarch64",), "WRONG_HARDWARE"),
    ],
)
def test_a_release_for_another_box_is_rejected(
    rig: Rig, field: str, value: object, reason: str
) -> None:
    release = rig.trust.releases["toy", 2]
    requires = release.requires.model_copy(update={field: value})
    rig.trust.releases["toy", 2] = release.model_copy(update={"requires": requires})
    rig.submit(2)
    rig.work()
    assert rig.outcome == (Status.REJECTED, Outcome.NO_STATE_CHANGE, reason)
    assert rig.source.num_bytes == 0


def test_one_name_does_not_wait_for_another(make_engine: MakeEngine, make_rig: MakeRig) -> None:
    engines = [make_engine(name="toy", changed=[1], version="t"), make_engine(name="other")]
    rig = make_rig(SimulatedFiles(), *engines, room=4)
    own = {file.sha256 for file in rig.trust.releases["toy", 1].files} - {
        file.sha256 for file in rig.trust.releases["other", 2].files
    }
    rig.source.spoil = lambda sent: [block for block in sent if block[0].sha256 not in own]
    rig.submit(1)
    rig.submit(2, skill="other")
    rig.work()
    other, toy = rig.updater.states()
    assert (other.job.step, toy.job.step) == (Step.TRIAL, Step.DOWNLOADING)
    rig.source.spoil = list
    rig.clock_s += 60.0
    rig.updater.observe("other", TrialReport(600.0, num_requests=100))
    rig.finish()
    assert [state.active for state in rig.updater.states()] == [2, 1]
    # What one name keeps, the other's cleaning up must not take.
    rig.restart()
    assert rig.box.loaded == {
        ("toy", Path("/store/releases/toy/1")),
        ("other", Path("/store/releases/other/2")),
    }


def test_callers_of_one_name_do_not_wait_for_the_download_of_another(
    make_engine: MakeEngine, make_rig: MakeRig
) -> None:
    engines = [make_engine(name="toy", changed=[1], version="t"), make_engine(name="other")]
    rig = make_rig(SimulatedFiles(), *engines, room=1)

    def step_of_toy() -> Step | None:
        states: list[SkillState] = rig.updater.states()
        return next(s.job.step for s in states if s.skill == "toy" and s.job)

    rig.submit(1)
    while step_of_toy() is not Step.DRAINING:
        rig.updater.work()
    rig.submit(2, skill="other")  # its turn has come, by the clock
    rig.updater.work()
    if step_of_toy() is Step.DRAINING:
        rig.updater.work()
    assert step_of_toy() is Step.ACTIVATING
    rig.updater.work()
    assert step_of_toy() is Step.TRIAL
    rig.work()
    assert rig.source.num_bytes > rig.trust.releases["toy", 1].num_bytes  # the other goes on


def test_downloads_do_not_take_turns(make_engine: MakeEngine, make_rig: MakeRig) -> None:
    sizes = [30_000] * 6
    engines = [
        make_engine(name="toy", sizes=sizes, changed=range(6), version="t"),
        make_engine(name="other", sizes=sizes),
    ]
    rig = make_rig(SimulatedFiles(), *engines, room=4)
    order: list[str] = []

    def told(skill: str, held_bytes: int, total_bytes: int) -> None:
        order.append(skill)
        rig.clock_s += 60.0  # every slice is over after one chunk

    rig.on_progress = told
    rig.restart()
    rig.submit(1)
    rig.submit(2, skill="other")
    rig.work()
    assert {"toy", "other"} == set(order)
    turns = [skill for skill, _ in itertools.groupby(order)]
    assert len(turns) == 2, turns
