"""What happens to an update (events), and what is to be done about it (actions)."""

from __future__ import annotations

from dataclasses import dataclass

from skilld.updates.bundle.release import CommitRule
from skilld.updates.machine.state import Status
from skilld.updates.trust.job import Job


@dataclass(frozen=True, slots=True)
class JobArrived:
    """A job whose signatures were checked."""

    job: Job


@dataclass(frozen=True, slots=True)
class Restarted:
    """The process has started again.

    Attributes:
        held_bytes: of a download, found on the disk.
    """

    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """The release is signed, fits this box, and there is space for it."""

    rule: CommitRule


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not, or does not."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Downloaded:
    """Every blob is here."""


@dataclass(frozen=True, slots=True)
class Verified:
    """They are what the engine's own manifest says."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The folder is durable."""


@dataclass(frozen=True, slots=True)
class Planned:
    """How it will be activated."""

    is_beside: bool


@dataclass(frozen=True, slots=True)
class Drained:
    """The old release has ended and its memory is free."""


@dataclass(frozen=True, slots=True)
class Activated:
    """The candidate passed its self-test and new calls go to it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The action at hand came to nothing.

    Attributes:
        is_bad: the release is at fault, and must not be tried again.
    """

    reason: str
    message: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The active release serves again."""


@dataclass(frozen=True, slots=True)
class RollbackFailed:
    """It does not; a restart of the process will try once more."""

    message: str


@dataclass(frozen=True, slots=True)
class TrialReport:
    """How the candidate does, since it took over in this process.

    Attributes:
        elapsed_s: by a clock that nobody sets.
        num_requests: answered, rightly or not.
        num_errors: of them; refusals that are the caller's fault are none.
        p95_ms: of the time to answer; None for too few.
        old_error_rate: of the release before, where known.
        num_crashes: of its worker.
        is_over_memory: it holds more than its release said.
    """

    elapsed_s: float
    num_requests: int = 0
    num_errors: int = 0
    p95_ms: float | None = None
    old_error_rate: float = 0.0
    num_crashes: int = 0
    is_over_memory: bool = False


@dataclass(frozen=True, slots=True)
class CommitOrdered:
    """A person ends a trial well."""

    job_id: str


@dataclass(frozen=True, slots=True)
class CancelOrdered:
    """A person wants the update undone."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    JobArrived
    | Restarted
    | Resolved
    | Refused
    | Downloaded
    | Verified
    | Staged
    | Planned
    | Drained
    | Activated
    | Failed
    | RolledBack
    | RollbackFailed
    | TrialReport
    | CommitOrdered
    | CancelOrdered
    | Tick
)


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look the release up, check that it is signed and that this box can take it."""

    job: Job


@dataclass(frozen=True, slots=True)
class Download:
    """Fetch what is missing of it."""

    seq: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Compare what was fetched with the engine's own manifest."""

    seq: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Make its folder."""

    seq: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Say whether there is memory for both."""

    seq: int


@dataclass(frozen=True, slots=True)
class Drain:
    """End the old one and free its memory."""

    seq: int | None


@dataclass(frozen=True, slots=True)
class Activate:
    """Load the candidate, test it, and send it new calls; then end the old one if it still runs."""

    seq: int
    old: int | None
    is_beside: bool


@dataclass(frozen=True, slots=True)
class RollBack:
    """Make the active release serve, whatever is loaded."""

    to: int | None
    candidate: int


@dataclass(frozen=True, slots=True)
class Collect:
    """Delete what no release needs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell the sender of a job that is not the current one what became of it."""

    job_id: str
    status: Status
    reason: str


Action = Resolve | Download | Verify | Stage | Plan | Drain | Activate | RollBack | Collect | Answer
