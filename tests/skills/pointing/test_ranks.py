from __future__ import annotations

import re

import pytest

from skilld.skills.pointing import SpanRules
from skilld.skills.pointing.marks import MARKS, MARKS_PER_KIND, kind_of
from skilld.skills.pointing.moments import moment_value

RULES = SpanRules.model_validate(
    {
        "fields": ["lines"],
        "kind": [
            {
                "name": "line",
                "value": "line",
                "rank": "line",
                "patterns": [{"pattern": "(?m:^)"}],
            },
            {
                "name": "clock",
                "rank": "moment",
                "alone": True,
                "patterns": [{"pattern": r"\d\d:\d\d"}],
            },
            {"name": "number", "rank": "number", "patterns": [{"pattern": r"-?\d+(?:\.\d+)?"}]},
        ],
    }
)
SCHEMA = {"properties": {"first_line": {"type": "integer", "x-span": "line"}}}


def shown(*lines: str) -> str:
    """The prompt with marks as l0, c0, n0."""
    text = str(RULES.mark({"lines": list(lines)}).values["lines"])
    return MARKS.sub(
        lambda found: f"<{'lcn'[kind_of(found[0])]}{ord(found[0]) % MARKS_PER_KIND}>", text
    )


def test_marks_of_a_rank_count_up_with_the_value() -> None:
    assert shown("95.5 / 80 / -3 / 80") == "<l0>95.5<n2> / 80<n1> / -3<n0> / 80<n1>"


def test_equal_values_that_are_written_differently_come_back_as_written() -> None:
    marked = RULES.mark({"lines": ["8 08"]})
    schema = {"properties": {"code": {"type": "string", "x-span": "number"}}}
    for code in ("8", "08"):
        assert marked.resolve(marked.point({"code": code}, schema), schema) == {"code": code}


def test_a_piece_that_is_alone_leaves_only_its_mark() -> None:
    assert shown("10:02 b", "10:01 a") == "<l0><c1> b\n<l1><c0> a"


def test_a_line_is_answered_by_its_mark() -> None:
    marked = RULES.mark({"lines": ["a\nb", "c"]})
    answer = marked.point({"first_line": 2}, SCHEMA)
    assert marked.resolve(answer, SCHEMA) == {"first_line": 2}
    assert re.findall(r"[a-c]", marked.texts["lines"].split("\n")[1]) == ["c"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-03-02T09:14:55.120Z", "2026-03-02T09:14:55.121Z"),
        ("2026-03-02 09:14:55,123", "2026/03/02 09:14:56"),
        ("28.02.2026 23:59:59", "01.03.2026 00:00:00"),
        ("3/2/2026 11:14:55 AM", "3/2/2026 1:14:55 PM"),
        ("12:30 AM", "1:00 AM"),
        ("Mar  9 09:14:55", "Mar 10 08:00:00"),
        ("30 Apr 2026 09:14", "1 May 2026 09:14"),
        ("2026年3月2日 9時14分55秒", "2026年3月2日 10時01分00秒"),
        ("午前11時50分", "午後1時10分"),
        ("9時半", "10時"),
        ("12345.678901", "12345.678902"),
        ("T+9.5s", "T+12.1s"),
        ("+00:01:02.345", "+00:01:02.346"),
        ("1772440000", "1772440001"),
    ],
)
def test_the_earlier_moment_is_the_smaller_one(earlier: str, later: str) -> None:
    first, second = moment_value(earlier), moment_value(later)
    assert first is not None
    assert second is not None
    assert first < second


def test_text_without_a_number_is_no_moment() -> None:
    assert moment_value("soon") is None
