"""`SaidWords`: which words a text says, slips of the finger and endings aside.

A model learns slowly to compare letters, and code does it at once. So words of a tool that the
request says, too, are shown with a sign behind them.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MIN_FUZZY: Final = 5
"""Shorter words must be the same: "line" is not "link"."""


class SaidWords:
    """The words of a text.

    Args:
        text: in any case, width and script; only words of Latin letters are compared loosely.
    """

    def __init__(self, text: str) -> None:
        plain = unicodedata.normalize("NFKC", text)
        self._forms: set[str] = set()
        for word in _WORD.findall(_CAMEL.sub(" ", plain)):
            self._forms |= _forms(word.lower())

    def has(self, word: str) -> bool:
        """Whether a word in lower case was said, give or take an ending or one wrong letter."""
        return not self._forms.isdisjoint(_forms(word))


@lru_cache(maxsize=20_000)
def _forms(word: str) -> frozenset[str]:
    """What two words share if they are the same, or one letter apart."""
    stem = _stem(word)
    if len(stem) < _MIN_FUZZY or not stem.isascii() or not stem.isalpha():
        return frozenset({stem})
    # Two words one letter apart (more, less, another or swapped) are equal without it. The first
    # letter is rarely wrong and stays.
    return frozenset({stem, *(stem[:i] + stem[i + 1 :] for i in range(1, len(stem)))})


def _stem(word: str) -> str:
    if not (word.isascii() and word.isalpha()):
        return word
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 + (ending == "e"):
            word = word[: -len(ending)]
            break
    # "stopped", "shipping"
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
