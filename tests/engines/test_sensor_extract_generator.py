"""What the generator of sensor-extract promises, over many samples of every family."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

from skilld.skills.pointing import SpanRules
from skilld.skills.pointing.schemas import marked_schema
from skilld.training.example import Draw, Example, Generator, canonical_json, load_generator

ENGINE = Path(__file__).parents[2] / "engines" / "sensor-extract"
SKILL: Mapping[str, Any] = tomllib.loads(
    (ENGINE / "skills" / "sensor-extract.toml").read_text(encoding="utf-8")
)
RULES = SpanRules.model_validate(SKILL["spans"])
SCHEMA: Mapping[str, Any] = SKILL["output_schema"]
INPUT_CHECK = jsonschema.Draft202012Validator(SKILL["input_schema"])
ANSWER_CHECK = jsonschema.Draft202012Validator(SCHEMA)
POINTED_CHECK = jsonschema.Draft202012Validator(marked_schema(SCHEMA, RULES))
PER_FAMILY = 4


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(ENGINE)


@pytest.fixture(scope="module")
def examples(generator: Generator) -> list[Example]:
    rng = Random(7)
    return [
        generator.sample(rng, family=family, draw=Draw(is_noisy=i % 3 == 0))
        for family in generator.families
        for i in range(PER_FAMILY)
    ]


@pytest.fixture(scope="module")
def held(generator: Generator) -> list[Example]:
    rng = Random(8)
    draw = Draw(held_values=True)
    return [generator.sample(rng, family=f, draw=draw) for f in generator.families]


def _readings(examples: list[Example]) -> list[Mapping[str, Any]]:
    return [r for e in examples if not e.is_abstain for r in e.answer["readings"]]


def test_every_answer_points_at_the_input_and_back(
    examples: list[Example], held: list[Example]
) -> None:
    for example in examples + held:
        if example.is_abstain:
            continue
        marked = RULES.mark(example.input)
        pointed = marked.point(example.answer, SCHEMA)
        POINTED_CHECK.validate(pointed)
        resolved = marked.resolve(pointed, SCHEMA)
        assert canonical_json(resolved) == example.target, example.input["text"]


def test_every_answer_obeys_the_schemas(examples: list[Example]) -> None:
    for example in examples:
        INPUT_CHECK.validate(example.input)
        if example.is_abstain:
            assert example.answer["abstain"] in SKILL["abstain"]["reasons"]
        else:
            ANSWER_CHECK.validate(example.answer)
            assert 1 <= len(example.answer["readings"]) <= 8


def test_readings_stand_in_the_order_of_their_values(generator: Generator) -> None:
    rng = Random(3)
    for _ in range(40):
        example = generator.sample(rng, family="list-plain", draw=Draw())
        marked = RULES.mark(example.input)
        at = 0
        for reading in example.answer["readings"]:
            if reading["value"] is None:
                continue
            at = next(
                piece.end
                for piece in marked.pieces
                if piece.start >= at and piece.value == reading["value"]
            )


def test_the_same_seed_gives_the_same_examples(generator: Generator) -> None:
    other = load_generator(ENGINE)
    for family in list(generator.families)[::7]:
        draw = Draw(is_noisy=True)
        first = generator.sample(Random(5), family=family, draw=draw)
        assert first == other.sample(Random(5), family=family, draw=draw)


def test_every_unit_occurs(generator: Generator) -> None:
    units = SCHEMA["properties"]["readings"]["items"]["properties"]["unit"]["anyOf"][1]["enum"]
    rng = Random(2)
    families = [f for f in generator.families if not f.startswith("neg-")]
    seen: set[str | None] = set()
    for _ in range(8000):
        if seen >= {None, *units}:
            break
        example = generator.sample(rng, family=rng.choice(families), draw=Draw())
        seen |= {reading["unit"] for reading in _readings([example])}
    assert set(units) - seen == set()
    assert None in seen


def test_values_and_times_may_be_missing(examples: list[Example]) -> None:
    readings = _readings(examples)
    assert any(reading["value"] is None for reading in readings)
    assert any(reading["value"] is not None and reading["value"] < 0 for reading in readings)
    assert any(reading["time"] is None for reading in readings)
    assert any(reading["time"] is not None for reading in readings)


def test_every_reason_to_abstain_occurs_in_training_and_held_out(
    generator: Generator, examples: list[Example]
) -> None:
    for is_held in (False, True):
        reasons = {
            e.answer["abstain"]
            for e in examples
            if e.is_abstain and (e.family in generator.held_families) == is_held
        }
        assert reasons == set(SKILL["abstain"]["reasons"])


def test_there_are_many_families_and_about_one_in_seven_is_held_out(generator: Generator) -> None:
    assert len(generator.families) >= 100
    assert generator.held_families <= set(generator.families)
    assert 0.12 <= len(generator.held_families) / len(generator.families) <= 0.2


def test_about_one_report_in_eight_is_declined(generator: Generator) -> None:
    weights = generator.families
    declined = sum(weight for family, weight in weights.items() if family.startswith("neg-"))
    assert 0.10 <= declined / sum(weights.values()) <= 0.15


def test_held_values_stay_out_of_training(generator: Generator, examples: list[Example]) -> None:
    words = [v for v in generator.held_values if not v.isascii() or not v.isupper()]
    pattern = re.compile("|".join(map(re.escape, words)))
    for example in examples:
        text = unicodedata.normalize("NFKC", example.input["text"])
        assert not pattern.search(text.lower()), text


def test_held_values_are_drawn_when_they_are_asked_for(
    generator: Generator, held: list[Example]
) -> None:
    pattern = re.compile("|".join(map(re.escape, generator.held_values)), re.IGNORECASE)
    texts = [unicodedata.normalize("NFKC", e.input["text"]) for e in held if not e.is_abstain]
    assert sum(bool(pattern.search(text)) for text in texts) > 0.8 * len(texts)


def test_held_combinations_occur_only_when_they_are_asked_for(
    generator: Generator, examples: list[Example]
) -> None:
    assert not {e.combination for e in examples} & generator.held_combinations
    rng = Random(4)
    draw = Draw(held_combination=True)
    for family in list(generator.families)[::5]:
        example = generator.sample(rng, family=family, draw=draw)
        if not example.is_abstain:
            assert example.combination in generator.held_combinations


def test_no_reading_has_a_number_that_is_not_in_its_report(examples: list[Example]) -> None:
    for example in examples:
        if example.is_abstain:
            continue
        digits = re.sub(r"[^\d]", "", unicodedata.normalize("NFKC", example.input["text"]))
        for reading in example.answer["readings"]:
            if reading["value"] is not None:
                shown = str(abs(reading["value"])).removesuffix(".0").replace(".", "")
                assert shown in digits


def test_there_are_sixty_kinds_of_text_to_decline(generator: Generator) -> None:
    declined = [family for family in generator.families if family.startswith("neg-")]
    assert len(declined) >= 60


def test_most_reports_are_short(generator: Generator) -> None:
    rng = Random(6)
    families, weights = zip(*generator.families.items(), strict=True)
    drawn = [
        generator.sample(rng, family=family, draw=Draw())
        for family in rng.choices(families, weights, k=600)
    ]
    lengths = [len(e.answer["readings"]) for e in drawn if not e.is_abstain]
    assert sum(length <= 3 for length in lengths) > 0.6 * len(lengths)
    assert max(lengths) == 8


def test_a_name_that_says_a_unit_has_it(generator: Generator) -> None:
    rng = Random(9)
    said = {"amps": "A", "volts": "V", "rpm": "rpm"}
    drawn = [
        generator.sample(rng, family=family, draw=Draw())
        for family in ("en-reads", "en-bare", "rows-pipe", "list-colon")
        for _ in range(250)
    ]
    readings = [
        (reading, said[word])
        for reading in _readings(drawn)
        if (word := reading["sensor"].lower().split(" ")[-1]) in said
    ]
    assert len(readings) > 5
    assert all(reading["unit"] == unit for reading, unit in readings)
