"""`LeakGates`: code that fails when something of a test is in the training data.

A copy has the same text once width, case, punctuation and white space are gone. A near copy is
told by `skilld.training.near_copies`, with every run of digits written as one 0, so that other
numbers in the same words make no new text. That would be too crude for short texts, where the
number may be all that is asked about: under 40 columns (a full-width character counts two) only
copies count, and numbers tell them apart.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from skilld.training.example import Example, Generator
from skilld.training.near_copies import NearCopies

LONG_COLUMNS: Final = 40
_NOT_WORDS = re.compile(r"[\W_]+")
_DIGITS = re.compile(r"\d+")


class LeakError(Exception):
    """Something of a held-out split is in the training split; says what."""


class LeakGates:
    """What training examples must pass: families, combinations, words, copies, near copies.

    Args:
        tests: every split but training, by name.
        generator: says what is held out.
    """

    def __init__(self, tests: Mapping[str, Sequence[Example]], generator: Generator) -> None:
        self._families = generator.held_families
        self._combinations = generator.held_combinations
        self._values = HeldValues(generator.held_values)
        self._tests = [(name, example) for name, examples in tests.items() for example in examples]
        self._copies = {normalised(example): name for name, example in self._tests}
        self._long = [
            (name, example, text)
            for name, example in self._tests
            if (text := near_text(example)) is not None
        ]
        self._near = NearCopies([text for *_, text in self._long])

    def check(self, train: Sequence[Example]) -> None:
        """Check some training examples.

        Raises:
            LeakError: names the split and the text that leaks.
        """
        for example in train:
            if example.family in self._families:
                raise LeakError(f"family {example.family!r} is held out and in training")
            if example.combination in self._combinations:
                raise LeakError(f"combination {example.combination!r} is held out and in training")
            if (found := self._values.find(plain_text(example))) is not None:
                raise LeakError(f"value {found!r} is held out and in training")
            if (split := self._copies.get(normalised(example))) is not None:
                raise LeakError(f"split {split!r} shares an input with training: {example.input}")
        places = self._near.find([near_text(example) or "" for example in train])
        for example, place in zip(train, places, strict=True):
            if place is not None:
                split, other, _ = self._long[place]
                both = f"{other.input} and {example.input}"
                raise LeakError(f"split {split!r} has a near copy in training: {both}")


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


def normalised(example: Example) -> str:
    """The input with everything gone that makes copies look different."""
    words = _words(example)
    return _DIGITS.sub("0", words) if _is_long(words) else words


def near_text(example: Example) -> str | None:
    """What near copies are told by; None for a text too short to have any."""
    words = _words(example)
    return _DIGITS.sub("0", words) if _is_long(words) else None


def plain_text(example: Example) -> str:
    """The values of the input as one NFKC text."""
    values: Iterable[Any] = example.input.values()  # Any: a JSON value
    texts = (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values)
    return unicodedata.normalize("NFKC", "\n".join(texts))


def _words(example: Example) -> str:
    return _NOT_WORDS.sub("", plain_text(example).casefold())


def _is_long(words: str) -> bool:
    if len(words) >= LONG_COLUMNS or words.isascii():
        return len(words) >= LONG_COLUMNS
    num_wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return len(words) + num_wide >= LONG_COLUMNS
