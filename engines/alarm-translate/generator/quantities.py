"""Quantities, their values, limits and states; durations."""

from __future__ import annotations

import zlib
from random import Random

from .identifiers import HELD_NUMBERS, new_numbers, size_of
from .lexicon import Lexicon
from .meaning import Message, Thing, canonical_name, canonical_value, joint
from .shapes import Shape
from .terms import Term, combination_of, forms_of
from .things import Things

_BEFORE_NOUN = {
    "high": ("high", "high", "excessive", "too high"),
    "low": ("low", "low", "insufficient", "too low"),
    "rising": ("rising", "increasing"), "not reached": ("unreached",),
    "incorrect": ("incorrect", "wrong"),
    "falling": ("falling", "dropping", "decreasing"),
    "unstable": ("unstable", "fluctuating"), "out of range": ("out of range", "out-of-range"),
    "abnormal": ("abnormal", "irregular", "faulty"), "normal": ("normal",),
}  # fmt: skip


class Quantities:
    """Draws quantities and values."""

    def __init__(self, lexicon: Lexicon, things: Things) -> None:
        self._lexicon = lexicon
        self._things = things

    def put(self, m: Message, slots: frozenset[str], shape: Shape) -> None:
        """A quantity with its state, limit and values, for the slots `q`, `st`, `lim`, `v`, `l`."""
        rng = m.rng
        is_held = m.draw.held_combination
        is_alone = rng.random() < (0.8 if shape.rules.get("bare") else 0.55)
        if is_alone and not is_held:
            quantity = rng.choice(
                self._lexicon.of_parts if rng.random() < 0.2 else self._lexicon.alone
            )
            m.source["q"] = self._lexicon.say(rng, quantity, m.lang)
            if m.lang == "en" and rng.random() < 0.1:
                m.source["q"] = f"the {m.source['q']}"
            m.target["q"] = quantity.canonical(m.to)
        else:
            while True:
                quantity = rng.choice(self._lexicon.of_parts)
                owners = self._lexicon.quantity_owners[quantity.en][is_held]
                if not owners:
                    continue
                part = rng.choice(owners)
                is_named = self._lexicon.group_of[part.en] == "place"
                thing = Thing(part, self._things.identifier(m, part, always=is_named))
                if thing.ident or not self._lexicon.is_term(part, quantity):
                    break
            m.combination = combination_of(part.en, quantity.en)
            owner = self._things.name(rng, thing, m.lang)
            word = self._lexicon.say(rng, quantity, m.lang)
            if m.lang == "en":
                is_of = rng.random() < 0.22
                m.source["q"] = f"{word} of {owner}" if is_of else f"{owner} {word}"
            else:
                m.source["q"] = owner + rng.choice(("の", "の", "", " ")) + word
            name = canonical_name(thing, m.to) + joint(thing, m.to)
            m.target["q"] = name + quantity.canonical(m.to)
        state = rng.choice(self._lexicon.states)
        if shape.id in ("over", "under"):  # a wording that says "high" before the values
            state = self._lexicon.states[0 if shape.id == "over" else 1]
        m.target["st"] = state.canonical(m.to)
        nouns, sentences = forms_of(state.alts[m.lang], m.lang)
        canonical = state.canonical(m.lang)
        every = (canonical, canonical, *nouns, *(sentences if m.lang == "en" else ()))
        m.source["st"] = rng.choice(every)
        m.source["stp"] = rng.choice(sentences or (f"が{canonical}",))
        m.source["sta"] = rng.choice(_BEFORE_NOUN[canonical]) if m.lang == "en" else ""
        if "lim" in slots:
            table = "low_limits" if shape.id.startswith("under") else "limits"
            terms = self._lexicon.words[table]
            term = terms[0] if rng.random() < 0.75 else rng.choice(terms[1:])
            self._things.put_term(m, "lim", term)
        if "v" not in slots:
            return
        low, high = sorted(new_numbers(m, quantity, 2), key=size_of)
        is_under = shape.id in ("under", "expected") or (
            shape.id == "state-value" and state.en.endswith("low")
        )
        value, limit = (low, high) if is_under else (high, low)
        self.put_value(m, "v", quantity, value)
        if "l" in slots:
            self.put_value(m, "l", quantity, limit)

    def put_value(self, m: Message, name: str, quantity: Term, number: str) -> None:
        """A number with its unit, for one slot."""
        units = quantity.columns[0].split()
        # Both values of a line have one unit.
        unit = units[zlib.crc32(quantity.en.encode() + m.source["q"].encode()) % len(units)] if (
            "q" in m.source) else units[0]  # fmt: skip
        m.source[name] = self._with_unit(m.rng, number, unit, m.lang)
        m.target[name] = canonical_value(number, unit, m.to)

    def _with_unit(self, rng: Random, number: str, unit: str, lang: str) -> str:
        spellings = self._lexicon.units[lang].get(unit) or self._lexicon.units["en"][unit]
        spelling = unit if lang == "en" and rng.random() < 0.4 else rng.choice(spellings)
        is_word = len(spelling) > 3 and spelling.isalpha() and spelling.isascii()
        gap = " " if is_word or rng.random() < (0.5 if lang == "en" else 0.3) else ""
        return f"{number}{gap}{spelling}"

    def put_duration(self, m: Message) -> None:
        """A time span, for the slot `dur`."""
        unit = m.rng.choice(("s", "s", "s", "min", "min", "h"))
        if m.draw.held_values:
            number = m.rng.choice(HELD_NUMBERS)
        else:
            number = str(
                m.rng.choice((1, 2, 3, 5, 8, 10, 15, 20, 30, 60, 90, m.rng.randrange(2, 200)))
            )
            if unit == "s" and m.rng.random() < 0.1:
                number += f".{m.rng.randrange(1, 10)}"
        said = self._with_unit(m.rng, number, unit, m.lang)
        m.source["dur"] = said.replace("秒間", "秒").replace("分間", "分")
        m.target["dur"] = canonical_value(number, unit, m.to)
