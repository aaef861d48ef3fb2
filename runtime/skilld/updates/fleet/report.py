"""`Report`: what a box says, retained, about the updates of one release name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skilld.core.errors import InvalidRequestError
from skilld.updates.bundle.release import Name, Seq
from skilld.updates.machine.state import Outcome, SkillState, Status, Step

MAX_REPORT_BYTES = 16 << 10
MAX_ANSWERS = 8

_Text = Annotated[str, Field(max_length=512)]
_Count = Annotated[int, Field(ge=0, lt=1 << 53)]


class _Record(BaseModel):
    # A box may be newer than who reads it: keys nobody knows are left aside.
    model_config = ConfigDict(frozen=True, extra="ignore")


class JobAnswer(_Record):
    """What became of a job that is not the current one: refused, superseded, or put in a queue.

    Attributes:
        job: its id, which a refused one merely claims.
        status: as of any job.
        reason: UPPER_SNAKE_CASE.
        message: the same for a person.
    """

    job: _Text
    status: Status
    reason: _Text = ""
    message: _Text = ""


class Report(_Record):
    """See the module docstring.

    Attributes:
        box: who says it.
        release: the name releases go under.
        rev: of the state file; grows with every change of state.
        job: id of the last job taken; None for none so far.
        seq: the release it wants.
        status: of the job.
        step: while it is in progress.
        outcome: when it is finished.
        reason: UPPER_SNAKE_CASE; "" while all goes well.
        message: the same for a person.
        held_bytes: of the release that are on the box; only while it is downloading.
        total_bytes: of the release; 0 while nobody knows.
        active: the release that is committed; None for what the box was set up with.
        previous: the one before it.
        bad: releases that went wrong on this box.
        answers: to other jobs, the last ones, newest last.
    """

    report_version: Literal[1] = 1
    box: Name
    release: Name
    rev: _Count = 0
    job: _Text | None = None
    seq: Seq | None = None
    status: Status | None = None
    step: Step | None = None
    outcome: Outcome | None = None
    reason: _Text = ""
    message: _Text = ""
    held_bytes: _Count = 0
    total_bytes: _Count = 0
    active: Seq | None = None
    previous: Seq | None = None
    bad: tuple[Seq, ...] = ()
    answers: tuple[JobAnswer, ...] = Field(default=(), max_length=MAX_ANSWERS)

    @property
    def is_open(self) -> bool:
        """Whether the last job is still under way."""
        return self.status in (Status.QUEUED, Status.IN_PROGRESS)

    def to_bytes(self) -> bytes:
        """As it travels."""
        return self.model_dump_json(exclude_defaults=True, round_trip=True).encode()


def report_of(
    box: str,
    state: SkillState,
    *,
    held_bytes: int = 0,
    total_bytes: int = 0,
    answers: Sequence[JobAnswer] = (),
) -> Report:
    """What a box says of a state."""
    record = state.job
    told = Report(
        box=box,
        release=state.skill,
        rev=state.rev,
        active=state.active,
        previous=state.previous,
        bad=state.bad[-16:],
        held_bytes=held_bytes,
        total_bytes=total_bytes,
        answers=tuple(answers)[-MAX_ANSWERS:],
    )
    if record is None:
        return told
    return told.model_copy(
        update={
            "job": record.job.id,
            "seq": record.job.seq,
            "status": record.status,
            "step": record.step,
            "outcome": record.outcome,
            "reason": record.reason,
            "message": record.message[:512],
        }
    )


def read_report(data: bytes) -> Report:
    """Read what a box said.

    Raises:
        InvalidRequestError: reason BAD_REPORT.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise InvalidRequestError(
            f"report: {len(data)} bytes, at most {MAX_REPORT_BYTES}", reason="BAD_REPORT"
        )
    try:
        return Report.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"report: {key}: {first['msg']}", reason="BAD_REPORT") from error
