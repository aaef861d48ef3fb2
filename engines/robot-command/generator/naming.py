"""Names of things, places and people, and how they stand in a text."""

from __future__ import annotations

from collections.abc import Sequence

from .draft import Draft
from .english import plural_of
from .order import OBJECT, TARGET, Bound, Noun

UNKNOWN_SHARE = 0.4  # of the names, not counting those of held-out draws
_HAS_OWNERS = ("openable", "pressable", "surface", "checkable", "part", "sheet", "fastener")
_POINTING = ("この", "その", "あの", "この", "その", "あの", "全ての", "すべての", "全部の")
_POINTING_AT_ONE = _POINTING[:6]


class Namer:
    """Draws names."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._words = draft.words
        self._rng = draft.rng
        self._fields = draft.family.fields
        self._held = draft.is_held
        self._lang = draft.lang
        self._noun_lang = draft.noun_lang

    def thing(self, thing_class: str, *, is_many: bool = False, head: str = "") -> Noun:
        """A thing of a class, with what describes it."""
        rng, words = self._rng, self._words.things[self._noun_lang, thing_class, self._held]
        noun, is_unknown = head, False
        if not head:
            noun, is_unknown = self._named(thing_class, words)
        bound = {"N": noun}
        rule, plural = "thing", False
        if self._noun_lang == "en":
            plural = is_many or rng.random() < 0.13
            rule = "things" if plural else "thing_single" if rng.random() < 0.18 else "thing"
            bound["Ns"] = plural_of(noun)
            if thing_class in _HAS_OWNERS and rng.random() < 0.16:
                rule = "part_of"
                owner = self._owner()
                bound["H"], bound["Hs"] = owner, plural_of(owner)
        other = rng.choice(words)
        bound |= {"N2": other, "N2s": plural_of(other)}
        plural = plural and rule != "part_of"
        return self._noun(rule, noun, bound, plural=plural, is_unknown=is_unknown)

    def place(self, kind: str, *, head: str = "") -> Noun:
        """A place of a kind, or a person."""
        rng = self._rng
        if kind == "thing":
            return self.thing(rng.choice(self._words.handed), head=head)
        noun, is_unknown = head, False
        if not head:
            noun, is_unknown = self._place_named(kind)
        if kind == "person":
            name = noun.removeprefix("the ").removeprefix("my ")
            return Noun(name, name, bare=name[0].isupper())
        if self._fields.get("numbered"):
            number = self._words.names[self._noun_lang].expand("{plainnum}", rng)
            gap = " " if self._noun_lang == "en" else ""
            return Noun(f"{noun}{gap}{number}", noun, bare=True, number=number)
        rule = "place" if kind != "owner" else "owner"
        found = self._noun(rule, noun, {"N": noun}, is_unknown=is_unknown)
        if kind == "position" and found.text == noun:  # "go to the position" says nothing
            return self.place(kind, head=noun)
        return found

    def printed(self, noun: Noun, frame: tuple[str, str] | None = None) -> str:
        """With its article, and framed if it is part of the answer."""
        rng = self._rng
        text = noun.text if frame is None else frame[0] + noun.text + frame[1]
        if self._lang == "ja":
            is_pointed = self._noun_lang == "ja" and rng.random() < 0.06
            pointing = _POINTING if frame is OBJECT else _POINTING_AT_ONE
            return rng.choice(pointing) + text if is_pointed else text
        if noun.bare or (noun.head[:1].isupper() and rng.random() < 0.5):
            return text
        articles: tuple[str, ...]
        articles = (
            "the ",
            "the ",
            "the ",
            "the ",
            "that ",
            "this ",
            "my ",
            "your ",
            "a ",
            "",
            "",
            "another ",
        )
        if noun.plural:
            articles = (
                "the ", "the ", "the ", "all the ", "all ", "these ", "those ", "some ", "", "",
                "both ", "my ", "all of the ", "every single one of the ", "several ", "a few ",
            )  # fmt: skip
        if frame is OBJECT and rng.random() < 0.03:  # what begins with a preposition is left out
            text += self._draft.expand(" {aside}")
        if noun.is_unknown and frame is TARGET:  # without an article it could be somebody
            articles = tuple(article for article in articles if article)
        article = rng.choice(articles)
        if article == "a " and noun.text[0].lower() in "aeiou":
            article = "an "
        return article + text

    def bystander(self) -> str:
        """A thing or place in the way."""
        rng, held = self._rng, self._held
        if self._lang == self._noun_lang and rng.random() < 0.5:
            if rng.random() < 0.5:
                noun = self.thing(rng.choice(self._words.handed))
            else:
                noun = self.place(rng.choice(("storage", "station")))
            return self.printed(noun)
        word = rng.choice(self._words.things[self._lang, rng.choice(self._words.handed), held])
        return f"the {word}" if self._lang == "en" else word

    def _named(self, thing_class: str, words: Sequence[str]) -> tuple[str, bool]:
        """A noun of a class, or one that nobody knows; and whether that is so."""
        rng, lang = self._rng, self._noun_lang
        if self._held or rng.random() > UNKNOWN_SHARE:
            return rng.choice(words), False
        if thing_class == "pressable":  # an unknown thing that is pushed is not a button
            ends = "ボタン スイッチ キー" if lang == "ja" else "button switch key"
            gap = "" if lang == "ja" else " "
            return f"{self._words.inventor.thing(lang, rng)}{gap}{rng.choice(ends.split())}", True
        if rng.random() < 0.12:  # what holds things may be handled, too
            return rng.choice(self._words.places[lang, "storage", False]), False
        return self._words.inventor.thing(lang, rng), True

    def _owner(self) -> str:
        """What has parts: a box, a machine, anything."""
        rng, lang, held = self._rng, self._noun_lang, self._held
        name = rng.choice(("container", "vessel", "electronics", "wheeled", "openable", "sheet"))
        if rng.random() < 0.4:
            return rng.choice(self._words.places[lang, rng.choice(("storage", "station")), held])
        return self._named(name, self._words.things[lang, name, held])[0]

    def _place_named(self, kind: str) -> tuple[str, bool]:
        """A place or person of a kind, or one that nobody knows; and whether that is so."""
        rng, lang, inventor = self._rng, self._noun_lang, self._words.inventor
        if kind == "owner":
            return self._owner(), False
        is_unknown = not self._held and rng.random() < UNKNOWN_SHARE and kind != "position"
        if not is_unknown:
            return rng.choice(self._words.places[lang, kind, self._held]), False
        if kind == "person":
            return inventor.person(lang, rng), True
        return inventor.place(lang, rng), True

    def _noun(
        self, rule: str, head: str, bound: Bound, *, plural: bool = False, is_unknown: bool = False
    ) -> Noun:
        text = self._words.names[self._noun_lang].expand(f"{{{rule}}}", self._rng, bound=bound)
        bare = text.startswith("=") and self._rng.random() < 0.75
        return Noun(text.removeprefix("="), head, plural, bare, is_unknown=is_unknown)
