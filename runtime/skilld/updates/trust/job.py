"""`Job`: the signed wish that a box runs a release. It selects one and can name nothing else."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.signer import CryptoSigner, Signature

from skilld.core.errors import UpdateError
from skilld.updates.bundle.release import Name, Seq

MAX_JOB_BYTES = 16 << 10

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


class _Envelope(_Record):
    """What travels: the job as the exact text that was signed."""

    job: str
    signatures: dict[str, str] = Field(max_length=16)


def sign_job(job: Job, signers: list[CryptoSigner]) -> bytes:
    """A job with the signatures of some keys."""
    text = job.model_dump_json()
    signatures = [signer.sign(text.encode()) for signer in signers]
    return json.dumps(
        {"job": text, "signatures": {s.keyid: s.signature for s in signatures}}
    ).encode()


def open_envelope(data: bytes) -> tuple[Job, bytes, dict[str, Signature]]:
    """Take a signed job apart; nothing in it is trusted yet.

    Returns:
        The job, the bytes that were signed, and the signatures by key.

    Raises:
        UpdateError: reason BAD_JOB.
    """
    if len(data) > MAX_JOB_BYTES:
        raise UpdateError(
            f"a job has at most {MAX_JOB_BYTES} bytes, this has {len(data)}", reason="BAD_JOB"
        )
    try:
        envelope = _Envelope.model_validate_json(data)
        job = Job.model_validate_json(envelope.job)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UpdateError(f"not a job: {key}: {first['msg']}", reason="BAD_JOB") from error
    signatures = {
        keyid: Signature(keyid, signature) for keyid, signature in envelope.signatures.items()
    }
    return job, envelope.job.encode(), signatures
