"""Units are known where they stand, and numbers convert only within one quantity."""

from __future__ import annotations

import pytest

from skilld.skills.pointing.units import converted, unit_behind, unit_named


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        (" minutes long", "min"), ("min", "min"), (" Mins.", "min"), ("分間", "min"), (" hrs", "h"),
        ("時間", "h"), (" seconds", "s"), ("mm", "mm"), ("ｍｍ", "mm"), (" millimetres", "mm"),
        (" kW, please", "kw"), (" liters", "l"), ("bar", "bar"), (" days", "d"),
    ],
)  # fmt: skip
def test_a_unit_is_known_behind_a_number(text: str, same_as: str) -> None:
    assert unit_behind(text) == unit_behind(same_as) is not None


@pytest.mark.parametrize("text", ["", " of them", " pieces", ", min", "  min", " apples", "%", "x"])
def test_other_words_behind_a_number_are_no_unit(text: str) -> None:
    assert unit_behind(text) is None


def test_a_name_names_its_unit() -> None:
    minute = unit_behind("min")
    assert unit_named(["duration", "min"]) == minute
    assert unit_named(["how", "many", "minutes"]) == minute
    assert unit_named(["delay", "s"]) == unit_behind("s")
    assert unit_named(["s"]) is None
    assert unit_named(["a", "number"]) is None


@pytest.mark.parametrize(
    ("number", "said", "wanted", "expected"),
    [
        (2, "h", "min", 120), (1.5, "h", "min", 90), (90, "s", "min", 1.5), (3, "cm", "mm", 30),
        (0.1, "m", "mm", 100), (5, "kg", "g", 5000), (2, "bar", "kpa", 200), (3, "min", "min", 3),
        (7, "kg", "min", 7), (12, "", "min", 12), (12, "min", "", 12), (500, "ml", "l", 0.5),
    ],
)  # fmt: skip
def test_numbers_convert_within_a_quantity(
    number: float, said: str, wanted: str, expected: float
) -> None:
    result = converted(number, said=unit_behind(said), wanted=unit_behind(wanted))
    assert result == expected
    assert type(result) is type(expected)
