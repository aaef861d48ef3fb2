"""`skilld eval` on a shipped engine, with a small generator of its own kind of input."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import WORD_GENERATOR

from skilld.cli import main
from skilld.cli.engine_answers import Reply, better_of, needs_retry
from skilld.cli.evaluation import source_folder
from skilld.cli.judging import gates, retries
from skilld.training.example import Example

SHIPPED = Path(__file__).resolve().parents[2] / "engines" / "plc-triage"

BASELINES = """
def rules(inputs):
    return [{"abstain": "not_a_log"} for _ in inputs]


def copy_slot(neighbour_input, neighbour, asked):
    return None
"""


SETTINGS = """
skill = "plc-triage"
[data]
seed = 3
num_validation = 5
num_test = 12
[model]
vocab_size = 900
hidden_size = 32
num_layers = 1
num_heads = 2
num_kv_heads = 1
head_size = 16
feed_forward_size = 64
[optimiser]
num_steps = 1
batch_tokens = 128
matrix_lr = 0.01
other_lr = 0.01
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines") / "words"
    shutil.copytree(SHIPPED / "engine", folder / "engine")
    shutil.copytree(SHIPPED / "engine" / "skills", folder / "skills")
    (folder / "generator.py").write_text(WORD_GENERATOR)
    (folder / "baselines.py").write_text(BASELINES)
    (folder / "training.toml").write_text(SETTINGS)
    shutil.copy(SHIPPED / "golden.jsonl", folder / "handmade.jsonl")
    return folder


def evaluated(source: Path, out: Path, *options: str) -> dict[str, Any]:
    assert main(["eval", str(source), "--json", str(out), *options]) == 0
    record: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return record


