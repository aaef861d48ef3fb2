from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from skilld.training.evaluation import as_record, evaluate, score
from skilld.training.example import Example


def typed(code: str, line: int) -> Example:
    return Example("f", {"lines": [code]}, {"code": code, "line": line})


ABSTAIN = Example("f", {"lines": ["hello"]}, {"abstain": "not_a_log"})


def test_scores_of_a_hand_counted_case() -> None:
    examples = [typed("A", 1), typed("B", 2), typed("C", 3), ABSTAIN, ABSTAIN]
    answers: list[Mapping[str, Any] | None] = [
        {"code": "A", "line": 1},  # right
        {"code": "B", "line": 1},  # one field wrong
        {"abstain": "no_fault"},  # wrong abstention
        {"abstain": "not_a_log"},  # right abstention
        None,  # no valid answer where an abstention was due
    ]
    result = score(answers, examples)
    assert result.num_examples == 5
    assert result.exact_match == pytest.approx(2 / 5)
    assert result.fields == {"code": pytest.approx(2 / 3), "line": pytest.approx(1 / 3)}
    assert result.abstain_precision == pytest.approx(1 / 2)
    assert result.abstain_recall == pytest.approx(1 / 2)
    assert result.invalid == pytest.approx(1 / 5)
    low, high = result.interval
    assert 0.0 <= low < 0.4 < high <= 1.0


def test_an_abstention_for_the_wrong_reason_is_found_but_not_exact() -> None:
    result = score([{"abstain": "no_fault"}], [ABSTAIN])
    assert result.exact_match == 0.0
    assert result.abstain_recall == 1.0


def test_true_is_not_one_and_key_order_counts() -> None:
    example = Example("f", {}, {"n": 1, "flag": True})
    assert score([{"n": True, "flag": 1}], [example]).fields == {"n": 0.0, "flag": 0.0}
    assert score([{"flag": True, "n": 1}], [example]).exact_match == 0.0


def test_nothing_to_abstain_from_gives_no_recall() -> None:
    result = score([{"code": "A", "line": 1}], [typed("A", 1)])
    assert result.abstain_recall is None
    assert result.abstain_precision is None
    assert result.interval[0] < 1.0 == result.interval[1]


def test_the_interval_narrows_with_more_examples() -> None:
    def width(n: int) -> float:
        answers = [e.answer if i % 2 else None for i, e in enumerate([typed("A", 1)] * n)]
        low, high = score(answers, [typed("A", 1)] * n).interval
        return high - low

    assert width(1000) < width(100) / 2
    assert 0.05 < width(1000) < 0.08  # 2 * 1.96 * sqrt(0.25 / 1000)


def test_any_callable_can_be_judged() -> None:
    def echo(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        return [{"code": i["lines"][0], "line": 1} for i in inputs]

    result = evaluate(echo, [typed("A", 1), typed("B", 2)])
    assert result.exact_match == 0.5
    assert as_record({"same": {"echo": result}})["same"]["echo"]["exact_match"] == 0.5
