"""What only the plc-triage data promise; see test_generators.py for the rest."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from tests.engines.conftest import specialist

from skilld.training.example import Example

ENGINE = specialist("plc-triage")


def faults(count: int, wanted: str = "usual") -> list[Example]:
    return [example for example in ENGINE.draw(count, wanted) if not example.is_abstain]


def marks_of(name: str) -> list[str]:
    first, last = ENGINE.spans.alphabet(name).split("-")
    return [chr(code) for code in range(ord(first), ord(last) + 1)]


def test_a_code_stands_in_the_root_line_as_it_is_answered() -> None:
    found = 0
    for example in faults(1500):
        code = example.answer["fault_code"]
        if code is None:
            continue
        line = example.input["lines"][example.answer["first_line"] - 1]
        assert code in unicodedata.normalize("NFKC", line)
        found += 1
    assert found > 500


def test_clocks_get_no_mark_that_could_be_taken_for_a_code() -> None:
    lines = [
        "2026-03-02T09:14:55.120Z 02.03.2026 09:14 3/2/2026 9:14:55 PM Mar  2 09:14:55",
        "2026年3月2日 9時14分55秒 午後9時半 12/03 08:15 [12345.678901] T+12.5s +00:01:02",
        "1772440000",
    ]
    marked = ENGINE.spans.mark({"lines": lines})
    assert {piece.mark for piece in marked.pieces} <= set(marks_of("line") + marks_of("clock"))


@pytest.mark.parametrize(
    "code",
    [
        "F30002",
        "SRVO-023",
        "E-1042",
        "16#80C4",
        "401",
        "A.710",
        "0x8004",
        "AL.16",
        "ALM401",
        "W#16#8304",
        "T01:C21",
        "KSS00276",
        "16#4562_0000",
        "E.OC1",
        "10013",
        "A.C90",
        "F07901",
        "ERR_0042",
        "3B050000",
        "12.1",
        "E1042",
        "PS0090",
        "AL-50",
    ],
)
@pytest.mark.parametrize("line", ["{} motor stopped", "異常{}モータ停止", "motor ({})", "a,{},b"])
def test_what_a_vendor_prints_as_a_code_can_be_pointed_at(line: str, code: str) -> None:
    marked = ENGINE.spans.mark({"lines": [line.format(code)]})
    allowed = set(marks_of("code") + marks_of("number"))
    assert [piece.value for piece in marked.pieces if piece.mark in allowed] == [code]


def test_every_held_combination_is_drawn_when_wanted_and_they_are_about_one_in_eight() -> None:
    held = ENGINE.generator.held_combinations
    assert {example.combination for example in faults(2000, "combination")} == held
    usual = {example.combination for example in faults(3000)}
    assert 0.05 < len(held) / len(usual | held) < 0.2


def test_most_held_stems_are_drawn_when_wanted() -> None:
    words = " ".join(" ".join(example.input["lines"]) for example in faults(2500, "values"))
    stems = [re.compile(rf"(?<!\w){re.escape(stem)}") for stem in ENGINE.generator.held_values]
    assert sum(1 for stem in stems if stem.search(words)) > len(stems) / 2


def test_the_first_line_is_any_of_seven() -> None:
    assert {example.answer["first_line"] for example in faults(3000)} >= set(range(1, 8))


def test_there_are_enough_families() -> None:
    assert len(ENGINE.generator.families) >= 120


def test_a_critical_fault_stops_the_line_and_calls_a_person() -> None:
    seen = 0
    for example in faults(2000):
        answer: dict[str, Any] = dict(example.answer)
        if answer["severity"] == "critical":
            assert (answer["action"], answer["needs_human"]) == ("stop_line", True)
            seen += 1
        if answer["subsystem"] == "safety":
            assert answer["needs_human"] is True
    assert seen > 50
