from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest

from skilld.training.example import Example
from skilld.training.splits import build_splits, check_leaks, normalised


def example(text: str, family: str = "plain") -> Example:
    return Example(family, {"lines": [text]}, {"abstain": "no_fault"})


class ToyGenerator:
    """Words of random letters in two layouts, one of them held out."""

    version = "1"
    families: Mapping[str, float] = {"plain": 3.0, "dashed": 1.0, "held": 1.0}
    held_families = frozenset({"held"})
    held_values = ("ZZ-",)

    def sample(self, rng: Random, *, family: str, use_held_values: bool) -> Example:
        stem = "ZZ-" if use_held_values else rng.choice(("AA-", "BB-"))
        word = stem + "".join(rng.choices("abcdefgh", k=6))
        text = {"plain": word, "dashed": f"- {word} -", "held": f"<{word}>"}[family]
        answer = {"abstain": "no_fault"} if rng.random() < 0.3 else {"word": word}
        return Example(family, {"lines": [text]}, answer)


def build(seed: int = 1) -> dict[str, list[Example]]:
    return build_splits(ToyGenerator(), seed=seed, num_train=300, num_validation=20, num_test=30)


def test_a_seed_is_a_data_set() -> None:
    assert build() == build()
    assert build(1)["train"] != build(2)["train"]


def test_every_split_holds_what_its_name_says() -> None:
    splits = build()
    assert {e.family for e in splits["train"]} == {"plain", "dashed"}
    assert {e.family for e in splits["held_families"]} == {"held"}
    assert all("ZZ-" in e.input["lines"][0] for e in splits["held_values"])
    assert all(e.is_abstain for e in splits["out_of_scope"])
    assert [len(splits[name]) for name in ("train", "validation", "same")] == [300, 20, 30]


def test_a_held_out_family_in_training_is_a_leak() -> None:
    with pytest.raises(ValueError, match="family 'held'"):
        _check([example("something", family="held")], [])


def test_a_near_copy_in_training_is_a_leak() -> None:
    train = [example("２０２６-01-02 10:11:12 Spindle overload detected on the second machine")]
    test = [example("2025-05-06 07:08:09  spindle OVERLOAD detected on the second machine")]
    with pytest.raises(ValueError, match="shares an input"):
        _check(train, test)


def test_a_held_out_word_in_training_is_a_leak() -> None:
    with pytest.raises(ValueError, match="'ZZ-'"):
        _check([example("motor ＺＺ－12 stopped")], [])
    _check([example("motor AZZ-12 stopped")], [])


def test_a_generator_with_too_little_variety_is_refused() -> None:
    class Poor(ToyGenerator):
        def sample(self, rng: Random, *, family: str, use_held_values: bool) -> Example:
            return example(f"only {rng.randrange(5)} texts", family=family)

    with pytest.raises(ValueError, match="distinct examples"):
        build_splits(Poor(), seed=1, num_train=300, num_validation=20, num_test=30)


def test_short_inputs_keep_their_numbers_when_normalised() -> None:
    assert normalised(example("E-12 jam")) != normalised(example("E-13 jam"))


def _check(train: list[Example], test: list[Example]) -> None:
    try:
        check_leaks(train, {"same": test}, held_families=frozenset({"held"}), held_values=["ZZ-"])
    except Exception as error:
        raise ValueError(str(error)) from error
