"""`ReportBook`: what a box has to say of its updates, and when. Pure; time is an argument.

A change of state and an answer are said at once, progress at most once a second. After a lost
connection everything is said again: the broker may have forgotten it. What the broker then hands
back shows whether it keeps the right thing: a report that was sent twice may have come last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from skilld.updates.bundle.release import NAME_PATTERN
from skilld.updates.fleet.report import MAX_ANSWERS, JobAnswer, report_of
from skilld.updates.machine.state import SkillState, Status, Step

PROGRESS_EVERY_S = 1.0
MAX_RELEASES = 256
_ECHO_S = 5.0  # until then the broker may still hand back what was said before
_MAX_MESSAGE_CHARS = 512


@dataclass(slots=True)
class _Page:
    state: SkillState
    held_bytes: int = 0
    total_bytes: int = 0
    wait: tuple[str, str] = ("", "")  # why it does not go on, as reason and message
    answers: list[JobAnswer] = field(default_factory=list)
    is_changed: bool = True
    is_urgent: bool = True
    told: bytes | None = None
    told_s: float = float("-inf")
    kept: bytes | None = None  # what the broker was last seen to keep

    @property
    def due_s(self) -> float | None:
        """When to say it; None if there is nothing to say."""
        if self.is_changed:
            return float("-inf") if self.is_urgent else self.told_s + PROGRESS_EVERY_S
        return self.told_s + _ECHO_S if self.kept not in (None, self.told) else None

    def change(self, *, is_urgent: bool) -> bool:
        """Note that there is something else to say; returns whether there was nothing before."""
        is_first = not self.is_changed
        self.is_changed, self.is_urgent = True, self.is_urgent or is_urgent
        return is_first


class ReportBook:
    """See the module docstring.

    Args:
        box: whose updates these are.
    """

    def __init__(self, box: str) -> None:
        self._box = box
        self._pages: dict[str, _Page] = {}

    @property
    def releases(self) -> list[str]:
        """Of which something is said."""
        return list(self._pages)

    def begin(self, release: str) -> bool:
        """There is such a release, or will be; False if it is no name, or one too many."""
        is_new = release not in self._pages and len(self._pages) < MAX_RELEASES
        if is_new and re.fullmatch(NAME_PATTERN, release):
            self._pages[release] = _Page(SkillState(skill=release))
        return release in self._pages

    def on_state(self, state: SkillState) -> None:
        """It has a new state."""
        page = self._pages.setdefault(state.skill, _Page(state))
        if _job_id(page.state) != _job_id(state):
            page.total_bytes = 0
        page.state, page.wait, page.held_bytes = state, ("", ""), 0
        page.change(is_urgent=True)

    def on_progress(self, release: str, held_bytes: int, total_bytes: int) -> bool:
        """More of it is here; returns whether there was nothing to say before."""
        page = self._pages.get(release)
        if page is None:
            return False
        page.held_bytes, page.total_bytes, page.wait = held_bytes, total_bytes, ("", "")
        return page.change(is_urgent=False)

    def on_wait(self, release: str, reason: str, message: str) -> None:
        """Its update cannot go on now."""
        page = self._pages.get(release)
        if page is not None:
            page.wait = (reason, message[:_MAX_MESSAGE_CHARS])
            page.change(is_urgent=False)

    def on_answer(self, release: str, answer: JobAnswer) -> None:
        """What became of a job; what is known of the current one is in its state."""
        if not self.begin(release):
            return
        page = self._pages[release]
        if answer.job == _job_id(page.state):
            if answer.status is Status.FAILED:  # its state cannot even be written
                page.wait = (answer.reason, answer.message)
                page.change(is_urgent=True)
            return
        if answer not in page.answers[-1:]:
            others = [a for a in page.answers if a.job != answer.job]
            page.answers = [*others, answer][-MAX_ANSWERS:]
            page.change(is_urgent=True)

    def due(self, now_s: float) -> list[tuple[str, bytes]]:
        """What is to be said now, by release."""
        due = []
        for release, page in self._pages.items():
            if page.due_s is not None and page.due_s <= now_s:
                payload = self._payload(page)
                if payload != page.told or page.kept not in (None, payload):
                    due.append((release, payload))
                else:
                    page.is_changed = page.is_urgent = False
        return due

    def next_s(self) -> float | None:
        """When something is to be said if nothing happens; None for never."""
        times = [page.due_s for page in self._pages.values()]
        return min((time_s for time_s in times if time_s is not None), default=None)

    def told(self, release: str, payload: bytes, now_s: float) -> None:
        """It was said."""
        page = self._pages[release]
        page.told, page.told_s, page.kept = payload, now_s, None
        page.is_changed = page.is_urgent = False

    def heard(self, release: str, payload: bytes) -> bool:
        """What the broker keeps; False if nobody here has ever heard of such a release."""
        page = self._pages.get(release)
        if page is not None:
            page.kept = payload
        return page is not None

    def forget(self) -> None:
        """What was said may be lost."""
        for page in self._pages.values():
            page.told, page.kept = None, None
            page.change(is_urgent=True)

    def _payload(self, page: _Page) -> bytes:
        record = page.state.job
        is_downloading = record is not None and record.step is Step.DOWNLOADING
        current = _job_id(page.state)
        report = report_of(
            self._box,
            page.state,
            held_bytes=page.held_bytes if is_downloading else 0,
            total_bytes=page.total_bytes,
            answers=[answer for answer in page.answers if answer.job != current],
        )
        if report.is_open and not report.reason and page.wait[0]:
            reason, message = page.wait
            report = report.model_copy(update={"reason": reason, "message": message})
        return report.to_bytes()


def _job_id(state: SkillState) -> str | None:
    return state.job.job.id if state.job is not None else None
