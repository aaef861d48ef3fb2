from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest

from skilld.training.example import Draw, Example
from skilld.training.leaks import HeldValues, LeakError, LeakGates

LONG = "2026-01-02 10:11:12 Spindle overload detected on the second machine of line 4"


class Held:
    """Only says what is held out."""

    version = "1"
    families: Mapping[str, float] = {"plain": 1.0, "held": 1.0}
    held_families = frozenset({"held"})
    held_values = ("ZZ-",)
    held_combinations = frozenset({"red+x"})

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        raise AssertionError("gates draw nothing")


def example(text: str, family: str = "plain", combination: str = "") -> Example:
    return Example(family, {"lines": [text]}, {"abstain": "no_fault"}, combination)


def check(train: Sequence[Example], test: Sequence[Example]) -> None:
    LeakGates({"same": test}, Held()).check(train)


def test_a_held_out_family_in_training_is_a_leak() -> None:
    with pytest.raises(LeakError, match="family 'held'"):
        check([example("something", family="held")], [])


def test_a_held_out_combination_in_training_is_a_leak() -> None:
    with pytest.raises(LeakError, match=r"combination 'red\+x'"):
        check([example("something", combination="red+x")], [])


def test_a_copy_in_training_is_a_leak() -> None:
    train = [example("２０２５-05-06 07:08:09  spindle OVERLOAD detected on the second machine")]
    test = [example("2026-01-02 10:11:12 Spindle overload detected on the second machine")]
    with pytest.raises(LeakError, match="shares an input"):
        check(train, test)


def test_a_near_copy_in_training_is_a_leak() -> None:
    with pytest.raises(LeakError, match="near copy"):
        check([example(LONG.replace("second", "seconds"))], [example(LONG)])
    check([example(LONG.replace("Spindle overload", "Conveyor jam"))], [example(LONG)])


def test_short_texts_may_be_alike_but_not_equal() -> None:
    check([example("move the red box to bin 4")], [example("move the red box to bin 7")])
    with pytest.raises(LeakError, match="shares an input"):
        check([example("move the red box to bin 4!")], [example("Move the red box to bin ４")])


def test_full_width_characters_count_two_columns() -> None:
    japanese = "第{}コンベヤのモータが過負荷で停止しました"  # 20 characters
    with pytest.raises(LeakError, match="shares an input"):
        check([example(japanese.format(1))], [example(japanese.format(2))])


def test_a_held_out_word_in_training_is_a_leak() -> None:
    with pytest.raises(LeakError, match="'ZZ-'"):
        check([example("motor ＺＺ－12 stopped")], [])
    check([example("motor AZZ-12 stopped")], [])


def test_a_held_value_must_begin_a_word_only_where_words_have_beginnings() -> None:
    held = HeldValues(["PX-", "主軸"])
    assert held.find("unit PX-7") == "PX-"
    assert held.find("unit APX-7") is None
    assert held.find("第二主軸モータ") == "主軸"
    assert HeldValues([]).find("anything") is None