def test_every_split_is_judged_with_every_answerer(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = evaluated(source, tmp_path / "scores.json", "--errors", "100", "--limit", "10")
    splits = record["splits"]
    assert splits.keys() == {"same", "held_families", "noise", "out_of_scope", "handmade"}
    for name, by_answerer in splits.items():
        assert by_answerer.keys() >= {"engine", "nearest neighbour", "rules"}, name
        engine = by_answerer["engine"]
        assert engine["num_examples"] == 10
        assert len(record["errors"][name]) == round(10 * (1 - engine["exact_match"]))
        assert engine["valid"] == 1.0
        assert engine["cost"]["p95_ms"] >= engine["cost"]["p50_ms"] > 0.0
        assert engine["cost"]["prompt_tokens"] > 5
        assert by_answerer["nearest neighbour"]["valid"] == 0.0
    assert splits["same"]["rules"]["exact_match"] == 1.0
    # Hand-written cases here are the golden ones, and the engine passes those.
    assert splits["handmade"]["engine"]["exact_match"] >= 0.9
    assert 0.0 < record["nearest_training_similarity"]["same"] < 1.0
    assert (record["generator_version"], record["seed"]) == ("7", 3)
    shown = capsys.readouterr().out
    assert "held_families, 10" in shown
    assert "nearest neighbour" in shown


def test_other_ways_to_ask_fill_rows_of_their_own(source: Path, tmp_path: Path) -> None:
    options = ("--splits", "handmade", "--no-baselines", "--unconstrained", "--confidence")
    record = evaluated(source, tmp_path / "s.json", *options, "--votes", "3", "--limit", "8")
    assert record["splits"].keys() == {"handmade"}
    rows = record["splits"]["handmade"]
    assert {"engine", "without schema", "3 votes"} <= rows.keys()
    assert "rules" not in rows
    assert rows["3 votes"]["cost"]["answer_tokens"] > 2 * rows["engine"]["cost"]["answer_tokens"]
    gated = record["confidence"]["handmade"]
    answered = [gate["answered"] for gate in gated]
    assert answered[0] == 1.0
    assert answered == sorted(answered, reverse=True)
    assert gated[0]["wrong"] == pytest.approx(1 - rows["engine"]["exact_match"])


def test_a_retry_has_a_row_and_costs_no_less_than_asking_once(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--splits", "same,handmade", "--no-baselines", "--retry", "--limit", "8")
    record = evaluated(source, tmp_path / "s.json", *options)
    for split, rows in record["splits"].items():
        once, twice = (rows[name]["cost"]["answer_tokens"] for name in ("engine", "with a retry"))
        retried = record["retries"][split]
        assert retried["mended"] + retried["spoiled"] <= retried["changed"]
        assert retried["changed"] <= retried["asked_again"]
        if retried["asked_again"]:
            assert twice > once
    assert "spoiled" in capsys.readouterr().out


def test_json_on_standard_output_stands_alone(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", str(source), "--json", "-", "--splits", "same", "--limit", "2"]
    assert main([*command, "--no-baselines"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["same"]["engine"]["num_examples"] == 2


def test_what_does_not_exist_is_named(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(source), "--splits", "same,others"]) == 3
    assert "no split 'others'" in " ".join(capsys.readouterr().err.split())
    assert main(["eval", "no-such-engine"]) == 3
    assert "no such folder" in " ".join(capsys.readouterr().err.split())
    assert main(["eval", str(SHIPPED.parent.parent / "docs")]) == 3


def test_an_engine_goes_by_path_by_name_and_by_its_built_folder(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_folder(str(source)) == source
    assert source_folder(str(source / "engine")) == source
    monkeypatch.chdir(source.parent.parent)
    (source.parent.parent / "engines").mkdir(exist_ok=True)
    (source.parent.parent / "engines" / "words").symlink_to(source)
    assert source_folder("words") == Path("engines/words")


def test_a_gate_declines_unsure_answers_and_no_abstention() -> None:
    right, due = {"a": 1}, {"abstain": "unclear"}
    found = [
        Reply(right, confidence=0.95),
        Reply({"a": 2}, confidence=0.55),
        Reply(due, confidence=0.1),
        Reply({"a": 2}, confidence=0.85),
    ]
    examples = [Example("f", {}, answer) for answer in (right, right, due, right)]
    by_threshold = {gate.threshold: gate for gate in gates(found, examples, shipped=0.65)}
    assert (by_threshold[0.0].answered, by_threshold[0.0].exact_match) == (1.0, 0.5)
    assert (by_threshold[0.65].answered, by_threshold[0.65].wrong) == (0.75, 0.25)
    assert (by_threshold[0.9].answered, by_threshold[0.9].exact_match) == (0.5, 1.0)
    assert by_threshold[0.99].answered == 0.25


UNRESOLVED = {"abstain": "unresolved"}


@pytest.mark.parametrize(
    ("reply", "is_asked_again"),
    [
        (Reply({"a": 1}, confidence=0.59), True),
        (Reply({"a": 1}, confidence=0.6), False),
        (Reply({"abstain": "unclear"}, confidence=0.9), False),
        (Reply(UNRESOLVED, confidence=0.9), True),
        (Reply(None, confidence=1.0), True),
    ],
)
def test_what_is_unsure_or_refused_is_asked_for_again(reply: Reply, is_asked_again: bool) -> None:
    assert needs_retry(reply, 0.6) == is_asked_again
    assert not needs_retry(reply, 0.0)


@pytest.mark.parametrize(
    ("first", "second", "is_second"),
    [
        (Reply({"a": 1}, confidence=0.4), Reply({"a": 2}, confidence=0.5), True),
        (Reply({"a": 1}, confidence=0.4), Reply({"a": 2}, confidence=0.4), False),
        (Reply({"a": 1}, confidence=0.4), Reply(UNRESOLVED, confidence=0.9), False),
        (Reply(UNRESOLVED, confidence=0.9), Reply({"a": 2}, confidence=0.2), True),
        (Reply(None), Reply(None), False),
    ],
)
def test_a_second_answer_counts_if_it_verifies_and_is_surer(
    first: Reply, second: Reply, is_second: bool
) -> None:
    first, second = (dataclasses.replace(reply, num_tokens=7) for reply in (first, second))
    better = better_of(first, second)
    assert better.answer == (second if is_second else first).answer
    assert (better.num_tokens, better.asked_again, better.is_second) == (14, True, is_second)


def test_retries_tell_what_was_mended_and_what_was_spoiled() -> None:
    right, wrong = {"a": 1}, {"a": 2}
    examples = [Example("f", {}, right)] * 5
    first = [right, wrong, right, wrong, wrong]
    found = [
        Reply(right),
        Reply(right, asked_again=True, is_second=True),
        Reply(wrong, asked_again=True, is_second=True),
        Reply(wrong, asked_again=True),
        Reply(wrong),
    ]
    told = retries(found, first, examples)
    assert dataclasses.astuple(told) == (0.6, 0.4, 0.2, 0.2)


def test_counts_below_one_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "x", "--limit", "0"])
    assert "not a number from 1" in capsys.readouterr().err
