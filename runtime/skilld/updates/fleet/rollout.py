"""`Rollout`: which boxes are asked next to take a release, and when all that has ended. Pure.

1. Boxes are asked in waves, in the order they are named. The first wave is the canary.
2. A wave is asked when every box that was asked before has ended: the canary well, and of all of
   them not more than `max_failures` badly.
3. Else the rollout stops: nobody else is asked, and what is still under way is cancelled.
4. A box that was asked and gets no further for `stuck_s` counts as failed, whatever it says of its
   reasons. When it does get further it counts for what it is.

What a box says counts only if it is about this job. Whatever else it runs, or was told before, it
is asked; a box that has the release already says so at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from skilld.updates.fleet.report import Report
from skilld.updates.machine.state import Outcome, Status


class Stage(StrEnum):
    """How far a box has come with the job."""

    WAITING = "WAITING"  # not asked yet
    ASKED = "ASKED"  # nothing heard of it so far
    UNDER_WAY = "UNDER_WAY"
    COMMITTED = "COMMITTED"
    FAILED = "FAILED"  # or was rejected, or rolled back, or ran out of time
    CANCELED = "CANCELED"
    STUCK = "STUCK"  # gets no further; taken for failed until it does


class Ending(StrEnum):
    """How a rollout ended."""

    COMMITTED = "COMMITTED"  # on every box
    INCOMPLETE = "INCOMPLETE"  # not on all, but not too few
    STOPPED = "STOPPED"  # too many failures


_OPEN = (Stage.ASKED, Stage.UNDER_WAY)
_ENDED = (Stage.COMMITTED, Stage.FAILED, Stage.CANCELED)  # for good
_BAD = (Stage.FAILED, Stage.CANCELED, Stage.STUCK)


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """What is wanted.

    Attributes:
        release: the name it goes under.
        seq: its number.
        job: id of the job that says so.
        boxes: in the order they are asked.
        num_canaries: boxes of the first wave; all of them must commit. 0 for no canary.
        wave_size: boxes of each further wave; None for all that are left.
        max_failures: that do not stop it.
        stuck_s: without getting further, after which a box counts as failed.
    """

    release: str
    seq: int
    job: str
    boxes: tuple[str, ...]
    num_canaries: int = 1
    wave_size: int | None = None
    max_failures: int = 0
    stuck_s: float = 1800.0

    @property
    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The boxes of each wave."""
        head, rest = self.boxes[: self.num_canaries], self.boxes[self.num_canaries :]
        size = self.wave_size or max(1, len(rest))
        waves = [rest[begin : begin + size] for begin in range(0, len(rest), size)]
        return tuple(wave for wave in (head, *waves) if wave)


@dataclass(frozen=True, slots=True)
class BoxProgress:
    """How one box is doing.

    Attributes:
        box: its name.
        wave: it belongs to, from 0.
        stage: see there.
        report: the last one that was about this job; None for none so far.
        reason: UPPER_SNAKE_CASE; "" while all goes well.
        message: the same for a person.
        news_s: when it was asked, or last got further.
        is_cancelled: it is to be told to undo the job.
    """

    box: str
    wave: int
    stage: Stage = Stage.WAITING
    report: Report | None = None
    reason: str = ""
    message: str = ""
    news_s: float = 0.0
    is_cancelled: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether it has said its last word on the job."""
        return self.stage in _ENDED


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be done now.

    Attributes:
        asks: boxes to send the job to.
        cancels: boxes to send a cancel order to.
        ending: None while the rollout goes on.
    """

    asks: tuple[str, ...] = ()
    cancels: tuple[str, ...] = ()
    ending: Ending | None = None


