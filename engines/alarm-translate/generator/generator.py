"""Puts everything together: one example of a family."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from random import Random

from skilld.skills.pointing import SpanRules
from skilld.skills.pointing.marks import SpanError
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

from .damage import KINDS as DAMAGES
from .filling import Filling
from .frame import Frame
from .identifiers import HELD_CODES, HELD_NUMBERS, HELD_TAGS
from .lexicon import Lexicon
from .meaning import Message, sentence_case, tight_units
from .shapes import SLOT, Family, read_shapes
from .style import Style
from .terms import LANGUAGES, read_toml
from .things import Things

VERSION = "1.6.0"
_KANA_OR_HAN = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
_ARTICLE = re.compile(r"\b(no|low|enough|insufficient|little) the ", re.IGNORECASE)


class AlarmTranslateGenerator:
    """The protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        skill = read_toml("skills/alarm-translate.toml")
        negatives = read_toml("negatives.toml")
        self._spans = SpanRules(**skill["spans"])
        self._schema = skill["output_schema"]
        self._lexicon = Lexicon()
        self._filling = Filling(self._lexicon, Things(self._lexicon))
        self._frame = Frame(self._lexicon)
        self._style = Style(self._spans)
        self._shapes = read_shapes()
        self._families = {
            f"{shape.id}.{lang}.{i}": Family(
                shape, lang, text.removeprefix("!"), frozenset(SLOT.findall(text))
            )
            for shape in self._shapes.values()
            for lang in LANGUAGES
            for i, text in enumerate(shape.sources[lang])
        }
        self._held_families = {
            f"{shape.id}.{lang}.{i}"
            for shape in self._shapes.values()
            for lang in LANGUAGES
            for i, text in enumerate(shape.sources[lang])
            if text.startswith("!")
        }
        self._negatives = {f["id"]: f for f in negatives["family"]}
        self._held_families |= {f["id"] for f in negatives["family"] if f.get("held")}
        drawn = terminals()
        self._grammar = Grammar({}, terminals=drawn)
        self._foreign = Grammar(negatives["rules"], terminals=drawn)
        self._held_pattern = re.compile(
            rf"(?<![A-Za-z0-9])(?:{'|'.join(self.held_values)})", re.IGNORECASE
        )

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in eight."""
        weights = {
            name: f.shape.weight / len(f.shape.sources[f.lang])
            for name, f in self._families.items()
        }
        scale = sum(weights.values()) * 0.15 / len(self._negatives)
        return weights | {name: f.get("weight", 1.0) * scale for name, f in self._negatives.items()}

    @property
    def held_families(self) -> frozenset[str]:
        """Wordings and kinds of foreign text that training never sees."""
        return frozenset(self._held_families)

    @property
    def held_values(self) -> tuple[str, ...]:
        """Beginnings of tags, codes and numbers that training never sees."""
        return HELD_TAGS + HELD_CODES + HELD_NUMBERS

    @property
    def held_combinations(self) -> frozenset[str]:
        """Pairs of part and condition, part and action, thing and quantity."""
        return frozenset(self._lexicon.held_pairs)

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family."""
        if family in self._negatives:
            return self._negative(rng, family, draw)
        while True:
            example = self._positive(rng, family, draw)
            if example is not None:
                return example

    def _positive(self, rng: Random, name: str, draw: Draw) -> Example | None:
        family = self._families[name]
        shape = family.shape
        message = Message(rng, draw, family.lang)
        self._filling.fill(message, shape, family.slots, family.template)
        source = self._grammar.expand(family.template, rng, bound=message.source)
        source = _ARTICLE.sub(r"\1 ", source)
        target = self._grammar.expand(shape.canonical[message.to], rng, bound=message.target)
        is_open = family.template.endswith(("{c}", "{cp}", "{st}", "{stp}", "{ev}"))
        if "{cn} {s}" in family.template and self._lexicon.is_name(source):
            return None  # "leak sensor 3" is a sensor
        source, target = self._frame.framed(message, shape, source, target, is_open=is_open)
        target = (sentence_case if message.to == "en" else tight_units)(target)
        for attempt in range(4):
            text = self._style.noisy(rng, source, family.lang, draw=draw, is_plain=attempt == 3)
            if len(text) > 160 or len(target) > 200:
                continue
            clean = unicodedata.normalize("NFKC", text)
            if family.lang == "ja" and not _KANA_OR_HAN.search(clean):
                continue
            if not draw.held_values and self._held_pattern.search(clean):
                return None
            try:
                self._spans.mark({"text": text}).point({"translation": target}, self._schema)
            except SpanError:
                continue
            return Example(name, {"text": text}, {"translation": target}, message.combination)
        return None

    def _negative(self, rng: Random, family: str, draw: Draw) -> Example:
        entry = self._negatives[family]
        while True:
            if "damaged" in entry:
                text = self._damaged(rng, entry["damaged"])
            else:
                text = self._foreign.expand(rng.choice(entry["text"]), rng).strip()
                if entry["reason"] != "unreadable":
                    if rng.random() < (0.5 if draw.is_noisy else 0.08):
                        text = noise.typo(text, rng)
                    if rng.random() < 0.12:
                        text = noise.recase(text, rng)
            text = text[:160].strip()
            if text and (draw.held_values or not self._held_pattern.search(text)):
                return Example(family, {"text": text}, {"abstain": entry["reason"]})

    def _damaged(self, rng: Random, kind: str) -> str:
        """An alarm line that nobody can read any more."""
        name = rng.choice([n for n in self._families if n not in self._held_families])
        example = None
        while example is None:
            example = self._positive(rng, name, Draw())
        text = DAMAGES[kind](str(example.input["text"]), rng)
        # What is left may not read as a number or a tag, which is readable and no alarm.
        return (
            text
            if sum(not char.isalnum() or not char.isascii() for char in text) > 1
            or (sum(char.isalpha() for char in text) > 4)
            else ""
        )
