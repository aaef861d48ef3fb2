"""`build_splits`: the data of a specialist, kept apart by code that fails on a leak.

| split | families | names and identifiers |
|---|---|---|
| train, validation, same | training | training |
| held_families | held out | training |
| held_values | training | held out |
| out_of_scope | held out, abstentions only | training |
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from skilld.training.example import Example, Generator, canonical_json

EVALUATION_SPLITS = ("same", "held_families", "held_values", "out_of_scope")
_ATTEMPTS_PER_EXAMPLE = 50


class LeakError(Exception):
    """Something of a held-out split is in the training split; says what."""


def build_splits(
    generator: Generator,
    *,
    seed: int,
    num_train: int,
    num_validation: int,
    num_test: int,
    on_progress: Callable[[int], None] = lambda made: None,
) -> dict[str, list[Example]]:
    """Draw every split and prove that they do not leak.

    Args:
        generator: of the specialist.
        seed: the same seed gives the same splits.
        num_train: examples to train on.
        num_validation: examples that choose the checkpoint.
        num_test: examples in each of `EVALUATION_SPLITS`.
        on_progress: called with the number of training examples made so far.

    Raises:
        LeakError: a gate found a leak.
        ValueError: the generator has too little variety for these sizes.
    """
    sizes = dict.fromkeys(EVALUATION_SPLITS, num_test) | {"validation": num_validation}
    splits: dict[str, list[Example]] = {}
    taken: set[str] = set()
    for name, size in sizes.items():
        rng = Random(f"{seed}:{name}")
        splits[name] = _draw(generator, rng, name, size=size, taken=taken)
    # Training is drawn last and avoids what the tests hold; the gates below prove that it did.
    splits["train"] = _draw(
        generator,
        Random(f"{seed}:train"),
        "train",
        size=num_train,
        taken=taken,
        on_progress=on_progress,
    )
    check_leaks(
        splits["train"],
        {name: examples for name, examples in splits.items() if name != "train"},
        held_families=generator.held_families,
        held_values=generator.held_values,
    )
    return splits


def _draw(
    generator: Generator,
    rng: Random,
    split: str,
    *,
    size: int,
    taken: set[str],
    on_progress: Callable[[int], None] = lambda made: None,
) -> list[Example]:
    wants_held = split in ("held_families", "out_of_scope")
    pool = {
        family: weight
        for family, weight in generator.families.items()
        if (family in generator.held_families) == wants_held
    }
    families, weights = list(pool), list(pool.values())
    use_held_values = split == "held_values"
    # A random identifier may hit a held-out stem by chance; the gates would find it.
    held = None if use_held_values else _any_word_starting_with(generator.held_values)
    examples: list[Example] = []
    for _ in range(size * _ATTEMPTS_PER_EXAMPLE):
        if len(examples) == size:
            return examples
        family = rng.choices(families, weights)[0]
        example = generator.sample(rng, family=family, use_held_values=use_held_values)
        if split == "out_of_scope" and not example.is_abstain:
            continue
        if held is not None and _has(held, example):
            continue
        key = normalised(example)
        if key not in taken:
            taken.add(key)
            examples.append(example)
            if len(examples) % 1000 == 0:
                on_progress(len(examples))
    if len(examples) == size:
        return examples
    raise ValueError(f"split {split!r}: only {len(examples)} of {size} distinct examples")


def check_leaks(
    train: Sequence[Example],
    others: Mapping[str, Sequence[Example]],
    *,
    held_families: frozenset[str],
    held_values: Iterable[str],
) -> None:
    """The gates: families, near copies, held-out words.

    Args:
        train: what is trained on.
        others: every other split.
        held_families: may not occur in `train`.
        held_values: beginnings of words that may not occur in the texts of `train`.

    Raises:
        LeakError: names the split and the text that leaks.
    """
    for example in train:
        if example.family in held_families:
            raise LeakError(f"family {example.family!r} is held out and in the training split")
    seen = {normalised(example) for example in train}
    for name, examples in others.items():
        for example in examples:
            if normalised(example) in seen:
                raise LeakError(f"split {name!r} shares an input with training: {example.input}")
    pattern = _any_word_starting_with(held_values)
    if pattern is None:
        return
    for example in train:
        if found := _has(pattern, example):
            raise LeakError(f"held-out value {found[0]!r} is in the training split")


def normalised(example: Example) -> str:
    """The input with everything gone that makes near copies look different.

    Width, case, punctuation and white space go, and every run of digits becomes one `0`: two
    logs that differ only in clock and numbers are the same log here, unless they are so short
    that nothing else tells them apart.
    """
    text = unicodedata.normalize("NFKC", canonical_json(example.input)).casefold()
    words = re.sub(r"[\W_]+", "", text)
    # Under 40 characters, numbers are most of what an input says.
    return words if len(words) < 40 else re.sub(r"\d+", "0", words)


def _has(pattern: re.Pattern[str], example: Example) -> re.Match[str] | None:
    return pattern.search(unicodedata.normalize("NFKC", canonical_json(example.input)))


def _any_word_starting_with(values: Iterable[str]) -> re.Pattern[str] | None:
    parts = []
    for value in sorted(set(values), key=len, reverse=True):
        boundary = r"(?<![A-Za-z0-9])" if value[0].isascii() and value[0].isalnum() else ""
        parts.append(boundary + re.escape(unicodedata.normalize("NFKC", value)))
    return re.compile("|".join(parts)) if parts else None
