"""Slips of the finger in a request, and its values put in place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from random import Random

from skilld.training import noise

from .answers import NUMBERS, SMALL_WORDS, trimmed
from .request import VALUE, Request, place_of

_UNIT = re.compile(
    r"(?i:rpm|[kmg]?hz|[km]?va?|m?a|[km]?wh?|[kmh]?pa|m?bar|psi|mm|ml|l|kg|g|min|h|hrs?|s|sec|c|k|nm|cp"
    r"|us|ntu|[a-z]{5,12})(?![A-Za-z0-9_-])|%"
)
_BARE_NUMBER = re.compile(rf"-?\d+(?:\.\d+)?|(?<![a-z])(?:{'|'.join(NUMBERS)})(?![a-z])")


def roughened(rng: Random, text: str, request: Request) -> tuple[str, list[str]]:
    """Slips in the words, never in the values; capitals or none for all."""
    values, is_noisy = list(request.texts), request.draw.is_noisy
    if not is_noisy and rng.random() > 0.17:
        return text, values
    count = rng.choice((2, 3, 4)) if is_noisy else rng.choice((0, 1, 1, 2))
    for _ in range(count):
        text = noise.typo(text, rng)
    roll = rng.random()
    if roll < 0.1:
        text, values = text.upper(), [value.upper() for value in values]
    elif roll < 0.3:
        lowered = [value.lower() for value in values]
        if not any(_loses_a_word(value) for value in lowered):
            text, values = text.lower(), lowered
    elif roll < 0.4:
        text = text.replace(",", "").replace(".\n", "\n").rstrip(".?!")
    elif roll < 0.45 and request.lang == "ja":
        text = noise.half_width_kana(text)
    elif roll < 0.5:
        text = text.replace(" ", "  ", 1)
    return text, values


def written(text: str, values: Sequence[str]) -> str | None:
    """The text with its values in place; None if one cannot be told from what is around it."""
    parts: list[str] = []
    spans: list[tuple[int, str]] = []
    end = at = 0
    for found in VALUE.finditer(text):
        value = values[place_of(found[0])]
        between = text[end : found.start()]
        spans.append((at + len(between), value))
        parts += (between, value)
        at += len(between) + len(value)
        end = found.end()
    whole = "".join((*parts, text[end:]))
    numbers = [_plain_number(number) for number in _BARE_NUMBER.findall(whole.lower())]
    for start, value in spans:
        if _runs_on(whole, start, value):
            return None
        # Equal numbers share a mark, and their units may differ.
        if _BARE_NUMBER.fullmatch(value.lower()) and numbers.count(_plain_number(value)) > 1:
            return None
        digits = re.findall(r"\d+", value)
        if "月" in value and len(set(digits)) < len(digits):
            return None
        words = value.split(" ")
        if len(words) > 1:
            # The shortest way from its first word to its last must be the value itself.
            ends = re.compile(
                rf"(?<!\w){re.escape(words[0])}(?!\w)|(?<!\w){re.escape(words[-1])}(?!\w)"
            )
            if len(ends.findall(whole)) != 2 * sum(v == value for _, v in spans):
                return None
    return whole


def _loses_a_word(value: str) -> bool:
    """In small letters, its first or last word would be taken for a small word."""
    return trimmed(value) != value or re.split(r"[^a-z0-9]", value)[0] in SMALL_WORDS


def _runs_on(whole: str, start: int, value: str) -> bool:
    """A value is one word with what stands before or behind it."""
    stop = start + len(value)
    if start and _script(whole[start - 1]) == _script(value[0]) != "":
        return True
    if whole[start - 1 : start] == "." and whole[start - 2 : start - 1].isalnum():
        return True
    behind = whole[stop : stop + 14]
    has_unit = value[-1].isdigit() and _UNIT.match(behind)
    return bool(behind) and not has_unit and _script(behind[0]) == _script(value[-1]) != ""


def _plain_number(text: str) -> str:
    return str(NUMBERS.get(text.lower(), text))


def _script(char: str) -> str:
    """Letters of one kind run together; other characters part words."""
    char = unicodedata.normalize("NFKC", char)[:1]
    if (char.isascii() and char.isalnum()) or char in "-.%#_ü":
        return "latin" if char not in "." else ""
    if "ァ" <= char <= "ー":
        return "katakana"
    if "㐀" <= char <= "鿿":
        return "kanji"
    return ""
