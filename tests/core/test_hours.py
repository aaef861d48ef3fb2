"""A part of every day, as clocks on the wall show it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.core.hours import Hours, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = parse_hours("22:00-05:30")


def at(text: str, *, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("time", "is_inside"),
    [
        ("21:59:59", False),
        ("22:00:00", True),
        ("23:59:59", True),
        ("00:00:00", True),
        ("05:29:59", True),
        ("05:30:00", False),
        ("12:00:00", False),
    ],
)
def test_a_night_goes_over_midnight(time: str, is_inside: bool) -> None:
    assert NIGHT.contains(at(f"2027-01-15T{time}"), BERLIN) is is_inside


@pytest.mark.parametrize(
    "text", ["", "22:00", "24:00-05:00", "22:60-05:00", "7:00-8:00", "22:00-05:30 ", "08:00-08:00"]
)
def test_what_is_no_part_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="day"):
        parse_hours(text)


def test_clocks_put_forward_take_an_hour_of_the_night() -> None:
    hours = parse_hours("02:15-02:45")  # which the 28th of March 2027 does not have in Berlin
    day = at("2027-03-28T00:00:00")
    assert not any(hours.contains(day + 60 * minute, BERLIN) for minute in range(23 * 60))
    assert sum(NIGHT.contains(day + 60 * m, BERLIN) for m in range(23 * 60)) == 270 + 120


def test_clocks_put_back_let_it_come_twice() -> None:
    hours = parse_hours("02:15-02:45")
    for fold in (0, 1):
        assert hours.contains(at("2027-10-31T02:30:00", fold=fold), BERLIN)
    day = at("2027-10-31T00:00:00")
    assert sum(hours.contains(day + 60 * minute, BERLIN) for minute in range(25 * 60)) == 60


minutes = st.integers(0, 24 * 60 - 1)


@given(
    begin=minutes,
    end=minutes,
    clock_s=st.integers(0, 1 << 33),
    offset=st.integers(-12 * 4, 14 * 4).map(lambda quarters: timedelta(minutes=15 * quarters)),
)
def test_what_is_outside_is_inside_the_rest_of_the_day(
    begin: int, end: int, clock_s: int, offset: timedelta
) -> None:
    if begin != end:
        zone = timezone(offset)
        hours, rest = Hours(begin, end), Hours(end, begin)
        assert hours.contains(clock_s, zone) is not rest.contains(clock_s, zone)
        assert parse_hours(str(hours)) == hours
        assert hours.contains(clock_s, zone) is hours.contains(clock_s + 86400, zone)
