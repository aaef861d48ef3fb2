from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from random import Random

import pytest

from skilld.training.example import Draw, Example
from skilld.training.splits import (
    LeakError,
    build_splits,
    check_leaks,
    draw_tests,
    normalised,
    training_stream,
)

LONG = "2026-01-02 10:11:12 Spindle overload detected on the second machine of line 4"


def example(text: str, family: str = "plain", combination: str = "") -> Example:
    return Example(family, {"lines": [text]}, {"abstain": "no_fault"}, combination)


class ToyGenerator:
    """Words of random letters in two layouts, one of them held out."""

    version = "1"
    families: Mapping[str, float] = {"plain": 3.0, "dashed": 1.0, "held": 1.0}
    held_families = frozenset({"held"})
    held_values: tuple[str, ...] = ("ZZ-",)
    held_combinations = frozenset({"red+x"})

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        stem = "ZZ-" if draw.held_values else rng.choice(("AA-", "BB-"))
        word = stem + "".join(rng.choices("abcdefgh", k=6))
        if draw.is_noisy:
            word = word.replace("-", "~")
        text = {"plain": word, "dashed": f"- {word} -", "held": f"<{word}>"}[family]
        answer = {"abstain": "no_fault"} if rng.random() < 0.3 else {"word": word}
        combination = "red+x" if draw.held_combination else rng.choice(("red+y", "blue+x"))
        return Example(family, {"lines": [text]}, answer, combination)


class Careless(ToyGenerator):
    """Hands out what was not asked for now and then."""

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        wrong = rng.random() < 0.5
        return super().sample(
            rng,
            family=family,
            draw=Draw(
                held_values=draw.held_values != (wrong and rng.random() < 0.5),
                held_combination=draw.held_combination != (wrong and rng.random() < 0.5),
                is_noisy=draw.is_noisy,
            ),
        )


class Wordy(ToyGenerator):
    """Long texts of few words, so that many are nearly the same."""

    held_values = ()
    held_combinations = frozenset()

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        colours = ("red", "green", "grey", "white")
        text = (
            f"please move the {rng.choice(colours)} box from the first to the second station and "
            f"wait there until {''.join(rng.choices('abcdefgh', k=rng.choice((3, 40))))} is done"
        )
        return Example(family, {"lines": [f"{family} {text}"]}, {"abstain": "no_fault"})


def build(generator: ToyGenerator, seed: int = 1) -> dict[str, list[Example]]:
    return build_splits(generator, seed=seed, num_train=300, num_validation=20, num_test=30)


def test_a_seed_is_a_data_set() -> None:
    assert build(ToyGenerator()) == build(ToyGenerator())
    assert build(ToyGenerator(), 1)["train"] != build(ToyGenerator(), 2)["train"]


@pytest.mark.parametrize("generator", [ToyGenerator(), Careless()])
def test_every_split_holds_what_its_name_says(generator: ToyGenerator) -> None:
    splits = build(generator)
    assert [len(splits[name]) for name in ("train", "validation", "same")] == [300, 20, 30]
    for name, examples in splits.items():
        families = {"held"} if name in ("held_families", "out_of_scope") else {"plain", "dashed"}
        assert {e.family for e in examples} == families, name
        texts = [e.input["lines"][0] for e in examples]
        assert all(("ZZ-" in text) == (name == "held_values") for text in texts), name
        assert all((e.combination == "red+x") == (name == "held_combinations") for e in examples)
        assert all(("~" in text) == (name == "noise") for text in texts), name
    assert all(e.is_abstain for e in splits["out_of_scope"])
    assert len({normalised(e) for examples in splits.values() for e in examples}) == 500


def test_what_a_generator_does_not_hold_out_is_no_split() -> None:
    splits = draw_tests(Wordy(), seed=1, num_validation=5, num_test=5)
    assert splits.keys() == {"validation", "same", "held_families", "noise", "out_of_scope"}


def test_training_keeps_away_from_near_copies_of_the_tests_and_counts_them() -> None:
    dropped: Counter[str] = Counter()
    splits = build_splits(
        Wordy(), seed=1, num_train=300, num_validation=5, num_test=5, dropped=dropped
    )
    assert len(splits["train"]) == 300
    assert dropped["near copy"] > 30


def test_training_keeps_clear_of_cases_it_is_given() -> None:
    usual = build(ToyGenerator())["train"]
    clear = usual[7]
    splits = build_splits(
        ToyGenerator(), seed=1, num_train=300, num_validation=20, num_test=30, keep_clear=[clear]
    )
    assert splits["train"][:7] == usual[:7]
    assert clear not in splits["train"]


def test_more_training_examples_begin_with_the_fewer() -> None:
    stream = training_stream(ToyGenerator(), seed=1, avoid=[])
    few = list(islice(stream, 50))
    again = training_stream(ToyGenerator(), seed=1, avoid=[])
    assert few == list(islice(again, 3000))[:50]


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


def test_a_generator_with_too_little_variety_is_refused() -> None:
    class Poor(ToyGenerator):
        held_values = ()
        held_combinations = frozenset()

        def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
            return example(f"only {rng.randrange(200)} texts", family=family)

    with pytest.raises(ValueError, match="split 'same': only"):
        build_splits(Poor(), seed=1, num_train=300, num_validation=2, num_test=500)
    with pytest.raises(ValueError, match="training draws"):
        build_splits(Poor(), seed=1, num_train=5000, num_validation=2, num_test=3)


def check(train: list[Example], test: list[Example]) -> None:
    check_leaks(
        train,
        {"same": test},
        held_families=frozenset({"held"}),
        held_values=["ZZ-"],
        held_combinations=frozenset({"red+x"}),
    )