class Rollout:
    """See the module docstring.

    Times are seconds, on a clock that runs only while boxes can be heard.

    Args:
        plan: what is wanted.
    """

    def __init__(self, plan: RolloutPlan) -> None:
        self.plan = plan
        self.stopped_because = ""  # for a person; "" while it is not stopped
        self._boxes = {
            box: BoxProgress(box, number) for number, wave in enumerate(plan.waves) for box in wave
        }

    @property
    def boxes(self) -> list[BoxProgress]:
        """How every box is doing, in the order they are asked."""
        return list(self._boxes.values())

    @property
    def wave(self) -> int:
        """The wave that is on its way, from 0; the last one when all have ended."""
        waiting = [b.wave for b in self._boxes.values() if not (b.has_ended or b.stage in _BAD)]
        return min(waiting, default=len(self.plan.waves) - 1)

    def was_asked(self, box: str, now_s: float) -> None:
        """Take note that somebody gave a box this job before."""
        if self._boxes[box].stage is Stage.WAITING:
            self._change(box, stage=Stage.ASKED, news_s=now_s)

    def give_up(self, box: str, reason: str, message: str) -> None:
        """Take note that a box cannot be asked."""
        if not self._boxes[box].has_ended:
            self._change(box, stage=Stage.FAILED, reason=reason, message=message)

    def hear(self, report: Report, now_s: float) -> None:
        """Take note of what a box says."""
        box = self._boxes.get(report.box)
        if box is None or report.release != self.plan.release or box.has_ended:
            return
        verdict = _verdict(self.plan, report)
        if verdict is None or report == box.report:  # a broker repeats itself, too
            return
        stage, reason, message = verdict
        if stage in _OPEN and not _is_further(self.plan, box.report, report):
            if box.stage is Stage.STUCK:
                return
            now_s = box.news_s
        self._change(
            report.box, stage=stage, report=report, reason=reason, message=message, news_s=now_s
        )

    def advance(self, now_s: float) -> Orders:
        """Decide what to do now; call after news, and every now and then."""
        self._find_stuck(now_s)
        if not self.stopped_because:
            self.stopped_because = self._reason_to_stop()
        if self.stopped_because:
            cancels = self._cancel(now_s)
            return Orders(cancels=cancels, ending=None if self._in(_OPEN) else Ending.STOPPED)
        number = self.wave
        if any(box.wave != number for box in self._in(_OPEN)):
            return Orders()  # an earlier rollout got further, or a box speaks again
        asks = tuple(box.box for box in self._in([Stage.WAITING]) if box.wave == number)
        for name in asks:
            self._change(name, stage=Stage.ASKED, news_s=now_s)
        if self._in(_OPEN):
            return Orders(asks=asks)
        all_well = len(self._in([Stage.COMMITTED])) == len(self._boxes)
        return Orders(ending=Ending.COMMITTED if all_well else Ending.INCOMPLETE)

    def _find_stuck(self, now_s: float) -> None:
        for box in self._in(_OPEN):
            if now_s - box.news_s >= self.plan.stuck_s:
                self._change(
                    box.box,
                    stage=Stage.STUCK,
                    reason="STUCK",
                    message=f"no further for {self.plan.stuck_s:.0f} s"
                    + (f" ({box.reason} {box.message})" if box.reason else ""),
                )

    def _reason_to_stop(self) -> str:
        plan, failed = self.plan, self._in(_BAD)
        for box in failed:
            if box.wave == 0 and plan.num_canaries:
                return f"the canary {box.box} did not commit"
        if len(failed) > plan.max_failures:
            return f"{len(failed)} of {len(plan.boxes)} failed, {plan.max_failures} may"
        return ""

    def _cancel(self, now_s: float) -> tuple[str, ...]:
        """Boxes that have the job, or will find it when they come back."""
        found = [box for box in self._in([*_OPEN, Stage.STUCK]) if not box.is_cancelled]
        for box in found:
            # To cancel takes a while, too. One that was stuck is not waited for once more.
            self._change(box.box, is_cancelled=True, news_s=now_s)
        return tuple(box.box for box in found)

    def _in(self, stages: Iterable[Stage]) -> list[BoxProgress]:
        return [box for box in self._boxes.values() if box.stage in stages]

    def _change(self, box: str, **fields: object) -> None:
        self._boxes[box] = replace(self._boxes[box], **fields)  # type: ignore[arg-type]


def _verdict(plan: RolloutPlan, report: Report) -> tuple[Stage, str, str] | None:
    """Stage, reason and message; None when the report says nothing of this job."""
    if report.job != plan.job:
        answers = [answer for answer in report.answers if answer.job == plan.job]
        if not answers:
            return None
        last = answers[-1]
        return _stage_of(last.status), last.reason, last.message
    if report.seq != plan.seq:
        message = f"this id was that of a job for release {report.seq}"
        return Stage.FAILED, "ID_IN_USE", message
    if report.status is None:
        return None
    stage = _stage_of(report.status)
    if stage is Stage.COMMITTED and report.outcome is not Outcome.COMMITTED:
        return Stage.FAILED, "NOT_COMMITTED", f"it succeeded with {report.outcome}"
    return stage, report.reason, report.message


def _is_further(plan: RolloutPlan, before: Report | None, after: Report) -> bool:
    """Whether a box shows that something has happened there, not only what it waits for."""
    if before is None or after.held_bytes > before.held_bytes:
        return True

    def stand(report: Report) -> object:
        answers = [answer.status for answer in report.answers if answer.job == plan.job]
        return report.rev, report.job, report.status, report.step, answers

    return stand(before) != stand(after)


def _stage_of(status: Status) -> Stage:
    match status:
        case Status.QUEUED | Status.IN_PROGRESS:
            return Stage.UNDER_WAY
        case Status.SUCCEEDED:
            return Stage.COMMITTED
        case Status.CANCELED:
            return Stage.CANCELED
        case Status.FAILED | Status.REJECTED | Status.TIMED_OUT:
            return Stage.FAILED
