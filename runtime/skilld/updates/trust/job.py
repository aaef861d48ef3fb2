"""`Job`: the signed wish that a box runs a release. It selects one and can name nothing else."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from securesystemslib.signer import CryptoSigner

from skilld.updates.bundle.release import Name, Seq
from skilld.updates.trust.envelope import seal

JobId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
_Time = Annotated[int, Field(ge=0, lt=1 << 40)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(_Record):
    """See the module docstring. Times are seconds since 1970.

    Attributes:
        kind: so that a signature over something else is never one over a job.
        id: remembered; the same job twice is one job.
        issued_s: a box takes no job older than the last one it took for this name.
        skill: name of the release.
        seq: its number.
        boxes: who is meant; empty for whoever gets it.
        not_before_s: earliest start.
        deadline_s: latest start of the activation, and end of a trial; None for no limit.
        commit: "auto" ends the trial by the release's rule, "manual" waits for an order.
        force: try a release again that went wrong here before.
    """

    kind: Literal["skilld-job-1"] = "skilld-job-1"
    id: JobId
    issued_s: _Time
    skill: Name
    seq: Seq
    boxes: tuple[Name, ...] = Field(default=(), max_length=256)
    not_before_s: _Time = 0
    deadline_s: _Time | None = None
    commit: Literal["auto", "manual"] = "auto"
    force: bool = False


def sign_job(job: Job, signers: list[CryptoSigner]) -> bytes:
    """A job with the signatures of some keys."""
    return seal(job, signers)
