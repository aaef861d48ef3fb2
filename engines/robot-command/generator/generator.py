"""Orders to a robot, imagined first and then written down.

An order is an action with its object, target, speed and constraints (meaning.toml). A family
decides how it is put (families.toml, negatives.toml): politely, shouted, corrected, negated, as a
form, over the radio. Words are in lexicon.toml, ways to say things in phrases.toml. Object and
target are framed in the text by private characters, so that whatever happens to the text (typos,
case, width) happens to the answer, too.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from skilld.skills.span_values import number_value
from skilld.skills.spans import SpanError, SpanRules
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

from .invented import Inventor

VERSION = "7"
ROOM = Path(__file__).parent.parent
NEGATIVE_SHARE = 0.22
UNKNOWN_SHARE = 0.4
SPEED_LIMIT_MM_S = 1500
MAX_CHARS = 300
ATTEMPTS = 80

OBJECT, TARGET, THERE = ("\uf8f0", "\uf8f1"), ("\uf8f2", "\uf8f3"), "\uf8ff"
_FRAMES = re.compile("[\uf8f0-\uf8f3]")
_FRAMED = re.compile("[\uf8f0\uf8f2][^\uf8f1\uf8f3]*[\uf8f1\uf8f3]")
_BEFORE_THERE = re.compile(
    r"\b(?:in|into|on|onto|at|to|over|next to|beside|behind|in front of|under|inside|near|by|above|"
    rf"below|of|from) {THERE}"
)
_PRONOUN = re.compile(r"\b(?:[iI]t|them|[Tt]hey|[Ii]t's)\b(?! is| leaves)")
_MANNER = re.compile(r"[a-z]+ly$")
_LEADS_NOT = ("and", "then", "but", "(", "before", "max", "speed")
_IMPERATIVE = re.compile(
    r"(?:Don't|Do not|Keep|Be |Hurry|Go|Tell|Let|Report|Check|Make|Wait|Take|Hold|Verify|Watch|"
    r"Avoid|Stay)"
)
# First words of an order that are no verbs, and verbs that double their last letter.
_NO_VERB = re.compile(
    r"(?:in|on|into|onto|from|at|speed|velocity|new|emergency|all|full|gripper|hands?|one|you|end|"
    r"home|back|faster|slower|jaws|claw|fingers|grip|there|quick|quickly|never)$",
    re.IGNORECASE,
)
_DOUBLED = re.compile(
    r"(?:put|set|get|cut|drop|grab|grip|let|stop|shut|run|slot|drag|tug|hit|tap|mop|scan|step|nod)$"
)
# What Japanese says of a thing that it may name again.
_HANDLED = re.compile("傾け|こぼさ|倒さ|横に|離さ|落とさ|壊さ|ひっくり|放さ|水平|丁寧|持ったまま")
_HAS_OWNERS = ("openable", "pressable", "surface", "checkable", "part", "sheet", "fastener")
_OF_THE_ROBOT = ("stop", "pause", "resume", "set_speed")
_RIGHT_OF = re.compile(
    f"(?<={TARGET[1]})の(?={OBJECT[0]}(?:[左右上下前奥隣]|手前|後ろ|真ん中|一番[上下左右]))"
)
_POINTING = ("この", "その", "あの", "この", "その", "あの", "全ての", "すべての", "全部の")
_BARE_VERBS = {
    "en": {
        "pick": "pick|pick up|PICK", "place": "place|put|PLACE",
        "move_object": "move|transfer|MOVE",
        "push": "push|PUSH", "inspect": "inspect|check|INSPECT", "count": "count|COUNT",
        "hand_over": "give|hand over|deliver",
    },
    "ja": {
        "pick": "ピック|把持|取る", "place": "置く|プレース|配置",
        "move_object": "搬送|移載|運ぶ|運搬",
        "push": "押す", "inspect": "点検|検査|確認", "count": "カウント|数える",
        "hand_over": "渡す|手渡し",
    },
}  # fmt: skip

Table = Mapping[str, Any]  # Any: a TOML table
Bound = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """How an order is put.

    Attributes:
        id: unique.
        lang: "en" or "ja".
        text: templates.
        fields: its entry in families.toml or negatives.toml.
        reason: to abstain; empty when the order is to be answered.
        needs_wrong: it names what is not meant.
    """

    id: str
    lang: str
    text: tuple[str, ...]
    fields: Table
    reason: str
    needs_wrong: bool

    @classmethod
    def read(cls, entry: Table) -> Family:
        """From its entry in a TOML file."""
        said = repr(entry)
        needs_wrong = "wrong" in entry or any(f"{name}2}}" in said for name in "OTs")
        text = tuple(entry["text"])
        return cls(entry["id"], entry["lang"], text, entry, entry.get("reason", ""), needs_wrong)


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing, a place or a person.

    Attributes:
        text: as the answer has it.
        head: its noun alone.
        plural: it is several.
        bare: it stands without an article ("bin 4").
        number: behind the noun, where a family asks for one.
        is_unknown: nobody has heard of it.
    """

    text: str
    head: str
    plural: bool = False
    bare: bool = False
    number: str = ""
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Speed:
    """As written, and in mm/s as the answer has it."""

    text: str
    mm_s: int | float


