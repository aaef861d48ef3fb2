"""Jobs as the broker keeps them: anybody with the right to write there may have put them there."""

from __future__ import annotations

from collections.abc import Iterable

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import CryptoSigner

from skilld.core.errors import InvalidRequestError, UpdateError
from skilld.updates.trust.envelope import open_envelope
from skilld.updates.trust.job import Job

# Two jobs of one second: the later one is dated a second on, since boxes take newer ones only.
_SAME_MOMENT_S = 5


def held_job(data: bytes) -> Job | None:
    """What a kept message says it is; None when it is no job. Nothing in it is trusted."""
    try:
        return open_envelope(data, Job, name="job")[0] if data else None
    except UpdateError:
        return None


def earlier_job(held: Iterable[bytes], job: Job, signers: list[CryptoSigner]) -> bytes | None:
    """The same job, if these keys have signed it before.

    Args:
        held: what the broker keeps.
        job: as it is wanted now.
        signers: must all have signed it.

    Raises:
        InvalidRequestError: reason ID_IN_USE: one of this id is for something else.
    """
    for data in held:
        found = held_job(data)
        if found is None or found.id != job.id or not _is_signed(data, signers):
            continue
        same = (found.skill, found.seq, found.commit, found.force) == (
            *(job.skill, job.seq, job.commit, job.force),
        )
        if not same or (found.boxes and not set(job.boxes) <= set(found.boxes)):
            raise InvalidRequestError(
                f"job {job.id} was signed before, for {found.skill} {found.seq} on "
                f"{', '.join(found.boxes) or 'any box'}; take another --id for another job",
                reason="ID_IN_USE",
            )
        return data
    return None


def dated_after(job: Job, held: Iterable[bytes]) -> Job:
    """The job, dated after those that were signed this very moment."""
    dates = [found.issued_s for data in held if (found := held_job(data)) and found.id != job.id]
    recent = [date for date in dates if abs(date - job.issued_s) <= _SAME_MOMENT_S]
    return job.model_copy(update={"issued_s": max([job.issued_s, *(d + 1 for d in recent)])})


def _is_signed(data: bytes, signers: list[CryptoSigner]) -> bool:
    _, text, signatures = open_envelope(data, Job, name="job")
    try:
        for signer in signers:
            signer.public_key.verify_signature(signatures[signer.public_key.keyid], text)
    except (KeyError, UnverifiedSignatureError, VerificationError):
        return False
    return True
