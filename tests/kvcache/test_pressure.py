"""The limit falls at once, rises late, and does not flap."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.kvcache.pressure import HostReading, PressureGauge

MIB = 1 << 20
BUDGET = 512 * MIB
RESERVE = 256 * MIB
CALM_S = 5.0

amounts = st.integers(0, 2048).map(lambda n: n * MIB)


@dataclass(frozen=True)
class Moment:
    reading: HostReading
    cache_bytes: int
    passed_s: float


moments = st.builds(
    Moment,
    reading=st.builds(
        HostReading,
        available_bytes=st.none() | amounts,
        group_used_bytes=st.none() | amounts,
        group_limit_bytes=st.none() | amounts,
        stalled_percent=st.none() | st.floats(0.0, 100.0),
    ),
    cache_bytes=st.integers(0, 512).map(lambda n: n * MIB),
    passed_s=st.sampled_from([0.5, 0.5, 0.5, 1.0, 3.0, 7.0]),
)


def a_gauge() -> PressureGauge:
    return PressureGauge(BUDGET, reserve_bytes=RESERVE)


def room_of(moment: Moment) -> int | None:
    """What the machine can still give beyond the reserve; None when it says nothing."""
    reading = moment.reading
    rooms = [] if reading.available_bytes is None else [reading.available_bytes]
    if reading.group_limit_bytes is not None and reading.group_used_bytes is not None:
        rooms.append(reading.group_limit_bytes - reading.group_used_bytes)
    return min(rooms) - RESERVE if rooms else None


@given(st.lists(moments, max_size=60), st.integers(0, 600).map(lambda n: n * MIB))
def test_the_limit_lies_between_guarantee_and_budget_and_within_what_is_there(
    history: list[Moment], floor_bytes: int
) -> None:
    gauge, now_s = a_gauge(), 0.0
    for moment in history:
        now_s += moment.passed_s
        limit = gauge.decide(
            moment.reading, cache_bytes=moment.cache_bytes, floor_bytes=floor_bytes, now_s=now_s
        )
        floor = min(floor_bytes, BUDGET)
        assert floor <= limit <= BUDGET
        room = room_of(moment)
        if room is not None:
            assert limit <= max(floor, moment.cache_bytes + room)


@given(st.lists(moments, max_size=60))
def test_after_a_fall_nothing_rises_for_a_while(history: list[Moment]) -> None:
    gauge, now_s = a_gauge(), 0.0
    before, fell_s = BUDGET, -CALM_S
    for moment in history:
        now_s += moment.passed_s
        limit = gauge.decide(
            moment.reading, cache_bytes=moment.cache_bytes, floor_bytes=0, now_s=now_s
        )
        if limit > before:
            assert now_s - fell_s >= CALM_S
        if limit < before:
            fell_s = now_s
        before = limit


@given(st.lists(moments, max_size=30))
def test_the_budget_comes_back_when_the_pressure_is_gone(history: list[Moment]) -> None:
    gauge, now_s = a_gauge(), 0.0
    for moment in history:
        now_s += moment.passed_s
        gauge.decide(moment.reading, cache_bytes=moment.cache_bytes, floor_bytes=0, now_s=now_s)
    plenty = HostReading(available_bytes=RESERVE + BUDGET, stalled_percent=0.0)
    for _ in range(12):
        now_s += 0.5
        limit = gauge.decide(plenty, cache_bytes=0, floor_bytes=0, now_s=now_s)
    assert limit == BUDGET


@given(st.integers(0, 512), st.lists(st.integers(-3, 3), min_size=30, max_size=60))
def test_a_neighbour_who_breathes_does_not_make_it_flap(
    headroom_mib: int, breaths_mib: list[int]
) -> None:
    """Small swings of what is available: the limit settles and stays."""
    gauge = a_gauge()
    limits = [
        gauge.decide(
            HostReading(available_bytes=RESERVE + (headroom_mib + breath) * MIB),
            cache_bytes=10 * MIB,
            floor_bytes=0,
            now_s=0.5 * step,
        )
        for step, breath in enumerate(breaths_mib)
    ]
    rises = sum(later > earlier for earlier, later in itertools.pairwise(limits))
    assert rises <= len(limits) * 0.5 / CALM_S + 1


def test_what_we_hold_and_what_is_free_add_up_to_the_limit() -> None:
    gauge = a_gauge()
    reading = HostReading(available_bytes=RESERVE + 100 * MIB)
    assert gauge.decide(reading, cache_bytes=60 * MIB, floor_bytes=0, now_s=0.0) == 160 * MIB
    short = HostReading(available_bytes=RESERVE - 40 * MIB)
    assert gauge.decide(short, cache_bytes=120 * MIB, floor_bytes=0, now_s=0.5) == 80 * MIB


def test_the_control_group_counts_like_the_machine() -> None:
    reading = HostReading(
        available_bytes=16 << 30, group_used_bytes=900 * MIB, group_limit_bytes=1024 * MIB
    )
    # 124 MiB are left of the group, less than the reserve: 132 MiB of the cache have to go.
    limit = a_gauge().decide(reading, cache_bytes=300 * MIB, floor_bytes=0, now_s=0.0)
    assert limit == 168 * MIB


def test_guarantees_are_kept_however_short_memory_is() -> None:
    nothing = HostReading(available_bytes=0, stalled_percent=90.0)
    assert a_gauge().decide(nothing, cache_bytes=0, floor_bytes=30 * MIB, now_s=0.0) == 30 * MIB


def test_stalls_shrink_the_cache_once_per_window_though_memory_is_said_to_be_there() -> None:
    gauge = a_gauge()
    stalled = HostReading(available_bytes=8 << 30, stalled_percent=25.0)
    limits = [
        gauge.decide(stalled, cache_bytes=400 * MIB, floor_bytes=0, now_s=0.5 * step)
        for step in range(20)
    ]
    assert set(limits) == {296 * MIB}  # three quarters, in grades of 8 MiB
    assert gauge.decide(stalled, cache_bytes=296 * MIB, floor_bytes=0, now_s=10.0) == 216 * MIB


@pytest.mark.parametrize("percent", [None, 0.0, 5.0])
def test_no_pressure_no_limit(percent: float | None) -> None:
    reading = HostReading(available_bytes=RESERVE + BUDGET, stalled_percent=percent)
    assert a_gauge().decide(reading, cache_bytes=0, floor_bytes=0, now_s=0.0) == BUDGET


def test_a_machine_that_tells_nothing_leaves_the_budget() -> None:
    assert a_gauge().decide(HostReading(), cache_bytes=0, floor_bytes=0, now_s=0.0) == BUDGET
