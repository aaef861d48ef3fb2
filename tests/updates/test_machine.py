"""The update state machine, case by case, and then with events in any order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from skilld.updates.bundle.release import CommitRule
from skilld.updates.machine import Outcome, SkillState, Status, Step, decide
from skilld.updates.machine import events as e
from skilld.updates.machine.machine import MAX_WRITES
from skilld.updates.trust import Job

RULE = CommitRule(min_requests=10, min_seconds=60.0, max_error_rate=0.05, max_p95_ms=100.0)
GOOD = e.TrialReport(elapsed_s=60.0, num_requests=10, p95_ms=20.0)
BASE = SkillState(skill="toy", active=5, previous=4, high_water_seq=5)
# The events that lead from a new job to each step, when there is memory for both releases.
ROAD: dict[Step, e.Event] = {
    Step.DOWNLOADING: e.Resolved(RULE),
    Step.DOWNLOADED: e.Downloaded(),
    Step.VERIFIED: e.Verified(),
    Step.STAGED: e.Staged(),
    Step.ACTIVATING: e.Planned(True),
    Step.TRIAL: e.Activated(),
}
EARLY = [Step.SCHEDULED, Step.DOWNLOADING, Step.DOWNLOADED, Step.VERIFIED, Step.STAGED]
ALL_STEPS = [*EARLY, Step.DRAINING, Step.ACTIVATING, Step.TRIAL, Step.ROLLING_BACK]


def a_job(job_id: str = "j1", seq: int = 6, issued_s: int = 100, **fields: object) -> Job:
    return Job.model_validate(
        {"id": job_id, "skill": "toy", "seq": seq, "issued_s": issued_s, **fields}
    )


def feed(state: SkillState, *events: e.Event, now_s: float = 1000.0) -> SkillState:
    for event in events:
        state = decide(state, event, now_s).state
    return state


def at(step: Step, *, base: SkillState = BASE, job: Job | None = None) -> SkillState:
    """A state in which a job has come to a step."""
    state = feed(base, e.JobArrived(job or a_job()))
    if step is Step.DRAINING:
        return feed(at(Step.STAGED, base=base, job=job), e.Planned(False))
    if step is Step.ROLLING_BACK:
        return feed(at(Step.TRIAL, base=base, job=job), e.Failed("X", "went wrong", True))
    for reached, event in ROAD.items():
        if step_of(state) is step:
            break
        state = feed(state, event)
        assert step_of(state) is reached
    assert step_of(state) is step
    return state


def step_of(state: SkillState) -> Step | None:
    return state.job.step if state.job else None


def ended(state: SkillState) -> tuple[Status, Outcome | None, str]:
    assert state.job is not None
    assert not state.job.is_open
    return state.job.status, state.job.outcome, state.job.reason


def test_an_update_that_goes_well_is_committed() -> None:
    state = feed(at(Step.TRIAL), GOOD)
    assert ended(state) == (Status.SUCCEEDED, Outcome.COMMITTED, "")
    assert (state.active, state.previous, state.high_water_seq) == (6, 5, 6)
    assert state.serving == 6


def test_without_memory_for_both_the_old_one_ends_first() -> None:
    decision = decide(at(Step.STAGED), e.Planned(False), 0.0)
    assert decision.actions == (e.Drain(5),)
    decision = decide(decision.state, e.Drained(), 0.0)
    assert decision.actions == (e.Activate(6, 5, False),)


def test_the_first_release_takes_the_place_of_what_the_box_was_set_up_with() -> None:
    empty = SkillState(skill="toy")
    decision = decide(at(Step.STAGED, base=empty), e.Planned(False), 0.0)
    assert decision.actions == (e.Drain(None),)
    assert feed(at(Step.TRIAL, base=empty), e.Failed("X", "x")).serving is None


@pytest.mark.parametrize("step", ALL_STEPS)
def test_only_a_trial_serves_the_candidate(step: Step) -> None:
    assert at(step).serving == (6 if step is Step.TRIAL else 5)


@pytest.mark.parametrize("step", EARLY)
def test_error_before_the_switch_changes_nothing(step: Step) -> None:
    state = feed(at(step), e.Failed("INSUFFICIENT_SPACE", "full"))
    assert ended(state) == (Status.FAILED, Outcome.NO_STATE_CHANGE, "INSUFFICIENT_SPACE")
    assert (state.active, state.bad) == (5, ())


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (Step.DRAINING, Outcome.ROLLBACK_COMPLETE),
        (Step.ACTIVATING, Outcome.NO_STATE_CHANGE),
        (Step.TRIAL, Outcome.ROLLBACK_COMPLETE),
    ],
)
def test_error_in_the_switch_rolls_back(step: Step, outcome: Outcome) -> None:
    decision = decide(at(step), e.Failed("SELF_TEST_FAILED", "wrong answers", True), 0.0)
    assert decision.actions == (e.RollBack(5, 6),)
    assert decision.state.serving == 5
    state = feed(decision.state, e.RolledBack())
    assert ended(state) == (Status.FAILED, outcome, "SELF_TEST_FAILED")
    assert state.bad == (6,)


def test_an_old_release_that_does_not_come_back_is_said_to_be_so() -> None:
    state = feed(at(Step.ROLLING_BACK), e.RollbackFailed("no memory"))
    assert ended(state) == (Status.FAILED, Outcome.UNABLE_TO_ROLLBACK, "X")
    assert state.serving == 5


@pytest.mark.parametrize("step", EARLY)
def test_killed_before_the_switch_begins_the_same_action_again(step: Step) -> None:
    state = at(step)
    decision = decide(state, e.Restarted(), 1000.0)
    again: dict[Step, e.Action] = {
        Step.SCHEDULED: e.Resolve(a_job()),
        Step.DOWNLOADING: e.Download(6),
        Step.DOWNLOADED: e.Verify(6),
        Step.VERIFIED: e.Stage(6),
        Step.STAGED: e.Plan(6),
    }
    assert decision.actions == (again[step],)
    assert step_of(decision.state) is step


@pytest.mark.parametrize("step", [Step.DRAINING, Step.ACTIVATING, Step.TRIAL])
def test_killed_three_times_in_the_switch_ends_with_the_old_release(step: Step) -> None:
    state = feed(at(step), e.Restarted(), e.Restarted())
    assert state.job is not None
    assert state.job.is_open
    assert state.trial_left == 1
    state = feed(state, e.Restarted())
    assert ended(state)[0] is Status.FAILED
    assert ended(state)[2] == "CRASHED"
    assert (state.serving, state.bad) == (5, (6,))


def test_killed_while_switching_activates_again_from_the_old_release() -> None:
    for step in (Step.DRAINING, Step.ACTIVATING):
        decision = decide(at(step), e.Restarted(), 1000.0)
        assert decision.actions == (e.Plan(6),)
        assert decision.state.serving == 5


def test_killed_in_a_trial_goes_on_with_the_candidate() -> None:
    decision = decide(at(Step.TRIAL), e.Restarted(), 1000.0)
    assert (decision.actions, decision.state.serving) == ((), 6)


def test_killed_while_rolling_back_starts_with_the_old_release() -> None:
    state = feed(at(Step.ROLLING_BACK), e.Restarted())
    assert ended(state) == (Status.FAILED, Outcome.ROLLBACK_COMPLETE, "X")


@pytest.mark.parametrize("step", EARLY)
def test_a_loop_of_restarts_ends(step: Step) -> None:
    state = at(step)
    for _ in range(2 * MAX_WRITES):
        state = feed(state, e.Restarted())
    assert ended(state) == (Status.FAILED, Outcome.NO_STATE_CHANGE, "LOOP")
    assert state.writes <= MAX_WRITES
    assert state.serving == 5


def test_a_download_that_gets_on_is_no_loop() -> None:
    state = at(Step.DOWNLOADING)
    for held_bytes in range(1, 500):
        state = feed(state, e.Restarted(held_bytes))
    assert step_of(state) is Step.DOWNLOADING


@pytest.mark.parametrize(
    ("report", "what"),
    [
        (e.TrialReport(5.0, num_requests=10, num_errors=1), "10.0% of 10 calls failed"),
        (e.TrialReport(5.0, num_requests=10, p95_ms=101.0), "p95"),
        (e.TrialReport(5.0, num_crashes=2), "crashed"),
        (e.TrialReport(5.0, is_over_memory=True), "memory"),
    ],
)
def test_a_trial_that_goes_badly_is_rolled_back(report: e.TrialReport, what: str) -> None:
    decision = decide(at(Step.TRIAL), report, 1000.0)
    assert decision.actions == (e.RollBack(5, 6),)
    assert decision.state.job is not None
    assert what in decision.state.job.message
    assert decision.state.bad == (6,)


@pytest.mark.parametrize(
    "report",
    [
        e.TrialReport(59.0, num_requests=1000),
        e.TrialReport(600.0, num_requests=9),
        e.TrialReport(5.0, num_requests=9, num_errors=9),  # too few calls to judge by
        e.TrialReport(5.0, num_crashes=1),
        e.TrialReport(5.0, num_requests=10, num_errors=3, old_error_rate=0.2),  # as ever
    ],
)
def test_a_trial_goes_on_until_there_is_enough_to_judge(report: e.TrialReport) -> None:
    assert decide(at(Step.TRIAL), report, 1000.0).actions == ()
    assert step_of(feed(at(Step.TRIAL), report)) is Step.TRIAL


def test_a_quiet_box_commits_at_the_deadline() -> None:
    job = a_job(deadline_s=5000)
    report = e.TrialReport(elapsed_s=60.0)
    state = feed(at(Step.TRIAL, job=job), report, now_s=4999.0)
    assert step_of(state) is Step.TRIAL
    assert ended(feed(state, report, now_s=5000.0))[1] is Outcome.COMMITTED


def test_a_manual_trial_waits_for_its_order() -> None:
    state = feed(at(Step.TRIAL, job=a_job(commit="manual")), GOOD)
    assert step_of(state) is Step.TRIAL
    assert step_of(feed(state, e.CommitOrdered("another"))) is Step.TRIAL
    assert ended(feed(state, e.CommitOrdered("j1")))[1] is Outcome.COMMITTED


def test_a_manual_trial_that_nobody_commits_is_rolled_back() -> None:
    state = feed(at(Step.TRIAL, job=a_job(commit="manual", deadline_s=5000)), e.Tick(), now_s=5e3)
    state = feed(state, e.RolledBack())
    assert ended(state) == (Status.TIMED_OUT, Outcome.ROLLBACK_COMPLETE, "DEADLINE")
    assert state.bad == ()


def test_a_bad_release_is_remembered_and_force_tries_it_again() -> None:
    state = feed(at(Step.ROLLING_BACK), e.RolledBack())
    refused = feed(state, e.JobArrived(a_job("j2", issued_s=101)))
    assert ended(refused) == (Status.REJECTED, Outcome.NO_STATE_CHANGE, "BAD_RELEASE")
    forced = at(Step.TRIAL, base=refused, job=a_job("j3", issued_s=102, force=True))
    assert feed(forced, GOOD).bad == ()


@pytest.mark.parametrize("seq", [1, 3])
def test_an_older_release_is_refused(seq: int) -> None:
    state = feed(BASE, e.JobArrived(a_job(seq=seq)))
    assert ended(state) == (Status.REJECTED, Outcome.NO_STATE_CHANGE, "ROLLBACK")


def test_the_previous_release_may_come_back() -> None:
    state = feed(at(Step.TRIAL, job=a_job(seq=4)), GOOD)
    assert (state.active, state.previous, state.high_water_seq) == (4, 5, 5)


def test_the_active_release_is_there_already() -> None:
    state = feed(BASE, e.JobArrived(a_job(seq=5)))
    assert ended(state) == (Status.SUCCEEDED, Outcome.COMMITTED, "ALREADY_ACTIVE")


@pytest.mark.parametrize("step", ALL_STEPS)
def test_the_same_job_twice_is_one_job(step: Step) -> None:
    state = at(step)
    assert decide(state, e.JobArrived(a_job()), 1000.0).state == state


def test_a_finished_job_that_arrives_again_stays_finished() -> None:
    state = feed(at(Step.TRIAL), GOOD)
    assert decide(state, e.JobArrived(a_job()), 1000.0).state == state


def test_a_stale_job_is_refused() -> None:
    state = feed(at(Step.TRIAL), GOOD)
    decision = decide(state, e.JobArrived(a_job("old", seq=7, issued_s=99)), 1000.0)
    assert decision.state == state
    assert decision.actions == (e.Answer("old", Status.REJECTED, "STALE_JOB"),)


def test_a_newer_job_takes_the_place_of_one_that_has_touched_nothing() -> None:
    for step in EARLY:
        decision = decide(at(step), e.JobArrived(a_job("j2", seq=7, issued_s=101)), 1000.0)
        assert decision.actions[0] == e.Answer("j1", Status.CANCELED, "SUPERSEDED")
        assert step_of(decision.state) is Step.SCHEDULED


@pytest.mark.parametrize("step", [Step.DRAINING, Step.ACTIVATING, Step.TRIAL, Step.ROLLING_BACK])
def test_a_newer_job_waits_for_a_switch_to_end(step: Step) -> None:
    first, second = a_job("j2", seq=7, issued_s=101), a_job("j3", seq=8, issued_s=102)
    decision = decide(at(step), e.JobArrived(first), 1000.0)
    assert decision.actions == (e.Answer("j2", Status.QUEUED, ""),)
    decision = decide(decision.state, e.JobArrived(second), 1000.0)
    assert decision.actions[0] == e.Answer("j2", Status.CANCELED, "SUPERSEDED")
    ending: dict[Step, list[e.Event]] = {
        Step.TRIAL: [GOOD],
        Step.ROLLING_BACK: [e.RolledBack()],
    }
    for event in ending.get(step, [e.Failed("X", "x"), e.RolledBack()]):
        decision = decide(decision.state, event, 1000.0)
    assert decision.actions[-1] == e.Resolve(second)
    assert decision.state.writes == 1


def test_a_job_waits_for_its_time() -> None:
    state = feed(BASE, e.JobArrived(a_job(not_before_s=2000)), now_s=1000.0)
    assert state.job is not None
    assert state.job.status is Status.QUEUED
    assert feed(state, e.Tick(), e.Restarted(), now_s=1999.0) == state
    assert step_of(feed(state, e.Tick(), now_s=2000.0)) is Step.SCHEDULED


@pytest.mark.parametrize("step", EARLY)
def test_a_job_that_is_late_changes_nothing(step: Step) -> None:
    state = feed(at(step, job=a_job(deadline_s=5000)), e.Tick(), now_s=5000.0)
    assert ended(state) == (Status.TIMED_OUT, Outcome.NO_STATE_CHANGE, "DEADLINE")


def test_a_job_that_arrives_after_its_deadline_is_timed_out() -> None:
    state = feed(BASE, e.JobArrived(a_job(deadline_s=999)))
    assert ended(state)[0] is Status.TIMED_OUT


@pytest.mark.parametrize("step", EARLY)
def test_a_cancelled_job_changes_nothing(step: Step) -> None:
    state = feed(at(step), e.CancelOrdered("j1"))
    assert ended(state) == (Status.CANCELED, Outcome.NO_STATE_CHANGE, "CANCELED")


@pytest.mark.parametrize("step", [Step.DRAINING, Step.ACTIVATING])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_job_cancelled_in_the_switch_is_undone(step: Step, is_killed: bool) -> None:
    state = feed(at(step), e.CancelOrdered("j1"))
    assert state.job is not None
    assert state.job.is_open
    on: list[e.Event] = (
        [e.Restarted()] if is_killed else [e.Drained(), e.Activated(), e.RolledBack()]
    )
    state = feed(state, *on)
    assert ended(state)[0] is Status.CANCELED
    assert (state.serving, state.bad) == (5, ())


def test_a_job_cancelled_in_its_trial_is_rolled_back() -> None:
    state = feed(at(Step.TRIAL), e.CancelOrdered("j1"), e.RolledBack())
    assert ended(state) == (Status.CANCELED, Outcome.ROLLBACK_COMPLETE, "CANCELED")


def test_a_refused_release_is_rejected_with_its_reason() -> None:
    state = feed(at(Step.SCHEDULED), e.Refused("WRONG_HARDWARE", "needs aarch64"))
    assert ended(state) == (Status.REJECTED, Outcome.NO_STATE_CHANGE, "WRONG_HARDWARE")


def test_collecting_never_takes_what_may_be_needed() -> None:
    assert at(Step.TRIAL).kept == {4, 5, 6}
    assert at(Step.DOWNLOADING).kept == {4, 5, 6}
    assert feed(at(Step.TRIAL), GOOD).kept == {5, 6}


EVENTS: list[e.Event] = [
    *(e.Resolved(RULE), e.Downloaded(), e.Verified(), e.Staged(), e.Planned(True)),
    *(e.Planned(False), e.Drained(), e.Activated(), e.RolledBack(), e.RollbackFailed("x")),
    *(e.Refused("R", "r"), e.Failed("F", "f"), e.Failed("F", "f", True), e.Tick()),
    *(GOOD, e.TrialReport(5.0, num_crashes=2), e.TrialReport(1.0), e.CancelOrdered("j1")),
    *(e.CommitOrdered("j1"), e.CommitOrdered("j2"), e.CancelOrdered("j3")),
]


class AnyOrder(RuleBasedStateMachine):
    """Events in any order, late and doubled ones included; every state is written and read back."""

    @initialize()
    def begin(self) -> None:
        self.state = BASE
        self.now_s = 1000.0
        self.was = BASE

    def feed(self, event: e.Event) -> None:
        self.was = self.state
        decided = decide(self.state, event, self.now_s).state
        self.state = SkillState.model_validate_json(decided.model_dump_json())
        assert self.state == decided

    @rule(
        number=st.integers(1, 4),
        seq=st.integers(3, 9),
        force=st.booleans(),
        manual=st.booleans(),
        deadline_s=st.none() | st.integers(900, 3000),
    )
    def job(self, number: int, seq: int, force: bool, manual: bool, deadline_s: int | None) -> None:
        commit = "manual" if manual else "auto"
        self.feed(
            e.JobArrived(
                a_job(f"j{number}", seq, number, force=force, commit=commit, deadline_s=deadline_s)
            )
        )

    @rule(event=st.sampled_from(EVENTS))
    def happen(self, event: e.Event) -> None:
        self.feed(event)

    @rule()
    @precondition(lambda self: self.state.job and self.state.job.is_open)
    def go_on(self) -> None:
        """The event that leads on: else random events would hardly reach a trial."""
        step = step_of(self.state)
        following: dict[Step, e.Event] = {
            Step.SCHEDULED: e.Resolved(RULE),
            Step.DOWNLOADING: e.Downloaded(),
            Step.DOWNLOADED: e.Verified(),
            Step.VERIFIED: e.Staged(),
            Step.STAGED: e.Planned(self.state.rev % 2 == 0),
            Step.DRAINING: e.Drained(),
            Step.ACTIVATING: e.Activated(),
            Step.TRIAL: GOOD,
            Step.ROLLING_BACK: e.RolledBack(),
        }
        self.feed(following[step] if step else e.Tick())

    @rule(held_bytes=st.integers(0, 3))
    def restart(self, held_bytes: int) -> None:
        self.feed(e.Restarted(held_bytes))

    @rule(s=st.sampled_from([1.0, 500.0, -1000.0]))
    def wait(self, s: float) -> None:
        self.now_s += s

    @invariant()
    def holds(self) -> None:
        state, was = self.state, self.was
        assert state.rev in (was.rev, was.rev + 1)
        assert (state == was) == (state.rev == was.rev)
        assert state.writes <= MAX_WRITES
        assert state.high_water_seq >= was.high_water_seq
        assert state.serving in (state.active, state.candidate)
        assert state.active is not None
        if state.active != was.active:  # only a trial can be committed
            assert step_of(was) is Step.TRIAL
            assert (was.candidate, was.active) == (state.active, state.previous)
        if state.job is None:
            return
        if not state.job.is_open:
            assert (state.candidate, state.trial_left, state.job.step) == (None, 0, None)
            assert state.job.outcome is not None
            assert state.queued is None
        elif state.job.step in (Step.DRAINING, Step.ACTIVATING, Step.TRIAL):
            assert state.candidate == state.job.job.seq
            assert 1 <= state.trial_left <= 3
        if step_of(state) is Step.SCHEDULED:
            assert state.job.job.force or state.job.job.seq not in state.bad


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase
