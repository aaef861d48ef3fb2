"""When a box is killed, and what calls may fail for."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from chaos_updates.moments import ENDED, STEPS, SWITCHING, draw_moments
from chaos_updates.tally import Tally, judge, was_down
from field.box_config import BESIDE, SWAP
from field.caller import ANSWERED, CallRecord
from field.processes import Life

from skilld.updates.machine import Step

FIRST = Life(0.0, SWAP, ready_s=2.0, died_s=10.0)
SECOND = Life(11.0, BESIDE, ready_s=13.0)
LIVES = [FIRST, SECOND]


def call(result: str, began_s: float, ended_s: float, digest: str = "") -> CallRecord:
    return CallRecord("pick", began_s, ended_s, result, digest)


def test_every_step_is_hit_and_in_its_order() -> None:
    dice = random.Random(1)
    counts: Counter[int | None] = Counter()
    for _ in range(300):
        moments = draw_moments(dice, 5, spared=2, goes_back=True)
        assert len(moments) == 5
        places = [moment.place for moment in moments if moment.place is not None]
        assert places == sorted(places)
        assert all(moment.after_s >= 0.0 for moment in moments)
        counts.update(moment.place for moment in moments)
    assert set(counts) == {None, *range(ENDED + 1)}
    assert min(counts.values()) > 50


@pytest.mark.parametrize("goes_back", [False, True])
def test_a_release_is_spared_or_given_up_as_the_round_wants(goes_back: bool) -> None:
    dice = random.Random(1)
    for spared, least in ((0, 0), (2, 0), (3, 3)):
        for _ in range(200):
            moments = draw_moments(dice, 6, spared=spared, goes_back=goes_back)
            steps = [STEPS[m.place] for m in moments if m.place not in (None, ENDED)]
            assert least <= sum(step in SWITCHING for step in steps) <= spared
            assert goes_back or Step.ROLLING_BACK not in steps


@pytest.mark.parametrize(
    ("from_s", "to_s", "expected"),
    [(0.5, 0.6, True), (2.5, 9.9, False), (9.0, 10.5, True), (12.9, 14.0, True), (14, 15, False)],
)
def test_a_box_is_down_until_it_is_ready(from_s: float, to_s: float, expected: bool) -> None:
    assert was_down(from_s, to_s, LIVES) is expected


def test_a_box_that_was_killed_and_not_started_is_down() -> None:
    assert was_down(10.5, 10.6, [FIRST])
    assert not was_down(5.0, 6.0, [FIRST])


@pytest.mark.parametrize(
    ("record", "is_fine"),
    [
        (call(ANSWERED, 3.0, 3.1), True),
        (call("UNAVAILABLE", 9.9, 10.1), True),
        (call("UNAVAILABLE", 3.0, 3.1), False),
        (call("UPDATING", 3.0, 3.1), True),
        (call("UPDATING", 14.0, 14.1), False),
        (call("ENGINE_UNLOADED", 3.0, 3.1), False),
        (call("WRONG_ANSWER", 3.0, 3.1), False),
        (call("DEADLINE_EXCEEDED", 9.0, 29.0), False),
    ],
)
def test_a_call_may_fail_for_stated_reasons_only(record: CallRecord, is_fine: bool) -> None:
    assert (judge(record, LIVES)[1] == "") is is_fine


def test_an_answer_of_a_version_nobody_serves_breaks_a_promise() -> None:
    tally = Tally()
    tally.book([call(ANSWERED, 3.0, 3.1, "old"), call(ANSWERED, 4.0, 4.1, "other")], LIVES, ["old"])
    assert len(tally.faults) == 1
    assert "other" in tally.faults[0]


def test_the_time_between_answers_is_told_apart_from_deaths() -> None:
    tally = Tally()
    answers = [(3.0, 3.1), (3.5, 4.0), (13.5, 14.0), (14.0, 14.2)]
    tally.book([call(ANSWERED, *when, "old") for when in answers], LIVES, ["old"])
    assert tally.blackout_s == {SWAP: pytest.approx(0.9), BESIDE: pytest.approx(0.2)}
    assert tally.dead_s == pytest.approx(10.0)
    assert not tally.faults
