from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

from skilld.skills.skill import read_skill
from skilld.training.example import Draw, Example, Generator, load_generator, read_examples

ENGINE = Path(__file__).parents[2] / "engines" / "plc-triage"
SKILL = read_skill(ENGINE / "skills" / "plc-triage.toml")
GENERATOR: Generator = load_generator(ENGINE)
assert SKILL.spans is not None
SPANS = SKILL.spans


DRAWS = (
    Draw(),
    Draw(held_values=True),
    Draw(held_combination=True),
    Draw(is_noisy=True),
)


def draw(count: int, *, seed: int = 5, wanted: Draw = DRAWS[0]) -> list[Example]:
    rng = Random(seed)
    families, weights = list(GENERATOR.families), list(GENERATOR.families.values())
    return [
        GENERATOR.sample(rng, family=rng.choices(families, weights)[0], draw=wanted)
        for _ in range(count)
    ]


def marks_of(name: str) -> list[str]:
    first, last = SPANS.alphabet(name).split("-")
    return [chr(code) for code in range(ord(first), ord(last) + 1)]


def test_a_seed_is_a_data_set() -> None:
    assert draw(300) == draw(300)


@pytest.mark.parametrize("wanted", DRAWS, ids=["usual", "values", "combination", "noisy"])
def test_every_answer_can_be_pointed_at_and_comes_back_as_it_was_meant(wanted: Draw) -> None:
    input_check = jsonschema.Draft202012Validator(SKILL.input_schema)
    answer_check = jsonschema.Draft202012Validator(SKILL.public_output_schema)
    pointed_check = jsonschema.Draft202012Validator(SKILL.decoding_schema)
    for example in draw(1500, wanted=wanted):
        input_check.validate(dict(example.input))
        if example.is_abstain:
            pointed_check.validate(dict(example.answer))
            continue
        answer_check.validate(dict(example.answer))
        marked = SPANS.mark(example.input)
        pointed = marked.point(example.answer, SKILL.output_schema)
        pointed_check.validate(pointed)
        assert marked.resolve(pointed, SKILL.output_schema) == example.answer


def test_a_code_stands_in_the_root_line_as_it_is_answered() -> None:
    found = 0
    for example in draw(1500):
        code = example.answer.get("fault_code")
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
    marked = SPANS.mark({"lines": lines})
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
    marked = SPANS.mark({"lines": [line.format(code)]})
    allowed = set(marks_of("code") + marks_of("number"))
    assert [piece.value for piece in marked.pieces if piece.mark in allowed] == [code]


def test_held_combinations_are_drawn_only_when_wanted() -> None:
    held = GENERATOR.held_combinations
    usual = {example.combination for example in draw(3000)}
    assert not usual & held
    drawn = [e.combination for e in draw(2000, wanted=DRAWS[2]) if not e.is_abstain]
    assert set(drawn) == held
    assert 0.05 < len(held) / len(usual | held) < 0.2


def test_held_stems_are_drawn_only_when_wanted() -> None:
    words = {
        is_held: " ".join(
            " ".join(example.input["lines"])
            for example in draw(2500, wanted=Draw(held_values=is_held))
            if not example.is_abstain
        )
        for is_held in (False, True)
    }
    stems = [re.compile(rf"(?<!\w){re.escape(stem)}") for stem in GENERATOR.held_values]
    assert not [stem.pattern for stem in stems if stem.search(words[False])]
    assert sum(1 for stem in stems if stem.search(words[True])) > len(stems) / 2


def test_every_family_and_every_kind_of_answer_occurs() -> None:
    rng = Random(3)
    seen: set[str] = set()
    for family in GENERATOR.families:
        for _ in range(20):
            example = GENERATOR.sample(rng, family=family, draw=Draw())
            assert example.family == family
            for key in ("subsystem", "severity", "action", "abstain", "first_line"):
                seen.add(str(example.answer.get(key)))
    wanted = {str(i) for i in range(1, 8)} | set(SKILL.abstain.reasons)
    for key in ("subsystem", "severity", "action"):
        wanted |= set(SKILL.output_schema["properties"][key]["enum"])
    assert wanted <= seen


def test_there_are_enough_families_and_some_are_held_out() -> None:
    assert len(GENERATOR.families) >= 120
    assert 0.1 < len(GENERATOR.held_families) / len(GENERATOR.families) < 0.25


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


@pytest.mark.parametrize("name", ["handmade.jsonl"])
def test_written_cases_fit_the_skill(name: str) -> None:
    examples = read_examples(ENGINE / name)
    assert len(examples) >= 30
    for example in examples:
        jsonschema.validate(dict(example.input), SKILL.input_schema)
        if not example.is_abstain:
            marked = SPANS.mark(example.input)
            pointed = marked.point(example.answer, SKILL.output_schema)
            assert marked.resolve(pointed, SKILL.output_schema) == example.answer


def test_a_case_without_an_answer_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps({"input": {}, "abstain": "no_fault"}) + '\n{"input": {}}\n')
    with pytest.raises(ValueError, match=r"cases\.jsonl:2"):
        read_examples(path)
