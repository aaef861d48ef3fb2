"""What fingers, telephones and keyboards make of a text."""

from __future__ import annotations

import re
from random import Random

from skilld.training import noise

from .order import FRAMED, FRAMES, Family


def tidy(text: str, lang: str, rng: Random) -> str:
    """Spaces, capitals and full stops as people set them, or do not."""
    text = re.sub(r" {2,}", " ", text).strip(" ,")
    text = re.sub(r" ([,.;!?])", r"\1", text)
    text = re.sub(r",(?: ?,)+", ",", text)
    if lang == "ja":
        text = re.sub(r"([、。！？])[、。]+", r"\1", text)
        is_ended = text.endswith(("。", "！", "？", "?", "!"))
        return text if is_ended or rng.random() < 0.7 else f"{text}。"
    if "..." not in text:
        text = re.sub(r"([,;:.]) ?([.!?])", r"\2", text)
    if rng.random() < 0.55:
        at = next((i for i, c in enumerate(text) if not FRAMES.match(c)), 0)
        if at == 0 or rng.random() < 0.5:  # a name that comes first may get its capital, too
            text = text[:at] + text[at : at + 1].upper() + text[at + 1 :]
    if text[-1:] not in ".!?" and rng.random() < 0.35:
        text += rng.choice((".", ".", ".", "!", " !"))
    return text


def noisy(text: str, rng: Random, family: Family, *, is_heavy: bool) -> str:
    """What fingers, telephones and keyboards do. Names keep their letters; case changes theirs."""
    is_english = family.lang == "en"
    if family.fields.get("case") == "upper":
        text = text.upper()
    if family.fields.get("bare"):
        gap = " " if not is_english and rng.random() < 0.5 else ""
        text = re.sub(("[,.!?;:]" if is_english else "[、。！？]") + r"(?!\d)", gap, text)
        text = text.lower() if is_english else text
    if rng.random() > (1.0 if is_heavy else 0.2):
        return text
    if is_english:
        # A slip in each word of two at most, or nothing is left to read.
        most = max(1, FRAMED.sub("", text).count(" ") // 2)
        for _ in range(min(rng.randrange(1, 4), most) if is_heavy else 1):
            text = _slipped(text, rng)
        if rng.random() < (0.4 if is_heavy else 0.3):
            text = noise.recase(text, rng)
        if rng.random() < 0.15:
            text = re.sub(r"[,.!?;](?!\d)", "", text)
        return text
    if rng.random() < 0.45:
        text = noise.full_width(text)
    elif rng.random() < 0.4:
        text = noise.half_width_kana(text)
    if rng.random() < 0.35:
        text = re.sub("[、。]", rng.choice(("", " ", "，")), text)
    if is_heavy and rng.random() < 0.5:
        text = text.replace("ください", rng.choice(("くださぃ", "くださいい", "くだい")))
    return text


def _slipped(text: str, rng: Random) -> str:
    """One slip of the finger, but not in a name that the answer gives, nor near a figure."""
    spans = [*FRAMED.finditer(text)]
    target = rng.randrange(len(spans) + 1)
    pieces: list[str] = []
    end = 0
    for i, found in enumerate(spans):
        outside = text[end : found.start()]
        is_hit = i == target and not re.search(r"\d", outside)
        pieces += (noise.typo(outside, rng) if is_hit else outside, found[0])
        end = found.end()
    tail = text[end:]
    is_hit = target == len(spans) and not re.search(r"\d", tail)
    return "".join((*pieces, noise.typo(tail, rng) if is_hit else tail))
