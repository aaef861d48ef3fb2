"""What the maint-toolcall data promises, over many samples of all its families."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

from skilld.skills.skill import read_skill
from skilld.training.example import Draw, Example, Generator, load_generator
from skilld.training.leaks import HeldValues

ENGINE = Path(__file__).parents[2] / "engines" / "maint-toolcall"
SKILL = read_skill(ENGINE / "skills" / "maint-toolcall.toml")
GENERATOR: Generator = load_generator(ENGINE)
assert SKILL.spans is not None
SPANS = SKILL.spans
DRAWS = {
    "usual": Draw(),
    "values": Draw(held_values=True),
    "combination": Draw(held_combination=True),
    "noisy": Draw(is_noisy=True),
}


@cache
def draw(count: int, *, wanted: str = "usual", seed: int = 11) -> tuple[Example, ...]:
    rng = Random(seed)
    families, weights = list(GENERATOR.families), list(GENERATOR.families.values())
    chosen = rng.choices(families, weights, k=count)
    return tuple(GENERATOR.sample(rng, family=family, draw=DRAWS[wanted]) for family in chosen)


def calls_of(example: Example) -> list[dict[str, Any]]:
    return list(example.answer.get("calls", ()))


def text_of(example: Example) -> str:
    text = f"{example.input['request']}\n{json.dumps(example.input['tools'], ensure_ascii=False)}"
    return unicodedata.normalize("NFKC", text)


def tools_of(example: Example) -> dict[str, dict[str, Any]]:
    return {tool["name"]: tool for tool in example.input["tools"]}


def test_a_seed_is_a_data_set() -> None:
    again = [GENERATOR.sample(Random(5), family="en2-and", draw=Draw()) for _ in range(2)]
    assert again[0] == again[1]
    assert GENERATOR.sample(Random(6), family="en2-and", draw=Draw()) != again[0]


@pytest.mark.parametrize("name", DRAWS)
def test_every_call_can_be_pointed_and_comes_back(name: str) -> None:
    input_check = jsonschema.Draft202012Validator(SKILL.input_schema)
    pointed_check = jsonschema.Draft202012Validator(SKILL.decoding_schema)
    for example in draw(600, wanted=name):
        input_check.validate(dict(example.input))
        marked = SPANS.mark(example.input)
        if example.is_abstain:
            assert example.answer["abstain"] in SKILL.abstain.reasons
            continue
        pointed = marked.point(example.answer, SKILL.output_schema)
        pointed_check.validate(pointed)
        assert marked.resolve(pointed, SKILL.output_schema) == example.answer


def test_every_family_gives_examples_and_every_reason_occurs() -> None:
    rng = Random(3)
    assert len(GENERATOR.families) >= 100
    reasons = set()
    for family in GENERATOR.families:
        for wanted in DRAWS.values():
            example = GENERATOR.sample(rng, family=family, draw=wanted)
            assert example.family == family
            reasons.add(example.answer.get("abstain"))
    assert reasons == {None, *SKILL.abstain.reasons}


def test_calls_follow_the_schemas_of_their_tools() -> None:
    for example in draw(1500):
        tools = tools_of(example)
        assert len(tools) == len(example.input["tools"])
        for call in calls_of(example):
            parameters = tools[call["name"]]["parameters"]
            jsonschema.validate(call["arguments"], parameters)
            order = [name for name in parameters["properties"] if name in call["arguments"]]
            assert list(call["arguments"]) == order


def test_there_are_one_to_three_calls_and_mostly_three_to_five_tools() -> None:
    examples = draw(2000)
    calls = Counter(len(calls_of(example)) for example in examples if not example.is_abstain)
    tools = Counter(len(example.input["tools"]) for example in examples)
    assert set(calls) == {1, 2, 3}
    assert calls[2] + calls[3] > 0.2 * calls.total()
    assert set(tools) == set(range(1, 9))
    assert tools[3] + tools[4] + tools[5] > 0.7 * tools.total()


def test_the_tool_that_is_called_stands_at_any_place() -> None:
    places = Counter(
        list(tools_of(example)).index(calls_of(example)[0]["name"])
        for example in draw(2000)
        if not example.is_abstain and len(example.input["tools"]) == 4
    )
    assert min(places[i] for i in range(4)) > 0.2 * places.total()


def test_optional_arguments_are_left_out_and_all_types_are_filled() -> None:
    filled: Counter[str] = Counter()
    left_out = 0
    for example in draw(2000):
        tools = tools_of(example)
        for call in calls_of(example):
            properties = tools[call["name"]]["parameters"]["properties"]
            left_out += len(properties) - len(call["arguments"])
            for name in call["arguments"]:
                part = properties[name]
                filled["enum" if "enum" in part else part["type"]] += 1
    assert left_out > 400
    assert set(filled) == {"string", "integer", "number", "boolean", "enum"}


def test_nothing_is_called_when_a_required_argument_is_missing() -> None:
    rng = Random(8)
    for family in (f for f in GENERATOR.families if f.startswith("missing")):
        for _ in range(20):
            example = GENERATOR.sample(rng, family=family, draw=Draw())
            assert example.answer == {"abstain": "missing_argument"}


def test_names_of_tools_are_spelt_in_many_ways() -> None:
    names = {name for example in draw(2000) for name in tools_of(example)}
    assert len(names) > 2000
    for pattern in (r"[a-z]+(_[a-z]+)+", r"[a-z]+([A-Z][a-z]+)+", r"[a-z]+(-[a-z]+)+"):
        assert sum(re.fullmatch(pattern, name) is not None for name in names) > 100


def test_about_one_request_in_six_is_declined() -> None:
    examples = draw(2000)
    share = sum(example.is_abstain for example in examples) / len(examples)
    assert 0.12 < share < 0.22


def test_some_requests_are_japanese() -> None:
    share = sum(
        re.search(r"[ぁ-んァ-ヶ]", unicodedata.normalize("NFKC", str(e.input["request"])))
        is not None
        for e in draw(2000)
    )
    assert 130 < share < 600


def test_held_out_families_are_a_seventh_and_of_every_kind() -> None:
    held = GENERATOR.held_families
    assert 0.1 < len(held) / len(GENERATOR.families) < 0.25
    for beginning in ("en-", "en2-", "en3-", "ja-", "missing", "lacking", "half", "never", "talk"):
        assert any(family.startswith(beginning) for family in held), beginning


def test_training_rarely_meets_a_held_value_by_chance_and_never_a_held_combination() -> None:
    values = HeldValues(GENERATOR.held_values)
    met = sum(values.find(text_of(example)) is not None for example in draw(2000))
    assert met < 40
    combined = sum(e.combination in GENERATOR.held_combinations for e in draw(2000))
    assert combined < 40


def test_held_values_are_tools_that_training_never_sees() -> None:
    values = HeldValues(GENERATOR.held_values)
    examples = [e for e in draw(1000, wanted="values") if not e.is_abstain]
    in_tools = 0
    for example in examples:
        called = {call["name"] for call in calls_of(example)}
        text = str([tool for tool in example.input["tools"] if tool["name"] in called])
        in_tools += values.find(text.replace("_", " ").replace("-", " ")) is not None
    assert in_tools > 0.7 * len(examples)


def test_held_combinations_are_drawn_on_request() -> None:
    examples = [e for e in draw(1000, wanted="combination") if e.combination]
    hits = sum(e.combination in GENERATOR.held_combinations for e in examples)
    assert hits > 0.8 * len(examples)


def test_prompts_are_short() -> None:
    lengths = [len(str(SPANS.mark(example.input).values["tools"])) for example in draw(1000)]
    assert sum(lengths) / len(lengths) < 500


def test_noise_is_heavier_when_it_is_asked_for() -> None:
    def typing(examples: tuple[Example, ...]) -> int:
        words = {"please", "could", "would", "thanks", "number", "because", "report", "order"}
        text = " ".join(str(e.input["request"]).lower() for e in examples)
        return sum(text.count(word) for word in words)

    assert typing(draw(1500, wanted="noisy")) < 0.9 * typing(draw(1500))
