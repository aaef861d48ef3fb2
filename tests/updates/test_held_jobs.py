"""Jobs that the broker keeps are gone on with only if these keys have signed the same before."""

from __future__ import annotations

import json

import pytest
from securesystemslib.signer import CryptoSigner

from skilld.core.errors import InvalidRequestError
from skilld.updates.fleet import JobAnswer, Report
from skilld.updates.fleet.held_jobs import dated_after, earlier_job, held_job
from skilld.updates.fleet.job_holders import Holder, job_holders
from skilld.updates.machine import Status, Step
from skilld.updates.trust import Command, Job, sign_job

KEYS = [CryptoSigner.generate_ed25519() for _ in range(2)]
JOB = Job(id="j1", issued_s=1000, skill="toy", seq=3, boxes=("a", "b"))


def test_the_same_job_goes_on_as_it_was_signed() -> None:
    data = sign_job(JOB, KEYS)
    later = JOB.model_copy(update={"issued_s": 2000, "deadline_s": 9000, "boxes": ("b",)})
    assert earlier_job([b"", b"nonsense", data], later, KEYS) == data
    assert earlier_job([data], later.model_copy(update={"id": "j2"}), KEYS) is None


def test_a_job_that_others_signed_is_signed_anew() -> None:
    mallory = CryptoSigner.generate_ed25519()
    assert earlier_job([sign_job(JOB, [mallory])], JOB, KEYS) is None
    assert earlier_job([sign_job(JOB, KEYS[:1])], JOB, KEYS) is None  # two are to sign
    tampered = sign_job(JOB, KEYS).replace(b'\\"seq\\":3', b'\\"seq\\":4')
    assert held_job(tampered) is not None
    assert earlier_job([tampered], JOB.model_copy(update={"seq": 4}), KEYS) is None


@pytest.mark.parametrize("signature", ["", "zz", "é", "00", "0" * 9000])
def test_a_signature_that_is_none_does_no_harm(signature: str) -> None:
    signatures = {key.public_key.keyid: signature for key in KEYS}
    data = json.dumps({"text": JOB.model_dump_json(), "signatures": signatures}).encode()
    assert earlier_job([data], JOB, KEYS) is None


@pytest.mark.parametrize(
    "fields",
    [{"seq": 4}, {"skill": "other"}, {"commit": "manual"}, {"force": True}, {"boxes": ("a", "z")}],
)
def test_an_id_does_not_stand_for_two_jobs(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError) as error:
        earlier_job([sign_job(JOB, KEYS)], JOB.model_copy(update=fields), KEYS)
    assert error.value.reason == "ID_IN_USE"


@pytest.mark.parametrize(
    ("kept_s", "issued_s"),
    [(1000, 1001), (1003, 1004), (998, 1000), (2_000_000, 1000), (10, 1000)],
)
def test_two_jobs_of_one_moment_follow_each_other(kept_s: int, issued_s: int) -> None:
    """A date far ahead is not followed: it would be taken from whoever may write there."""
    kept = sign_job(JOB.model_copy(update={"id": "j0", "issued_s": kept_s}), KEYS)
    assert dated_after(JOB, [kept, b"nonsense"]).issued_s == issued_s


def test_an_order_goes_to_whoever_has_its_job() -> None:
    def told(box: str, job: str, status: Status, step: Step | None = None) -> Report:
        return Report(box=box, release="toy", job=job, seq=3, status=status, step=step)

    answer = JobAnswer(job="j1", status=Status.QUEUED)
    reports = {
        ("a", "toy"): told("a", "j1", Status.IN_PROGRESS, Step.TRIAL),
        ("b", "toy"): told("b", "j1", Status.SUCCEEDED),
        ("c", "toy"): told("c", "j0", Status.IN_PROGRESS).model_copy(update={"answers": (answer,)}),
        ("d", "toy"): told("d", "j0", Status.IN_PROGRESS, Step.TRIAL),
    }
    jobs = {("e", "toy"): sign_job(JOB, KEYS), ("f", "toy"): b"", ("g", "toy"): b"nonsense"}

    def sent(command: Command, *wanted: str, release: str | None = None) -> list[str]:
        holders: list[Holder] = job_holders(
            "j1", command, reports=reports, jobs=jobs, wanted=wanted, release=release
        )
        return [holder.box for holder in holders if not holder.refusal]

    assert sent(Command.CANCEL) == ["a", "c", "e"]
    assert sent(Command.COMMIT) == ["a"]
    assert sent(Command.CANCEL, "e", "z") == ["e"]
    assert sent(Command.CANCEL, "b", "z", release="toy") == ["z"]
