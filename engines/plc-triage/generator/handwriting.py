"""Phrases as fingers and cameras leave them."""

from __future__ import annotations

from random import Random

from skilld.training import noise
from skilld.training.example import Draw


def roughened(rng: Random, phrase: str, lang: str, draw: Draw) -> str:
    """A phrase with slips; codes and values are not in it yet."""
    if draw.is_noisy:
        for _ in range(rng.choice((1, 1, 2, 3))):
            change = rng.choice((noise.typo, noise.typo, noise.misread, _drop_space, noise.recase))
            phrase = change(phrase, rng) if lang == "en" else _drop_kana(phrase, rng)
        return phrase
    if lang == "ja":
        return _drop_kana(phrase, rng) if rng.random() < 0.03 else phrase
    if rng.random() < 0.12:
        phrase = noise.typo(phrase, rng)
    if rng.random() < 0.03:
        phrase = noise.misread(phrase, rng)
    if rng.random() < 0.03:
        phrase = _drop_space(phrase, rng)
    if rng.random() < 0.35:
        phrase = phrase[:1].upper() + phrase[1:]
    elif rng.random() < 0.18:
        phrase = noise.recase(phrase, rng)
    return phrase


def _drop_space(text: str, rng: Random) -> str:
    return _drop(text, [i for i, char in enumerate(text) if char == " "], rng)


def _drop_kana(text: str, rng: Random) -> str:
    """One kana less; digits and Latin letters stay."""
    if len(text) < 6:
        return text
    return _drop(text, [i for i, char in enumerate(text) if "\u3040" <= char <= "\u30ff"], rng)


def _drop(text: str, places: list[int], rng: Random) -> str:
    if not places:
        return text
    i = rng.choice(places)
    return text[:i] + text[i + 1 :]
