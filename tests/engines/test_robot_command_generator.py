"""What only the robot-command data promise; see test_generators.py for the rest."""

from __future__ import annotations

import re
import unicodedata
from random import Random

import pytest
from tests.engines.conftest import specialist

from skilld.skills.pointing import SpanError
from skilld.training.example import Draw, Example

ENGINE = specialist("robot-command")


def orders(count: int, wanted: str = "usual") -> list[Example]:
    """Examples that are answered."""
    return [example for example in ENGINE.draw(count, wanted) if not example.is_abstain]


def numbers_of(text: str) -> list[int | float]:
    """Speeds in mm/s that a text is marked with."""
    pieces = ENGINE.spans.mark({"text": text}).pieces
    return [piece.value for piece in pieces if isinstance(piece.value, int | float)]


def texts_of(text: str) -> list[str]:
    pieces = ENGINE.spans.mark({"text": text}).pieces
    return [piece.value for piece in pieces if isinstance(piece.value, str)]


def test_every_family_writes_orders_that_differ() -> None:
    for family in ENGINE.generator.families:
        rng = Random(3)
        texts: set[str] = set()
        for _ in range(12):
            texts.add(ENGINE.generator.sample(rng, family=family, draw=Draw()).input["text"])
            if len(texts) > 4:
                break
        assert len(texts) > 4, family


def test_constraints_stand_once_and_in_the_order_of_the_schema() -> None:
    order = ENGINE.skill.output_schema["properties"]["constraints"]["items"]["enum"]
    for example in orders(1000):
        said = example.answer["constraints"]
        assert said == [name for name in order if name in said]


def test_no_answered_order_is_faster_than_the_limit() -> None:
    speeds = [
        example.answer["speed_mm_s"]
        for example in orders(1200)
        if example.answer["speed_mm_s"] is not None
    ]
    assert len(speeds) > 60
    assert min(speeds) > 0
    assert max(speeds) <= 1500


def test_actions_have_what_they_need() -> None:
    for example in orders(1200):
        match example.answer:
            case {"action": "stop" | "pause" | "resume" | "home" | "set_speed"} as answer:
                assert answer["object"] is None
                assert answer["target"] is None
            case {"action": "go_to"} as answer:
                assert answer["object"] is None
                assert answer["target"] is not None
            case {"action": "move_object"} as answer:
                assert answer["object"] is not None
                assert answer["target"] is not None
            case {"action": "open_gripper" | "close_gripper"} as answer:
                assert answer["target"] is None
            case {"action": _} as answer:
                assert answer["object"] is not None


def test_most_objects_are_held_out_words_where_these_are_asked_for() -> None:
    held = [word.casefold() for word in ENGINE.generator.held_values]
    texts = [
        unicodedata.normalize("NFKC", example.input["text"]).casefold()
        for example in orders(600, "values")
        if example.answer["object"] is not None
    ]
    assert sum(any(word in text for word in held) for text in texts) > 0.8 * len(texts)


HELD_WORDINGS = re.compile(
    r"would it be possible for you|might I ask you|is there any chance|do you think you could|"
    r"are you able to|be so (?:kind|good) and|changed my mind|did I say|you can start|"
    r"get started with|all you have to do|I'd appreciate it|any idea where|leave .+ alone and|"
    r"I'd like you to (?:sing|dance|reboot|weld|paint)|(?:would|could) you (?:bypass|disable|hit)|"
    r"気が変わった|正しくは|言い間違えました|こちら(?:管制|本部|現場)|応答せよ|触らなくていい",
    re.IGNORECASE,
)


def test_training_never_says_what_held_out_families_say() -> None:
    for example in ENGINE.draw(1800):
        if example.family not in ENGINE.generator.held_families:
            text = example.input["text"]
            assert not HELD_WORDINGS.search(text), (example.family, text)


