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
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
        self._tests = [
            (split, example, compared(example))
            for split, examples in tests.items()
            for example in examples
        ]
        self._copies = {text.normalised: split for split, _, text in self._tests}
        self._near = NearCopies([text.near for *_, text in self._tests])

    def check(self, train: Sequence[Example]) -> None:
        """Check some training examples.

        Raises:
            LeakError: names the split and the text that leaks.
        """
        texts = [compared(example) for example in train]
        for example, text in zip(train, texts, strict=True):
            if example.family in self._families:
                raise LeakError(f"family {example.family!r} is held out and in training")
            if example.combination in self._combinations:
                raise LeakError(f"combination {example.combination!r} is held out and in training")
            if (found := self._values.find(text.plain)) is not None:
                raise LeakError(f"value {found!r} is held out and in training")
            if (split := self._copies.get(text.normalised)) is not None:
                raise LeakError(f"split {split!r} shares an input with training: {example.input}")
        places = self._near.find([text.near for text in texts])
        for example, place in zip(train, places, strict=True):
            if place is not None:
                split, other, _ = self._tests[place]
                both = f"{other.input} and {example.input}"
                raise LeakError(f"split {split!r} has a near copy in training: {both}")

    def passing(self, train: Sequence[Example], dropped: Counter[str]) -> list[Example]:
        """Those that are no copies and no near copies of a test; counts the others."""
        texts = [compared(example) for example in train]
        places = self._near.find([text.near for text in texts])
        kept = []
        for example, text, place in zip(train, texts, places, strict=True):
            if text.normalised in self._copies:
                dropped["copy"] += 1
            elif place is not None:
                dropped["near copy"] += 1
            else:
                kept.append(example)
        return kept


class HeldValues:
    """Beginnings of words, to be found in texts.

    Args:
        values: a Latin letter or digit at the beginning must begin a word of the text.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = sorted({unicodedata.normalize("NFKC", value) for value in values})

    def find(self, text: str) -> str | None:
        """One of them that is in an NFKC text, or None."""
        for value in self._values:  # many times as fast as one regular expression
            start = text.find(value)
            while start >= 0:
                if start == 0 or not (_is_latin(value[0]) and _is_latin(text[start - 1])):
                    return value
                start = text.find(value, start + 1)
        return None


def _is_latin(letter: str) -> bool:
    return letter.isascii() and letter.isalnum()


@dataclass(frozen=True, slots=True)
class ComparedText:
    """What of an input counts when it is compared with others.

    Attributes:
        plain: its values as one NFKC text.
        normalised: with everything gone that makes copies look different.
        is_long: it is long enough to have near copies.
    """

    plain: str
    normalised: str
    is_long: bool

    @property
    def near(self) -> str:
        """What near copies are told by; too short to have any, it is empty."""
        return self.normalised if self.is_long else ""


def compared(example: Example) -> ComparedText:
    """The text of an example's input, to be compared."""
    values: Iterable[Any] = example.input.values()  # Any: a JSON value
    texts = (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values)
    plain = unicodedata.normalize("NFKC", "\n".join(texts))
    words = _NOT_WORDS.sub("", plain.casefold())
    is_long = _is_long(words)
    return ComparedText(plain, _DIGITS.sub("0", words) if is_long else words, is_long)


def _is_long(words: str) -> bool:
    if len(words) >= LONG_COLUMNS or words.isascii():
        return len(words) >= LONG_COLUMNS
    num_wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in words)
    return len(words) + num_wide >= LONG_COLUMNS
