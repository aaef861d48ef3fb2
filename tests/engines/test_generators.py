"""What the data of every specialist promise, over many examples of all their families."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import jsonschema
import pytest
from tests.engines.conftest import (
    DRAWS,
    ENGINES,
    Specialist,
    digests_in_processes,
    drawn_from,
    specialist,
)

from skilld.training.example import Example, canonical_json, load_generator, read_examples
from skilld.training.leaks import HeldValues, compared

NAMES = sorted(recipe.parent.name for recipe in ENGINES.glob("*/recipe.toml"))

DECLINED = {
    "alarm-translate": (0.10, 0.15),
    "maint-toolcall": (0.12, 0.22),
    "plc-triage": (0.10, 0.20),
    "robot-command": (0.15, 0.30),
    "sensor-extract": (0.10, 0.15),
}
"""Between which shares of usual examples are to be declined."""

BY_CHANCE = {"maint-toolcall": 0.02}
"""Share of usual examples that may meet something held out: training throws them away."""

NOT_AS_ASKED = {"maint-toolcall": 0.2}
"""Share of examples that may have another combination than one of the held-out, which was asked."""

WITH_HELD_VALUES = {"sensor-extract": 0.8}
"""Share of answered examples with a held-out value, where these are asked for; else a half."""

each_draw = pytest.mark.parametrize("wanted", DRAWS)


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> Specialist:
    return specialist(request.param)


def answered(examples: list[Example]) -> list[Example]:
    return [example for example in examples if not example.is_abstain]


def choices(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that a schema names (enum, null, boolean), with its place in an answer."""
    if "enum" in schema:
        yield from ((path, value) for value in schema["enum"])
    match schema.get("type"):
        case "null":
            yield path, None
        case "boolean":
            yield from ((path, True), (path, False))
    for key, part in schema.get("properties", {}).items():
        yield from choices(part, f"{path}/{key}")
    if "items" in schema:
        yield from choices(schema["items"], f"{path}/*")
    for part in schema.get("anyOf", ()):
        yield from choices(part, path)


def chosen(answer: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of an answer with its place, all items of an array at one place."""
    match answer:
        case dict():
            for key, value in answer.items():
                yield from chosen(value, f"{path}/{key}")
        case list():
            for value in answer:
                yield from chosen(value, f"{path}/*")
        case _:
            yield path, answer


def test_a_seed_is_a_data_set(engine: Specialist) -> None:
    other = load_generator(engine.folder)
    for wanted in ("usual", "noisy"):
        assert drawn_from(other, Random(11), 50, wanted) == engine.draw(50, wanted)
    assert drawn_from(other, Random(12), 20, "usual") != engine.draw(20)


def test_a_seed_is_the_same_data_set_in_every_process(engine: Specialist) -> None:
    assert len(digests_in_processes(engine, per_family=2)) == 1


def test_the_version_is_a_number(engine: Specialist) -> None:
    assert re.fullmatch(r"\d+(\.\d+)*", engine.generator.version)


@each_draw
def test_every_answer_fits_the_skill_and_can_be_pointed_and_comes_back(
    engine: Specialist, wanted: str
) -> None:
    skill = engine.skill
    input_check = jsonschema.Draft202012Validator(skill.input_schema)
    answer_check = jsonschema.Draft202012Validator(skill.public_output_schema)
    pointed_check = jsonschema.Draft202012Validator(skill.decoding_schema)
    for example in (*engine.of_every_family(wanted), *engine.draw(200, wanted)):
        input_check.validate(dict(example.input))
        marked = engine.spans.mark(example.input)
        if example.is_abstain:
            assert example.answer["abstain"] in skill.abstain.reasons
            pointed_check.validate(dict(example.answer))
            continue
        answer_check.validate(dict(example.answer))
        pointed = marked.point(example.answer, skill.output_schema)
        pointed_check.validate(pointed)
        back = marked.resolve(pointed, skill.output_schema)
        assert canonical_json(back) == example.target, example.input


def test_every_family_gives_examples_and_is_declined_always_or_never(engine: Specialist) -> None:
    families = list(engine.generator.families)
    assert len(families) > 100
    by_draw = [engine.of_every_family(wanted) for wanted in DRAWS]
    for family, *examples in zip(families, *by_draw, strict=True):
        assert {example.family for example in examples} == {family}
        assert len({example.answer.get("abstain") for example in examples}) == 1, family


def test_every_reason_to_decline_occurs_in_training_and_held_out(engine: Specialist) -> None:
    held = engine.generator.held_families
    for is_held in (False, True):
        reasons = {
            example.answer.get("abstain")
            for example in engine.of_every_family()
            if (example.family in held) == is_held
        }
        assert reasons == {None, *engine.skill.abstain.reasons}


def test_every_value_that_the_schema_names_is_answered(engine: Specialist) -> None:
    missing = set(choices(engine.skill.output_schema))
    for count in range(0, 5001, 250):
        for example in (*engine.of_every_family(), *engine.draw(count)[-250:]):
            missing -= set(chosen(dict(example.answer)))
        if not missing:
            break
    assert not missing


def test_about_one_family_in_seven_is_held_out(engine: Specialist) -> None:
    generator = engine.generator
    assert generator.held_families < set(generator.families)
    assert 0.12 <= len(generator.held_families) / len(generator.families) <= 0.2


def test_as_many_are_declined_as_is_usual_for_the_skill(engine: Specialist) -> None:
    weights = engine.generator.families
    declined = sum(weights[e.family] for e in engine.of_every_family() if e.is_abstain)
    lowest, highest = DECLINED[engine.folder.name]
    assert lowest < declined / sum(weights.values()) < highest


def test_held_out_values_occur_only_where_they_are_asked_for(engine: Specialist) -> None:
    name = engine.folder.name
    values = HeldValues(engine.generator.held_values)

    def share(examples: list[Example]) -> float:
        found = [values.find(compared(example).plain) is not None for example in examples]
        return sum(found) / len(found)

    usual = [*engine.of_every_family(), *engine.draw(600), *engine.draw(200, "noisy")]
    assert share(usual) <= BY_CHANCE.get(name, 0)
    asked = [*engine.of_every_family("values"), *engine.draw(200, "values")]
    assert share(answered(asked)) > WITH_HELD_VALUES.get(name, 0.5)


def test_held_out_combinations_occur_only_where_they_are_asked_for(engine: Specialist) -> None:
    name, held = engine.folder.name, engine.generator.held_combinations

    def share(examples: list[Example]) -> float:
        return sum(example.combination in held for example in examples) / len(examples)

    usual = [*engine.of_every_family(), *engine.draw(600), *engine.draw(200, "noisy")]
    assert share(usual) <= BY_CHANCE.get(name, 0)
    asked = [*engine.of_every_family("combination"), *engine.draw(200, "combination")]
    assert share([e for e in asked if e.combination]) >= 1 - NOT_AS_ASKED.get(name, 0)
    assert share(asked) > 0.5


def test_cases_in_users_words_fit_the_skill(engine: Specialist) -> None:
    skill = engine.skill
    examples = read_examples(engine.folder / "handmade.jsonl")
    assert len(examples) >= 30
    for example in examples:
        jsonschema.validate(dict(example.input), skill.input_schema)
        marked = engine.spans.mark(example.input)
        if example.is_abstain:
            assert example.answer["abstain"] in skill.abstain.reasons
            continue
        pointed = marked.point(example.answer, skill.output_schema)
        assert marked.resolve(pointed, skill.output_schema) == example.answer
