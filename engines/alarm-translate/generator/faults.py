"""What is wrong: a condition of a part, alone, as a cause or as a clause."""

from __future__ import annotations

from collections.abc import Sequence

from .lexicon import Lexicon
from .meaning import Message
from .terms import Term, combination_of
from .things import Things


class Faults:
    """Draws conditions and says them."""

    def __init__(self, lexicon: Lexicon, things: Things) -> None:
        self._lexicon = lexicon
        self._things = things

    def draw(
        self,
        m: Message,
        *,
        needs_noun: bool,
        is_main: bool = False,
        is_strict: bool = False,
        only: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        no_place: bool = True,
    ) -> tuple[Term, Term]:
        """A condition and a part that may have it."""
        rng = m.rng
        is_held = is_main and m.draw.held_combination
        conditions = self._lexicon.conditions
        if only is not None:
            conditions = [c for c in conditions if c.en in only]
        while True:
            condition = rng.choice(conditions)
            parts = self._lexicon.condition_parts[condition.en][is_held]
            if groups is not None:
                parts = [p for p in parts if self._lexicon.group_of[p.en] in groups]
            if no_place:
                parts = [p for p in parts if self._lexicon.group_of[p.en] != "place"]
            if not parts or (is_strict and condition.en.startswith("~")):
                continue
            part = rng.choice(parts)
            if needs_noun and not self._lexicon.phrases[part.en, condition.en].en_nouns:
                continue
            if is_main:
                m.combination = combination_of(part.en, condition.en)
            return condition, part

    def say(self, m: Message, suffix: str, part: Term, condition: Term) -> None:
        """Words of a condition, for the slots `c`, `cn`, `cp` with this suffix."""
        rng = m.rng
        phrases = self._lexicon.phrases[part.en, condition.en]
        m.target[f"c{suffix}"] = m.target[f"cn0{suffix}"] = condition.canonical(m.to)
        src = m.source
        canonical = condition.canonical(m.lang)
        if m.lang == "en":
            nouns, behind = phrases.en_nouns, phrases.en_behind
            is_canonical = rng.random() < 0.35
            src[f"c{suffix}"] = canonical if is_canonical else rng.choice((*nouns, *behind))
            src[f"cn{suffix}"] = rng.choice(nouns) if nouns else canonical
            src[f"cp{suffix}"] = rng.choice(behind) if behind else f"has {rng.choice(nouns)}"
        else:
            nouns, behind = phrases.ja_nouns, phrases.ja_sentences
            src[f"c{suffix}"] = canonical if rng.random() < 0.4 else rng.choice(nouns)
            plain = (f"が{src[f'c{suffix}']}です", f"の{src[f'c{suffix}']}", f" {canonical}")
            is_plain = not behind or rng.random() < 0.15
            src[f"cp{suffix}"] = rng.choice(plain if is_plain else behind)
        for key in ("c", "cn", "cp"):
            if f"{key}{suffix}" in src:
                src[f"{key}{suffix}"] = self._lexicon.respelled(rng, src[f"{key}{suffix}"], m.lang)
        src[f"cp0{suffix}"] = src[f"cp{suffix}"]
        src[f"cn0{suffix}"] = src[f"c{suffix}"]

    def put_cause(self, m: Message) -> None:
        """Another fault as a noun, for the slots `g`, `g_no`, `g_plain`."""
        condition, part = self.draw(m, needs_noun=True, is_strict=True)
        own = Message(m.rng, m.draw, m.lang)
        self.say(own, "", part, condition)
        self._things.put(own, "s", self._things.thing(m, part))
        s, t = own.source, own.target
        if m.lang == "en":
            m.source["g"] = m.rng.choice(
                (f"{s['s']} {s['cn']}", f"{s['s']} {s['cn']}", f"{s['cn']} of {s['s']}")
            )
        else:
            m.source["g_no"] = f"{s['s']}の{s['c']}"
            m.source["g_plain"] = m.rng.choice((m.source["g_no"], f"{s['s']}{s['c']}"))
        m.target["g"] = f"{t['s']} {t['c']}"
        m.target["g_no"] = f"{t['s']}の{t['c']}"

    def put_clause(self, m: Message) -> None:
        """A whole clause, in one of the plainer wordings."""
        condition, part = self.draw(m, needs_noun=False, is_main=not m.combination)
        own = Message(m.rng, m.draw, m.lang)
        self.say(own, "", part, condition)
        self._things.put(own, "s", self._things.thing(m, part))
        s, t = own.source, own.target
        if m.lang == "en":
            forms = [f"{s['s']} {s['c']}", f"{s['s']} {s['c']}", f"{s['s']} {s['cp']}"]
        else:
            forms = [f"{s['s']} {s['c']}", f"{s['s']}{s['c']}", f"{s['s']}の{s['c']}"]
        m.source["f"] = m.rng.choice(forms)
        m.target["f"] = f"{t['s']} {t['c']}"
