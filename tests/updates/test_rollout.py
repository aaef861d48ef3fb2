"""Who is asked next, when a rollout stops, and how it ends."""

from __future__ import annotations

import pytest

from skilld.updates.fleet import JobAnswer, Report
from skilld.updates.fleet.rollout import Ending, Orders, Rollout, RolloutPlan, Stage
from skilld.updates.machine import Outcome, Status, Step

JOB = "now"
FORMER = "former"
STUCK_S = 100.0


def plan(*boxes: str, **fields: int | None) -> RolloutPlan:
    return RolloutPlan("toy", 5, JOB, boxes, stuck_s=STUCK_S, **fields)  # type: ignore[arg-type]


def report(box: str, status: Status, *, job: str = JOB, seq: int = 5, rev: int = 1) -> Report:
    outcome = {
        Status.SUCCEEDED: Outcome.COMMITTED,
        Status.FAILED: Outcome.ROLLBACK_COMPLETE,
        Status.REJECTED: Outcome.NO_STATE_CHANGE,
        Status.CANCELED: Outcome.NO_STATE_CHANGE,
    }.get(status)
    return Report(
        box=box,
        release="toy",
        rev=rev,
        job=job,
        seq=seq,
        status=status,
        step=Step.DOWNLOADING if status is Status.IN_PROGRESS else None,
        outcome=outcome,
        active=seq if status is Status.SUCCEEDED else None,
    )


def stages(rollout: Rollout) -> dict[str, Stage]:
    return {box.box: box.stage for box in rollout.boxes}


def test_waves_follow_each_other_and_the_canary_goes_first() -> None:
    assert plan("a", "b", "c", "d", "e", wave_size=2).waves == (("a",), ("b", "c"), ("d", "e"))
    assert plan("a", "b", "c").waves == (("a",), ("b", "c"))
    assert plan("a", "b", "c", num_canaries=0).waves == (("a", "b", "c"),)
    assert plan("a", num_canaries=3).waves == (("a",),)
    rollout = Rollout(plan("a", "b", "c"))
    assert rollout.advance(0.0) == Orders(asks=("a",))
    assert rollout.advance(1.0) == Orders()
    rollout.hear(report("a", Status.IN_PROGRESS), 2.0)
    assert rollout.advance(2.0) == Orders()
    rollout.hear(report("a", Status.SUCCEEDED), 3.0)
    assert rollout.advance(3.0) == Orders(asks=("b", "c"))
    for box in ("b", "c"):
        rollout.hear(report(box, Status.SUCCEEDED), 4.0)
    assert rollout.advance(4.0) == Orders(ending=Ending.COMMITTED)


def test_a_failed_canary_stops_it_whatever_may_fail() -> None:
    rollout = Rollout(plan("a", "b", max_failures=2))
    rollout.advance(0.0)
    rollout.hear(report("a", Status.FAILED), 1.0)
    assert rollout.advance(1.0) == Orders(ending=Ending.STOPPED)
    assert stages(rollout) == {"a": Stage.FAILED, "b": Stage.WAITING}
    assert "canary a" in rollout.stopped_because


def test_a_failure_that_is_allowed_is_told_in_the_end() -> None:
    rollout = Rollout(plan("a", "b", "c", max_failures=1, num_canaries=0, wave_size=2))
    assert rollout.advance(0.0).asks == ("a", "b")
    rollout.hear(report("a", Status.REJECTED), 1.0)
    assert rollout.advance(1.0) == Orders()
    rollout.hear(report("b", Status.SUCCEEDED), 2.0)
    assert rollout.advance(2.0).asks == ("c",)
    rollout.hear(report("c", Status.SUCCEEDED), 3.0)
    assert rollout.advance(3.0).ending is Ending.INCOMPLETE


def test_too_many_failures_cancel_what_is_under_way() -> None:
    rollout = Rollout(plan("a", "b", "c", "d", num_canaries=0))
    rollout.advance(0.0)
    rollout.hear(report("a", Status.SUCCEEDED), 1.0)
    rollout.hear(report("b", Status.IN_PROGRESS), 1.0)
    rollout.hear(report("c", Status.FAILED), 1.0)
    assert rollout.advance(1.0) == Orders(cancels=("b", "d"))
    assert rollout.advance(2.0) == Orders()  # said once
    rollout.hear(report("b", Status.CANCELED), 3.0)
    assert rollout.advance(STUCK_S / 2) == Orders()
    # The last one never answers, and is not waited for for ever.
    assert rollout.advance(STUCK_S + 2.0) == Orders(ending=Ending.STOPPED)
    assert stages(rollout) == {
        "a": Stage.COMMITTED,
        "b": Stage.CANCELED,
        "c": Stage.FAILED,
        "d": Stage.STUCK,
    }


def test_who_is_stuck_is_cancelled_and_not_waited_for_but_others_get_their_time() -> None:
    rollout = Rollout(plan("a", "b", "c", num_canaries=0, max_failures=1))
    rollout.advance(0.0)
    rollout.hear(report("b", Status.IN_PROGRESS), 90.0)
    rollout.hear(report("c", Status.IN_PROGRESS), 90.0)
    assert rollout.advance(STUCK_S) == Orders()
    rollout.hear(report("c", Status.FAILED), 150.0)
    assert rollout.advance(150.0) == Orders(cancels=("a", "b"))
    assert rollout.advance(90.0 + STUCK_S) == Orders()  # to cancel takes a while, too
    assert rollout.advance(150.0 + STUCK_S) == Orders(ending=Ending.STOPPED)


