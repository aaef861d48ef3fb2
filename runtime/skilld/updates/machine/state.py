"""`SkillState`: what a box knows about the updates of one name. Its file is the only truth.

`active` is what the box serves, except in a trial, when it serves `candidate`. None stands for the
engine the box was set up with, outside the store.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from skilld.updates.bundle.release import CommitRule, Name, Seq
from skilld.updates.trust.job import Job


class Status(StrEnum):
    """Of a job; the words of AWS IoT Jobs, so that a bridge has nothing to translate."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    TIMED_OUT = "TIMED_OUT"


class Step(StrEnum):
    """How far a job in progress has come."""

    SCHEDULED = "SCHEDULED"  # the release is looked up and checked against this box
    DOWNLOADING = "DOWNLOADING"
    DOWNLOADED = "DOWNLOADED"  # every blob is here
    VERIFIED = "VERIFIED"  # they are an engine this box can run
    STAGED = "STAGED"  # its folder is durable
    DRAINING = "DRAINING"  # the old one ends first: there is no memory for both
    ACTIVATING = "ACTIVATING"
    TRIAL = "TRIAL"
    ROLLING_BACK = "ROLLING_BACK"


class Outcome(StrEnum):
    """What a finished job left behind; the words of Greengrass."""

    COMMITTED = "COMMITTED"
    NO_STATE_CHANGE = "NO_STATE_CHANGE"
    ROLLBACK_COMPLETE = "ROLLBACK_COMPLETE"
    UNABLE_TO_ROLLBACK = "UNABLE_TO_ROLLBACK"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobRecord(_Record):
    """A job and what has become of it.

    Attributes:
        job: as it was signed.
        status: for the one who sent it.
        step: while it is in progress.
        outcome: when it is finished.
        reason: UPPER_SNAKE_CASE; "" while all goes well.
        message: the same for a person.
        rule: of the trial; known once the release is.
        is_beside: the candidate is loaded while the old one still serves.
        is_cancelled: it ends by rolling back, as soon as that is safe.
        ending: the status it will have when it is rolled back.
        restarts: of the process, while it was in progress.
    """

    job: Job
    status: Status = Status.QUEUED
    step: Step | None = None
    outcome: Outcome | None = None
    reason: str = ""
    message: str = ""
    rule: CommitRule = CommitRule()
    is_beside: bool = False
    is_cancelled: bool = False
    ending: Status | None = None
    restarts: int = 0

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done."""
        return self.status in (Status.QUEUED, Status.IN_PROGRESS)


class SkillState(_Record):
    """See the module docstring.

    Attributes:
        rev: grows with every change.
        active: the release that is committed.
        previous: the one before it; the only one a box goes back to on request.
        candidate: the one that is activated or tried.
        trial_left: starts of the process the candidate may still use up.
        high_water_seq: the largest number ever committed.
        bad: releases that went wrong here.
        job: the last one taken.
        queued: taken up when it is finished.
        held_bytes: of a download, at the last restart.
        writes: changes since the job was taken up; bounded, whatever happens.
    """

    state_version: int = Field(default=1, ge=1, le=1)
    skill: Name
    rev: int = 0
    active: Seq | None = None
    previous: Seq | None = None
    candidate: Seq | None = None
    trial_left: int = 0
    high_water_seq: int = 0
    bad: tuple[Seq, ...] = ()
    job: JobRecord | None = None
    queued: Job | None = None
    held_bytes: int = 0
    writes: int = 0

    @property
    def serving(self) -> int | None:
        """The release the box must serve, and after a restart load."""
        if self.job is not None and self.job.step is Step.TRIAL:
            return self.candidate
        return self.active

    @property
    def kept(self) -> frozenset[int]:
        """Releases that must stay on the disk."""
        wanted = {self.active, self.previous, self.candidate}
        if self.job is not None and self.job.is_open:
            wanted.add(self.job.job.seq)
        return frozenset(seq for seq in wanted if seq is not None)
