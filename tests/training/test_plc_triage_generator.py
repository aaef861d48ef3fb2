from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

from skilld.skills.skill import read_skill
from skilld.training.example import Example, Generator, load_generator, read_examples

ENGINE = Path(__file__).parents[2] / "engines" / "plc-triage"
SKILL = read_skill(ENGINE / "skills" / "plc-triage.toml")
GENERATOR: Generator = load_generator(ENGINE)


def draw(count: int, *, seed: int = 5, use_held_values: bool = False) -> list[Example]:
    rng = Random(seed)
    families, weights = list(GENERATOR.families), list(GENERATOR.families.values())
    return [
        GENERATOR.sample(
            rng, family=rng.choices(families, weights)[0], use_held_values=use_held_values
        )
        for _ in range(count)
    ]


def test_a_seed_is_a_data_set() -> None:
    assert draw(300) == draw(300)


def test_every_example_fits_the_skill() -> None:
    input_check = jsonschema.Draft202012Validator(SKILL.input_schema)
    answer_check = jsonschema.Draft202012Validator(SKILL.decoding_schema)
    for example in draw(1500):
        input_check.validate(dict(example.input))
        answer_check.validate(dict(example.answer))


def test_a_code_stands_in_the_root_line_as_it_is_answered() -> None:
    found = 0
    for example in draw(1500):
        code = example.answer.get("fault_code")
        if code is None:
            continue
        line = example.input["lines"][example.answer["first_line"] - 1]
        assert code.casefold() in unicodedata.normalize("NFKC", line).casefold()
        found += 1
    assert found > 500


def test_there_are_enough_families_and_some_are_held_out() -> None:
    assert len(GENERATOR.families) >= 60
    assert 10 <= len(GENERATOR.held_families) < len(GENERATOR.families) / 2


def test_one_answer_in_six_or_so_is_an_abstention() -> None:
    share = sum(example.is_abstain for example in draw(3000)) / 3000
    assert 0.10 < share < 0.20


def test_a_critical_fault_stops_the_line_and_calls_a_person() -> None:
    seen = 0
    for example in draw(2000):
        answer: dict[str, Any] = dict(example.answer)
        if answer.get("severity") == "critical":
            assert (answer["action"], answer["needs_human"]) == ("stop_line", True)
            seen += 1
        if answer.get("subsystem") == "safety":
            assert answer["needs_human"] is True
    assert seen > 50


@pytest.mark.parametrize("name", ["handmade.jsonl", "golden.jsonl"])
def test_written_cases_fit_the_skill(name: str) -> None:
    examples = read_examples(ENGINE / name)
    assert len(examples) >= 30
    for example in examples:
        jsonschema.validate(dict(example.input), SKILL.input_schema)
        jsonschema.validate(dict(example.answer), SKILL.decoding_schema)


def test_a_case_without_an_answer_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps({"input": {}, "abstain": "no_fault"}) + '\n{"input": {}}\n')
    with pytest.raises(ValueError, match=r"cases\.jsonl:2"):
        read_examples(path)
