"""Names that nobody has heard of, so that its place in an order shows what a name is.

Real nouns of every kind (nouns.toml), several of them in a row, words that only sound like words,
makes and models, codes, people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Set
from random import Random
from typing import Any

Table = dict[str, Any]  # Any: a TOML table

# Beginnings that would be read as something else than a name.
_FUNCTION_WORDS = (
    " then than them that this these those there here with when what where while until into onto "
    "from over under near next back home stop wait slow fast hurry open close push pull pick "
    "place put take move carry bring give hand pass count clean check look speed please thanks "
    "robot some none more less last left right still only just also even ever never done call "
    "tell tool turn hold halt drop grab grip lift load "
)


class Inventor:
    """Draws unknown names.

    Args:
        table: nouns.toml.
        known: nouns and places by language, for names of several words.
        held: words that may not be made up by accident.
        verbs: English words of orders, which an invented verb may not be a slip of.
    """

    def __init__(
        self,
        table: Table,
        *,
        known: dict[str, list[str]],
        held: Sequence[str],
        verbs: Set[str],
    ) -> None:
        self._lists: dict[tuple[str, str], list[str]] = {
            (lang, name): _listed(text)
            for lang in ("en", "ja")
            for name, text in table[lang].items()
        }
        self._parts: dict[str, list[str]] = {
            name: text.split() for name, text in table["syllables"].items()
        }
        self._known = known
        self._held = tuple(held)
        self._slips = frozenset(slip for verb in verbs for slip in _shortened(verb))

    def adjectives(self, name: str) -> list[str]:
        """Real ones; `name` is "en", "ja_i" or "ja_na"."""
        lang, key = {
            "en": ("en", "adjectives"),
            "ja_i": ("ja", "iadjectives"),
            "ja_na": ("ja", "nadjectives"),
        }[name]
        return self._lists[lang, key]

    def thing(self, lang: str, rng: Random) -> str:
        """A thing of no class."""
        kind = rng.choices(("real", "sound", "row", "make"), (40, 28, 24, 8))[0]
        return self._name(lang, rng, kind=kind, real="things")

    def place(self, lang: str, rng: Random) -> str:
        """A place of no class."""
        kind = rng.choices(("real", "sound", "row", "make"), (40, 24, 30, 6))[0]
        return self._name(lang, rng, kind=kind, real="places")

    def person(self, lang: str, rng: Random) -> str:
        """A person, by name or by what they do."""
        if rng.random() < 0.5:
            return rng.choice(self._lists[lang, "people"])
        if lang == "en":
            name = self.sound("en", rng).capitalize()
            return name if rng.random() < 0.7 else f"{rng.choice(self._parts['titles'])} {name}"
        suffix = rng.choice(self._parts["suffixes"])
        if rng.random() < 0.3:
            return self.sound("ja", rng, script="kana") + suffix
        first, second = rng.sample(self._parts["surnames"], 2)
        return self._free(lambda: first + second + suffix)

    def adjective(self, lang: str, rng: Random) -> str:
        """An adjective that is none."""
        if lang == "en":
            stem = self.sound("en", rng).rstrip("aeio")
            return stem + rng.choice(self._parts["adjective_endings"])
        return self.sound("ja", rng, script="kana") + "な"

    def verb(self, rng: Random) -> str:
        """An English verb that is none, nor a slip of one."""
        for _ in range(20):
            verb = self._free(lambda: self._verb(rng))
            if self._slips.isdisjoint(_shortened(verb)):
                break
        return verb

    def sound(self, lang: str, rng: Random, *, script: str = "") -> str:
        """What only sounds like a noun. `script` is "kana", "hira" or "kanji"."""
        if lang == "en":
            return self._free(lambda: self._syllables(rng))
        script = script or rng.choices(("kana", "kanji", "hira"), (46, 38, 16))[0]
        if script == "kanji" and rng.random() < 0.2:
            sign = rng.choice(self._parts["signs"])
            if sign not in self._held:
                return sign
        most = {"kana": 5, "kanji": 4, "hira": 4}[script]
        return self._free(
            lambda: "".join(rng.choices(self._parts[script], k=rng.randrange(2, most)))
        )

    def _verb(self, rng: Random) -> str:
        verb = self._syllables(rng)
        if rng.random() < 0.5:
            verb = verb.rstrip("aeio") + rng.choice(self._parts["verb_endings"])
        return (rng.choice(self._parts["verb_beginnings"]) if rng.random() < 0.12 else "") + verb

    def _name(self, lang: str, rng: Random, *, kind: str, real: str) -> str:
        reals = self._lists[lang, real]
        if kind == "real":
            return rng.choice(reals)
        if kind == "sound":
            return self.sound(lang, rng)
        if kind == "make":
            return self._make(rng)
        first = self.sound(lang, rng) if rng.random() < 0.25 else rng.choice(self._known[lang])
        last = rng.choice(reals if rng.random() < 0.5 else self._known[f"{lang}_{real}"])
        if lang == "ja":
            return self._free(lambda: first + last) if "の" not in first else last
        words = [first, last] if rng.random() < 0.8 else [first, rng.choice(reals), last]
        return " ".join(words)

    def _make(self, rng: Random) -> str:
        """A make and model."""
        name = self._free(lambda: self._syllables(rng)).capitalize()
        if rng.random() < 0.3:
            return name + self._free(lambda: self._syllables(rng)).capitalize()
        model = rng.choice((*self._parts["products"], str(rng.randrange(10, 9000))))
        return f"{name} {model}"

    def _syllables(self, rng: Random) -> str:
        parts = self._parts
        word = rng.choice(parts["onsets"]) + rng.choice(parts["vowels"])
        word += rng.choice(parts["codas"]) if rng.random() < 0.7 else ""
        if len(word) < 4 or rng.random() < 0.75:
            if rng.random() < 0.45:
                word += rng.choice(parts["endings"])
            else:
                word += rng.choice(parts["onsets"]) + rng.choice(parts["vowels"])
                word += rng.choice(parts["codas"]) if rng.random() < 0.5 else ""
        return word

    def _free(self, draw: Callable[[], str]) -> str:
        """The first that is no word of grammar and no held-out one; the last of 20 at worst."""
        word = ""
        for _ in range(20):
            word = draw()
            if f" {word} " in _FUNCTION_WORDS or len(word) < 2:
                continue
            if not any(word.startswith(w) if w.isascii() else w in word for w in self._held):
                return word
        return "brandel" if word.isascii() else "部材"


def _shortened(word: str) -> list[str]:
    """A word, and the word without each of its letters."""
    return [word, *(word[:i] + word[i + 1 :] for i in range(len(word)))]


def _listed(text: str) -> list[str]:
    """`a b|two words` is three."""
    first, *rest = re.split(r"\|", text)
    return [*first.split(), *rest]
