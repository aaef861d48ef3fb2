"""What somebody is to do."""

from __future__ import annotations

import re

from .lexicon import Lexicon
from .meaning import Message, Thing, canonical_name
from .shapes import Shape
from .terms import combination_of, listed
from .things import Things

_DICTIONARY_FORMS = {
    "を押して": "を押す", "を開けて": "を開ける", "を閉めて": "を閉める", "を締めて": "を締める",
    "を取り除いて": "を取り除く", "の電源を入れて": "の電源を入れる",
    "の電源を切って": "の電源を切る", "に触れて": "に触れる", "に入って": "に入る",
}  # fmt: skip
_SOLO = frozenset(
    {
        "then-instruction",
        "if-instruction",
        "two-instructions",
        "press-after",
        "before",
        "event-then",
    }
)


class Instructions:
    """Draws actions on things."""

    def __init__(self, lexicon: Lexicon, things: Things) -> None:
        self._lexicon = lexicon
        self._things = things

    def put(self, m: Message, name: str, *, is_main: bool, shape: Shape) -> None:
        """An action on a thing in all its forms, for the slots `i`, `i_te`, `i_nai`, ..."""
        rng = m.rng
        is_held = is_main and m.draw.held_combination and not m.combination
        if not is_held and shape.id in _SOLO and rng.random() < 0.2:
            self._put_solo(m, name)
            return
        while True:
            verb = rng.choice(self._lexicon.verbs)
            if verb.en in ("touch", "enter") and not shape.id.startswith("prohibition"):
                continue
            parts = self._lexicon.verb_parts[verb.en][is_held]
            if parts:
                break
        part = rng.choice(parts)
        if is_main and not m.combination:
            m.combination = combination_of(part.en, verb.en)
        thing = self._things.thing(m, part) if part.en in self._lexicon.group_of else Thing(part)
        obj = self._things.name(rng, thing, m.lang)
        goal = canonical_name(thing, m.to)
        te, nai = verb.ja, verb.columns[0]
        m.target[name] = f"{verb.en} {goal}"
        m.target[f"{name}_te"] = goal + te
        m.target[f"{name}_kudasai"] = f"{goal}{te}ください"
        m.target[f"{name}_nai"] = goal + nai
        m.target[f"{name}_suru"] = goal + _dictionary_form(te)
        src = m.source
        if m.lang == "en":
            word = verb.en if rng.random() < 0.5 else rng.choice((verb.en, *verb.alts["en"]))
            article = "the " if rng.random() < 0.25 and not obj.startswith("the ") else ""
            src[name] = f"{word} {article}{obj}"
            return
        teforms = listed(verb.columns[1])
        said = te if rng.random() < 0.5 else rng.choice((te, *teforms))
        please = "ください" if rng.random() < 0.7 else "下さい"
        nouns = listed(verb.columns[2])
        src[f"{name}_te"] = obj + said
        src[f"{name}_kudasai"] = f"{obj}{said}{please}"
        src[f"{name}_nai"] = obj + nai
        src[f"{name}_suru"] = obj + _dictionary_form(te)
        particle = rng.choice(("を", "の", "を", ""))
        src[f"{name}_noun"] = obj + particle + rng.choice(nouns)

    def put_all(self, m: Message) -> None:
        """An action on all things of a kind."""
        rng = m.rng
        is_held = m.draw.held_combination
        while True:
            verb = rng.choice(self._lexicon.verbs)
            parts = [
                p
                for p in self._lexicon.verb_parts[verb.en][is_held]
                if p.en in self._lexicon.group_of
            ]
            if parts and verb.en not in ("touch", "enter", "set"):
                break
        part = rng.choice(parts)
        m.combination = combination_of(part.en, verb.en)
        word = self._lexicon.say(rng, part, m.lang)
        m.source["many"] = _plural(word) if m.lang == "en" else word
        m.target["many"] = _plural(part.en) if m.to == "en" else part.ja
        m.source["v_en"] = rng.choice((verb.en, verb.en, *verb.alts["en"]))
        m.source["v_te"] = rng.choice((verb.ja, verb.ja, *listed(verb.columns[1])))
        m.target["v_en"], m.target["v_te"] = verb.en, verb.ja

    def _put_solo(self, m: Message, name: str) -> None:
        """An instruction that is a term of its own."""
        term = m.rng.choice(self._lexicon.words["solos"])
        te = m.target
        te[name] = term.en
        te[f"{name}_te"] = term.ja
        te[f"{name}_kudasai"] = f"{term.ja}ください"
        said = self._lexicon.say(m.rng, term, m.lang)
        m.source[name] = said
        m.source[f"{name}_te"] = said
        m.source[f"{name}_kudasai"] = said + m.rng.choice(("ください", "ください", "下さい"))
        m.source[f"{name}_noun"] = said + m.rng.choice(("ください", "下さい", "おくこと"))


def _dictionary_form(te: str) -> str:
    if te.endswith("させて"):
        return te.removesuffix("て") + "る"
    return _DICTIONARY_FORMS.get(te) or f"{te.removesuffix('して')}する"


def _plural(word: str) -> str:
    if re.search(r"(?:s|x|ch|sh)$", word):
        return f"{word}es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", word) + "s"
