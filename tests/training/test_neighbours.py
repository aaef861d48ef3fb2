from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import Any

import pytest

from skilld.training.example import Example
from skilld.training.neighbours import Neighbours, nearest_neighbour_answerer

TEXTS = ["pump E1 leaks again", "fan E2 stopped", "fan E2 runs", "belt torn"]


def test_a_text_is_its_own_neighbour() -> None:
    neighbours = Neighbours(TEXTS)
    for number, text in enumerate(TEXTS):
        found, similarity = neighbours.nearest(text)
        assert found == number
        assert similarity == pytest.approx(1.0, abs=1e-6)


def test_more_in_common_is_nearer_and_foreign_text_is_far() -> None:
    neighbours = Neighbours(TEXTS)
    near, similar = neighbours.nearest("the fan E9 has stopped")
    assert near == 1
    assert 0.2 < similar < 0.9
    assert neighbours.nearest("0000")[1] == 0.0
    assert neighbours.nearest("")[1] == 0.0
    # A rare word says more than one that many texts have.
    assert Neighbours(["fan ab", "fan cd", "fan ef", "torn xy"]).nearest("fan torn")[0] == 3


def test_the_similarity_is_the_cosine_of_weighted_counts() -> None:
    # "ab" and "abab" share ab, ba has no part in the first; every n-gram is in one or two texts.
    both, one = 1.0, 1.0 + log(2)  # "ab" is in both texts
    grams = {"ab": (1 + log(2)) * both, "ba": one, "aba": one, "bab": one}
    norm = sqrt(sum(weight**2 for weight in grams.values()))
    neighbours = Neighbours(["ab", "abab"])
    assert neighbours.nearest("ab")[0] == 0
    assert neighbours.nearest("aba")[0] == 1
    asked = sqrt(both**2 + one**2 + one**2)  # ab, ba, aba
    expected = (grams["ab"] * both + grams["ba"] * one + grams["aba"] * one) / norm / asked
    assert neighbours.nearest("aba")[1] == pytest.approx(expected, abs=1e-6)


def test_the_nearest_neighbour_answers_with_the_slot_of_the_question() -> None:
    known = [
        Example("f", {"text": "pump E1 leaks"}, {"part": "pump"}),
        Example("f", {"text": "fan E2 stopped"}, {"part": "fan"}),
    ]

    def copy_slot(
        before: Mapping[str, Any], answer: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        return {**answer, "was": before["text"], "code": asked["text"].split()[1]}

    seen: list[float] = []
    answer = nearest_neighbour_answerer(known, copy_slot=copy_slot, on_similarity=seen.append)
    assert answer([{"text": "fan E9 has stopped"}]) == [
        {"part": "fan", "was": "fan E2 stopped", "code": "E9"}
    ]
    assert len(seen) == 1
    assert 0.0 < seen[0] < 1.0


def test_what_is_no_text_does_not_drown_the_question() -> None:
    tools = [{"name": f"tool_{i}", "description": "opens a valve slowly"} for i in range(9)]
    known = [
        Example("f", {"text": "stop line 3", "tools": tools[:1]}, {"call": "stop"}),
        Example("f", {"text": "open valve 7", "tools": tools}, {"call": "open"}),
    ]
    answer = nearest_neighbour_answerer(known, copy_slot=lambda before, given, asked: given)
    assert answer([{"text": "stop line 8", "tools": tools}]) == [{"call": "stop"}]
