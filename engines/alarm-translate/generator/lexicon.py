"""All terms, what goes with what, and which pairs training never sees."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from random import Random

from .terms import (
    LANGUAGES,
    Term,
    bare,
    combination_of,
    forms_of,
    names_of,
    phrases_of,
    read_terms,
    read_toml,
    unambiguous,
)

_OWNERS = (
    "axis",
    "servo axis",
    "spindle",
    "gripper",
    "turntable",
    "lift",
    "press",
    "tank",
    "pump",
    "control panel",
)


class Lexicon:
    """The tables of lexicon.toml."""

    def __init__(self) -> None:
        lexicon = read_toml("lexicon.toml")
        self.parts = {name: read_terms(text) for name, text in lexicon["parts"].items()}
        every_part = [term for terms in self.parts.values() for term in terms]
        words = {name: read_terms(text) for name, text in lexicon["words"].items()}
        self.words = {name: unambiguous(terms) for name, terms in words.items()}
        quantities = lexicon["quantities"]
        clear = {
            term.en: term
            for term in unambiguous(
                [*every_part, *read_terms(quantities["alone"]), *read_terms(quantities["of_parts"])]
            )
        }
        self.parts = {g: [clear[t.en] for t in terms] for g, terms in self.parts.items()}
        self._part_words = frozenset(
            name.lower()
            for term in clear.values()
            for lang in LANGUAGES
            for name in (term.canonical(lang), *term.alts[lang])
        )
        self._known_pairs: dict[tuple[str, str], bool] = {}
        self.owners = [clear[en] for en in _OWNERS]
        self.machine = clear["machine"]
        self.alone = [clear[t.en] for t in read_terms(quantities["alone"])]
        self.of_parts = [clear[t.en] for t in read_terms(quantities["of_parts"])]
        self.groups = {name: list(terms) for name, terms in self.parts.items()}
        for name, members in (lexicon["groups"] | quantities["groups"]).items():
            self.groups[name] = [clear[en] for en in members]
        self.group_of = {t.en: g for g, terms in self.parts.items() for t in terms}
        self.conditions = read_terms(lexicon["conditions"]["terms"])
        self.states = unambiguous(read_terms(quantities["states"]["terms"]))
        verbs = lexicon["verbs"]
        self.verbs = read_terms(verbs["terms"], columns=3)
        self._verb_groups = self.groups | {
            name: [clear[en] for en in members] for name, members in verbs["groups"].items()
        }
        self.units = {"en": lexicon["units"], "ja": lexicon["units_ja"]}
        self._respell = {
            lang: [
                (re.compile(rf"(?<![A-Za-z]){re.escape(w)}(?![A-Za-z])" if lang == "en" else w), to)
                for w, to in lexicon["respell"][lang].items()
            ]
            for lang in LANGUAGES
        }
        self._pair()

    def _pair(self) -> None:
        """Find what goes with what, and hold one pair in eight out."""
        held: set[str] = set()
        self.condition_parts: dict[str, dict[bool, list[Term]]] = {}
        by_part: dict[str, list[Term]] = {}
        for condition in self.conditions:
            parts = self._members(condition.columns[0].split(), self.groups)
            self.condition_parts[condition.en] = self._split(parts, condition.en, held)
            for part in parts:
                by_part.setdefault(part.en, []).append(condition)
        self.phrases = {
            (part, condition.en): phrases
            for part, conditions in by_part.items()
            for condition, phrases in phrases_of(conditions)
        }
        self.verb_parts: dict[str, dict[bool, list[Term]]] = {}
        for verb in self.verbs:
            names = [n for n in verb.columns[-1].split() if n not in ("quantity", "cause")]
            parts = self._members(names, self._verb_groups)
            if "quantity" in verb.columns[-1].split():
                parts += self.alone
            self.verb_parts[verb.en] = self._split(parts, verb.en, held)
        self.quantity_owners: dict[str, dict[bool, list[Term]]] = {}
        for quantity in self.of_parts:
            parts = [
                part
                for part in self._members(quantity.columns[3].split(), self.groups)
                if f"{part.en} {quantity.en}" not in {q.en for q in self.alone}
            ]
            self.quantity_owners[quantity.en] = self._split(parts, quantity.en, held)
        self.held_pairs = held
        # "Overload on pump 2" is a condition of the pump, never an event at it.
        everywhere = {bare(name) for term in self.conditions for name in names_of(term)}
        of_places = {
            bare(name)
            for term in self.conditions
            if "place" in term.columns[0].split()
            for name in names_of(term)
        }
        events = self.words["events"]
        self.events = {
            "": [*events, *self._bare_conditions(events)],
            "s": [t for t in events if not {bare(n) for n in names_of(t)} & everywhere],
            "loc": [t for t in events if not {bare(n) for n in names_of(t)} & of_places],
        }

    def _bare_conditions(self, events: Sequence[Term]) -> list[Term]:
        """Conditions that say enough without a subject: overcurrent, wire break."""
        taken = {bare(name) for term in (*events, *self.words["levels"]) for name in names_of(term)}
        conditions = [c for c in self.conditions if not c.en.startswith("~")]
        clear = unambiguous([*events, *self.words["levels"], *conditions])[-len(conditions) :]
        return [
            Term(c.en, c.ja, {lang: forms_of(c.alts[lang], lang)[0] for lang in LANGUAGES}, ())
            for c in clear
            if not {bare(c.en), c.ja} & taken and c.en not in ("fault", "failure", "life end")
        ]

    def _members(self, names: Iterable[str], groups: Mapping[str, list[Term]]) -> list[Term]:
        found = {term.en: term for name in names for term in groups[name]}
        return list(found.values())

    def _split(self, parts: list[Term], other: str, held: set[str]) -> dict[bool, list[Term]]:
        split: dict[bool, list[Term]] = {False: [], True: []}
        for part in parts:
            name = combination_of(part.en, other)
            # With few partners, all are needed to learn what the word is at all.
            is_held = len(parts) >= 5 and zlib.crc32(name.encode()) % 8 == 0
            split[is_held].append(part)
            if is_held:
                held.add(name)
        return split

    def is_term(self, first: Term, second: Term) -> bool:
        """Two terms beside each other that read as a third one, or may."""
        pair = first.en, second.en
        if pair not in self._known_pairs:
            self._known_pairs[pair] = any(
                f"{a}{gap}{b}".lower() in self._part_words
                for lang, gap in (("en", " "), ("ja", ""), ("ja", "の"))
                for a in (first.canonical(lang), *first.alts[lang])
                for b in (second.canonical(lang), *second.alts[lang])
            )
        return self._known_pairs[pair]

    def is_name(self, source: str) -> bool:
        """A line begins with two or three words that are one term."""
        words = source.lower().split()
        return any(" ".join(words[:n]) in self._part_words for n in (2, 3))

    def say(self, rng: Random, term: Term, lang: str) -> str:
        """A term as somebody may write it."""
        alts = term.alts[lang]
        if lang == "ja" and rng.random() < 0.02:
            word = term.canonical("en")
            return rng.choice((word.upper(), word.capitalize(), word))
        word = rng.choice(alts) if alts and rng.random() < 0.45 else term.canonical(lang)
        return self.respelled(rng, word, lang)

    def respelled(self, rng: Random, word: str, lang: str) -> str:
        """A word, sometimes shortened or spelled otherwise."""
        if rng.random() < 0.78:
            return word
        for pattern, spellings in self._respell[lang]:
            if pattern.search(word):
                return pattern.sub(rng.choice(spellings), word, count=1)
        return word

    def open_parts(self, condition: Term) -> list[Term]:
        """The parts that a condition may be drawn with in training."""
        parts = self.condition_parts[condition.en]
        return parts[False] or parts[True]
