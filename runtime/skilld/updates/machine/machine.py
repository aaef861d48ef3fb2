"""`decide`: the update state machine. Pure: state, event and time in; state and actions out.

The new state is written durably before its actions begin. So whenever the power goes, what is
found at the next start says all there is to know, and `Restarted` goes on from there:

1. before `DRAINING` nothing that serves has been touched: the action is simply begun again;
2. from `DRAINING` to `TRIAL` a start uses up one of three; then the release is bad and the old one
   serves, which is on the disk and was never changed;
3. `COMMITTED` is one write.

A job changes the state at most `MAX_WRITES` times before it is ended, whatever happens to the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skilld.updates.machine import events as e
from skilld.updates.machine.state import JobRecord, Outcome, SkillState, Status, Step
from skilld.updates.trust.job import Job

MAX_WRITES = 28
TRIAL_STARTS = 3
MAX_CRASHES = 2
_EARLY = (Step.SCHEDULED, Step.DOWNLOADING, Step.DOWNLOADED, Step.VERIFIED, Step.STAGED)
_SWITCHING = (Step.DRAINING, Step.ACTIVATING)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write, then what to do, in this order."""

    state: SkillState
    actions: tuple[e.Action, ...] = ()


def decide(state: SkillState, event: e.Event, now_s: float) -> Decision:
    """See the module docstring.

    Args:
        state: as it was last written.
        event: what happened.
        now_s: the trusted time, in seconds since 1970.
    """
    decision = _react(state, event, now_s)
    new = decision.state
    if new == state:
        return decision
    if _job_id(new) != _job_id(state):
        writes = 1
    elif isinstance(event, e.Restarted) and new.held_bytes > state.held_bytes:
        writes = state.writes  # a download that gets on is no loop, however often it is cut
    else:
        writes = state.writes + 1
    new = new.model_copy(update={"rev": state.rev + 1, "writes": writes})
    if writes >= MAX_WRITES - 1 and _is_stoppable(new):  # one more may be needed to roll back
        stopped = _give_up(new, "LOOP", f"no end after {writes} steps", is_bad=False)
        return Decision(
            stopped.state.model_copy(update={"rev": state.rev + 1, "writes": stopped.state.writes}),
            stopped.actions,
        )
    return Decision(new, decision.actions)


def _react(state: SkillState, event: e.Event, now_s: float) -> Decision:
    if isinstance(event, e.JobArrived):
        return _on_job(state, event.job, now_s)
    record = state.job
    if record is None or not record.is_open:
        return Decision(state, (e.Collect(),) if isinstance(event, e.Restarted) else ())
    step, seq = record.step, record.job.seq
    match event:
        case e.Restarted():
            return _on_restart(state, record, event, now_s)
        case e.Tick():
            return _on_time(state, record, now_s)
        case e.CancelOrdered(job_id) if job_id == record.job.id:
            return _on_cancel(state, record)
        case e.CommitOrdered(job_id) if job_id == record.job.id and step is Step.TRIAL:
            return _commit(state, now_s)
        case e.Refused(reason, message) if step is Step.SCHEDULED:
            return _finish(state, Status.REJECTED, reason, message, now_s=now_s)
        case e.Resolved(rule) if step is Step.SCHEDULED:
            return _to(state, Step.DOWNLOADING, e.Download(seq), rule=rule)
        case e.Downloaded() if step is Step.DOWNLOADING:
            return _to(state, Step.DOWNLOADED, e.Verify(seq))
        case e.Verified() if step is Step.DOWNLOADED:
            return _to(state, Step.VERIFIED, e.Stage(seq))
        case e.Staged() if step is Step.VERIFIED:
            return _to(state, Step.STAGED, e.Plan(seq))
        case e.Planned(is_beside) if step in (Step.STAGED, *_SWITCHING):
            return _begin_switch(state, seq, is_beside=is_beside)
        case e.Drained() if step is Step.DRAINING:
            return _to(state, Step.ACTIVATING, e.Activate(seq, state.active, False))
        case e.Activated() if step is Step.ACTIVATING:
            if record.is_cancelled:
                return _roll_back(state, Status.CANCELED, "CANCELED", "cancelled by order")
            return _to(state, Step.TRIAL)
        case e.TrialReport() if step is Step.TRIAL:
            return _on_trial(state, record, event, now_s)
        case e.Failed(reason, message, is_bad) if step is not Step.ROLLING_BACK:
            return _give_up(state, reason, message, is_bad=is_bad, now_s=now_s)
        case e.RolledBack() if step is Step.ROLLING_BACK:
            return _end_rollback(state, record, Outcome.ROLLBACK_COMPLETE, now_s)
        case e.RollbackFailed(message) if step is Step.ROLLING_BACK:
            told = _with(state, message=f"{record.message}; and the old release: {message}")
            assert told.job is not None
            return _end_rollback(told, told.job, Outcome.UNABLE_TO_ROLLBACK, now_s)
        case _:
            return Decision(state)  # late, doubled, or for another job


