"""The clause of an order, its verb, and what modifies it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .draft import Draft
from .english import plural_of
from .naming import Namer
from .order import OBJECT, TARGET, Bound, Order

_PRONOUN = re.compile(r"\b(?:[iI]t|them|[Tt]hey|[Ii]t's)\b(?! is| leaves)")
# Names that end in another script than verbs begin with.
_LOOSE = re.compile(f"[ァ-ヺーA-Za-z0-9]{OBJECT[1]}?$")
# The last sound of a verb before ない.
_NEGATED = dict(zip("うくぐすつぬぶむる", "わかがさたなばまら", strict=True))
_MANNER = re.compile(r"[a-z]+ly$")
_LEADS_NOT = ("and", "then", "but", "(", "before", "max", "speed")
# What Japanese says of a thing that it may name again.
_HANDLED = re.compile("傾け|こぼさ|倒さ|横に|離さ|落とさ|壊さ|ひっくり|放さ|水平|丁寧|持ったまま")
_RIGHT_OF = re.compile(
    f"(?<={TARGET[1]})の(?={OBJECT[0]}(?:[左右上下前奥隣]|手前|後ろ|真ん中|一番[上下左右]))"
)


class Clauses:
    """Writes clauses."""

    def __init__(self, draft: Draft, namer: Namer) -> None:
        self._draft = draft
        self._words = draft.words
        self._rng = draft.rng
        self._family = draft.family
        self._fields = draft.family.fields
        self._lang = draft.lang
        self._noun_lang = draft.noun_lang
        self._phrases = draft.words.phrases[draft.lang]
        self._namer = namer

    def core(self, order: Order, bound: Bound, inside: Sequence[str]) -> str:
        """The clause of the order, with what modifies its verb."""
        rng, action = self._rng, order.action
        name = action
        if action == "set_speed" and order.speed is None:
            name += f"_{(*order.constraints, 'slow')[0]}"
        elif "gripper" in action:
            name += "_O" if order.thing is not None else ""
        elif action != "move_object" and order.place is not None:
            name += "_T"
        template = rng.choice(self._phrases["core"].get(name) or self._phrases["whole"][name])
        own = dict(bound)
        if "{S}" in template:
            own["S"] = self._namer.printed(self._namer.place(rng.choice(("storage", "station"))))
        if self._lang == "en":
            return self.modified(self._draft.expand(template, own), inside)
        return self._core_ja(order, template, own, inside=inside)

    def modified(self, core: str, inside: Sequence[str]) -> str:
        """An English clause with adverbs around it."""
        rng = self._rng
        phrases = list(inside)
        if len(phrases) > 1 and _MANNER.match(phrases[0]) and _MANNER.match(phrases[1]):
            phrases[:2] = [f"{phrases[0]}{rng.choice((' and ', ' but ', ' ', ', '))}{phrases[1]}"]
        is_led = "coring}" not in self._draft.template and "core2" not in self._family.text[0]
        for phrase in phrases:
            goes = re.match(r"(?:go|drive|move|head|come|travel|proceed|run) (?=to )", core)
            behind = core.find(f"{OBJECT[1]} ") + 1
            is_short = bool(_MANNER.match(phrase) or phrase.startswith("at "))
            if goes and is_short and rng.random() < 0.4:
                core = f"{goes[0]}{phrase} {core[goes.end() :]}"
            elif behind and is_led and is_short and rng.random() < 0.25:
                core = f"{core[:behind]} {phrase}{core[behind:]}"
            elif is_led and not phrase.startswith(_LEADS_NOT) and rng.random() < 0.22:
                core = phrase + rng.choice((" ", ", ", ": ", " ")) + core
            else:
                core += rng.choice((" ", " ", " ", ", ")) + phrase
        return core

    def said(self, ways: Sequence[str], order: Order, bound: Bound, *, first: bool) -> str:
        """A constraint or speed in words. Said first, it may be the one to name the thing."""
        rng, thing = self._rng, order.thing
        phrase = ""
        for _ in range(20):
            template = rng.choice(ways)
            own = dict(bound)
            if "{N}" in template:
                own["N"] = self._namer.bystander()
            is_named = thing is not None and OBJECT[0] in bound.get("O", "")
            if thing is not None and is_named and self._lang == "en" and "{it}" in template:
                if first and not self._fields.get("it") and rng.random() < 0.25:
                    own["it"] = bound["O"]
                elif thing.head in thing.text and rng.random() < 0.15:
                    own["it"] = "the " + (plural_of(thing.head) if thing.plural else thing.head)
            phrase = self._draft.expand(template, own)
            if thing is not None or self._lang == "ja" or not _PRONOUN.search(phrase):
                break
        is_japanese = self._lang == "ja" == self._noun_lang
        if is_japanese and thing is not None and thing.head in thing.text:
            is_sentence = not first and ways is not self._phrases["speed"]["adv"]
            if is_sentence and _HANDLED.match(phrase) and rng.random() < 0.1:
                phrase = thing.head + rng.choice(("を", "は")) + phrase
        return phrase

    def _core_ja(
        self, order: Order, template: str, bound: dict[str, str], *, inside: Sequence[str]
    ) -> str:
        """A Japanese clause: parts in a row, adverbs anywhere, the verb with its ending."""
        rng, fields = self._rng, self._fields
        thing = bound.get("O")
        if order.thing is not None and thing is not None:
            # "ドア開けて" can be read without it.
            is_loose = template.endswith("{Ow}") and bool(_LOOSE.search(thing))
            weights = (76, 4, 5, 15) if is_loose else (88, 4, 5, 3)
            particle = rng.choices(("を", "、", "は", ""), weights)[0]
            if not thing and not template.startswith("{Ow}"):
                thing = "それ"
            if not thing:
                particle = ""
            elif thing in ("それ", "これ") or (
                particle == "" and not is_loose and not fields.get("spaced")
            ):
                particle = "を"
            bound["Ow"] = thing + particle
        row_template, _, verbs_name = template.removeprefix("=").partition(">")
        # "the shelf's right box" would be read as "the box right of the shelf".
        row = [
            _RIGHT_OF.sub("にある", self._draft.expand(part, bound))
            for part in row_template.split("/")
        ]
        is_whole = template.startswith("=")
        verb = ""
        if not is_whole:
            verbs = self._phrases["verbs"]
            name = verbs_name or f"{order.action}_T"
            ways = verbs[name if name in verbs and (order.place or verbs_name) else order.action]
            nouns = [way for way in ways if way.endswith("*")]
            verb = self._conjugated(
                rng.choice(nouns if self._draft.end == "noun" and nouns else ways)
            )
            if order.thing is not None and rng.random() < 0.06:
                count = self._draft.expand("(全部|{d1}個|{d1}本|{d1}枚|二つ|一つ|すべて|2つ)")
                row = [part + count if part.endswith("を") else part for part in row]
        for phrase in inside:
            at = rng.randrange(len(row) + (not is_whole))
            row.insert(at, phrase + rng.choice(("、", "", "")))
        if fields.get("inverted") and len(row) > 1 and not is_whole:
            last = row.pop(rng.randrange(len(row)))
            return "".join((*row, verb, rng.choice(("、", "。", " ")), last.removesuffix("、")))
        return (rng.choice((" ", "　")) if fields.get("spaced") else "").join((*row, verb))

    def _conjugated(self, verb: str) -> str:
        rng = self._rng
        end = self._draft.end or rng.choices(("te", "imp", "dict", "noun"), (76, 8, 9, 7))[0]
        if verb.endswith("*"):
            stem = verb[:-1]
            if end == "noun":
                return stem + self._draft.expand("{end_noun}")
            forms = [f"{stem}して", stem + rng.choice(("しろ", "せよ")), f"{stem}する", f"{stem}し"]
        else:
            forms = verb.split("|")
        te, imperative, dictionary, stem = forms
        match end:
            case "plain_te":
                return te
            case "nai":
                return _negated(dictionary, stem)
            case "imp":
                is_formal = imperative.endswith("せよ")
                return imperative + ("" if is_formal else self._draft.expand("{end_imp}"))
            case "stem":
                return stem + self._draft.expand("{end_stem}")
            case "plain_dict":
                return dictionary
            case "dict":
                is_open = self._family.reason or self._fields.get("tight")  # the text goes on
                return dictionary + ("" if is_open else self._draft.expand("{end_dict}"))
        if end == "noun" and self._draft.end == "noun":
            return dictionary + self._draft.expand("{end_dict}")
        if rng.random() < 0.06 and te[-1] in "てで":  # "入れといて"
            return te[:-1] + {"て": "と", "で": "ど"}[te[-1]] + self._draft.expand("{end_toku}")
        return te + self._draft.expand("{end_te}")


def _negated(dictionary: str, stem: str) -> str:
    """A Japanese verb with ない."""
    if dictionary.endswith("する"):
        return dictionary[:-2] + "しない"
    if dictionary.endswith(("来る", "くる")):
        return dictionary[:-2] + {"来": "来ない", "く": "こない"}[dictionary[-2]]
    if dictionary == f"{stem}る":
        return f"{stem}ない"
    return dictionary[:-1] + _NEGATED[dictionary[-1]] + "ない"
