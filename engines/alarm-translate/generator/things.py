"""Names of things: identifiers, sides, owners."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from .identifiers import new_count, new_tag
from .lexicon import Lexicon
from .meaning import Message, Thing, canonical_name, joint
from .shapes import Shape
from .terms import Term

_OWNED = frozenset({"mech", "fluid", "sensor", "elec", "drive", "safety"})
_LETTERED = frozenset(
    {"station", "line", "cell", "zone", "lane", "pump", "tank", "buffer", "motor"}
)
_NAME_FORMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "any number": ("{0} {1}", "{0} no. {1}", "{0} #{1}", "{0} No.{1}", "{0}-{1}", "{0}{1}",
                       "{0} number {1}", "the {0} {1}", "{0} ({1})", "{0} no.{1}"),
        "any letter": ("{0} {1}",),
        # No tag in brackets, none in front: those are codes of the alarm.
        "any tag": ("{0} {1}", "{0} {1}", "{0} {1}", "the {0} {1}"),
        "axis number": ("axis {1}", "axis {1}", "axis no. {1}", "axis #{1}"),
        "axis letter": ("{1}-axis", "{1}-axis", "{1} axis", "axis {1}"),
        "axis tag": ("axis {1}", "axis {1}", "{1} axis"),
    },
    "ja": {
        "any number": ("{0}{1}", "{0} {1}", "{0}No.{1}", "{0}#{1}", "{1}番{0}", "第{1}{0}",
                       "{0}{1}号", "{1}号{0}", "No.{1}{0}", "{0}({1})", "{0}-{1}", "{1}番の{0}"),
        "any letter": ("{0}{1}", "{0}{1}", "{1}{0}"),
        "any tag": ("{0}{1}", "{0}{1}", "{0}{1}", "{0} {1}", "{1}{0}"),
        "axis number": ("軸{1}", "第{1}軸", "{1}軸"),
        "axis letter": ("{1}軸",),
        "axis tag": ("{1}軸", "軸{1}"),
    },
}  # fmt: skip
_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "prohibition-while": ("drive", "machine"),
    "not-reached": ("drive", "machine", "mech", "robot"),
    "not-reached-plain": ("drive", "machine", "mech", "robot"),
    "not-at": ("drive", "machine", "mech", "item", "robot"),
    "moving-to": ("machine", "drive"),
    "move-to": ("drive", "machine", "mech", "item"),
    "mode-active": ("machine", "drive", "place"),
    "switch-mode": ("machine", "drive"),
    "waiting-for": ("machine", "place"),
    "wait-until": ("drive", "machine", "fluid"),
    "op-progress-of": ("machine", "drive", "robot"),
    "not-possible-of": ("machine", "drive", "robot"),
    "event-of": ("machine", "machine", "elec", "net"),
    "waiting-thing": ("machine", "place", "drive"),
    "required": ("drive", "machine", "mech", "fluid", "sensor", "elec"),
    "op-state-of": ("machine", "drive"),
    "thing-of": ("machine", "place", "elec"),
    "due-in": ("mech", "fluid", "sensor", "battery", "item"),
    "overdue": ("drive", "machine", "mech", "fluid"),
    "mismatch": ("sensor", "elec", "safety", "item"),
    "difference": ("drive", "fluid", "machine"),
    "interference": ("drive", "machine", "mech"),
    "comm-between": ("elec", "net", "machine"),
    "stop-because": ("machine", "place", "drive"),
}


class Things:
    """Draws things and names them."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def any_part(self, rng: Random, shape: Shape) -> Term:
        """A part that the subject of a shape may be."""
        groups = _SUBJECTS.get(shape.id, ("drive", "machine", "mech", "fluid", "safety"))
        return rng.choice(self._lexicon.groups[rng.choice(groups)])

    def thing(self, m: Message, part: Term, *, is_bare: bool = False) -> Thing:
        """A part with an identifier, a side or an owner, or just so."""
        rng = m.rng
        if is_bare and rng.random() < 0.7:
            return Thing(part)
        roll = rng.random()
        if roll < 0.2:
            owner = self.owner(m, part, is_needed=False)
            if owner is not None:
                inner = self.identifier(m, part) if rng.random() < 0.35 else ""
                return Thing(part, inner, owner=owner)
        if roll < 0.28 and self._lexicon.group_of[part.en] not in (
            "place",
            "material",
            "basic",
            "net",
        ):
            side = rng.choice(self._lexicon.words["sides"])
            if not self._lexicon.is_term(side, part):
                return Thing(part, side=side)
        return Thing(part, self.identifier(m, part))

    def owner(self, m: Message, part: Term, *, is_needed: bool) -> Thing | None:
        """What a part may belong to: a machine, an axis; or a place, unless it must be an owner."""
        rng = m.rng
        if self._lexicon.group_of[part.en] not in _OWNED:
            return None
        roll = rng.random()
        group = "owners" if roll < 0.25 else "machine" if roll < 0.75 or is_needed else "place"
        owner = rng.choice(
            self._lexicon.owners if group == "owners" else self._lexicon.parts[group]
        )
        ident = self.identifier(m, owner, always=rng.random() < 0.75 or group == "place")
        if owner in (part, self._lexicon.machine) or (
            not ident and self._lexicon.is_term(owner, part)
        ):
            return None
        return Thing(owner, ident)

    def identifier(self, m: Message, part: Term, *, always: bool = False) -> str:
        """A number, tag or letter of a part, or nothing."""
        rng = m.rng
        group = self._lexicon.group_of[part.en]
        if part.en == "axis":
            choice = rng.random()
            if choice < 0.5 and not m.draw.held_values:
                return rng.choice("XYZXYZABCUVW")
            return new_count(m) if choice < 0.8 else f"J{rng.randrange(1, 8)}"
        if group in ("material", "basic"):
            return ""
        roll = rng.random() * (0.72 if always else 1.0)
        if roll < 0.5:
            return new_count(m)
        if roll < 0.65:
            return new_tag(rng, m.draw)
        if roll < 0.72:
            if part.en in _LETTERED and not m.draw.held_values:
                return rng.choice("ABCDEFGH")
            return new_count(m)
        return ""

    def put(self, m: Message, name: str, thing: Thing) -> None:
        """A thing, for the slot `name`; `name_of` where its part or quantity follows."""
        m.source[name] = self.name(m.rng, thing, m.lang)
        m.target[name] = canonical_name(thing, m.to)
        m.target[f"{name}_of"] = m.target[name] + joint(thing, m.to)

    def name(self, rng: Random, thing: Thing, lang: str) -> str:
        """A thing as somebody may write it."""
        word = self._lexicon.say(rng, thing.term, lang)
        ident = thing.ident
        is_plain = rng.random() < 0.5
        if thing.side is not None:
            side = self._lexicon.say(rng, thing.side, lang)
            if lang == "en":
                return f"{word} ({side})" if rng.random() < 0.1 else f"{side} {word}"
            form = rng.choice(("{0}{1}", "{0}{1}", "{1}（{0}）", "{0}の{1}"))
            return form.format(side, word).replace("のの", "の").replace("の）", "）")
        if not ident:
            name = f"the {word}" if lang == "en" and rng.random() < 0.12 else word
        else:
            kind = "number" if ident.isdigit() else "letter" if len(ident) == 1 else "tag"
            key = f"{'axis' if thing.term.en == 'axis' else 'any'} {kind}"
            form = rng.choice(_NAME_FORMS[lang][key]) if not is_plain or key != "any number" else (
                _NAME_FORMS[lang][key][0])  # fmt: skip
            name = form.format(word, ident)
        if thing.owner is None:
            return name
        owner = self.name(rng, thing.owner, lang)
        if lang == "en":
            owner = owner.removeprefix("the ")
            form = rng.choice(("{0} {1}", "{0} {1}", "{0} {1}", "{1} of {0}", "{1} of the {0}",
                               "{1} on {0}"))  # fmt: skip
            if form == "{1} on {0}" and self._lexicon.group_of[thing.owner.term.en] == "place":
                form = "{1} of {0}"  # "at a place" is another meaning
        else:
            form = rng.choice(("{0}の{1}", "{0}の{1}", "{0}の{1}", "{0}{1}", "{0} {1}"))
        return form.format(owner, name)

    def put_term(self, m: Message, name: str, term: Term) -> None:
        """A term, for one slot."""
        m.source[name] = self._lexicon.say(m.rng, term, m.lang)
        m.target[name] = term.canonical(m.to)
