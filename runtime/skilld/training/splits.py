"""`build_splits`: the data of a specialist, kept apart by code that fails on a leak.

| split | families | names and identifiers | combinations | noise |
|---|---|---|---|---|
| train, validation, same | training | training | training | usual |
| held_families | held out | training | training | usual |
| held_values | training | held out | training | usual |
| held_combinations | training | training | held out | usual |
| noise | training | training | training | heavy |
| out_of_scope | held out, abstentions only | training | training | usual |

The tests are drawn first and training keeps away from them: no training example may be a copy or
a near copy of an example of another split. A copy has the same text once width, case,
punctuation and white space are gone. A near copy is told by `skilld.training.near_copies`, with
every run of digits written as one 0, so that other numbers in the same words make no new text.
That would be too crude for short texts, where the number may be all that is asked about: under
40 columns (a full-width character counts two) only copies are kept out.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any, Final, NamedTuple, Protocol

from skilld.training.example import Draw, Example, Generator
from skilld.training.near_copies import NearCopies

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
_LONG_COLUMNS = 40
_CHUNK = 2048
_NOT_WORDS = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"\d+")


class LeakError(Exception):
    """Something of a held-out split is in the training split; says what."""


class OnProgress(Protocol):
    """Called with the number of training examples made so far."""

    def __call__(self, made: int, /) -> None:
        """See the class."""


def _ignore(made: int, /) -> None:
    pass


def build_splits(
    generator: Generator,
    *,
    seed: int,
    num_train: int,
    num_validation: int,
    num_test: int,
    on_progress: OnProgress = _ignore,
    keep_clear: Sequence[Example] = (),
    dropped: Counter[str] | None = None,
) -> dict[str, list[Example]]:
    """Draw every split and prove that they do not leak.

    Args:
        generator: of the specialist.
        seed: the same seed gives the same splits; more training examples begin with the fewer.
        num_train: examples to train on.
        num_validation: examples that choose the checkpoint.
        num_test: examples in each of `EVALUATION_SPLITS`. Without held-out values or combinations
            the split of that name is left out.
        on_progress: called with the number of training examples made so far.
        keep_clear: cases of other origin, which training must keep away from, too.
        dropped: is told how many draws of training were thrown away, by reason.

    Raises:
        LeakError: a gate found a leak.
        ValueError: the generator has too little variety for these sizes.
    """
    splits = draw_tests(generator, seed=seed, num_validation=num_validation, num_test=num_test)
    avoided = [*(e for examples in splits.values() for e in examples), *keep_clear]
    train: list[Example] = []
    stream = training_stream(generator, seed=seed, avoid=avoided, dropped=dropped)
    while chunk := list(islice(stream, min(1000, num_train - len(train)))):
        train += chunk
        on_progress(len(train))
    splits["train"] = train
    check_leaks(
        train,
        {name: examples for name, examples in splits.items() if name != "train"}
        | ({"keep_clear": list(keep_clear)} if keep_clear else {}),
        held_families=generator.held_families,
        held_values=generator.held_values,
        held_combinations=generator.held_combinations,
    )
    return splits


def draw_tests(
    generator: Generator, *, seed: int, num_validation: int, num_test: int
) -> dict[str, list[Example]]:
    """Draw every split but training; see `build_splits`."""
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
        for drawn in islice(draws, size * _ATTEMPTS_PER_EXAMPLE):
            if len(examples) == size:
                break
            if drawn is None or (key := _collapsed(_words(drawn.text))) in taken:
                continue
            taken.add(key)
            examples.append(drawn.example)
        if len(examples) < size:
            raise ValueError(f"split {name!r}: only {len(examples)} of {size} distinct examples")
    return splits


def training_stream(
    generator: Generator,
    *,
    seed: int,
    avoid: Sequence[Example],
    dropped: Counter[str] | None = None,
) -> Iterator[Example]:
    """Training examples without end, all different, none a copy of what to avoid.

    Args:
        generator: of the specialist.
        seed: the same seed gives the same examples in the same order.
        avoid: every example of the other splits, and whatever else is tested with.
        dropped: is told how many draws were thrown away, by reason.

    Raises:
        ValueError: the generator repeats itself: hardly a draw is new.
    """
    counts: Counter[str] = Counter() if dropped is None else dropped
    copies = {hash(_collapsed(_words(_plain(example)))) for example in avoid}
    near = NearCopies([text for e in avoid if (text := _long_text(_plain(e))) is not None])
    taken: set[int] = set()
    draws = _draws(generator, Random(f"{seed}:train"), "train")
    while True:
        fresh: list[tuple[Example, str]] = []
        for drawn in islice(draws, _CHUNK):
            if drawn is None:
                counts["held out"] += 1
                continue
            words = _words(drawn.text)
            if (key := hash(words)) in taken:
                counts["twice"] += 1
                continue
            taken.add(key)
            # Numbers are what copying is learned from, so among themselves they may differ.
            text = _collapsed(words)
            if hash(text) in copies:
                counts["copy"] += 1
                continue
            fresh.append((drawn.example, text if _is_long(words) else ""))
        found = near.find([text for _, text in fresh])
        counts["near copy"] += sum(place is not None for place in found)
        yield from (e for (e, _), place in zip(fresh, found, strict=True) if place is None)
        if len(fresh) < _CHUNK / _ATTEMPTS_PER_EXAMPLE:
            raise ValueError(f"of {_CHUNK} training draws only {len(fresh)} gave distinct examples")


class _Drawn(NamedTuple):
    example: Example
    text: str


def _draws(generator: Generator, rng: Random, split: str) -> Iterator[_Drawn | None]:
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
            text = _plain(example)
            is_usable = (
                (split != "out_of_scope" or example.is_abstain)
                and (example.combination in held_combinations) == draw.held_combination
                # A random identifier may hit a held-out stem by chance; the gates would find it.
                and (held_value.find(text) is not None) == draw.held_values
            )
            yield _Drawn(example, text) if is_usable else None


def check_leaks(
    train: Sequence[Example],
    others: Mapping[str, Sequence[Example]],
    *,
    held_families: frozenset[str],
    held_values: Iterable[str],
    held_combinations: frozenset[str] = frozenset(),
) -> None:
    """The gates: families, combinations, held-out words, copies and near copies.

    Args:
        train: what is trained on.
        others: every other split.
        held_families: may not occur in `train`.
        held_values: beginnings of words that may not occur in the texts of `train`.
        held_combinations: may not occur in `train`.

    Raises:
        LeakError: names the split and the text that leaks.
    """
    held = HeldValues(held_values)
    for example in train:
        if example.family in held_families:
            raise LeakError(f"family {example.family!r} is held out and in the training split")
        if example.combination in held_combinations:
            raise LeakError(
                f"combination {example.combination!r} is held out and in the training split"
            )
        if (found := held.find(_plain(example))) is not None:
            raise LeakError(f"held-out value {found!r} is in the training split")
    seen = {normalised(example) for example in train}
    long = [
        (name, example, text)
        for name, examples in others.items()
        for example in examples
        if (text := _long_text(_plain(example))) is not None
    ]
    for name, examples in others.items():
        for example in examples:
            if normalised(example) in seen:
                raise LeakError(f"split {name!r} shares an input with training: {example.input}")
    near = NearCopies([text for *_, text in long])
    places = near.find([_long_text(_plain(example)) or "" for example in train])
    for example, place in zip(train, places, strict=True):
        if place is not None:
            name, other, _ = long[place]
            raise LeakError(
                f"split {name!r} has a near copy in training: {other.input} and {example.input}"
            )


def normalised(example: Example) -> str:
    """The input with everything gone that makes copies look different.

    Width, case, punctuation and white space go. In texts of 40 columns and more every run of
    digits becomes one `0`: two logs that differ only in clock and numbers are the same log here.
    In shorter ones numbers are most of what an input says.
    """
    return _collapsed(_words(_plain(example)))


def _plain(example: Example) -> str:
    """The values of the input as one NFKC text."""
    values: Iterable[Any] = example.input.values()  # Any: a JSON value
    texts = (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values)
    return unicodedata.normalize("NFKC", "\n".join(texts))


def _words(text: str) -> str:
    return _NOT_WORDS.sub("", text.casefold())


def _collapsed(words: str) -> str:
    return _DIGITS.sub("0", words) if _is_long(words) else words


def _is_long(words: str) -> bool:
    if len(words) >= _LONG_COLUMNS or words.isascii():
        return len(words) >= _LONG_COLUMNS
    num_wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return len(words) + num_wide >= _LONG_COLUMNS


def _long_text(text: str) -> str | None:
    """What near copies are told by; None for a text too short to have any."""
    words = _words(text)
    return _collapsed(words) if _is_long(words) else None


class HeldValues:
    """Beginnings of words, to be found in texts.

    Args:
        values: a Latin letter or digit at the beginning must begin a word of the text.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted({unicodedata.normalize("NFKC", v) for v in values}, key=len)
        parts = [
            (r"(?<![A-Za-z0-9])" if value[0].isascii() and value[0].isalnum() else "")
            + re.escape(value)
            for value in reversed(self._values)
        ]
        self._pattern = re.compile("|".join(parts))

    def find(self, text: str) -> str | None:
        """The first of them in an NFKC text, or None."""
        # Most texts have none, and looking for plain strings is many times as fast.
        if not any(value in text for value in self._values):
            return None
        found = self._pattern.search(text)
        return None if found is None else found[0]