def _on_job(state: SkillState, job: Job, now_s: float) -> Decision:
    record = state.job
    known = [j for j in (record.job if record else None, state.queued) if j is not None]
    if any(job.id == other.id for other in known):
        return Decision(state)
    if any(job.issued_s <= other.issued_s for other in known):
        return Decision(state, (e.Answer(job.id, Status.REJECTED, "STALE_JOB"),))
    if record is None or not record.is_open:
        return _start(state, job, now_s)
    superseded: tuple[e.Action, ...] = ()
    if record.status is Status.QUEUED or record.step in _EARLY:
        superseded = (e.Answer(record.job.id, Status.CANCELED, "SUPERSEDED"),)
        started = _start(state, job, now_s)
        return Decision(started.state, superseded + started.actions)
    if state.queued is not None:
        superseded = (e.Answer(state.queued.id, Status.CANCELED, "SUPERSEDED"),)
    return Decision(
        state.model_copy(update={"queued": job}),
        (*superseded, e.Answer(job.id, Status.QUEUED, "")),
    )


def _start(state: SkillState, job: Job, now_s: float) -> Decision:
    state = state.model_copy(
        update={"job": JobRecord(job=job), "candidate": None, "held_bytes": 0, "queued": None}
    )
    if job.seq in state.bad and not job.force:
        return _finish(
            state, Status.REJECTED, "BAD_RELEASE", "went wrong here before; only force retries it"
        )
    if job.seq == state.active:
        return _finish(state, Status.SUCCEEDED, "ALREADY_ACTIVE", "", outcome=Outcome.COMMITTED)
    if job.seq <= state.high_water_seq and job.seq != state.previous:
        return _finish(
            state,
            Status.REJECTED,
            "ROLLBACK",
            f"not newer than {state.high_water_seq}, which was here before",
        )
    return _on_time(state, state.job or JobRecord(job=job), now_s)


def _on_time(state: SkillState, record: JobRecord, now_s: float) -> Decision:
    job = record.job
    is_late = job.deadline_s is not None and now_s >= job.deadline_s
    if is_late and (record.step is None or record.step in _EARLY):
        return _finish(state, Status.TIMED_OUT, "DEADLINE", "not done in time", now_s=now_s)
    if is_late and record.step is Step.TRIAL and job.commit == "manual":
        return _roll_back(state, Status.TIMED_OUT, "DEADLINE", "nobody committed it in time")
    if record.status is Status.QUEUED and now_s >= job.not_before_s:
        return _to(state, Step.SCHEDULED, e.Resolve(job))
    return Decision(state)


def _on_restart(state: SkillState, record: JobRecord, event: e.Restarted, now_s: float) -> Decision:
    seq = record.job.seq
    counted = _with(state, restarts=record.restarts + 1)
    match record.step:
        case None:
            return _on_time(state, record, now_s)
        case Step.SCHEDULED:
            return Decision(counted, (e.Resolve(record.job),))
        case Step.DOWNLOADING:
            held = max(state.held_bytes, event.held_bytes)
            return Decision(counted.model_copy(update={"held_bytes": held}), (e.Download(seq),))
        case Step.DOWNLOADED:
            return Decision(counted, (e.Verify(seq),))
        case Step.VERIFIED:
            return Decision(counted, (e.Stage(seq),))
        case Step.STAGED:
            return Decision(counted, (e.Plan(seq),))
        case Step.ROLLING_BACK:
            return _end_rollback(state, record, Outcome.ROLLBACK_COMPLETE, now_s)
        case Step.DRAINING | Step.ACTIVATING | Step.TRIAL:
            if record.is_cancelled:
                return _end_rollback(state, _cancelled(record), Outcome.ROLLBACK_COMPLETE, now_s)
            left = state.trial_left - 1
            if left <= 0:
                # This start already loads the old release.
                message = f"did not last {TRIAL_STARTS} starts of the daemon"
                ending = _roll_back(state, Status.FAILED, "CRASHED", message, is_bad=True).state
                assert ending.job is not None
                return _end_rollback(ending, ending.job, Outcome.ROLLBACK_COMPLETE, now_s)
            counted = counted.model_copy(update={"trial_left": left})
            return Decision(counted, () if record.step is Step.TRIAL else (e.Plan(seq),))


def _on_cancel(state: SkillState, record: JobRecord) -> Decision:
    if record.step in _SWITCHING:
        return Decision(_with(state, is_cancelled=True))
    if record.step is Step.TRIAL:
        return _roll_back(state, Status.CANCELED, "CANCELED", "cancelled by order")
    if record.step is Step.ROLLING_BACK:
        return Decision(state)
    return _finish(state, Status.CANCELED, "CANCELED", "cancelled by order")


def _begin_switch(state: SkillState, seq: int, *, is_beside: bool) -> Decision:
    assert state.job is not None
    if state.job.step is Step.STAGED:
        state = state.model_copy(update={"candidate": seq, "trial_left": TRIAL_STARTS})
    if is_beside:
        return _to(state, Step.ACTIVATING, e.Activate(seq, state.active, True), is_beside=True)
    return _to(state, Step.DRAINING, e.Drain(state.active), is_beside=False)


