from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from skilld.training.evaluation import (
    Cost,
    as_record,
    cost_table,
    evaluate,
    field_table,
    score,
    score_table,
)
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
    # Two answers give each field, three are meant.
    assert result.fields == {"code": pytest.approx(4 / 5), "line": pytest.approx(2 / 5)}
    assert result.f1 == pytest.approx(6 / 10)
    assert result.abstain_precision == pytest.approx(1 / 2)
    assert result.abstain_recall == pytest.approx(1 / 2)
    assert result.valid == pytest.approx(4 / 5)
    assert result.chrf is None
    low, high = result.intervals["exact_match"]
    assert 0.0 <= low < 0.4 < high <= 1.0
    assert result.intervals.keys() == {
        "exact_match",
        "valid",
        "f1",
        "abstain_precision",
        "abstain_recall",
    }


def test_an_abstention_for_the_wrong_reason_is_found_but_not_exact() -> None:
    result = score([{"abstain": "no_fault"}], [ABSTAIN])
    assert result.exact_match == 0.0
    assert result.abstain_recall == 1.0


def test_an_answer_where_none_was_due_costs_precision() -> None:
    result = score([{"code": "A", "line": 1}, {"code": "A", "line": 1}], [typed("A", 1), ABSTAIN])
    assert result.f1 == pytest.approx(2 * 2 / (4 + 2))
    assert result.abstain_recall == 0.0
    assert result.abstain_precision is None


def test_true_is_not_one_but_key_order_does_not_count() -> None:
    example = Example("f", {}, {"n": 1, "flag": True})
    assert score([{"n": True, "flag": 1}], [example]).fields == {"n": 0.0, "flag": 0.0}
    assert score([{"flag": True, "n": 1.0}], [example]).exact_match == 1.0


def test_nothing_to_abstain_from_gives_no_recall() -> None:
    result = score([{"code": "A", "line": 1}], [typed("A", 1)])
    assert result.abstain_recall is None
    assert result.abstain_precision is None
    assert result.intervals["exact_match"] == (0.0, 1.0)


def test_whole_items_stand_beside_the_figure_of_all_fields_and_not_in_it() -> None:
    meant = {"calls": [{"name": "stop", "line": 3}]}
    result = score([{"calls": [{"name": "stop", "line": 4}]}], [Example("f", {}, meant)])
    assert result.fields == {"calls[]": 0.0, "calls[].name": 1.0, "calls[].line": 0.0}
    assert result.f1 == pytest.approx(1 / 2)


def test_texts_get_a_chrf_where_a_text_was_due() -> None:
    examples = [Example("f", {}, {"text": "motor stopped"}), ABSTAIN]
    right = score([{"text": "motor stopped"}, {"text": "hello"}], examples, text_field="text")
    assert right.chrf == 100.0
    wrong = score([{"abstain": "not_a_log"}, None], examples, text_field="text")
    assert wrong.chrf == 0.0
    assert score([None], [ABSTAIN], text_field="text").chrf is None
    half = score([{"text": "motor halted"}, None], examples, text_field="text")
    assert half.chrf is not None
    assert 30.0 < half.chrf < 70.0
    low, high = half.intervals["chrf"]
    assert low <= half.chrf <= high


def test_any_callable_can_be_judged() -> None:
    def echo(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        return [{"code": i["lines"][0], "line": 1} for i in inputs]

    result = evaluate(echo, [typed("A", 1), typed("B", 2)])
    assert result.exact_match == 0.5
    assert as_record({"same": {"echo": result}})["same"]["echo"]["exact_match"] == 0.5


def test_tables_show_every_answerer_of_every_split() -> None:
    right = score([{"code": "A", "line": 1}], [typed("A", 1)])
    wrong = score([None], [typed("A", 1)])
    cost = Cost(answer_tokens=12.0, batched_ms=3.5, p50_ms=8.25)
    priced = dataclasses.replace(right, cost=cost)
    scores = {"same": {"engine": priced, "rules": wrong}, "handmade": {"engine": wrong}}
    figures = shown(score_table(scores, title="figures"))
    assert figures.index("same, 1") < figures.index("rules") < figures.index("handmade, 1")
    engine, again = (line.split() for line in figures.splitlines() if "engine" in line)
    assert engine == ["engine", "100.0", "0.0-100.0", "100.0", "100.0"]
    assert again == ["engine", "0.0", "0.0-100.0", "0.0", "0.0"]
    assert "code" in shown(field_table(scores, title="fields"))
    costs = shown(cost_table(scores, title="cost"))
    assert [line.split() for line in costs.splitlines() if "engine" in line] == [
        ["engine", "12.0", "8.2", "3.5"]
    ]
    assert "rules" not in costs
    assert "handmade" not in costs


def shown(table: Table) -> str:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
