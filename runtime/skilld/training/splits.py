"""`draw_tests` and `training_stream`: the data of a specialist, kept apart.

| split | families | names and identifiers | combinations | noise |
|---|---|---|---|---|
| train, validation, same | training | training | training | usual |
| held_families | held out | training | training | usual |
| held_values | training | held out | training | usual |
| held_combinations | training | training | held out | usual |
| noise | training | training | training | heavy |
| out_of_scope | held out, abstentions only | training | training | usual |

The tests are drawn first, and training keeps away from them: what is a copy or a near copy of a
test is thrown away. `skilld.training.leaks` says what that is, and proves that it was done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Final

from skilld.training.example import Draw, Example, Generator
from skilld.training.leaks import HeldValues, LeakGates, compared

EVALUATION_SPLITS: Final = (
    "same",
    "held_families",
    "held_values",
    "held_combinations",
    "noise",
    "out_of_scope",
)
_DRAWS: Final = {
    "held_values": Draw(held_values=True),
    "held_combinations": Draw(held_combination=True),
    "noise": Draw(is_noisy=True),
}
_USUAL: Final = Draw()
_ATTEMPTS_PER_EXAMPLE = 100
_CHUNK = 2048


def draw_tests(
    generator: Generator, *, seed: int, num_validation: int, num_test: int
) -> dict[str, list[Example]]:
    """Draw every split but training, all examples different.

    Args:
        generator: of the specialist.
        seed: the same seed gives the same splits.
        num_validation: examples that choose the checkpoint.
        num_test: examples in each of `EVALUATION_SPLITS`. Without held-out values or combinations
            the split of that name is left out.

    Raises:
        ValueError: the generator has too little variety for these sizes.
    """
    sizes = dict.fromkeys(EVALUATION_SPLITS, num_test) | {"validation": num_validation}
    if not generator.held_values:
        del sizes["held_values"]
    if not generator.held_combinations:
        del sizes["held_combinations"]
    splits: dict[str, list[Example]] = {}
    taken: set[str] = set()
    for name, size in sizes.items():
        draws = _draws(generator, Random(f"{seed}:{name}"), name)
        examples = splits[name] = []
        for example in islice(draws, size * _ATTEMPTS_PER_EXAMPLE):
            if len(examples) == size:
                break
            if example is None or (key := compared(example).normalised) in taken:
                continue
            taken.add(key)
            examples.append(example)
        if len(examples) < size:
            raise ValueError(f"split {name!r}: only {len(examples)} of {size} distinct examples")
    return splits


def training_stream(
    generator: Generator,
    *,
    seed: int,
    gates: LeakGates,
    dropped: Counter[str] | None = None,
) -> Iterator[Example]:
    """Training examples without end, none of them a copy or a near copy of a test.

    An example may come again: a family of few texts would die out otherwise.

    Args:
        generator: of the specialist.
        seed: the same seed gives the same examples in the same order.
        gates: of the tests; what passes is checked by them once more as it goes out.
        dropped: is told how many draws were thrown away, by reason, and how many kept.

    Raises:
        LeakError: something held out came through.
        ValueError: hardly a draw can be used.
    """
    counts: Counter[str] = Counter() if dropped is None else dropped
    draws = _draws(generator, Random(f"{seed}:train"), "train")
    while True:
        drawn = [example for example in islice(draws, _CHUNK) if example is not None]
        counts["held out"] += _CHUNK - len(drawn)
        kept = gates.passing(drawn, counts)
        counts["kept"] += len(kept)
        gates.check(kept)
        yield from kept
        if len(kept) < _CHUNK / _ATTEMPTS_PER_EXAMPLE:
            raise ValueError(f"of {_CHUNK} training draws only {len(kept)} can be used: {counts}")


def _draws(generator: Generator, rng: Random, split: str) -> Iterator[Example | None]:
    """Examples of a split without end, None for one that the split cannot use."""
    wants_held_family = split in ("held_families", "out_of_scope")
    pool = {
        family: weight
        for family, weight in generator.families.items()
        if (family in generator.held_families) == wants_held_family
    }
    if not pool:
        raise ValueError(f"split {split!r}: no family to draw from")
    families, weights = list(pool), list(pool.values())
    held_value = HeldValues(generator.held_values)
    held_combinations = generator.held_combinations
    draw = _DRAWS.get(split, _USUAL)
    while True:
        for family in rng.choices(families, weights, k=256):
            example = generator.sample(rng, family=family, draw=draw)
            text = compared(example).plain
            is_usable = (
                (split != "out_of_scope" or example.is_abstain)
                and (example.combination in held_combinations) == draw.held_combination
                # A random identifier may hit a held-out stem by chance; the gates would find it.
                and (held_value.find(text) is not None) == draw.held_values
            )
            yield example if is_usable else None
