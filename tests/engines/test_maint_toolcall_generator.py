"""What only the maint-toolcall data promise; see test_generators.py for the rest."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from random import Random
from typing import Any

import jsonschema
from tests.engines.conftest import digests_in_processes, specialist

from skilld.training.example import Draw, Example
from skilld.training.leaks import HeldValues

ENGINE = specialist("maint-toolcall")


def calls_of(example: Example) -> list[dict[str, Any]]:
    return list(example.answer.get("calls", ()))


def tools_of(example: Example) -> dict[str, dict[str, Any]]:
    return {tool["name"]: tool for tool in example.input["tools"]}


def test_calls_follow_the_schemas_of_their_tools() -> None:
    for example in ENGINE.draw(600):
        tools = tools_of(example)
        assert len(tools) == len(example.input["tools"])
        for call in calls_of(example):
            parameters = tools[call["name"]]["parameters"]
            jsonschema.validate(call["arguments"], parameters)
            order = [name for name in parameters["properties"] if name in call["arguments"]]
            assert list(call["arguments"]) == order


def test_there_are_one_to_three_calls_and_mostly_three_to_five_tools() -> None:
    examples = ENGINE.draw(1000)
    calls = Counter(len(calls_of(example)) for example in examples if not example.is_abstain)
    tools = Counter(len(example.input["tools"]) for example in examples)
    assert set(calls) == {1, 2, 3}
    assert calls[2] + calls[3] > 0.15 * calls.total()
    assert calls[3] < 0.04 * calls.total()
    assert set(tools) == set(range(1, 9))
    assert tools[3] + tools[4] + tools[5] > 0.7 * tools.total()


def test_the_tool_that_is_called_stands_at_any_place() -> None:
    places = Counter(
        list(tools_of(example)).index(calls_of(example)[0]["name"])
        for example in ENGINE.draw(1000)
        if not example.is_abstain and len(example.input["tools"]) == 4
    )
    assert min(places[i] for i in range(4)) > 0.2 * places.total()


def test_optional_arguments_are_left_out_and_all_types_are_filled() -> None:
    filled: Counter[str] = Counter()
    left_out = 0
    for example in ENGINE.draw(1000):
        tools = tools_of(example)
        for call in calls_of(example):
            properties = tools[call["name"]]["parameters"]["properties"]
            left_out += len(properties) - len(call["arguments"])
            for name in call["arguments"]:
                part = properties[name]
                filled["enum" if "enum" in part else part["type"]] += 1
    assert left_out > 200
    assert set(filled) == {"string", "integer", "number", "boolean", "enum"}


def test_nothing_is_called_when_a_required_argument_is_missing() -> None:
    rng = Random(8)
    for family in (f for f in ENGINE.generator.families if f.startswith("missing")):
        for _ in range(10):
            example = ENGINE.generator.sample(rng, family=family, draw=Draw())
            assert example.answer == {"abstain": "missing_argument"}


def test_names_of_tools_are_spelt_in_many_ways() -> None:
    names = {name for example in ENGINE.draw(1000) for name in tools_of(example)}
    assert len(names) > 1000
    for pattern in (r"[a-z]+(_[a-z]+)+", r"[a-z]+([A-Z][a-z]+)+", r"[a-z]+(-[a-z]+)+"):
        assert sum(re.fullmatch(pattern, name) is not None for name in names) > 100


def test_some_requests_are_japanese() -> None:
    requests = [unicodedata.normalize("NFKC", e.input["request"]) for e in ENGINE.draw(1000)]
    num_japanese = sum(re.search(r"[ぁ-んァ-ヶ]", text) is not None for text in requests)
    assert 0.065 < num_japanese / len(requests) < 0.3


def test_families_of_every_kind_are_held_out() -> None:
    held = ENGINE.generator.held_families
    for beginning in ("en-", "en2-", "en3-", "ja-", "missing", "lacking", "half", "never", "talk"):
        assert any(family.startswith(beginning) for family in held), beginning


def test_held_values_are_tools_that_training_never_sees() -> None:
    values = HeldValues(ENGINE.generator.held_values)
    examples = [example for example in ENGINE.draw(200, "values") if not example.is_abstain]
    in_tools = 0
    for example in examples:
        called = {call["name"] for call in calls_of(example)}
        text = str([tool for tool in example.input["tools"] if tool["name"] in called])
        in_tools += values.find(text.replace("_", " ").replace("-", " ")) is not None
    assert in_tools > 0.7 * len(examples)


def test_prompts_are_short() -> None:
    marked = [ENGINE.spans.mark(example.input) for example in ENGINE.draw(300)]
    lengths = [len(str(one.values["tools"])) for one in marked]
    assert sum(lengths) / len(lengths) < 500


def test_noise_is_heavier_when_it_is_asked_for() -> None:
    def typing(examples: list[Example]) -> int:
        words = {"please", "could", "would", "thanks", "number", "because", "report", "order"}
        text = " ".join(str(example.input["request"]).lower() for example in examples)
        return sum(text.count(word) for word in words)

    assert typing(ENGINE.draw(600, "noisy")) < 0.9 * typing(ENGINE.draw(600))


def test_what_tools_nearly_do_is_the_same_in_every_process() -> None:
    """One of its templates says two values, so what is drawn first matters."""
    digests = digests_in_processes(ENGINE, per_family=60, prefix="near-")
    assert len(digests) == 1
