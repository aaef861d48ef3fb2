from __future__ import annotations

import json

import pytest

from skilld.core.errors import InvalidRequestError
from skilld.mqtt.topics import TopicError, UpdateTopics
from skilld.updates.fleet import JobAnswer, Report, read_report, report_of
from skilld.updates.machine import JobRecord, SkillState, Status, Step
from skilld.updates.trust import Job


def test_a_report_comes_back_as_it_was_sent() -> None:
    job = Job(id="j1", issued_s=5, skill="toy", seq=3)
    record = JobRecord(job=job, status=Status.IN_PROGRESS, step=Step.DOWNLOADING)
    state = SkillState(skill="toy", rev=4, active=2, job=record)
    refused = JobAnswer(job="j0", status=Status.REJECTED, reason="STALE_JOB")
    report = report_of("box-1", state, held_bytes=7, total_bytes=9, answers=[refused])
    assert read_report(report.to_bytes()) == report
    assert (report.job, report.seq, report.step, report.is_open) == ("j1", 3, "DOWNLOADING", True)


def test_a_report_of_a_newer_box_can_be_read() -> None:
    assert read_report(b'{"box": "b", "release": "r", "later": 1}') == Report(box="b", release="r")


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"box": "b", "release": "../r"}', b" " * 20_000]
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError) as error:
        read_report(data)
    assert error.value.reason == "BAD_REPORT"


def test_a_very_long_message_is_cut_and_not_refused() -> None:
    job = Job(id="j1", issued_s=5, skill="toy", seq=3)
    record = JobRecord(job=job, status=Status.FAILED, message="x" * 5000)
    report = report_of("b", SkillState(skill="toy", job=record))
    assert len(json.loads(report.to_bytes())["message"]) == 512


def test_topics_of_updates_say_whose_they_are() -> None:
    topics = UpdateTopics("site/line")
    for kind in ("job", "order", "status"):
        topic = getattr(topics, kind)("box-1", "toy")
        assert topics.read(topic) == ("box-1", kind, "toy")
    assert topics.read("site/line/box/box-1/ota/data/depot") is None
    assert topics.read("site/box/box-1/ota/job/toy") is None
    with pytest.raises(TopicError):
        topics.job("box/1", "toy")
