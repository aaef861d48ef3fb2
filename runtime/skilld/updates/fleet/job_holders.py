"""`job_holders`: who has a job, as far as broker and boxes tell, and is to get an order. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skilld.updates.fleet.held_jobs import held_job
from skilld.updates.fleet.link import Key
from skilld.updates.fleet.report import Report
from skilld.updates.machine.state import Status, Step
from skilld.updates.trust.order import Command

_OPEN = (Status.QUEUED, Status.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Holder:
    """A box that has a job, or will find it when it comes back.

    Attributes:
        box: its name.
        release: the name the job is for.
        refusal: why an order would do nothing there; "" when it would.
    """

    box: str
    release: str
    refusal: str = ""


def job_holders(
    job: str,
    command: Command,
    *,
    reports: Mapping[Key, Report],
    jobs: Mapping[Key, bytes],
    wanted: Sequence[str],
    release: str | None,
) -> list[Holder]:
    """Who is to get an order.

    Args:
        job: its id.
        command: the order.
        reports: of boxes, by box and release.
        jobs: as the broker keeps them, by box and release.
        wanted: these boxes only; empty for all that have the job.
        release: the name it is for, if that is known. With it, boxes that are wanted get an order
            though nothing is known of them.
    """
    keys = {key for key, report in reports.items() if _status(report, job) is not None}
    for key, data in jobs.items():
        kept = held_job(data)
        if kept is not None and kept.id == job:
            keys.add(key)
    if release is not None:
        keys |= {(box, release) for box in wanted}
    return [
        Holder(box, name, _refusal(reports.get((box, name)), job, command))
        for box, name in sorted(keys)
        if not wanted or box in wanted
    ]


def _refusal(report: Report | None, job: str, command: Command) -> str:
    status = None if report is None else _status(report, job)
    if status is not None and status not in _OPEN:
        return f"it has ended there: {status}"
    if command is Command.CANCEL:
        return ""
    if report is None or status is None:
        return "nothing was heard of it there, so there is no trial to end"
    if report.job != job or report.step is not Step.TRIAL:
        return f"it is not in its trial yet: {(report.job == job and report.step) or status}"
    return ""


def _status(report: Report, job: str) -> Status | None:
    """Of a job, as a box tells; None when it tells nothing of it."""
    if report.job == job:
        return report.status
    return next((a.status for a in reversed(report.answers) if a.job == job), None)
