"""What a box says of its updates, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.updates.box.report_book import MAX_RELEASES, ReportBook
from skilld.updates.fleet import MAX_ANSWERS, JobAnswer, Report, read_report
from skilld.updates.machine import JobRecord, SkillState, Status, Step
from skilld.updates.trust import Job


def state(rev: int = 1, *, job_id: str = "j1", step: Step | None = Step.DOWNLOADING) -> SkillState:
    job = Job(id=job_id, issued_s=5, skill="toy", seq=3)
    status = Status.IN_PROGRESS if step else Status.SUCCEEDED
    return SkillState(skill="toy", rev=rev, job=JobRecord(job=job, status=status, step=step))


def answer(job_id: str, status: Status = Status.REJECTED) -> JobAnswer:
    return JobAnswer(job=job_id, status=status, reason="STALE_JOB")


@pytest.fixture
def book() -> ReportBook:
    return ReportBook("box1")


def say(book: ReportBook, now_s: float) -> list[Report]:
    """What is due, as if the broker took it."""
    said = book.due(now_s)
    for release, payload in said:
        book.told(release, payload, now_s)
    return [read_report(payload) for _, payload in said]


def test_a_name_without_updates_is_reported_too(book: ReportBook) -> None:
    assert book.begin("toy")
    assert say(book, 0.0) == [Report(box="box1", release="toy")]
    assert say(book, 100.0) == []


@pytest.mark.parametrize("name", ["", "Toy", "a/b", "toy\n", "x" * 65, "+"])
def test_what_is_no_name_gets_no_report(book: ReportBook, name: str) -> None:
    assert not book.begin(name)
    book.on_answer(name, answer("j1"))
    assert say(book, 0.0) == []


def test_names_are_bounded(book: ReportBook) -> None:
    assert all(book.begin(f"toy{number}") for number in range(MAX_RELEASES))
    assert not book.begin("one-more")
    assert book.begin("toy0")


def test_states_are_said_at_once_and_progress_once_a_second(book: ReportBook) -> None:
    book.on_state(state(1))
    (first,) = say(book, 10.0)
    assert (first.rev, first.step, first.held_bytes) == (1, "DOWNLOADING", 0)
    book.on_progress("toy", 10, 100)
    assert say(book, 10.9) == []
    assert book.next_s() == 11.0
    book.on_progress("toy", 20, 100)
    (second,) = say(book, 11.0)
    assert (second.held_bytes, second.total_bytes) == (20, 100)
    assert book.next_s() is None
    book.on_progress("toy", 99, 100)
    book.on_state(state(2, step=Step.DOWNLOADED))
    (third,) = say(book, 11.1)
    assert (third.step, third.held_bytes, third.total_bytes) == ("DOWNLOADED", 0, 100)


def test_a_wait_is_said_until_something_moves(book: ReportBook) -> None:
    book.on_state(state(1))
    book.on_wait("toy", "SOURCE_UNAVAILABLE", "no stick" * 100)
    (report,) = say(book, 0.0)
    assert (report.reason, report.message[:8]) == ("SOURCE_UNAVAILABLE", "no stick")
    book.on_progress("toy", 1, 2)
    (report,) = say(book, 1.0)
    assert report.reason == ""
    book.on_wait("toy", "SOURCE_UNAVAILABLE", "no stick")
    book.on_state(state(2, step=None))
    (report,) = say(book, 2.0)
    assert report.reason == ""


def test_the_last_answers_are_kept_each_job_once(book: ReportBook) -> None:
    for number in range(2 * MAX_ANSWERS):
        book.on_answer("toy", answer(f"j{number}"))
    book.on_answer("toy", answer(f"j{MAX_ANSWERS}", Status.QUEUED))
    (report,) = say(book, 0.0)
    assert [a.job for a in report.answers[:-1]] == [
        f"j{number}" for number in range(MAX_ANSWERS + 1, 2 * MAX_ANSWERS)
    ]
    assert report.answers[-1] == answer(f"j{MAX_ANSWERS}", Status.QUEUED)


def test_what_a_forger_says_of_the_current_job_is_left_out(book: ReportBook) -> None:
    book.on_answer("toy", answer("j1", Status.QUEUED))  # nobody could judge it yet
    book.on_state(state(1))
    book.on_answer("toy", answer("j1"))
    (report,) = say(book, 0.0)
    assert report.answers == ()
    assert report.reason == ""
    book.on_answer("toy", JobAnswer(job="j1", status=Status.FAILED, reason="STORE_FAILED"))
    (report,) = say(book, 1.0)
    assert report.reason == "STORE_FAILED"


def test_after_a_lost_connection_everything_is_said_again(book: ReportBook) -> None:
    book.begin("other")
    book.on_state(state(1))
    assert len(say(book, 0.0)) == 2
    assert say(book, 100.0) == []
    book.forget()
    assert len(say(book, 100.0)) == 2


def test_what_the_broker_keeps_wrongly_is_put_right(book: ReportBook) -> None:
    book.on_state(state(1))
    ((_, first),) = book.due(0.0)
    book.told("toy", first, 0.0)
    book.on_state(state(2))
    ((_, second),) = book.due(1.0)
    book.told("toy", second, 1.0)
    assert book.heard("toy", first)  # late, or sent again after the second
    assert book.due(1.1) == []
    assert book.due(10.0) == [("toy", second)]
    assert book.heard("toy", second)
    assert book.due(20.0) == []
    assert book.heard("toy", b"")
    assert book.due(20.0) == [("toy", second)]
    assert not book.heard("unheard-of", b"x")


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 0.4)), max_size=40))
def test_whatever_happens_the_last_thing_said_is_the_truth(
    events: list[tuple[int, float]],
) -> None:
    book, now_s, rev, held = ReportBook("box1"), 0.0, 0, 0
    said: list[tuple[float, Report]] = []
    for kind, later_s in events:
        now_s += later_s
        match kind:
            case 0:
                rev, held = rev + 1, 0
                book.on_state(state(rev))
            case 1 if rev:
                held += 1
                book.on_progress("toy", held, 100)
            case 2:
                book.forget()
        said += [(now_s, report) for report in say(book, now_s)]
        due_s = book.next_s()
        assert due_s is None or due_s > now_s
    said += [(now_s + 1.0, report) for report in say(book, now_s + 1.0)]
    if rev:
        assert (said[-1][1].rev, said[-1][1].held_bytes) == (rev, held)
        progress = [at for at, report in said if report.held_bytes]
        changes = sum(kind in (0, 2) for kind, _ in events)
        assert len(progress) <= now_s + 2 + changes
