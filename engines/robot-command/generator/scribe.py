"""An order written down in one family."""

from __future__ import annotations

import re
from dataclasses import replace

from .clauses import Clauses
from .draft import Draft
from .english import gerund, lower
from .handwriting import tidy
from .meaning import BARE_VERBS, Imagination
from .naming import Namer
from .order import FRAMES, OBJECT, TARGET, THERE, Bound, Order, Table

MAX_CHARS = 300
_GERUND = re.compile(r"\{(\w+)\+ing\}")
_NO_COUNT = re.compile(r"how many (?:it|them|that|this|those|these)\b")
_BEFORE_THERE = re.compile(
    r"\b(?:in|into|on|onto|at|to|over|next to|beside|behind|in front of|under|inside|near|by|above|"
    rf"below|of|from) {THERE}"
)
_IMPERATIVE = re.compile(
    r"(?:Don't|Do not|Keep|Be |Hurry|Go|Tell|Let|Report|Check|Make|Wait|Take|Hold|Verify|Watch|"
    r"Avoid|Stay)"
)


class Scribe:
    """Imagines one order and writes it in one family."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._words = draft.words
        self._rng = draft.rng
        self._family = draft.family
        self._fields = draft.family.fields
        self._lang = draft.lang
        self._phrases = draft.words.phrases[draft.lang]
        self._namer = Namer(draft)
        self._imagination = Imagination(draft, self._namer)
        self._clauses = Clauses(draft, self._namer)

    def order(self) -> Order | None:
        """What is to be done; None if that does not fit the family."""
        return self._imagination.order()

    def write(self, order: Order) -> str | None:
        """The text, with object and target framed; None if the family cannot say it."""
        rng, fields, template = self._rng, self._fields, self._draft.template
        wrong = self._imagination.wrong(order) if self._family.needs_wrong else order
        if wrong is None:
            return None
        bound = self._bind(order, wrong)
        if fields.get("numbered") and not bound.pop("is_numbered", ""):
            return None
        bound["R"] = rng.choice(self._words.robots[self._lang])
        if self._lang == "en" and rng.random() < 0.2:
            bound["R"] += f" {rng.randrange(1, 9)}"
        if "{S}" in template:
            bound["S"] = self._namer.printed(self._namer.place("storage"))
        if "{N2}" in template:
            bound["N2"] = self._namer.printed(self._namer.thing(rng.choice(self._words.handed)))
        if self._family.reason:  # anything may be named in what is declined
            for name in ("O", "O2"):
                if name not in bound:
                    bound[name] = self._namer.printed(
                        self._namer.thing(rng.choice(self._words.handed))
                    )
            for name in ("T", "T2"):
                if name not in bound:
                    bound[name] = self._namer.printed(self._namer.place("storage"))
        if fields.get("form"):
            verbs = BARE_VERBS[self._lang][order.action]
            bound["a"] = rng.choice(verbs.split("|"))
        for name in _GERUND.findall(template):
            made = gerund(self._draft.expand(f"{{{name}}}", bound))
            if not made:
                return None
            bound[f"{name}+ing"] = made
        if "{cor" in template:
            if not self._write_cores(order, wrong, bound):
                return None
            text = self._draft.expand(template, bound)
        else:
            text = self._draft.expand(template, bound)
            if not self._family.reason:
                text = self._dressed(order, bound, whole=text)
        if _NO_COUNT.search(text):
            return None
        text = _BEFORE_THERE.sub("", text).replace(THERE, "")
        text = tidy(text, self._lang, rng)
        words = len(FRAMES.sub("", text)) if self._lang == "ja" else text.count(" ") + 1
        return text if words <= fields.get("short", MAX_CHARS) else None

    def _write_cores(self, order: Order, wrong: Order, bound: dict[str, str]) -> bool:
        """The order itself as {core} and {coring}, and what it was before as {core2}."""
        rng, fields, template = self._rng, self._fields, self._draft.template
        kind = fields.get("wrong")
        own = dict(bound)
        for slot, name in (("object", "O"), ("target", "T"), ("speed", "s")):
            if slot in fields and name in bound:
                own[name] = self._draft.expand(rng.choice(fields[slot]), bound)
        if fields.get("it") == "object" and "{O}" in template:
            own["O"] = bound["it"]
        if fields.get("it") == "target" and "{T}" in template:
            own["T"] = "it"
        if fields.get("there") and "T" in bound:
            own["T"] = THERE + self._draft.expand("{there}")
        if kind in ("target", "object", "speed"):
            name = {"target": "T", "object": "O", "speed": "s"}[kind]
            if name not in bound:
                return False
            bound["core2"] = self._dressed(order, own | {name: bound[f"{name}2"]})
            return kind == "speed" or self._is_plain_which(order, wrong, bound["core2"])
        if kind is not None:
            names_thing = kind == "action" and "O" in bound and wrong.thing is not None
            is_short = names_thing and rng.random() < 0.4
            other = self._bind(wrong, wrong, framed=False)
            if is_short:
                other["O"], own["O"] = bound["O"], bound["it"] or "それ"
            self._draft.end = fields.get("end_wrong", self._draft.end)
            bound["core2"] = self._clauses.core(replace(wrong, constraints=()), other, [])
            self._draft.end = fields.get("end")
            if "{coring2}" in template:
                bound["coring2"] = gerund(bound["core2"])
        core = self._dressed(order, own)
        if fields.get("verbal") and not gerund(core):
            return False  # "the order is to speed 300 mm/s"
        bound["core"] = core
        if "{coring}" in template:
            bound["coring"] = gerund(core)
        return all(bound.get(name, " ") for name in ("coring", "coring2"))

    def _is_plain_which(self, order: Order, wrong: Order, core2: str) -> bool:
        """Whether a reader knows which of object and target a name behind the order corrects.

        Without further words it is the one that was said last, or the one with the same noun.
        """
        is_target = self._fields["wrong"] == "target"
        if ("{T2}" if is_target else "{O2}") in self._draft.template:
            return True
        right, other = (order.place, wrong.place) if is_target else (order.thing, wrong.thing)
        kept = order.thing if is_target else order.place
        if kept is None or right is None or other is None:
            return True
        if right.head == other.head and right.head in right.text:
            return True
        start, _ = OBJECT if is_target else TARGET
        return core2.rfind(other.text) > core2.find(start) >= 0

    def _bind(self, order: Order, wrong: Order, *, framed: bool = True) -> dict[str, str]:
        """Names for the slots of templates."""
        bound = {"it": "it", "It": "It", "It's": "It's"}
        if self._lang == "ja":
            bound["it"] = self._rng.choice(("それ", "これ", ""))
        if order.thing is not None:
            bound["O"] = self._namer.printed(order.thing, OBJECT if framed else None)
            if order.thing.plural and self._lang == "en":
                bound |= {"it": "them", "It": "They", "It's": "They are"}
        if order.place is not None:
            bound["T"] = self._namer.printed(order.place, TARGET if framed else None)
        if order.speed is not None:
            bound["s"] = order.speed.text
        if wrong is order or not framed:
            return bound
        if wrong.thing is not None:
            bound["O2"] = self._namer.printed(wrong.thing)
            if "{O3}" in str(self._fields.get("object")):
                bound["O3"] = self._namer.printed(
                    self._namer.thing(wrong.thing_class or order.thing_class)
                )
        if wrong.place is not None:
            bound["T2"] = self._namer.printed(wrong.place)
            if "{T3}" in str(self._fields.get("target")):
                places = self._words.actions[order.action]["places"]
                bound["T3"] = self._namer.printed(self._namer.place(places[0]))
        if wrong.speed is not None:
            bound["s2"] = wrong.speed.text
        if self._fields.get("numbered") and order.place is not None and wrong.place is not None:
            # "bin 3, no, 4": the noun stays with the first number.
            number, other = order.place.number, wrong.place.number
            if number and other and number != other:
                text = order.place.text.removesuffix(number) + other
                bound["T2"] = self._namer.printed(replace(order.place, text=text))
                bound["T"] = TARGET[0] + number + TARGET[1]
                bound["is_numbered"] = "yes"
        return bound

    def _dressed(self, order: Order, bound: Bound, *, whole: str | None = None) -> str:
        """The order with its speed and constraints, as parts of it or as sentences around it.

        Args:
            order: what is meant.
            bound: names for the slots.
            whole: the order, if it is written already and can only get sentences around it.
        """
        rng, fields = self._rng, self._fields
        parts: list[Table] = []
        if order.speed is not None and order.action != "set_speed":
            parts.append(self._phrases["speed"])
        if order.action != "set_speed":
            parts += [self._phrases["constraint"][name] for name in order.constraints]
        rng.shuffle(parts)
        is_tight = bool(
            fields.get("tight") or fields.get("manner") or "{coring}" in self._draft.template
        )
        has_two = "core2" in self._family.text[0]
        is_verbal = bool(fields.get("verbal"))
        inside: list[str] = []
        before: list[str] = []
        after: list[str] = []
        own = dict(bound)
        for said in parts:
            is_inside = bool(said["adv"]) and (is_tight or rng.random() < 0.55)
            is_before = not (is_inside or is_tight or has_two or is_verbal) and rng.random() < 0.25
            phrase = self._clauses.said(
                said["adv" if is_inside else "sent"], order, own, first=is_before
            )
            if OBJECT[0] in phrase:
                own["O"] = own["it"]
            (inside if is_inside else before if is_before else after).append(phrase)
        if fields.get("manner"):
            inside[0] = self._corrected_manner(order.constraints[0], inside[0])
        if self._lang == "ja":
            core = (
                self._clauses.core(order, own, inside)
                if whole is None
                else "".join((*inside, whole))
            )
            joint = rng.choice(("。", "。", "、", " "))
            return joint.join((*before, core, *after))
        core = (
            self._clauses.core(order, own, inside)
            if whole is None
            else self._clauses.modified(whole, inside)
        )
        lowers = rng.random() < 0.5
        for phrase in before:
            joint = rng.choice((". ", ". ", ", ", "! ", ": ", " - ", " and ", ", then "))
            if joint in (" and ", ", then ") and not _IMPERATIVE.match(phrase):
                joint = ", "
            core = (lower(phrase) if lowers else phrase) + joint + core
        for phrase in after:
            joint = rng.choice((". ", ". ", ", ", "; ", "! ", " - ", " and ", " but "))
            if joint in (" and ", " but ") and not _IMPERATIVE.match(phrase):
                joint = ", "
            core += joint + (phrase if joint[0] in ".!" and not lowers else lower(phrase))
        return core

    def _corrected_manner(self, name: str, phrase: str) -> str:
        """The other manner first, and then the one that is meant."""
        other = {"slow": "fast", "fast": "slow"}[name]
        first = self._draft.expand(self._rng.choice(self._phrases["constraint"][other]["adv"]))
        comma, gap = ("、", "") if self._lang == "ja" else (", ", " ")
        return f"{first}{comma}{self._draft.expand('{no}')}{gap}{phrase}"
