"""`SaidWords`: which words a text says, or says otherwise.

A model learns slowly to compare letters, and code does it at once. So words of a tool that the
request says, too, are shown with a sign behind them: `*` for the same word (slips of the finger and
endings aside), `~` for one that means the same by the skill's thesaurus.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_MIN_FUZZY: Final = 5
"""Shorter words must be the same: "line" is not "link"."""


class Thesaurus:
    """Which words mean the same.

    Args:
        entries: each the ways to say one thing: words, several words that need not stand
            together ("turn off"), or text of another script, which is looked for as it is.
    """

    def __init__(self, entries: Sequence[Sequence[str]]) -> None:
        self._words: dict[str, list[int]] = {}
        self._together: list[tuple[tuple[str, ...], int]] = []
        self._texts: list[tuple[str, int]] = []
        self._meant: list[frozenset[str]] = []
        for i, ways in enumerate(entries):
            meant: set[str] = set()
            for way in ways:
                words = [_stem(word) for word in _words(way)]
                if not way.isascii():
                    self._texts.append((unicodedata.normalize("NFKC", way), i))
                    continue
                meant |= set(words)
                if len(words) > 1:
                    self._together.append((tuple(words), i))
                else:
                    for form in _forms(words[0]):
                        self._words.setdefault(form, []).append(i)
            self._meant.append(frozenset(meant))

    def meant(self, text: str, forms: set[str]) -> set[str]:
        """Stems of all words that mean something that is said.

        Args:
            text: in form NFKC.
            forms: of its words.
        """
        found = {i for form in forms for i in self._words.get(form, ())}
        found |= {i for words, i in self._together if forms.issuperset(words)}
        found |= {i for part, i in self._texts if part in text}
        return {stem for i in found for stem in self._meant[i]}


class SaidWords:
    """The words of a text.

    Args:
        text: in any case, width and script; only words of Latin letters are compared loosely.
        thesaurus: of the skill.
    """

    def __init__(self, text: str, thesaurus: Thesaurus) -> None:
        plain = unicodedata.normalize("NFKC", text)
        self._forms: set[str] = set()
        for word in _words(plain):
            self._forms |= _forms(word)
        self._meant = thesaurus.meant(plain, self._forms)

    def sign(self, word: str) -> str:
        """What to show behind a word in lower case: "*", "~", or nothing."""
        if not self._forms.isdisjoint(_forms(word)):
            return "*"
        return "~" if _stem(word) in self._meant else ""


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(_CAMEL.sub(" ", text))]


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