def test_a_way_of_asking_says_nothing_of_what_is_asked() -> None:
    leads = ("can you", "see if you can", "try to", "don't forget to", "feel free to")
    rng = Random(4)
    kinds: dict[str, set[object]] = {lead: set() for lead in leads}
    for family in ("en-lead", "en-lead-cannot", "en-lead-unsafe", "en-lead-unclear"):
        for _ in range(400):
            example = ENGINE.generator.sample(rng, family=family, draw=Draw())
            text = example.input["text"].casefold()
            for lead in leads:
                if lead.casefold() in text:
                    kinds[lead].add(example.answer.get("abstain"))
    wanted = {None, "unsupported", "unsafe", "unclear"}
    assert kinds == dict.fromkeys(leads, wanted)


@pytest.mark.parametrize(
    ("text", "speed_mm_s"),
    [
        ("at 20 cm per second", 200),
        ("毎秒20センチで", 200),
        ("秒速50mmで", 50),
        ("5センチ毎秒で", 50),
        ("棚へ300mm/sで", 300),
        ("0.25m/s", 250),
        ("１，２００ｍｍ／ｓ", 1200),
        ("6 m/min", 100),
        ("毎分6メートル", 100),
        ("10 in/s", 254),
        ("a hundred mm/s", 100),
        ("200ミリ/秒", 200),
    ],
)
def test_a_speed_is_read_in_any_unit(text: str, speed_mm_s: float) -> None:
    assert numbers_of(text) == [speed_mm_s]


@pytest.mark.parametrize(
    ("text", "is_over"),
    [
        ("1500 mm/s", False),
        ("1501 mm/s", True),
        ("1,500 mm/s", False),
        ("1,800mm/s", True),
        ("150 cm/s", False),
        ("151 cm per second", True),
        ("1.5 m/s", False),
        ("1.50m/s", False),
        ("1.51 m/s", True),
        ("2 m/s", True),
        ("90 m/min", False),
        ("91 m/min", True),
        ("59 in/s", False),
        ("60 in/s", True),
        ("毎秒150センチ", False),
        ("毎秒2メートル", True),
        ("秒速1600mm", True),
        ("秒速1499mm", False),
        ("分速100メートル", True),
        ("毎秒二百センチ", True),
    ],
)
def test_a_speed_above_the_limit_can_be_no_answer(text: str, is_over: bool) -> None:
    marked = ENGINE.spans.mark(
        {"text": f"棚3へ{text}で" if text[0] in "毎秒分" else f"go to A3 at {text}"}
    )
    (speed,) = (piece for piece in marked.pieces if isinstance(piece.value, int | float))
    schema = ENGINE.skill.output_schema["properties"]["speed_mm_s"]
    assert (speed.value > 1500) == is_over
    if is_over:
        with pytest.raises(SpanError):
            marked.point(speed.value, schema)
    else:
        assert marked.point(speed.value, schema) == speed.mark


def test_sizes_counts_and_percentages_are_no_speeds() -> None:
    assert numbers_of("put the 20 mm bolt in bin 3 at 50 % speed, 5 m away, in 3 s") == []
    assert numbers_of("10ミリのソケットを3個、2メートル先の棚へ") == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("put the red box in bin 4", ["red", "box", "bin", "4"]),
        ("赤い箱を棚3に置いてください", ["赤", "箱", "棚", "3"]),
        ("ねじをかごにゆっくり入れて", ["ねじ", "かご"]),
        ("引き出しの中のはさみを取って", ["引", "し", "はさみ"]),
        ("ボルトM8を3番の棚へ", ["ボルト", "M8", "3", "棚"]),
        ("move SKU-1234 to A-12", ["SKU-1234", "A-12"]),
        ("はんだごてを作業台に", ["はんだごて", "作業台"]),
        ("左のトレイから右のトレイまで", ["左", "トレイ", "右"]),
    ],
)
def test_names_begin_and_end_where_pieces_do(text: str, names: list[str]) -> None:
    assert set(names) <= set(texts_of(text))
