"""`Moment`: when the box is killed, drawn over all steps of an update. Pure.

Moments wait for a step and come a random time after it began. Steps are drawn evenly, so that the
short ones are hit as often as the download. Some count from the start of the process instead, so
that starting is hit as well.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from skilld.updates.machine import SkillState, Step

STEPS = (
    Step.SCHEDULED,
    Step.DOWNLOADING,
    Step.DOWNLOADED,
    Step.VERIFIED,
    Step.STAGED,
    Step.DRAINING,
    Step.ACTIVATING,
    Step.TRIAL,
    Step.ROLLING_BACK,
)
ENDED = len(STEPS)
SWITCHING = (Step.DRAINING, Step.ACTIVATING, Step.TRIAL)
# A start in one of these steps uses up one of three; with the third the release is given up.
SPARED_KILLS = 2

_SHARE_BY_CLOCK = 0.15
_MAX_CLOCK_S = 8.0
# How long a step may last before the kill comes; those not named are over within milliseconds.
_REACH_S = {
    Step.SCHEDULED: 0.5,
    Step.DOWNLOADING: 6.0,
    Step.DRAINING: 0.3,
    Step.ACTIVATING: 1.5,
    Step.TRIAL: 2.0,
    Step.ROLLING_BACK: 0.5,
}
_SHORT_REACH_S = 0.03
_ENDED_REACH_S = 0.3


@dataclass(frozen=True, slots=True)
class Moment:
    """See the module docstring.

    Attributes:
        place: number of the step it counts from, or `ENDED`; None for the start of the process.
        after_s: so much later.
    """

    place: int | None
    after_s: float


def place_of(state: SkillState, job_id: str) -> int:
    """How far a job has come: the number of its step, -1 before the first, `ENDED` at the end."""
    record = state.job
    if record is None or record.job.id != job_id:
        return -1
    if not record.is_open:
        return ENDED
    return -1 if record.step is None else STEPS.index(record.step)


def draw_moments(dice: random.Random, count: int, *, spared: int, goes_back: bool) -> list[Moment]:
    """When to kill in one update, in the order of its steps; those by the clock come in between.

    Args:
        dice: decide.
        count: how often.
        spared: most kills while the releases are switched, or the new one is tried. With more than
            `SPARED_KILLS` there are so many of them, if there are so many at all: the release is to
            be given up.
        goes_back: the release is a bad one, and will be rolled back.
    """
    switching = [STEPS.index(step) for step in SWITCHING]
    others = [number for number in range(ENDED + 1) if number not in switching]
    if not goes_back:
        others.remove(STEPS.index(Step.ROLLING_BACK))
    places = [dice.choice(switching) for _ in range(min(count, spared))]
    if spared <= SPARED_KILLS:
        # Each place is as likely as another, as long as the switch is spared.
        drawn = [dice.choice([*switching, *others]) for _ in range(count)]
        places = [place for place in drawn if place in switching][:spared]
    places += [dice.choice(others) for _ in range(count - len(places))]
    is_given_up = spared > SPARED_KILLS
    moments = [
        # Early in the step, else it is over before it was killed often enough.
        Moment(
            place,
            dice.uniform(0.0, _SHORT_REACH_S)
            if is_given_up and place in switching
            else dice.uniform(0.0, _reach_s(place)),
        )
        for place in sorted(places)
    ]
    return [
        Moment(None, dice.uniform(0.0, _MAX_CLOCK_S))
        if dice.random() < _SHARE_BY_CLOCK and moment.place not in switching
        else moment
        for moment in moments
    ]


def _reach_s(place: int) -> float:
    return _ENDED_REACH_S if place == ENDED else _REACH_S.get(STEPS[place], _SHORT_REACH_S)
