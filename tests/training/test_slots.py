from __future__ import annotations

from typing import Any

import pytest

from skilld.training.slots import canonical, f1_counts, slots_of_answer


def counts(given: dict[str, Any] | None, meant: dict[str, Any], field: str) -> tuple[int, int]:
    return f1_counts(slots_of_answer(given), slots_of_answer(meant), names={field})


@pytest.mark.parametrize(
    ("one", "other", "are_equal"),
    [
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": None}, {}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, False),
        ({"a": 1e300}, {"a": 1e300}, True),
    ],
)
def test_canonical_json_tells_values_and_not_spellings(
    one: dict[str, Any], other: dict[str, Any], are_equal: bool
) -> None:
    assert (canonical(one) == canonical(other)) == are_equal


def test_a_wrong_value_is_a_slot_too_many_and_a_slot_missed() -> None:
    assert counts({"a": 1}, {"a": 1}, "a") == (2, 2)
    assert counts({"a": 2}, {"a": 1}, "a") == (0, 2)
    assert counts({"a": None}, {"a": 1}, "a") == (0, 1)
    assert counts({"a": 1}, {"a": None}, "a") == (0, 1)
    assert counts({"a": None}, {"a": None}, "a") == (0, 0)


def test_an_abstention_has_no_slots() -> None:
    assert counts({"abstain": "unclear"}, {"a": 1}, "a") == (0, 1)
    assert counts(None, {"a": 1}, "a") == (0, 1)
    assert counts({"a": 1}, {"abstain": "unclear"}, "a") == (0, 1)


def test_an_array_is_a_set_of_items() -> None:
    assert counts({"tags": ["x", "y"]}, {"tags": ["y", "z", "x"]}, "tags[]") == (4, 5)
    assert counts({"tags": ["x", "x"]}, {"tags": ["x"]}, "tags[]") == (2, 3)


def test_mixing_two_readings_up_costs_the_whole_ones_only() -> None:
    meant = {"readings": [{"sensor": "A", "value": 1}, {"sensor": "B", "value": 2}]}
    given = {"readings": [{"sensor": "A", "value": 2}, {"sensor": "B", "value": 1.0}]}
    assert counts(given, meant, "readings[]") == (0, 4)
    assert counts(given, meant, "readings[].sensor") == (4, 4)
    assert counts(given, meant, "readings[].value") == (4, 4)


def test_arguments_count_one_by_one() -> None:
    meant = {"calls": [{"name": "stop", "arguments": {"line": 3, "soft": True}}]}
    given = {"calls": [{"name": "stop", "arguments": {"soft": True, "line": 4}}]}
    assert counts(given, meant, "calls[].arguments") == (2, 4)
    assert counts(given, meant, "calls[].name") == (2, 2)
    assert counts(given, meant, "calls[]") == (0, 2)