@dataclass(frozen=True, slots=True)
class Order:
    """What is meant. `thing_class` is empty without a thing."""

    action: str
    thing_class: str = ""
    thing: Noun | None = None
    place: Noun | None = None
    speed: Speed | None = None
    constraints: tuple[str, ...] = ()


class Vocabulary:
    """Everything that is read from the files beside this one, ready to draw from."""

    def __init__(self) -> None:
        lexicon, phrases, families, negatives, meaning = (
            tomllib.loads((ROOM / f"{name}.toml").read_text(encoding="utf-8"))
            for name in ("lexicon", "phrases", "families", "negatives", "meaning")
        )
        self.things = _words(lexicon["things"])
        self.places = _words(lexicon["places"] | {"person": lexicon["people"]})
        self.robots = {lang: lexicon["robots"][lang].split() for lang in ("en", "ja")}
        self.phrases = _weighted(phrases)
        self.actions: Table = {
            name: {k: v.split() if isinstance(v, str) else v for k, v in entry.items()}
            for name, entry in meaning["actions"].items()
        }
        self.handed: list[str] = meaning["things"].split()
        self.constraints: list[str] = meaning["constraints"].split()
        self.clashes: list[list[str]] = meaning["clashes"]
        self.single: list[str] = meaning["single"]
        self.held_combinations = frozenset(meaning["held_combinations"])
        self.speeds: Table = meaning["speeds"]
        self.inventor = self._inventor()
        drawn = terminals()
        for lang in ("en", "ja"):
            drawn[f"unknown_adj_{lang}"] = partial(self.inventor.adjective, lang)
            drawn[f"unknown_{lang}"] = partial(self.inventor.sound, lang)
        adjectives = {name: text.split() for name, text in lexicon["adjectives"].items()}
        for name in ("en", "ja_i", "ja_na"):
            more = self.inventor.adjectives(name)
            tail = [] if name == "ja_i" else [f"{{unknown_adj_{name[:2]}}}"] * (len(more) // 3)
            adjectives[name] = [*adjectives[name], *more, *tail]
        names = meaning["names"]
        names["en"] |= {"adj": adjectives["en"], "padj": adjectives["place"]}
        names["ja"] |= {"iadj": adjectives["ja_i"], "nadj": adjectives["ja_na"]}
        names["ja"]["padj"] = adjectives["ja_place"]
        self.grammars: dict[str, Grammar] = {}
        self.names: dict[str, Grammar] = {}
        for lang in ("en", "ja"):
            rules = _weighted(names[lang])
            self.names[lang] = Grammar(rules, terminals=drawn)
            spoken = [_weighted(table["rules"][lang]) for table in (families, negatives)]
            self.grammars[lang] = Grammar(
                rules | self.phrases[lang]["rules"] | spoken[0] | spoken[1], terminals=drawn
            )
        self.families: dict[str, Family] = {}
        self.weights: dict[str, float] = {}
        for table, share in ((families, 1 - NEGATIVE_SHARE), (negatives, NEGATIVE_SHARE)):
            total = sum(float(entry.get("weight", 1.0)) for entry in table["family"])
            for entry in table["family"]:
                self.families[entry["id"]] = Family.read(entry)
                self.weights[entry["id"]] = float(entry.get("weight", 1.0)) / total * share


    def _inventor(self) -> Inventor:
        """What makes names up, out of the words that are not held out."""
        table = tomllib.loads((ROOM / "nouns.toml").read_text(encoding="utf-8"))
        known: dict[str, list[str]] = {}
        held: list[str] = []
        for words, last in ((self.things, "things"), (self.places, "places")):
            for (lang, name, is_held), listed in words.items():
                if is_held:
                    held += listed
                elif name != "person":
                    known.setdefault(lang, []).extend(listed)
                    known.setdefault(f"{lang}_{last}", []).extend(listed)
        return Inventor(table, known=known, held=held)


class RobotCommandGenerator:
    """Draws orders."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary()
        skill = tomllib.loads((ROOM / "skills" / "robot-command.toml").read_text(encoding="utf-8"))
        self._spans = SpanRules(**skill["spans"])
        self._schema = skill["output_schema"]

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in seven."""
        return self._vocabulary.weights

    @property
    def held_families(self) -> frozenset[str]:
        """Ways to put an order that training never sees."""
        families = self._vocabulary.families.values()
        return frozenset(family.id for family in families if family.fields.get("held"))

    @property
    def held_values(self) -> tuple[str, ...]:
        """Names of things, places and people that training never sees."""
        tables = (self._vocabulary.things, self._vocabulary.places)
        return tuple(
            word
            for table in tables
            for (_, _, is_held), words in table.items()
            if is_held
            for word in words
        )

    @property
    def held_combinations(self) -> frozenset[str]:
        """Pairs of action and class of thing that training never sees."""
        return self._vocabulary.held_combinations

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One order, written in a family.

        Raises:
            ValueError: no order could be written so that its answer can be pointed at.
        """
        kind = self._vocabulary.families[family]
        for _ in range(ATTEMPTS):
            example = self._attempt(rng, kind, draw)
            if example is not None:
                return example
        raise ValueError(f"family {family!r}: no order in {ATTEMPTS} attempts")

    def _attempt(self, rng: Random, family: Family, draw: Draw) -> Example | None:
        scribe = Scribe(self._vocabulary, rng, family=family, draw=draw)
        order = scribe.order()
        framed = None if order is None else scribe.write(order)
        if order is None or framed is None:
            return None
        framed = _noisy(framed, rng, family, is_heavy=draw.is_noisy)
        text = _FRAMES.sub("", framed)
        if not text or len(unicodedata.normalize("NFKC", text)) > MAX_CHARS:
            return None
        if family.reason:
            return Example(family.id, {"text": text}, {"abstain": family.reason})
        thing, place = _framed(framed, OBJECT), _framed(framed, TARGET)
        if (order.thing is None, order.place is None) != (thing is None, place is None):
            return None
        answer = {
            "action": order.action,
            "object": thing,
            "target": place,
            "speed_mm_s": None if order.speed is None else order.speed.mm_s,
            "constraints": [c for c in self._vocabulary.constraints if c in order.constraints],
        }
        try:
            self._spans.mark({"text": text}).point(answer, self._schema)
        except SpanError:
            return None  # such as a name that the text also has in another reading
        is_paired = len(self._vocabulary.actions[order.action].get("things", ())) > 1
        pair = f"{order.action}+{order.thing_class}" if order.thing and is_paired else ""
        is_held = pair in self.held_combinations
        if is_held != draw.held_combination and (is_held or pair):
            return None
        return Example(family.id, {"text": text}, answer, pair)


class Scribe:
    """Imagines one order and writes it in one family."""

    def __init__(self, vocabulary: Vocabulary, rng: Random, *, family: Family, draw: Draw) -> None:
        self._words = vocabulary
        self._rng = rng
        self._family = family
        self._fields = family.fields
        self._held = draw.held_values
        self._wants_pair = draw.held_combination
        self._lang = family.lang
        is_foreign = bool(family.fields.get("foreign"))
        self._noun_lang = {"en": "ja", "ja": "en"}[family.lang] if is_foreign else family.lang
        self._phrases = vocabulary.phrases[family.lang]
        self._template = rng.choice(family.text)
        self._end: str | None = family.fields.get("end")

    def _expand(self, template: str, bound: Bound | None = None) -> str:
        return self._words.grammars[self._lang].expand(template, self._rng, bound=bound)

    # ------------------------------------------------------------ what is meant

    def order(self) -> Order | None:
        """What is to be done; None if that does not fit the family."""
        rng, fields = self._rng, self._fields
        action = self._action()
        entry = self._words.actions[action]
        needs, is_form = fields.get("needs"), bool(fields.get("form"))
        has_thing = bool(entry.get("things")) and (
            "gripper" not in action or needs == "object" or rng.random() < 0.25
        )
        thing_class = ""
        if has_thing:
            held = self._words.held_combinations
            classes = [
                name
                for name in entry["things"]
                if self._family.reason or (f"{action}+{name}" in held) == self._wants_pair
            ]
            if not classes and len(entry["things"]) == 1:  # there is nothing to hold out
                classes = entry["things"]
            if not classes:
                return None
            thing_class = rng.choice(classes)
        thing = self.thing(thing_class, is_many=action == "count") if thing_class else None
        place = None
        has_place = bool(entry.get("places")) and not fields.get("targetless")
        if has_place and (needs == "target" or is_form or rng.random() < entry["target_share"]):
            place = self.place(rng.choice(entry["places"]))
        if (needs == "target" and place is None) or (needs == "object" and thing is None):
            return None
        if is_form and (place is None or thing is None):
            return None
        speed = None
        has_none = fields.get("speedless") or fields.get("manner") or is_form
        if entry.get("has_speed") and not has_none:
            share = {"set_speed": 0.65, "home": 0.12}.get(action, 0.16)
            share *= 0.6 if "short" in fields and action != "set_speed" else 1
            if needs == "speed" or rng.random() < share:
                speed = self.speed(is_over=bool(fields.get("over")))
        if needs == "speed" and speed is None:
            return None
        constraints = self._constraints(action, has_speed=speed is not None)
        return Order(action, thing_class, thing, place, speed, constraints)

    def _action(self) -> str:
        fields, actions = self._fields, self._words.actions
        if "action" in fields:
            return str(fields["action"])
        names = list(actions)
        needs = fields.get("needs") or fields.get("it")
        if needs == "object":
            names = [a for a in names if actions[a].get("things") and "gripper" not in a]
        if needs == "target":
            names = [a for a in names if actions[a].get("places")]
        if needs == "speed":
            names = [a for a in names if actions[a].get("has_speed")]
        if fields.get("form"):
            names = list(_BARE_VERBS[self._lang])
        if fields.get("wrong") == "two":
            names = [a for a in self._words.single if a != "go_to"]
        if fields.get("manner"):
            names = [a for a in names if {"slow", "fast"} <= set(actions[a]["constraints"])]
        if fields.get("there"):
            names = ["place", "move_object", "go_to"]
        if self._family.reason and needs != "speed" and "taken-back" not in self._family.id:
            names = [a for a in names if a not in _OF_THE_ROBOT]
        if fields.get("tight"):
            names = [a for a in names if actions[a].get("places")]
        if self._wants_pair and not self._family.reason:
            held = {pair.split("+")[0] for pair in self._words.held_combinations}
            names = [a for a in names if a in held] or names
        return self._rng.choices(names, [actions[a]["weight"] for a in names])[0]

    def _constraints(self, action: str, *, has_speed: bool) -> tuple[str, ...]:
        rng, fields = self._rng, self._fields
        if action == "set_speed":
            return () if has_speed else (rng.choice(("slow", "fast")),)
        if fields.get("manner"):
            return (rng.choice(("slow", "fast")),)
        pool = self._words.actions[action]["constraints"]
        if not pool or fields.get("form"):
            return ()
        count = rng.choices((0, 1, 2, 3), (58, 32, 8, 2))[0]
        if "short" in fields:
            count = int(rng.random() < 0.22)
        if "mods" in fields:
            count = rng.choice((2, 2, 3, 4))
        if self._family.reason or "verbless" in self._family.id or "passive" in self._family.id:
            count = int(rng.random() < 0.25)
        if fields.get("tight"):
            pool = [name for name in pool if self._phrases["constraint"][name]["adv"]]
        names = list(dict.fromkeys(rng.choices(pool, k=count)))
        for clash in self._words.clashes:
            if set(clash) <= set(names):
                names.remove(rng.choice(clash))
        if has_speed and "fast" in names:
            names.remove("fast")
        return tuple(names)

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
            bound["Ns"] = _plural(noun)
            if thing_class in _HAS_OWNERS and rng.random() < 0.16:
                rule = "part_of"
                owner = self._owner()
                bound["H"], bound["Hs"] = owner, _plural(owner)
        other = rng.choice(words)
        bound |= {"N2": other, "N2s": _plural(other)}
        plural = plural and rule != "part_of"
        return self._noun(rule, noun, bound, plural=plural, is_unknown=is_unknown)

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

    def speed(self, *, is_over: bool = False) -> Speed:
        """A speed in a unit of the language, half of them round; over the limit or within it."""
        rng = self._rng
        while True:
            template, scale, decimals = rng.choice(self._words.speeds[self._lang])
            if "{w}" in template:
                text = rng.choice(self._words.speeds[f"{self._lang}_words"])
            else:
                low, high = (1500, rng.choice((2000, 3000, 9000))) if is_over else (1, 1500)
                most = high if rng.random() < 0.6 else min(high, max(low * 1.3, 400))
                step = 10.0**-decimals * (rng.choice((1, 1, 5, 10)) if decimals < 1 else 1)
                number = round(rng.uniform(low, most) / scale / step) * step
                text = f"{number:.{max(decimals, 0)}f}"
            if scale == 1 and len(text) == 4 and text.isdigit() and rng.random() < 0.2:
                text = f"{text[0]},{text[1:]}"
            mm_s = number_value(text, scale=scale)
            if mm_s is None or mm_s <= 0 or mm_s != round(mm_s, 2):
                continue
            if (mm_s > SPEED_LIMIT_MM_S) == is_over:
                return Speed(template.replace("{n}", text).replace("{w}", text), mm_s)

    # ------------------------------------------------------------ writing it down

    def write(self, order: Order) -> str | None:
        """The text, with object and target framed; None if the family cannot say it."""
        rng, fields, template = self._rng, self._fields, self._template
        wrong = self._wrong(order) if self._family.needs_wrong else order
        if wrong is None:
            return None
        bound = self._bind(order, wrong)
        if fields.get("numbered") and not bound.pop("is_numbered", ""):
            return None
        bound["R"] = rng.choice(self._words.robots[self._lang])
        if self._lang == "en" and rng.random() < 0.2:
            bound["R"] += f" {rng.randrange(1, 9)}"
        if "{S}" in template:
            bound["S"] = self._printed(self.place("storage"))
        if "{N2}" in template:
            bound["N2"] = self._printed(self.thing(rng.choice(self._words.handed)))
        if self._family.reason:  # anything may be named in what is declined
            for name in ("O", "O2"):
                if name not in bound:
                    bound[name] = self._printed(self.thing(rng.choice(self._words.handed)))
            for name in ("T", "T2"):
                if name not in bound:
                    bound[name] = self._printed(self.place("storage"))
        if fields.get("form"):
            verbs = _BARE_VERBS[self._lang][order.action]
            bound["a"] = rng.choice(verbs.split("|"))
        if "{cor" in template:
            if not self._write_cores(order, wrong, bound):
                return None
            text = self._expand(template, bound)
        else:
            text = self._expand(template, bound)
            if not self._family.reason:
                text = self._dressed(order, bound, whole=text)
        text = _BEFORE_THERE.sub("", text).replace(THERE, "")
        text = _tidy(text, self._lang, rng)
        words = len(_FRAMES.sub("", text)) if self._lang == "ja" else text.count(" ") + 1
        return text if words <= fields.get("short", MAX_CHARS) else None

    def _write_cores(self, order: Order, wrong: Order, bound: dict[str, str]) -> bool:
        """The order itself as {core} and {coring}, and what it was before as {core2}."""
        rng, fields, template = self._rng, self._fields, self._template
        kind = fields.get("wrong")
        own = dict(bound)
        for slot, name in (("object", "O"), ("target", "T"), ("speed", "s")):
            if slot in fields and name in bound:
                own[name] = self._expand(rng.choice(fields[slot]), bound)
        if fields.get("it") == "object" and "{O}" in template:
            own["O"] = bound["it"]
        if fields.get("it") == "target" and "{T}" in template:
            own["T"] = "it"
        if fields.get("there") and "T" in bound:
            own["T"] = THERE + self._expand("{there}")
        if kind in ("target", "object", "speed"):
            name = {"target": "T", "object": "O", "speed": "s"}[kind]
            if name not in bound:
                return False
            bound["core2"] = self._dressed(order, own | {name: bound[f"{name}2"]})
            return True
        if kind is not None:
            names_thing = kind == "action" and "O" in bound and wrong.thing is not None
            is_short = names_thing and rng.random() < 0.4
            other = self._bind(wrong, wrong, framed=False)
            if is_short:
                other["O"], own["O"] = bound["O"], bound["it"] or "それ"
            self._end = fields.get("end_wrong", self._end)
            bound["core2"] = self._core(replace(wrong, constraints=()), other, [])
            self._end = fields.get("end")
            if "{coring2}" in template:
                bound["coring2"] = _gerund(bound["core2"])
        core = self._dressed(order, own)
        bound["core"] = core
        if "{coring}" in template:
            bound["coring"] = _gerund(core)
        return all(bound.get(name, " ") for name in ("coring", "coring2"))

    def _wrong(self, order: Order) -> Order | None:
        """What is not meant: other names, another speed, another action."""
        rng, kind, actions = self._rng, self._fields.get("wrong"), self._words.actions
        is_other = kind in ("action", "all", "two")
        action = order.action
        if is_other:
            pool = self._words.single if kind == "two" else list(actions)
            if self._fields.get("end_wrong"):
                pool = [a for a in pool if actions[a].get("places")]
            action = rng.choice([a for a in pool if a != order.action])
        entry = actions[action]
        is_same_thing = kind == "action" and order.thing is not None
        if is_same_thing and (not entry.get("things") or "gripper" in action):
            return None
        thing, place = order.thing, order.place
        if not is_same_thing:
            thing_class = rng.choice(entry.get("things") or self._words.handed)
            is_alike = order.thing is not None and not is_other
            if is_alike:
                thing_class = order.thing_class
            head = order.thing.head if order.thing is not None and rng.random() < 0.6 else ""
            thing = self.thing(thing_class, head=head if is_alike else "")
            if order.thing is not None and thing.text == order.thing.text:
                return None
        if kind != "action" or place is None:
            places = entry.get("places") or ["storage", "station"]
            head = ""
            if place is not None and order.action != "hand_over" and rng.random() < 0.6:
                head = place.head
            kind_of_place = rng.choice(places)
            place = self.place(kind_of_place, head="" if kind_of_place == "person" else head)
            if order.place is not None and place.text == order.place.text:
                return None
        if is_other:
            thing = thing if entry.get("things") else None
            if not entry.get("places") or rng.random() > entry["target_share"]:
                place = None
        is_over = bool(self._fields.get("over")) and rng.random() < 0.3
        speed = self.speed(is_over=is_over)
        if order.speed is not None and speed.mm_s == order.speed.mm_s:
            return None
        return replace(order, action=action, thing=thing, place=place, speed=speed)

    def _bind(self, order: Order, wrong: Order, *, framed: bool = True) -> dict[str, str]:
        """Names for the slots of templates."""
        bound = {"it": "it", "It": "It", "It's": "It's"}
        if self._lang == "ja":
            bound["it"] = self._rng.choice(("それ", "これ", ""))
        if order.thing is not None:
            bound["O"] = self._printed(order.thing, OBJECT if framed else None)
            if order.thing.plural and self._lang == "en":
                bound |= {"it": "them", "It": "They", "It's": "They are"}
        if order.place is not None:
            bound["T"] = self._printed(order.place, TARGET if framed else None)
        if order.speed is not None:
            bound["s"] = order.speed.text
        if wrong is order or not framed:
            return bound
        if wrong.thing is not None:
            bound["O2"] = self._printed(wrong.thing)
            if "{O3}" in str(self._fields.get("object")):
                bound["O3"] = self._printed(self.thing(wrong.thing_class or order.thing_class))
        if wrong.place is not None:
            bound["T2"] = self._printed(wrong.place)
            if "{T3}" in str(self._fields.get("target")):
                places = self._words.actions[order.action]["places"]
                bound["T3"] = self._printed(self.place(places[0]))
        if wrong.speed is not None:
            bound["s2"] = wrong.speed.text
        if self._fields.get("numbered") and order.place is not None and wrong.place is not None:
            # "bin 3, no, 4": the noun stays with the first number.
            number, other = order.place.number, wrong.place.number
            if number and other and number != other:
                text = order.place.text.removesuffix(number) + other
                bound["T2"] = self._printed(replace(order.place, text=text))
                bound["T"] = TARGET[0] + number + TARGET[1]
                bound["is_numbered"] = "yes"
        return bound

    def _printed(self, noun: Noun, frame: tuple[str, str] | None = None) -> str:
        """With its article, and framed if it is part of the answer."""
        rng = self._rng
        text = noun.text if frame is None else frame[0] + noun.text + frame[1]
        if self._lang == "ja":
            is_pointed = self._noun_lang == "ja" and rng.random() < 0.06
            return rng.choice(_POINTING) + text if is_pointed else text
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
            text += self._expand(" {aside}")
        if noun.is_unknown and frame is TARGET:  # without an article it could be somebody
            articles = tuple(article for article in articles if article)
        article = rng.choice(articles)
        if article == "a " and noun.text[0].lower() in "aeiou":
            article = "an "
        return article + text

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
        is_tight = bool(fields.get("tight") or fields.get("manner") or "{coring}" in self._template)
        has_two = "core2" in self._family.text[0]
        inside: list[str] = []
        before: list[str] = []
        after: list[str] = []
        own = dict(bound)
        for said in parts:
            is_inside = bool(said["adv"]) and (is_tight or rng.random() < 0.55)
            is_before = not (is_inside or is_tight or has_two) and rng.random() < 0.25
            phrase = self._said(said["adv" if is_inside else "sent"], order, own, first=is_before)
            if OBJECT[0] in phrase:
                own["O"] = own["it"]
            (inside if is_inside else before if is_before else after).append(phrase)
        if fields.get("manner"):
            inside[0] = self._corrected_manner(order.constraints[0], inside[0])
        if self._lang == "ja":
            core = self._core(order, own, inside) if whole is None else "".join((*inside, whole))
            joint = rng.choice(("。", "。", "、", " "))
            return joint.join((*before, core, *after))
        core = self._core(order, own, inside) if whole is None else self._modified(whole, inside)
        lowers = rng.random() < 0.5
        for phrase in before:
            joint = rng.choice((". ", ". ", ", ", "! ", ": ", " - ", " and "))
            if joint == " and " and not _IMPERATIVE.match(phrase):
                joint = ", "
            core = (_lower(phrase) if lowers else phrase) + joint + core
        for phrase in after:
            joint = rng.choice((". ", ". ", ", ", "; ", "! ", " - ", " and "))
            if joint == " and " and not _IMPERATIVE.match(phrase):
                joint = ", "
            core += joint + (phrase if joint[0] in ".!" and not lowers else _lower(phrase))
        return core

    def _corrected_manner(self, name: str, phrase: str) -> str:
        """The other manner first, and then the one that is meant."""
        other = {"slow": "fast", "fast": "slow"}[name]
        first = self._expand(self._rng.choice(self._phrases["constraint"][other]["adv"]))
        comma, gap = ("、", "") if self._lang == "ja" else (", ", " ")
        return f"{first}{comma}{self._expand('{no}')}{gap}{phrase}"

    def _said(self, ways: Sequence[str], order: Order, bound: Bound, *, first: bool) -> str:
        """A constraint or speed in words. Said first, it may be the one to name the thing."""
        rng, thing = self._rng, order.thing
        phrase = ""
        for _ in range(20):
            template = rng.choice(ways)
            own = dict(bound)
            if "{N}" in template:
                own["N"] = self._bystander()
            is_named = thing is not None and OBJECT[0] in bound.get("O", "")
            if thing is not None and is_named and self._lang == "en" and "{it}" in template:
                if first and not self._fields.get("it") and rng.random() < 0.25:
                    own["it"] = bound["O"]
                elif thing.head in thing.text and rng.random() < 0.15:
                    own["it"] = "the " + (_plural(thing.head) if thing.plural else thing.head)
            phrase = self._expand(template, own)
            if thing is not None or self._lang == "ja" or not _PRONOUN.search(phrase):
                break
        is_japanese = self._lang == "ja" == self._noun_lang
        if is_japanese and thing is not None and thing.head in thing.text:
            is_sentence = not first and ways is not self._phrases["speed"]["adv"]
            if is_sentence and _HANDLED.match(phrase) and rng.random() < 0.1:
                phrase = thing.head + rng.choice(("を", "は")) + phrase
        return phrase

    def _bystander(self) -> str:
        """A thing or place in the way."""
        rng, held = self._rng, self._held
        if self._lang == self._noun_lang and rng.random() < 0.5:
            if rng.random() < 0.5:
                noun = self.thing(rng.choice(self._words.handed))
            else:
                noun = self.place(rng.choice(("storage", "station")))
            return self._printed(noun)
        word = rng.choice(self._words.things[self._lang, rng.choice(self._words.handed), held])
        return f"the {word}" if self._lang == "en" else word

    def _core(self, order: Order, bound: Bound, inside: Sequence[str]) -> str:
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
            own["S"] = self._printed(self.place(rng.choice(("storage", "station"))))
        if self._lang == "en":
            return self._modified(self._expand(template, own), inside)
        return self._core_ja(order, template, own, inside=inside)

    def _modified(self, core: str, inside: Sequence[str]) -> str:
        """An English clause with adverbs around it."""
        rng = self._rng
        phrases = list(inside)
        if len(phrases) > 1 and _MANNER.match(phrases[0]) and _MANNER.match(phrases[1]):
            phrases[:2] = [f"{phrases[0]}{rng.choice((' and ', ' but ', ' ', ', '))}{phrases[1]}"]
        is_led = "coring}" not in self._template and "core2" not in self._family.text[0]
        for phrase in phrases:
            goes = re.match(r"(?:go|drive|move|head|come|travel|proceed|run) (?=to )", core)
            if goes and _MANNER.match(phrase) and rng.random() < 0.4:
                core = f"{goes[0]}{phrase} {core[goes.end() :]}"
            elif is_led and not phrase.startswith(_LEADS_NOT) and rng.random() < 0.22:
                core = phrase + rng.choice((" ", ", ", ": ", " ")) + core
            else:
                core += rng.choice((" ", " ", " ", ", ")) + phrase
        return core

    def _core_ja(
        self, order: Order, template: str, bound: dict[str, str], *, inside: Sequence[str]
    ) -> str:
        """A Japanese clause: parts in a row, adverbs anywhere, the verb with its ending."""
        rng, fields = self._rng, self._fields
        thing = bound.get("O")
        if order.thing is not None and thing is not None:
            particle = rng.choices(("を", "、", "は", ""), (88, 4, 5, 3))[0]
            if not thing and not template.startswith("{Ow}"):
                thing = "それ"
            if not thing:
                particle = ""
            elif thing in ("それ", "これ") or (particle == "" and not fields.get("spaced")):
                particle = "を"
            bound["Ow"] = thing + particle
        row_template, _, verbs_name = template.removeprefix("=").partition(">")
        # "the shelf's right box" would be read as "the box right of the shelf".
        row = [
            _RIGHT_OF.sub("にある", self._expand(part, bound)) for part in row_template.split("/")
        ]
        is_whole = template.startswith("=")
        verb = ""
        if not is_whole:
            verbs = self._phrases["verbs"]
            name = verbs_name or f"{order.action}_T"
            ways = verbs[name if name in verbs and (order.place or verbs_name) else order.action]
            nouns = [way for way in ways if way.endswith("*")]
            verb = self._conjugated(rng.choice(nouns if self._end == "noun" and nouns else ways))
            if order.thing is not None and rng.random() < 0.06:
                count = self._expand("(全部|{d1}個|{d1}本|{d1}枚|二つ|一つ|すべて|2つ)")
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
        end = self._end or rng.choices(("te", "imp", "dict", "noun"), (76, 8, 9, 7))[0]
        if verb.endswith("*"):
            stem = verb[:-1]
            if end == "noun":
                return stem + self._expand("{end_noun}")
            forms = [f"{stem}して", stem + rng.choice(("しろ", "せよ")), f"{stem}する", f"{stem}し"]
        else:
            forms = verb.split("|")
        te, imperative, dictionary, stem = forms
        match end:
            case "plain_te":
                return te
            case "imp":
                is_formal = imperative.endswith("せよ")
                return imperative + ("" if is_formal else self._expand("{end_imp}"))
            case "stem":
                return stem + self._expand("{end_stem}")
            case "plain_dict":
                return dictionary
            case "dict":
                is_open = self._family.reason or self._fields.get("tight")  # the text goes on
                return dictionary + ("" if is_open else self._expand("{end_dict}"))
        if end == "noun" and self._end == "noun":
            return dictionary + self._expand("{end_dict}")
        return te + self._expand("{end_te}")


def _words(table: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str, bool], list[str]]:
    """By language, class and whether they are held out. `a b|two words` is three words."""
    result = {}
    for name, entry in table.items():
        for lang in ("en", "ja"):
            for key, is_held in ((lang, False), (f"held_{lang}", True)):
                first, *rest = entry[key].split("|")
                result[lang, name, is_held] = [*first.split(), *rest]
    return result


def _weighted(table: Any) -> Any:  # Any: a TOML value
    """Alternatives that end in `~3` are listed three times (those of `~0.4` once)."""
    if isinstance(table, Mapping):
        return {key: _weighted(value) for key, value in table.items()}
    if not isinstance(table, list):
        return table
    result = []
    for item in table:
        found = re.search(r"~([\d.]+)$", item)
        result += [item[: found.start()]] * max(1, int(float(found[1]))) if found else [item]
    return result


def _framed(text: str, frame: tuple[str, str]) -> str | None:
    start = text.find(frame[0])
    if start < 0:
        return None
    return unicodedata.normalize("NFKC", text[start + 1 : text.index(frame[1], start)])


def _lower(text: str) -> str:
    return text if text[1:2].isupper() or text.startswith("I ") else text[:1].lower() + text[1:]


def _plural(noun: str) -> str:
    if noun.endswith(("pliers", "scissors", "tweezers", "glasses")):
        return noun
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("knife"):
        return noun[:-2] + "ves"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def _gerund(clause: str) -> str:
    """The first verb of an order in -ing; empty if it does not begin with one."""
    found = re.match(r"[A-Za-z]+(?![-'\w])", clause)
    if found is None or _NO_VERB.match(found[0]):
        return ""
    verb = found[0].lower()
    if verb.endswith("e") and not verb.endswith(("ee", "oe")):
        made = verb[:-1] + "ing"
    else:
        made = verb + (verb[-1] if _DOUBLED.match(verb) else "") + "ing"
    return made + clause[found.end() :]


def _tidy(text: str, lang: str, rng: Random) -> str:
    text = re.sub(r" {2,}", " ", text).strip(" ,")
    text = re.sub(r" ([,.;!?])", r"\1", text)
    if lang == "ja":
        text = re.sub(r"([、。！？])[、。]+", r"\1", text)
        is_ended = text.endswith(("。", "！", "？", "?", "!"))
        return text if is_ended or rng.random() < 0.7 else f"{text}。"
    if "..." not in text:
        text = re.sub(r"([,;:.]) ?([.!?])", r"\2", text)
    if rng.random() < 0.55:
        at = next((i for i, c in enumerate(text) if not _FRAMES.match(c)), 0)
        if at == 0 or rng.random() < 0.5:  # a name that comes first may get its capital, too
            text = text[:at] + text[at : at + 1].upper() + text[at + 1 :]
    if text[-1:] not in ".!?" and rng.random() < 0.35:
        text += rng.choice((".", ".", ".", "!", " !"))
    return text


def _noisy(text: str, rng: Random, family: Family, *, is_heavy: bool) -> str:
    """What fingers, telephones and keyboards do. Names keep their letters; case changes theirs."""
    is_english = family.lang == "en"
    if family.fields.get("case") == "upper":
        text = text.upper()
    if family.fields.get("bare"):
        gap = " " if not is_english and rng.random() < 0.5 else ""
        text = re.sub(("[,.!?;:]" if is_english else "[、。！？]") + r"(?!\d)", gap, text)
        text = text.lower() if is_english else text
    if rng.random() > (1.0 if is_heavy else 0.17):
        return text
    if is_english:
        for _ in range(rng.randrange(1, 4) if is_heavy else 1):
            text = _slipped(text, rng)
        if rng.random() < (0.4 if is_heavy else 0.3):
            text = noise.recase(text, rng)
        if rng.random() < 0.15:
            text = re.sub(r"[,.!?;](?!\d)", "", text)
        return text
    if rng.random() < 0.45:
        text = noise.full_width(text)
    elif rng.random() < 0.4:
        text = noise.half_width_kana(text)
    if rng.random() < 0.35:
        text = re.sub("[、。]", rng.choice(("", " ", "，")), text)
    if is_heavy and rng.random() < 0.5:
        text = text.replace("ください", rng.choice(("くださぃ", "くださいい", "くだい")))
    return text


def _slipped(text: str, rng: Random) -> str:
    """One slip of the finger, but not in a name that the answer gives, nor near a figure."""
    spans = [*_FRAMED.finditer(text)]
    target = rng.randrange(len(spans) + 1)
    pieces: list[str] = []
    end = 0
    for i, found in enumerate(spans):
        outside = text[end : found.start()]
        is_hit = i == target and not re.search(r"\d", outside)
        pieces += (noise.typo(outside, rng) if is_hit else outside, found[0])
        end = found.end()
    tail = text[end:]
    is_hit = target == len(spans) and not re.search(r"\d", tail)
    return "".join((*pieces, noise.typo(tail, rng) if is_hit else tail))
