"""How a line is typed: capitals, slips, widths."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from random import Random

from skilld.skills.pointing import SpanRules
from skilld.training import noise
from skilld.training.example import Draw


class Style:
    """Noise that never hits what is copied."""

    def __init__(self, spans: SpanRules) -> None:
        self._spans = spans

    def noisy(self, rng: Random, text: str, lang: str, *, draw: Draw, is_plain: bool) -> str:
        """A line as it may be typed; the same line when it is to be plain."""
        if is_plain:
            return text
        if lang == "en":
            text = self._styled(rng, text)
        level = 1.0 if draw.is_noisy else 0.2
        if rng.random() < level:
            for _ in range(rng.choice((1, 1, 2, 3)) if draw.is_noisy else 1):
                text = self._slip(rng, text, lang, draw=draw)
        ending = rng.random()
        if ending < 0.06:
            text += "." if lang == "en" else "。"
        elif ending < 0.09:
            text += rng.choice(("!", "!!", "！", "...", " ***"))
        if lang == "ja":
            roll = rng.random()
            if roll < (0.15 if draw.is_noisy else 0.06):
                text = noise.half_width_kana(text)
            elif roll < (0.4 if draw.is_noisy else 0.18):
                text = "".join(
                    noise.full_width(c) if c.isalnum() and c.isascii() else c for c in text
                )
        elif rng.random() < (0.08 if draw.is_noisy else 0.015):
            text = noise.full_width(text)
        return text

    def _styled(self, rng: Random, text: str) -> str:
        roll = rng.random()
        if roll < 0.4:
            return text[:1].upper() + text[1:]
        if roll < 0.58:
            return self._outside(text, str.upper)
        if roll < 0.7:
            return self._outside(text, str.lower)
        if roll < 0.76:
            return self._outside(text, str.title)
        return text

    def _slip(self, rng: Random, text: str, lang: str, *, draw: Draw) -> str:
        choice = rng.randrange(8)
        if lang == "en":
            if choice < 4:
                return self._outside(text, lambda part: noise.typo(part, rng), rng=rng)
            if choice == 4 and draw.is_noisy:
                return self._outside(text, lambda part: noise.misread(part, rng), rng=rng)
            if choice == 5:
                return text.replace(" ", "  ", 1)
            if choice == 6:
                return re.sub(r"[,;:]", "", text, count=1)
            return self._outside(text, str.upper)
        if choice < 3:
            return text.replace(" ", "")
        if choice == 3:
            return text.replace(" ", "\u3000")
        if choice == 4:
            return text.replace("の", "", 1)
        if choice == 5:
            return re.sub(r"[。、：]", " ", text, count=1)
        if choice == 6 and draw.is_noisy and len(text) > 8:
            i = rng.randrange(2, len(text) - 2)
            return text if text[i].isascii() else text[:i] + " " + text[i:]
        return re.sub(r"ー", rng.choice(("", "-", "−")), text, count=1) if draw.is_noisy else text

    def _outside(
        self, text: str, change: Callable[[str], str], *, rng: Random | None = None
    ) -> str:
        """Change what lies between marked pieces; with `rng` only one such stretch."""
        if not text.isascii() and unicodedata.normalize("NFKC", text) != text:
            return text
        pieces = self._spans.mark({"text": text}).pieces
        bounds = [0, *(i for piece in pieces for i in (piece.start, piece.end)), len(text)]
        parts = [text[a:b] for a, b in pairwise(bounds)]
        free = [i for i in range(0, len(parts), 2) if parts[i].strip()]
        for i in [rng.choice(free)] if rng is not None and free else free:
            parts[i] = change(parts[i])
        return "".join(parts)