def _on_trial(
    state: SkillState, record: JobRecord, report: e.TrialReport, now_s: float
) -> Decision:
    rule, job = record.rule, record.job
    error_rate = report.num_errors / max(1, report.num_requests)
    problem = ""
    if report.num_crashes >= MAX_CRASHES:
        problem = f"its worker crashed {report.num_crashes} times"
    elif report.is_over_memory:
        problem = "it holds more memory than its release said"
    elif report.num_requests >= rule.min_requests or report.elapsed_s >= rule.min_seconds:
        # One early failure among few calls says nothing yet.
        if error_rate > rule.max_error_rate and error_rate > 2 * report.old_error_rate:
            problem = f"{error_rate:.1%} of {report.num_requests} calls failed"
        elif rule.max_p95_ms and report.p95_ms is not None and report.p95_ms > rule.max_p95_ms:
            problem = f"p95 of {report.p95_ms:.0f} ms, allowed are {rule.max_p95_ms:.0f}"
    if problem:
        return _roll_back(state, Status.FAILED, "TRIAL_FAILED", problem, is_bad=True)
    has_time = report.elapsed_s >= rule.min_seconds
    has_calls = report.num_requests >= rule.min_requests
    # A box that nobody calls must not stay in trial for ever: the deadline ends it, well.
    is_due = job.deadline_s is not None and now_s >= job.deadline_s
    if job.commit == "auto" and has_time and (has_calls or is_due):
        return _commit(state, now_s)
    return _on_time(state, record, now_s)


def _commit(state: SkillState, now_s: float) -> Decision:
    assert state.candidate is not None
    state = state.model_copy(
        update={
            "previous": state.active,
            "active": state.candidate,
            "high_water_seq": max(state.high_water_seq, state.candidate),
            "bad": tuple(seq for seq in state.bad if seq != state.candidate),
        }
    )
    return _finish(state, Status.SUCCEEDED, "", "", outcome=Outcome.COMMITTED, now_s=now_s)


def _give_up(
    state: SkillState, reason: str, message: str, *, is_bad: bool, now_s: float = 0.0
) -> Decision:
    """End a job that went wrong, by rolling back if anything may have been touched."""
    assert state.job is not None
    if state.job.step in (*_SWITCHING, Step.TRIAL):
        return _roll_back(state, Status.FAILED, reason, message, is_bad=is_bad)
    if is_bad:
        state = _mark_bad(state, state.job.job.seq)
    return _finish(state, Status.FAILED, reason, message, now_s=now_s)


def _roll_back(
    state: SkillState, ending: Status, reason: str, message: str, *, is_bad: bool = False
) -> Decision:
    record = state.job
    assert record is not None
    seq = record.job.seq
    if is_bad:
        state = _mark_bad(state, seq)
    # Beside the old one, which never stopped serving, nothing was changed.
    was_untouched = record.step is Step.ACTIVATING and record.is_beside
    return _to(
        state,
        Step.ROLLING_BACK,
        e.RollBack(state.active, seq),
        ending=ending,
        reason=reason,
        message=message,
        is_beside=was_untouched,
    )


def _end_rollback(state: SkillState, record: JobRecord, outcome: Outcome, now_s: float) -> Decision:
    if outcome is Outcome.ROLLBACK_COMPLETE and record.is_beside:
        outcome = Outcome.NO_STATE_CHANGE
    return _finish(
        state,
        record.ending or Status.FAILED,
        record.reason,
        record.message,
        outcome=outcome,
        now_s=now_s,
    )


def _finish(
    state: SkillState,
    status: Status,
    reason: str,
    message: str,
    *,
    outcome: Outcome = Outcome.NO_STATE_CHANGE,
    now_s: float = 0.0,
) -> Decision:
    state = _with(
        state, status=status, step=None, outcome=outcome, reason=reason, message=message
    ).model_copy(update={"candidate": None, "trial_left": 0, "held_bytes": 0})
    if state.queued is None:
        return Decision(state, (e.Collect(),))
    assert state.job is not None
    ended = e.Answer(state.job.job.id, status, reason)
    following = _start(state, state.queued, now_s)
    return Decision(following.state, (ended, e.Collect(), *following.actions))


def _to(state: SkillState, step: Step, *actions: e.Action, **fields: Any) -> Decision:
    """Go on to a step. `fields` are those of the job's record."""
    return Decision(_with(state, status=Status.IN_PROGRESS, step=step, **fields), actions)


def _with(state: SkillState, **fields: Any) -> SkillState:
    assert state.job is not None
    return state.model_copy(update={"job": state.job.model_copy(update=fields)})


def _mark_bad(state: SkillState, seq: int) -> SkillState:
    return state if seq in state.bad else state.model_copy(update={"bad": (*state.bad, seq)})


def _cancelled(record: JobRecord) -> JobRecord:
    fields = {"ending": Status.CANCELED, "reason": "CANCELED", "message": "cancelled by order"}
    return record.model_copy(update=fields)


def _is_stoppable(state: SkillState) -> bool:
    return bool(state.job and state.job.is_open and state.job.step is not Step.ROLLING_BACK)


def _job_id(state: SkillState) -> str:
    return state.job.job.id if state.job else ""