def test_the_last_word_on_a_job_is_the_last() -> None:
    rollout = Rollout(plan("a", "b"))
    rollout.advance(0.0)
    rollout.hear(report("a", Status.SUCCEEDED), 1.0)
    rollout.hear(report("a", Status.FAILED), 2.0)
    assert rollout.advance(2.0).asks == ("b",)
    assert stages(rollout)["a"] is Stage.COMMITTED


def test_a_silent_box_counts_as_failed_until_it_speaks() -> None:
    rollout = Rollout(plan("a", "b", num_canaries=0, max_failures=1))
    rollout.advance(0.0)
    rollout.hear(report("a", Status.IN_PROGRESS), 50.0)
    rollout.advance(120.0)
    assert stages(rollout) == {"a": Stage.UNDER_WAY, "b": Stage.STUCK}
    rollout.hear(report("a", Status.IN_PROGRESS), 140.0)  # the same again is no news
    rollout.hear(report("b", Status.SUCCEEDED), 145.0)
    rollout.advance(151.0)
    assert stages(rollout) == {"a": Stage.STUCK, "b": Stage.COMMITTED}
    rollout.hear(report("a", Status.IN_PROGRESS, rev=2), 152.0)
    assert rollout.advance(152.0).ending is None
    assert stages(rollout)["a"] is Stage.UNDER_WAY


def test_a_box_that_only_says_what_it_waits_for_gets_no_further() -> None:
    rollout = Rollout(plan("a", "b", max_failures=1, num_canaries=0))
    rollout.advance(0.0)
    for now_s in (10.0, 60.0, 115.0):
        told = report("a", Status.IN_PROGRESS)
        fields = {"reason": "SOURCE_UNAVAILABLE", "message": f"{now_s} s without a depot"}
        rollout.hear(told.model_copy(update=fields), now_s)
        rollout.hear(report("b", Status.IN_PROGRESS, rev=int(now_s)), now_s)
        rollout.advance(now_s)
    assert stages(rollout) == {"a": Stage.STUCK, "b": Stage.UNDER_WAY}
    assert "115.0 s without a depot" in rollout.boxes[0].message
    rollout.hear(told.model_copy(update={"held_bytes": 1}), 116.0)
    assert stages(rollout)["a"] is Stage.UNDER_WAY


@pytest.mark.parametrize(
    "former",
    [
        report("a", Status.SUCCEEDED, job=FORMER),
        report("a", Status.SUCCEEDED, job=FORMER, seq=4),
        Report(box="a", release="toy", active=5),
        report("a", Status.SUCCEEDED).model_copy(update={"release": "other"}),
        report("elsewhere", Status.SUCCEEDED),
    ],
)
def test_only_what_is_about_this_job_counts(former: Report) -> None:
    rollout = Rollout(plan("a", "b"))
    rollout.hear(former, 0.0)
    assert rollout.advance(0.0).asks == ("a",)
    rollout.hear(former, 1.0)
    assert stages(rollout) == {"a": Stage.ASKED, "b": Stage.WAITING}


def test_an_id_that_was_used_for_another_release_is_a_failure() -> None:
    rollout = Rollout(plan("a"))
    rollout.hear(report("a", Status.SUCCEEDED, seq=4), 0.0)
    assert rollout.advance(0.0).ending is Ending.STOPPED
    assert rollout.boxes[0].reason == "ID_IN_USE"


def test_what_became_of_a_job_beside_the_current_one_counts() -> None:
    rollout = Rollout(plan("a"))
    rollout.advance(0.0)
    other = report("a", Status.IN_PROGRESS, job=FORMER)
    queued = other.model_copy(update={"answers": (JobAnswer(job=JOB, status=Status.QUEUED),)})
    rollout.hear(queued, 1.0)
    assert stages(rollout)["a"] is Stage.UNDER_WAY
    answers = (*queued.answers, JobAnswer(job=JOB, status=Status.REJECTED, reason="STALE_JOB"))
    rollout.hear(other.model_copy(update={"answers": answers}), 2.0)
    assert (rollout.boxes[0].stage, rollout.boxes[0].reason) == (Stage.FAILED, "STALE_JOB")


def test_started_again_it_goes_on_where_the_boxes_are() -> None:
    rollout = Rollout(plan("a", "b", "c", "d", wave_size=2))
    rollout.hear(report("a", Status.SUCCEEDED), 0.0)
    rollout.hear(report("b", Status.IN_PROGRESS), 0.0)
    rollout.was_asked("d", 0.0)  # of a later wave, by whoever drove this before
    assert rollout.advance(0.0) == Orders()
    rollout.hear(report("d", Status.SUCCEEDED), 1.0)
    assert rollout.advance(1.0).asks == ("c",)
    rollout.hear(report("b", Status.SUCCEEDED), 2.0)
    rollout.hear(report("c", Status.SUCCEEDED), 2.0)
    assert rollout.advance(2.0).ending is Ending.COMMITTED


def test_what_an_earlier_run_asked_is_cancelled_too() -> None:
    rollout = Rollout(plan("a", "b", "c"))
    rollout.was_asked("c", 0.0)
    rollout.hear(report("a", Status.FAILED), 0.0)
    assert rollout.advance(0.0).cancels == ("c",)


def test_a_box_that_cannot_be_asked_is_a_failure() -> None:
    rollout = Rollout(plan("a", "b"))
    rollout.give_up("a", "NEWER_JOB", "somebody else was later")
    assert rollout.advance(0.0) == Orders(ending=Ending.STOPPED)
