"""What only the sensor-extract data promise; see test_generators.py for the rest."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from tests.engines.conftest import specialist

from skilld.training.example import Draw, Example

ENGINE = specialist("sensor-extract")


def reports() -> list[Example]:
    """Of every family, with much noise and without; none that is declined."""
    drawn = (*ENGINE.of_every_family(), *ENGINE.of_every_family("noisy"), *ENGINE.draw(600))
    return [example for example in drawn if not example.is_abstain]


def readings_of(examples: Iterable[Example]) -> list[Mapping[str, Any]]:
    return [reading for example in examples for reading in example.answer["readings"]]


def test_readings_stand_in_the_order_of_their_values() -> None:
    rng = Random(3)
    for _ in range(40):
        example = ENGINE.generator.sample(rng, family="list-plain", draw=Draw())
        marked = ENGINE.spans.mark(example.input)
        at = 0
        for reading in example.answer["readings"]:
            if reading["value"] is None:
                continue
            at = next(
                piece.end
                for piece in marked.pieces
                if piece.start >= at and piece.value == reading["value"]
            )


def test_values_and_times_may_be_missing() -> None:
    readings = readings_of(reports())
    assert any(reading["value"] is None for reading in readings)
    assert any(reading["value"] is not None and reading["value"] < 0 for reading in readings)
    assert any(reading["time"] is None for reading in readings)
    assert any(reading["time"] is not None for reading in readings)


def test_held_names_stay_out_of_usual_reports_in_any_case() -> None:
    names = [v for v in ENGINE.generator.held_values if not v.isascii() or not v.isupper()]
    pattern = re.compile("|".join(map(re.escape, names)))
    for example in (*ENGINE.of_every_family(), *ENGINE.of_every_family("noisy"), *ENGINE.draw(600)):
        text = unicodedata.normalize("NFKC", example.input["text"])
        assert not pattern.search(text.lower()), text


def test_every_answered_report_has_the_held_combination_that_is_asked_for() -> None:
    examples = (*ENGINE.of_every_family("combination"), *ENGINE.draw(200, "combination"))
    combinations = {example.combination for example in examples if not example.is_abstain}
    assert combinations <= ENGINE.generator.held_combinations


def test_no_reading_has_a_number_that_is_not_in_its_report() -> None:
    for example in reports():
        digits = re.sub(r"[^\d]", "", unicodedata.normalize("NFKC", example.input["text"]))
        for reading in example.answer["readings"]:
            if reading["value"] is not None:
                shown = str(abs(reading["value"])).removesuffix(".0").replace(".", "")
                assert shown in digits


def test_there_are_sixty_kinds_of_text_to_decline() -> None:
    declined = [family for family in ENGINE.generator.families if family.startswith("neg-")]
    assert len(declined) >= 60


def test_most_reports_are_short() -> None:
    examples = ENGINE.draw(600)
    lengths = [len(e.answer["readings"]) for e in examples if not e.is_abstain]
    assert sum(length <= 3 for length in lengths) > 0.6 * len(lengths)
    assert min(lengths) == 1
    assert max(lengths) == 8


def test_a_name_that_says_a_unit_has_it() -> None:
    rng = Random(9)
    said = {"amps": "A", "volts": "V", "rpm": "rpm"}
    drawn = [
        ENGINE.generator.sample(rng, family=family, draw=Draw())
        for family in ("en-reads", "en-bare", "rows-pipe", "list-colon")
        for _ in range(250)
    ]
    readings = [
        (reading, said[word])
        for reading in readings_of(drawn)
        if (word := reading["sensor"].lower().split(" ")[-1]) in said
    ]
    assert len(readings) > 5
    assert all(reading["unit"] == unit for reading, unit in readings)
