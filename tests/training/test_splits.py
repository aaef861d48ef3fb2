from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random

import pytest

from skilld.training.example import Draw, Example
from skilld.training.leaks import LeakError, LeakGates, compared
from skilld.training.splits import draw_tests, training_stream


def example(text: str, family: str = "plain") -> Example:
    return Example(family, {"lines": [text]}, {"abstain": "no_fault"})


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


def build(
    generator: ToyGenerator, *, seed: int = 1, keep_clear: Sequence[Example] = ()
) -> dict[str, list[Example]]:
    splits = draw_tests(generator, seed=seed, num_validation=20, num_test=30)
    gates = LeakGates({**splits, "other": keep_clear}, generator)
    train = list(islice(training_stream(generator, seed=seed, gates=gates), 300))
    return {**splits, "train": train}


def test_a_seed_is_a_data_set() -> None:
    assert build(ToyGenerator()) == build(ToyGenerator())
    assert build(ToyGenerator())["train"] != build(ToyGenerator(), seed=2)["train"]


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
    del splits["train"]
    assert len({compared(e).normalised for examples in splits.values() for e in examples}) == 200


def test_what_a_generator_does_not_hold_out_is_no_split() -> None:
    splits = draw_tests(Wordy(), seed=1, num_validation=5, num_test=5)
    assert splits.keys() == {"validation", "same", "held_families", "noise", "out_of_scope"}


def test_training_keeps_away_from_near_copies_of_the_tests_and_counts_them() -> None:
    tests = draw_tests(Wordy(), seed=1, num_validation=5, num_test=5)
    dropped: Counter[str] = Counter()
    gates = LeakGates(tests, Wordy())
    stream = training_stream(Wordy(), seed=1, gates=gates, dropped=dropped)
    assert len(list(islice(stream, 300))) == 300
    assert dropped["near copy"] > 30
    unaware = training_stream(Wordy(), seed=1, gates=LeakGates({}, Wordy()))
    with pytest.raises(LeakError, match=r"near copy|shares an input"):
        gates.check(list(islice(unaware, 300)))


def test_training_keeps_clear_of_other_cases_it_is_given() -> None:
    usual = build(ToyGenerator())["train"]
    clear = usual[7]
    train = build(ToyGenerator(), keep_clear=[clear])["train"]
    assert train[:7] == usual[:7]
    assert train[7] == usual[8]
    assert clear not in train


def test_small_families_do_not_die_out() -> None:
    class Narrow(ToyGenerator):
        def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
            if family == "dashed":
                return example(f"- {rng.randrange(9)} -", family=family)
            return super().sample(rng, family=family, draw=draw)

    gates = LeakGates({}, Narrow())
    train = list(islice(training_stream(Narrow(), seed=1, gates=gates), 4000))
    assert sum(e.family == "dashed" for e in train[2000:]) > 400


def test_a_generator_with_too_little_variety_is_refused() -> None:
    class Poor(ToyGenerator):
        held_values = ()
        held_combinations = frozenset()

        def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
            return example(f"only {rng.randrange(200)} texts", family=family)

    with pytest.raises(ValueError, match="split 'same': only"):
        draw_tests(Poor(), seed=1, num_validation=2, num_test=500)
    every = [example(f"only {i} texts") for i in range(200)]
    with pytest.raises(ValueError, match="only 0 can be used"):
        next(training_stream(Poor(), seed=1, gates=LeakGates({"same": every}, Poor())))
