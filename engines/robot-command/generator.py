"""Orders to a robot, imagined first and then written down.

An order is an action with its object, target, speed and constraints. A family decides how it is
put: polite, shouted, corrected, negated, as a form, over the radio. Object and target are framed in
the text by private characters, so that whatever happens to the text (typos, case, width) happens to
the answer, too. Words are in lexicon.toml and phrases.toml, families in families.toml and
negatives.toml.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from skilld.skills.span_values import number_value
from skilld.skills.spans import SpanError, SpanRules
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

VERSION = "1"
ROOM = Path(__file__).parent
NEGATIVE_SHARE = 0.15
SPEED_LIMIT_MM_S = 1500
MAX_CHARS = 300
ATTEMPTS = 60

OBJECT, TARGET = ("\uf8f0", "\uf8f1"), ("\uf8f2", "\uf8f3")
_NO_VERBS = frozenset(
    "in on into onto from at speed velocity new emergency all full gripper hand one hands you end "
    "home back faster slower jaws claw fingers grip".split()
)
# What Japanese says of a thing that it may name again.
_HANDLED = (
    "傾け",
    "こぼさ",
    "倒さ",
    "横に",
    "離さ",
    "落とさ",
    "壊さ",
    "ひっくり",
    "放さ",
    "水平",
    "丁寧",
    "持ったまま",
)
_FRAMES = re.compile("[\uf8f0-\uf8f3]")
_FRAMED = re.compile("[\uf8f0\uf8f2][^\uf8f1\uf8f3]*[\uf8f1\uf8f3]")

THINGS = (
    "fastener container tool part electronics kitchen vessel sheet food soft document"
).split()
CLASSES: dict[str, list[str]] = {
    **dict.fromkeys(("pick", "place", "move_object", "hand_over"), THINGS),
    **dict.fromkeys(("push", "pull"), ["wheeled", "container", "sheet", "part"]),
    "press": ["pressable"],
    **dict.fromkeys(("open", "close"), ["openable"]),
    "inspect": ["checkable", "part", "electronics", "surface", "openable", "vessel", "container"],
    "count": THINGS,
    "clean": ["surface", "tool", "part", "kitchen", "openable", "electronics"],
    **dict.fromkeys(("open_gripper", "close_gripper"), ["fastener", "part", "tool", "vessel"]),
}
PLACES: dict[str, list[str]] = {
    **dict.fromkeys(("pick", "count"), ["storage", "station"]),
    "place": ["storage", "storage", "storage", "station", "station", "position", "thing"],
    "move_object": ["storage", "station", "area", "position"],
    "hand_over": ["person"],
    "go_to": ["station", "area", "position", "storage"],
    "push": ["station", "area", "storage"],
    "pull": ["station", "area"],
    **dict.fromkeys(("press", "open", "close", "clean"), ["station"]),
    "inspect": ["station", "storage"],
}
TARGET_SHARE = {
    "pick": 0.45, "place": 0.82, "move_object": 1.0, "hand_over": 0.5, "go_to": 1.0, "push": 0.55,
    "pull": 0.45, "press": 0.3, "open": 0.22, "close": 0.22, "inspect": 0.4, "count": 0.6,
    "clean": 0.25,
}  # fmt: skip
ACTIONS = {
    "pick": 12, "place": 13, "move_object": 15, "hand_over": 9, "go_to": 10, "push": 5, "pull": 4,
    "press": 4, "open": 4, "close": 4, "open_gripper": 3, "close_gripper": 3, "inspect": 6,
    "count": 4, "clean": 5, "set_speed": 4, "stop": 3, "pause": 3, "resume": 3, "home": 3,
}  # fmt: skip
_MOVING = "slow fast gentle avoid_people avoid_contact wait_for_signal check_first dry_run"
_AFTER = "return_home report_when_done"
_CARRYING = f"{_MOVING} keep_upright one_at_a_time {_AFTER}"
CONSTRAINTS: dict[str, list[str]] = {
    "pick": f"{_CARRYING} keep_hold keep_hold".split(),
    **dict.fromkeys(("place", "move_object", "hand_over"), _CARRYING.split()),
    "go_to": f"{_MOVING} {_AFTER}".split(),
    **dict.fromkeys(("push", "pull"), f"{_MOVING} keep_upright {_AFTER}".split()),
    **dict.fromkeys(
        ("press", "open", "close"), f"slow gentle wait_for_signal check_first dry_run {_AFTER}".split()
    ),
    **dict.fromkeys(
        ("open_gripper", "close_gripper"), "slow gentle wait_for_signal check_first dry_run".split()
    ),
    **dict.fromkeys(("inspect", "clean"), f"{_MOVING} one_at_a_time {_AFTER}".split()),
    "count": f"fast one_at_a_time avoid_contact {_AFTER}".split(),
    "home": "slow fast gentle avoid_people avoid_contact wait_for_signal report_when_done".split(),
    "resume": "slow gentle avoid_people wait_for_signal report_when_done".split(),
}  # fmt: skip
ORDER = (
    "slow fast gentle keep_upright avoid_people avoid_contact wait_for_signal check_first "
    "one_at_a_time dry_run keep_hold return_home report_when_done"
).split()
_CLASHES = ({"slow", "fast"}, {"keep_hold", "return_home"}, {"keep_hold", "one_at_a_time"})
SPEEDY = frozenset("pick place move_object hand_over go_to push pull open close home".split())
# Actions of two orders that cannot be taken for one job.
SINGLE = ("inspect", "count", "clean", "open", "close", "press", "push", "pull", "go_to")
HELD_COMBINATIONS = frozenset(
    "pick+electronics pick+soft place+vessel place+food move_object+tool move_object+sheet "
    "hand_over+kitchen hand_over+document count+fastener inspect+surface clean+part push+container".split()
)
_UNITS: dict[str, Sequence[tuple[str, float, int, int, int]]] = {
    # how it is written, mm/s of one, least, most, decimals
    "en": (
        ("{n} mm/s", 1, 1, 150, -1), ("{n}mm/s", 1, 1, 150, -1), ("{n} mm/s", 1, 20, 1500, 0),
        ("{n} mm per second", 1, 1, 150, -1), ("{n} millimeters per second", 1, 1, 150, -1),
        ("{n} cm/s", 10, 1, 150, 0), ("{n}cm/s", 10, 1, 150, 0), ("{n} cm per second", 10, 1, 150, 0),
        ("{n} centimeters per second", 10, 1, 150, 0), ("{n} cm/s", 10, 1, 150, 1),
        ("{n} m/s", 1000, 0, 1, 2), ("{n}m/s", 1000, 0, 1, 1), ("{n} m/s", 1000, 0, 1, 1),
        ("{n} meters per second", 1000, 0, 1, 1), ("{n} mm/sec", 1, 1, 150, -1),
        ("{n} mm/min", 1 / 60, 10, 300, -2), ("{n} m/min", 1000 / 60, 3, 90, 0),
        ("{n} meters per minute", 1000 / 60, 3, 90, 0), ("{n} in/s", 25.4, 1, 59, 0),
        ("{n} inches per second", 25.4, 1, 59, 0), ("{n} mm a second", 1, 1, 150, -1),
    ),
    "ja": (
        ("毎秒{n}センチ", 10, 1, 150, 0), ("秒速{n}mm", 1, 1, 150, -1), ("{n}mm/s", 1, 1, 150, -1),
        ("毎秒{n}ミリ", 1, 1, 150, -1), ("秒速{n}センチ", 10, 1, 150, 0), ("{n}mm/秒", 1, 1, 150, -1),
        ("毎秒{n}メートル", 1000, 0, 1, 1), ("秒速{n}m", 1000, 0, 1, 1), ("{n}cm/s", 10, 1, 150, 0),
        ("{n}センチ毎秒", 10, 1, 150, 0), ("{n}ミリ毎秒", 1, 1, 150, -1), ("{n} mm/s", 1, 20, 1500, 0),
        ("毎分{n}メートル", 1000 / 60, 3, 90, 0), ("分速{n}m", 1000 / 60, 3, 90, 0),
        ("{n}m/s", 1000, 0, 1, 1), ("{n}センチ/秒", 10, 1, 150, 0), ("{n}m/min", 1000 / 60, 3, 90, 0),
        ("1秒に{n}センチ", 10, 1, 150, 0), ("毎秒{n}センチメートル", 10, 1, 150, 0),
    ),
}  # fmt: skip
_PREPARED: dict[str, tuple[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Family:
    """How an order is put.

    Attributes:
        fields: its entry in families.toml or negatives.toml.
        reason: to abstain; empty when the order is to be answered.
    """

    id: str
    lang: str
    text: tuple[str, ...]
    fields: Mapping[str, Any]  # Any: values of a TOML table
    reason: str = ""

    def has(self, name: str, value: str) -> bool:
        """A field of the family has this value."""
        return bool(self.fields.get(name) == value)


@dataclass(frozen=True, slots=True)
class Noun:
    """A thing or a place.

    Attributes:
        text: as the answer has it.
        head: its noun alone.
        plural: it is several.
        bare: it stands without an article ("bin 4").
    """

    text: str
    head: str = ""
    plural: bool = False
    bare: bool = False
    number: str = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """As written, and in mm/s as the answer has it."""

    text: str
    mm_s: int | float


@dataclass(frozen=True, slots=True)
class Order:
    """What is meant, and the things it is not (`other_`), for corrections."""

    action: str
    thing_class: str
    thing: Noun | None
    place: Noun | None
    speed: Speed | None
    constraints: tuple[str, ...]
    slots: Mapping[str, str] = field(default_factory=dict)


class RobotCommandGenerator:
    """Draws orders. Everything it reads is beside this file."""

    def __init__(self) -> None:
        lexicon, phrases, families, negatives = (
            tomllib.loads((ROOM / f"{name}.toml").read_text(encoding="utf-8"))
            for name in ("lexicon", "phrases", "families", "negatives")
        )
        skill = tomllib.loads((ROOM / "skills" / "robot-command.toml").read_text(encoding="utf-8"))
        self._spans = SpanRules(**skill["spans"])
        self._schema = skill["output_schema"]
        self._things = _words(lexicon["things"])
        self._places = _words(lexicon["places"]) | _words({"person": lexicon["people"]})
        self._robots = {lang: lexicon["robots"][lang].split() for lang in ("en", "ja")}
        self._adjectives = {name: text.split() for name, text in lexicon["adjectives"].items()}
        self._phrases = _weighted(phrases)
        drawn = terminals()
        self._grammars = {
            lang: Grammar(
                phrases[lang]["rules"] | families["rules"][lang] | negatives["rules"][lang],
                terminals=drawn,
            )
            for lang in ("en", "ja")
        }
        self._families: dict[str, Family] = {}
        self._weights: dict[str, float] = {}
        self._held: set[str] = set()
        for table in (families, negatives):
            weights = {f["id"]: float(f.get("weight", 1.0)) for f in table["family"]}
            share = (1 - NEGATIVE_SHARE) if table is families else NEGATIVE_SHARE
            total = sum(weights.values())
            for f in table["family"]:
                name = f["id"]
                self._families[name] = Family(
                    name, f["lang"], tuple(f["text"]), f, f.get("reason", "")
                )
                self._weights[name] = weights[name] / total * share
                if f.get("held"):
                    self._held.add(name)

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in seven."""
        return self._weights

    @property
    def held_families(self) -> frozenset[str]:
        """Ways to put an order that training never sees."""
        return frozenset(self._held)

    @property
    def held_values(self) -> tuple[str, ...]:
        """Names of things, places and people that training never sees."""
        return tuple(
            word
            for table in (self._things, self._places)
            for (_, _, is_held), words in table.items()
            if is_held
            for word in words
        )

    @property
    def held_combinations(self) -> frozenset[str]:
        """Pairs of action and class of thing that training never sees."""
        return HELD_COMBINATIONS

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One order, written in a family.

        Raises:
            ValueError: the family cannot be written so that the answer points at the text.
        """
        kind = self._families[family]
        for _ in range(ATTEMPTS):
            example = self._attempt(rng, kind, draw)
            if example is not None:
                return example
        raise ValueError(f"family {family!r}: no order in {ATTEMPTS} attempts")

    # ------------------------------------------------------------ what is meant

    def _attempt(self, rng: Random, family: Family, draw: Draw) -> Example | None:
        scribe = _Scribe(self, rng, family, draw)
        order = scribe.order()
        if order is None:
            return None
        text = scribe.write(order)
        if text is None:
            return None
        text = _noisy(text, rng, family, draw)
        plain = _FRAMES.sub("", text)
        if not plain or len(plain) > MAX_CHARS or len(unicodedata.normalize("NFKC", plain)) > 300:
            return None
        values = {"text": plain}
        if family.reason:
            return Example(family.id, values, {"abstain": family.reason})
        found = [_framed(text, frame) for frame in (OBJECT, TARGET)]
        if (order.thing is None) != (found[0] is None) or (order.place is None) != (
            found[1] is None
        ):
            return None
        answer = {
            "action": order.action,
            "object": found[0],
            "target": found[1],
            "speed_mm_s": None if order.speed is None else order.speed.mm_s,
            "constraints": [name for name in ORDER if name in order.constraints],
        }
        try:
            self._spans.mark(values).point(answer, self._schema)
        except SpanError:
            return None  # such as a name that two readings of the text share
        pair = f"{order.action}+{order.thing_class}" if order.thing is not None else ""
        if (pair in HELD_COMBINATIONS) != draw.held_combination and not (
            draw.held_combination and family.reason
        ):
            return None
        return Example(
            family.id, values, answer, pair if len(CLASSES.get(order.action, ())) > 1 else ""
        )


class _Scribe:
    """Imagines one order and writes it in one family."""

    def __init__(
        self, generator: RobotCommandGenerator, rng: Random, family: Family, draw: Draw
    ) -> None:
        self._of = generator
        self._rng = rng
        self._family = family
        self._held = draw.held_values
        self._template = ""
        self._wants_pair = draw.held_combination
        self._lang = family.lang
        self._noun_lang = family.lang
        if family.fields.get("foreign"):
            self._noun_lang = "ja" if family.lang == "en" else "en"
        self._phrases = generator._phrases[family.lang]
        self._grammar = generator._grammars[family.lang]

    def _expand(self, template: str, bound: Mapping[str, str] | None = None) -> str:
        return self._grammar.expand(template, self._rng, bound=bound)

    def order(self) -> Order | None:
        """What is to be done."""
        rng, fields = self._rng, self._family.fields
        action = self._action()
        pairs = [f"{action}+{c}" in HELD_COMBINATIONS for c in CLASSES.get(action, ())]
        classes = [
            c
            for c, is_held in zip(CLASSES.get(action, ()), pairs, strict=True)
            if is_held == self._wants_pair or (self._family.reason and not self._wants_pair)
        ]
        needs = fields.get("needs")
        if needs == "speed" and action not in SPEEDY and action != "set_speed":
            return None
        thing = place = None
        thing_class = ""
        has_thing = bool(classes) and (
            action not in ("open_gripper", "close_gripper")
            or rng.random() < 0.25
            or needs == "object"
        )
        if self._wants_pair and not classes:
            return None
        if has_thing:
            thing_class = rng.choice(classes)
            thing = self.thing(thing_class, is_many=action == "count")
        if action in PLACES and (
            needs == "target" or fields.get("form") or rng.random() < TARGET_SHARE[action]
        ):
            place = self.place(rng.choice(PLACES[action]))
        if needs == "target" and place is None or needs == "object" and thing is None:
            return None
        if fields.get("form") and (place is None or thing is None):
            return None
        if fields.get("numbered") and (place is None or not place.number):
            return None
        speed = None
        if not fields.get("speedless"):
            wanted = needs == "speed" or (action in SPEEDY and rng.random() < 0.22)
            if action == "set_speed":
                wanted = needs == "speed" or rng.random() < 0.65
            if wanted and not fields.get("form"):
                speed = self.speed(is_over=bool(fields.get("over")))
        return Order(action, thing_class, thing, place, speed, self._constraints(action, speed))

    def _action(self) -> str:
        fields = self._family.fields
        if "action" in fields:
            return str(fields["action"])
        pool = dict(ACTIONS)
        needs = fields.get("needs")
        if needs == "object" or fields.get("it") == "object":
            pool = {a: w for a, w in pool.items() if a in CLASSES and "gripper" not in a}
        if needs == "target" or fields.get("it") == "target":
            pool = {a: w for a, w in pool.items() if a in PLACES}
        if needs == "speed":
            pool = {a: w for a, w in pool.items() if a in SPEEDY or a == "set_speed"}
        if fields.get("form"):
            pool = {a: w for a, w in pool.items() if a in ("pick", "place", "move_object", "push", "inspect", "count", "hand_over")}  # fmt: skip
        if fields.get("wrong") == "two":
            pool = {a: pool[a] for a in SINGLE}
        if fields.get("there"):
            pool = {a: pool[a] for a in ("place", "move_object", "go_to")}
        if self._family.id.endswith(("-dont", "-past-order", "-who-does")) or (
            "-unsafe-" in self._family.id and not needs
        ):
            pool = {
                a: w for a, w in pool.items() if a not in ("stop", "pause", "resume", "set_speed")
            }
        if fields.get("tight"):
            pool = {a: w for a, w in pool.items() if a in TARGET_SHARE}
        if self._wants_pair:
            held = {pair.split("+")[0] for pair in HELD_COMBINATIONS}
            pool = {a: w for a, w in pool.items() if a in held} or pool
        return self._rng.choices(list(pool), list(pool.values()))[0]

    def _constraints(self, action: str, speed: Speed | None) -> tuple[str, ...]:
        rng = self._rng
        if action == "set_speed":
            return () if speed is not None else (rng.choice(("slow", "fast")),)
        pool = CONSTRAINTS.get(action, ())
        fields = self._family.fields
        if not pool or fields.get("form"):
            return ()
        count = rng.choices((0, 1, 2, 3), (46, 36, 14, 4))[0]
        if "mods" in fields:
            count = rng.choice((2, 2, 3, 4))
        if self._family.reason or "verbless" in self._family.id:
            count = rng.choices((0, 1), (75, 25))[0]
        if fields.get("tight"):
            pool = [name for name in pool if self._phrases["constraint"][name]["adv"]]
        names = list(dict.fromkeys(rng.choices(pool, k=count)))
        for clash in _CLASHES:
            if clash <= set(names):
                names.remove(rng.choice(sorted(clash)))
        if speed is not None and "fast" in names:
            names.remove("fast")
        return tuple(names)

    # ------------------------------------------------------------ names

    def thing(self, thing_class: str, *, is_many: bool = False, head: str = "") -> Noun:
        """A thing of a class, with what describes it."""
        rng = self._rng
        noun = head or rng.choice(self._of._things[self._noun_lang, thing_class, self._held])
        if self._noun_lang == "ja":
            return self._thing_ja(noun)
        if not head and rng.random() < 0.03:
            other = rng.choice(self._of._things["en", thing_class, self._held])
            return Noun(f"{noun} and {rng.choice(('', 'the '))}{other}", noun, plural=True)
        words = [noun]
        plural = is_many or rng.random() < 0.13
        if plural:
            words = [_plural(noun)]
        shape = rng.choices(range(9), (30, 32, 7, 9, 6, 3, 4, 3, 3))[0]
        adjectives = self._of._adjectives["en"]
        bare = False
        match shape:
            case 1:
                words.insert(0, rng.choice(adjectives))
            case 2:
                words = [*rng.sample(adjectives, 2), *words]
            case 3 if not plural:
                words.append(self._label(rng))
                bare = rng.random() < 0.7
            case 4:
                words.insert(0, self._size(rng))
            case 5 if plural:
                words.insert(0, rng.choice(("2", "3", "4", "5", "6", "10", "12", "two", "three", "four", "five", "2x", "4x", "ten", "twelve")))  # fmt: skip
                bare = True
            case 6 if not plural:
                return Noun(f"{rng.choice(('box', 'bag', 'roll', 'stack', 'bucket', 'set', 'pack', 'pile', 'tray', 'pair', 'crate', 'lid', 'top', 'back', 'left half'))} of {_plural(noun)}", noun)  # fmt: skip
            case 7 if not plural:
                return Noun(f"{rng.choice(adjectives)} one", noun)
            case 8:
                return Noun(self._code(rng), noun, bare=rng.random() < 0.8)
        return Noun(" ".join(words), noun, plural, bare)

    def _thing_ja(self, noun: str) -> Noun:
        rng = self._rng
        i_words, na_words = self._of._adjectives["ja_i"], self._of._adjectives["ja_na"]
        match rng.choices(range(10), (32, 18, 16, 10, 6, 5, 3, 3, 3, 4))[0]:
            case 1:
                text = rng.choice(i_words) + noun
            case 2:
                text = rng.choice(na_words) + noun
            case 3:
                text = noun + self._label(rng).replace("no. ", "No.").replace("number ", "")
            case 4:
                text = (
                    self._size(rng).replace(" inch", "インチ").replace(" ", "")
                    + rng.choice(("の", ""))
                    + noun
                )
            case 5:
                text = f"{rng.randrange(2, 13)}{rng.choice(('個の', '本の', '枚の', 'つの'))}{noun}"
            case 6:
                text = rng.choice(i_words) + rng.choice(("方", "やつ", "の方"))
                text = text.replace("いの方", "い方")
            case 7:
                text = self._code(rng)
            case 8:
                others = self._of._things["ja", "part", self._held]
                text = f"{noun}と{rng.choice(others)}"
            case 9:
                text = rng.choice(na_words) + rng.choice(i_words) + noun
            case _:
                text = noun
        return Noun(text, noun)

    def place(self, kind: str, *, head: str = "") -> Noun:
        """A place of a kind, or a person."""
        rng = self._rng
        if kind == "thing":
            return self.thing(rng.choice(THINGS), head=head)
        words = self._of._places[self._noun_lang, kind, self._held]
        noun = head or rng.choice(words)
        if kind == "person":
            return Noun(noun.removeprefix("the ").removeprefix("my "), noun, bare=noun[0].isupper())
        if self._noun_lang == "ja":
            return self._place_ja(noun)
        number = self._label(rng)
        must = kind == "position" or self._family.fields.get("numbered")
        match rng.choices(
            range(6), (0 if must else 22, 46, 0 if must else 22, 5, 4, 0 if must else 2)
        )[0]:
            case 1:
                return Noun(f"{noun} {number}", noun, bare=rng.random() < 0.8, number=number)
            case 2:
                return Noun(f"{rng.choice(self._of._adjectives['place'])} {noun}", noun)
            case 3:
                adjective = rng.choice(self._of._adjectives["place"])
                return Noun(f"{adjective} {noun} {number}", noun, number=number)
            case 4:
                if must:
                    return Noun(f"{noun} {number}", noun, bare=True, number=number)
                if rng.random() < 0.5:
                    return Noun(self._code(rng), noun, bare=True)
                side = rng.choice(("left side", "right side", "top", "front", "back", "edge", "end", "corner", "middle", "lid"))  # fmt: skip
                return Noun(f"{side} of the {noun}", noun)
            case 5:
                part = rng.choice(
                    ("slot", "row", "position", "level", "compartment", "drawer", "hole")
                )
                return Noun(f"{part} {rng.randrange(1, 13)} of {noun} {number}", noun, bare=True)
        return Noun(noun, noun)

    def _place_ja(self, noun: str) -> Noun:
        rng = self._rng
        number = self._label(rng).replace("no. ", "No.").replace("number ", "番号")
        digit = str(rng.choice((*range(1, 10), rng.randrange(10, 40))))
        if self._family.fields.get("numbered"):
            return Noun(noun + digit, noun, number=digit)
        match rng.choices(range(10), (20, 37, 14, 6, 7, 3, 4, 5, 2, 2))[0]:
            case 1:
                return Noun(noun + number, noun, number=number)
            case 2:
                return Noun(rng.choice(self._of._adjectives["ja_place"]) + noun, noun)
            case 3:
                return Noun(f"{digit}番{noun}", noun)
            case 4:
                return Noun(f"{digit}番の{noun}", noun)
            case 5:
                return Noun(f"第{digit}{noun}", noun)
            case 6:
                return Noun(f"{noun}{digit}番", noun)
            case 7:
                return Noun(self._code(rng), noun)
            case 8:
                part = rng.choice(("段目", "列目", "番目", "番", "段"))
                return Noun(f"{noun}{number}の{rng.randrange(1, 8)}{part}", noun)
            case 9:
                return Noun(
                    f"{rng.choice('一二三四五六七八九')}{rng.choice(('番の', '番目の', '段目の'))}{noun}",
                    noun,
                )
        return Noun(noun, noun)

    def _label(self, rng: Random) -> str:
        if self._family.fields.get("numbered"):
            return rng.choice((str(rng.randrange(1, 41)), str(rng.randrange(1, 10)), rng.choice("ABCDEFGHK"), self._code(rng)))  # fmt: skip
        if self._noun_lang == "en" and rng.random() < 0.06:
            return rng.choice("one two three four five six seven eight nine ten twelve".split())
        match rng.choices(range(9), (50, 8, 10, 6, 6, 5, 4, 4, 5))[0]:
            case 0:
                return str(rng.choice((*range(1, 13), rng.randrange(1, 100))))
            case 1:
                return rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ")
            case 2:
                return f"{rng.choice('ABCDEFGHKLMNPRSTUVW')}{rng.randrange(1, 40)}"
            case 3:
                return f"{rng.choice('ABCDEFGHKLMNPRSTUVW')}-{rng.randrange(1, 130)}"
            case 4:
                return f"#{rng.randrange(1, 30)}"
            case 5:
                return f"no. {rng.randrange(1, 30)}"
            case 6:
                return f"number {rng.randrange(1, 30)}"
            case 7:
                return str(rng.randrange(100, 10000))
            case _:
                return self._code(rng)

    def _code(self, rng: Random) -> str:
        def letters(count: int) -> str:
            return "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=count))

        def digits(count: int) -> str:
            return "".join(rng.choices("0123456789", k=count))

        match rng.randrange(8):
            case 0:
                return f"{letters(1)}{digits(rng.choice((1, 2, 3)))}"
            case 1:
                return f"{letters(2)}-{digits(rng.choice((2, 3, 4)))}"
            case 2:
                return f"{letters(1)}-{digits(2)}"
            case 3:
                return f"{letters(3)}{digits(rng.choice((2, 3, 4)))}"
            case 4:
                return f"{letters(1)}{digits(1)}-{digits(2)}"
            case 5:
                return f"{digits(3)}-{letters(1)}"
            case 6:
                return f"{letters(2)}-{digits(2)}-{letters(1)}"
            case _:
                return f"{letters(2)}_{digits(2)}"

    def _size(self, rng: Random) -> str:
        return rng.choice((
            f"M{rng.choice((3, 4, 5, 6, 8, 10, 12, 16))}", f"{rng.randrange(2, 60)} mm", f"{rng.randrange(2, 60)}mm",
            f"{rng.randrange(1, 9)} inch", f"{rng.choice((10, 20, 30))}x{rng.choice((20, 40, 50))}", f"{rng.choice((50, 100, 200, 250, 500))}ml",
            f"{rng.choice((1, 2, 5, 10))} kg", f"{rng.choice((12, 24, 48))}V", f"{rng.randrange(1, 9)}.5 mm",
        ))  # fmt: skip

    def speed(self, *, is_over: bool = False) -> Speed:
        """A speed in a unit of the language."""
        rng = self._rng
        while True:
            template, scale, low, high, decimals = rng.choice(_UNITS[self._lang])
            if is_over:
                step = scale * 10 ** max(0, -decimals)
                low, high = int(1500 / step), int(rng.choice((2000, 3000, 9000)) / step)
            number = rng.uniform(low, high)
            text = f"{number:.{decimals}f}" if decimals > 0 else str(int(number))
            if decimals < 0:
                text = str(int(number) * 10**-decimals)
            if scale == 1 and len(text) == 4 and rng.random() < 0.3:
                text = f"{text[0]},{text[1:]}"
            mm_s = number_value(text, scale=scale)
            if (
                mm_s is None
                or mm_s <= 0
                or (mm_s > SPEED_LIMIT_MM_S) != is_over
                or mm_s != round(mm_s, 2)
            ):
                continue
            return Speed(template.replace("{n}", text), mm_s)

    # ------------------------------------------------------------ writing it down

    def write(self, order: Order) -> str | None:
        """The text, with object and target framed."""
        rng, fields = self._rng, self._family.fields
        template = self._template = rng.choice(self._family.text)
        bound: dict[str, str] = {"R": rng.choice(self._of._robots[self._lang])}
        if self._lang == "en" and rng.random() < 0.2:
            bound["R"] += f" {rng.randrange(1, 9)}"
        wrong = self._wrong(order)
        if wrong is None:
            return None
        if (
            self._lang == "ja"
            and not order.thing
            and not order.place
            and fields.get("end") in ("plain_te", "noun")
        ):
            return None
        full = self._bind(order, wrong)
        bound |= full
        if "{cor" in template:
            kind = fields.get("wrong")
            core_bound = dict(full)
            for slot, name in (("object", "O"), ("target", "T"), ("speed", "s")):
                if slot in fields and name in full:
                    core_bound[name] = self._expand(
                        rng.choice(fields[slot]), full | {"R": bound["R"]}
                    )
            if fields.get("it") == "object" and "{O}" in template:
                core_bound["O"] = full["it"]
            if fields.get("it") == "target" and "{T}" in template:
                core_bound["T"] = "it"
            if fields.get("there") and order.place is not None:
                core_bound["T"] = "\uf8ff" + self._expand("{there}")
            if kind in ("target", "object", "speed"):
                missing = {"target": "T", "object": "O", "speed": "s"}[kind]
                if missing not in full:
                    return None
                core_bound[missing] = full[f"{missing}2"]
                core = self._dressed(order, core_bound)
                bound["core2"] = core
            elif kind in ("action", "all", "two"):
                other_bound = self._bind(wrong, wrong, framed=False)
                bare = replace(wrong, constraints=())
                bound["core2"] = self._core(bare, other_bound, [])
                if self._lang == "en":
                    bound["coring2"] = _gerund(bound["core2"])
                bound["core"] = self._dressed(order, core_bound)
            else:
                bound["core"] = self._dressed(order, core_bound)
            if "{coring}" in template:
                bound["coring"] = _gerund(self._dressed(order, core_bound, only_after=True))
            if "{coring" in template and not (bound.get("coring") or bound.get("coring2")):
                return None
        if fields.get("form"):
            bound["a"] = self._bare_verb(order)
        if self._family.reason:  # anything may be named in what is declined
            other = rng.choice(THINGS)
            bound.setdefault("O", self._printed(self.thing(other)))
            bound.setdefault("T", self._printed(self.place("storage")))
        bound.setdefault("S", self._printed(self.place("storage")))
        bound.setdefault("N2", self._printed(self.thing(rng.choice(THINGS))))
        text = self._expand(template, bound)
        if "{cor" not in template and not self._family.reason:
            text = self._dressed(order, full, whole=text)
        if self._lang == "en":
            text = re.sub(
                r"\b(in|into|on|onto|at|to|over|next to|beside|behind|in front of|under|inside|near|by|above|below|of|from) \uf8ff",
                "",
                text,
            )
        text = text.replace("\uf8ff", "")
        return _tidy(text, self._lang, rng)

    def _wrong(self, order: Order) -> Order | None:
        """What is not meant: other names, another speed, another action."""
        rng, kind = self._rng, self._family.fields.get("wrong")
        action = order.action
        if kind in ("action", "all", "two"):
            pool = SINGLE if kind == "two" else tuple(ACTIONS)
            action = rng.choice([a for a in pool if a != order.action])
            if kind == "two" and "go_to" == order.action:
                return None  # going there first would be part of the job
        thing, place = order.thing, order.place
        thing_class = order.thing_class or rng.choice(THINGS)
        if kind in ("all", "two") or (kind == "action" and thing is None):
            thing_class = rng.choice(CLASSES.get(action, THINGS))
        same = kind == "action" and order.thing is not None
        if not same:
            head = thing.head if thing is not None and thing_class == order.thing_class else ""
            head = head if head and rng.random() < 0.6 and self._noun_lang == self._lang else ""
            thing = self.thing(thing_class, head=head)
        if same and action not in CLASSES:
            return None
        if kind not in ("action",) or place is None:
            person = order.action == "hand_over" and kind != "all" and kind != "two"
            place_kind = (
                "person" if person else rng.choice(PLACES.get(action, ["storage", "station"]))
            )
            head = place.head if place is not None and not person and rng.random() < 0.6 else ""
            place = self.place(place_kind, head="" if place_kind == "person" else head)
        if (
            order.thing is not None
            and thing is not None
            and not same
            and thing.text == order.thing.text
        ):
            return None
        if order.place is not None and kind != "action" and place.text == order.place.text:
            return None
        speed = self.speed(is_over=bool(self._family.fields.get("over")) and rng.random() < 0.3)
        if order.speed is not None and speed.mm_s == order.speed.mm_s:
            return None
        if action == "set_speed" and kind in ("action", "all"):
            return replace(
                order, action=action, thing=None, place=None, speed=speed, constraints=()
            )
        if action not in CLASSES:
            thing = None if kind in ("action", "all", "two") else thing
        if kind in ("action", "all", "two") and action not in PLACES:
            place = None
        elif kind in ("action", "all", "two") and rng.random() > TARGET_SHARE.get(action, 0):
            place = None
        return replace(order, action=action, thing=thing, place=place, speed=speed)

    def _bind(self, order: Order, wrong: Order, *, framed: bool = True) -> dict[str, str]:
        bound: dict[str, str] = {"it": "it", "It": "It", "It's": "It's"}
        thing = order.thing
        if thing is not None:
            bound["O"] = self._printed(thing, OBJECT if framed else None)
            if thing.plural:
                bound |= {"it": "them", "It": "They", "It's": "They are"}
        if self._lang == "ja":
            bound["it"] = self._rng.choice(("それを", "これを", ""))
        if order.place is not None:
            bound["T"] = self._printed(order.place, TARGET if framed else None)
        if order.speed is not None:
            bound["s"] = order.speed.text
        if wrong.thing is not None:
            bound["O2"] = self._printed(wrong.thing)
        if wrong.place is not None:
            number = wrong.place.number
            bound["T2"] = self._printed(wrong.place)
            if self._family.fields.get("numbered") and order.place is not None and framed:
                # "bin 3, no, 4": the noun stays with the first number
                if not number or not order.place.number or number == order.place.number:
                    return bound
                head = order.place.text.removesuffix(order.place.number)
                bound["T2"] = self._printed(replace(order.place, text=head + number))
                bound["T"] = TARGET[0] + order.place.number + TARGET[1]
        if wrong.speed is not None:
            bound["s2"] = wrong.speed.text
        return bound

    def _printed(self, noun: Noun, frame: tuple[str, str] | None = None) -> str:
        """With its article, and framed if it is part of the answer."""
        rng = self._rng
        text = noun.text if frame is None else frame[0] + noun.text + frame[1]
        if self._noun_lang == "ja" or noun.head[:1].isupper():
            prefix = ""
            if self._lang == "ja" and rng.random() < 0.07 and not noun.number:
                prefix = rng.choice(("この", "その", "あの"))
            return prefix + text
        if noun.bare:
            return text
        if self._lang == "ja":
            return text
        articles = ("the ", "the ", "the ", "the ", "that ", "this ", "my ", "your ", "a ", "", "")
        if noun.plural:
            articles = ("the ", "the ", "the ", "all the ", "all ", "these ", "those ", "some ", "", "", "both ", "my ", "all of the ")  # fmt: skip
        article = rng.choice(articles)
        if article == "a " and noun.text[0].lower() in "aeiou":
            article = "an "
        return article + text

    def _bare_verb(self, order: Order) -> str:
        words = {
            "en": {"pick": "pick|pick up|PICK", "place": "place|put|PLACE", "move_object": "move|transfer|MOVE", "push": "push|PUSH", "inspect": "inspect|check|INSPECT", "count": "count|COUNT", "hand_over": "give|hand over|deliver"},
            "ja": {"pick": "ピック|把持|取る", "place": "置く|プレース|配置", "move_object": "搬送|移載|運ぶ|運搬", "push": "押す", "inspect": "点検|検査|確認", "count": "カウント|数える", "hand_over": "渡す|手渡し"},
        }  # fmt: skip
        return self._rng.choice(words[self._lang][order.action].split("|"))

    def _dressed(
        self,
        order: Order,
        bound: Mapping[str, str],
        *,
        only_after: bool = False,
        whole: str | None = None,
    ) -> str:
        """The order with its speed and constraints, as parts of it or as sentences around it."""
        rng = self._rng
        inside: list[str] = []
        before: list[str] = []
        after: list[str] = []
        parts: list[tuple[str, Mapping[str, Any]]] = []
        if order.speed is not None and order.action != "set_speed":
            parts.append(("speed", self._phrases["speed"]))
        if order.action != "set_speed":
            parts += [(name, self._phrases["constraint"][name]) for name in order.constraints]
        rng.shuffle(parts)
        only_after = only_after or bool(self._family.fields.get("tight"))
        in_two = "core2" in self._family.text[0]
        for _, said in parts:
            is_inside = said["adv"] and (rng.random() < 0.55 or only_after) and whole is None
            is_before = not is_inside and rng.random() < 0.25 and not only_after and not in_two
            for _ in range(20):
                said_as = rng.choice(said["adv" if is_inside else "sent"])
                named = bound
                if order.thing is not None and bound.get("O", "").find(OBJECT[0]) >= 0:
                    named = self._naming(order.thing, said_as, bound, is_before=is_before)
                if self._lang == "ja" and order.thing is not None and said_as.startswith(_HANDLED):
                    if (
                        not is_inside
                        and order.thing.head in order.thing.text
                        and rng.random() < 0.25
                    ):
                        said_as = order.thing.head + rng.choice(("を", "は")) + said_as
                phrase = self._said(said_as, named)
                if (
                    order.thing is not None
                    or not re.search(r"\b([iI]t|them|[Tt]hey|[Ii]t's)\b", phrase)
                    or "it is" in phrase
                    or "it's" in phrase
                ):
                    break
            if OBJECT[0] in phrase:
                bound = {**bound, "O": bound["it"]}
            if is_inside:
                inside.append(phrase)
            elif is_before:
                before.append(phrase)
            else:
                after.append(phrase)
        core = self._core(order, bound, inside) if whole is None else whole
        if self._lang == "en":
            lowers = rng.random() < 0.5
            text = core
            for phrase in before:
                text = f"{_lower(phrase) if lowers else phrase}{rng.choice(('. ', '. ', ', ', '! ', ': ', ' - '))}{text}"
            for phrase in after:
                joint = rng.choice((". ", ". ", ", ", "; ", "! ", " - ", " and "))
                if joint == " and " and not re.match(
                    r"(Don't|Do not|Keep|Be |Hurry|Go|Tell|Let|Report|Check|Make|Wait|Take|Hold|Verify|Watch|Avoid|Stay)",
                    phrase,
                ):
                    joint = ", "
                text += joint + (phrase if joint[0] in ".!" and not lowers else _lower(phrase))
            return text
        if whole is not None and parts and parts[-1][1]["adv"] and rng.random() < 0.5:
            (after or before).pop()
            core = (
                self._said(rng.choice(parts[-1][1]["adv"]), bound)
                + rng.choice(("、", "", " "))
                + core
            )
        joint = rng.choice(("。", "。", "、", " "))
        return joint.join((*before, core, *after))

    def _naming(
        self, thing: Noun, template: str, bound: Mapping[str, str], *, is_before: bool
    ) -> Mapping[str, str]:
        """A constraint may name the thing; one said before the order may be the only one to."""
        rng = self._rng
        if self._lang == "ja" or "{it}" not in template or rng.random() > 0.35:
            return bound
        is_only = (
            is_before and "{coring" not in self._template and not self._family.fields.get("it")
        )
        if is_only and rng.random() < 0.6:
            return {**bound, "it": bound["O"]}
        return {**bound, "it": "the " + (_plural(thing.head) if thing.plural else thing.head)}

    def _said(self, template: str, bound: Mapping[str, str]) -> str:
        rng = self._rng
        extra: dict[str, str] = {}
        if "{N}" in template:
            kind = rng.choice(THINGS)
            extra["N"] = (
                self._printed(self.thing(kind))
                if rng.random() < 0.6
                else self._printed(self.place("station"))
            )
            if self._lang == "en" and not extra["N"].startswith(("the ", "that ")):
                extra["N"] = "the " + rng.choice(self._of._things["en", kind, self._held])
            if self._noun_lang != self._lang:
                extra["N"] = rng.choice(self._of._things[self._lang, kind, self._held])
        return self._expand(template, {**bound, **extra})

    def _core(self, order: Order, bound: Mapping[str, str], inside: Sequence[str]) -> str:
        if self._lang == "en":
            return self._core_en(order, bound, inside)
        return self._core_ja(order, bound, inside)

    def _core_en(self, order: Order, bound: Mapping[str, str], inside: Sequence[str]) -> str:
        rng, action = self._rng, order.action
        name = action
        if order.place is not None and action != "move_object":
            name += "_T"
        if action in ("open_gripper", "close_gripper") and order.thing is not None:
            name += "_O"
        if action == "set_speed" and order.speed is None:
            name += f"_{order.constraints[0]}" if order.constraints else "_slow"
        template = rng.choice(self._phrases["core"][name])
        if action == "place" and "set_down" in template:
            template = "put {O} down"
        extra = {"S": self._printed(self.place(rng.choice(("storage", "station"))))}
        if "P" in template:
            extra["P"] = bound.get("T", "")
        core = self._expand(template, {**extra, **bound})
        for phrase in inside:
            joint = rng.choice((" ", " ", " ", ", "))
            can_lead = "ing}" not in self._template and not phrase.startswith(
                ("and", "then", "but", "(", "before")
            )
            if can_lead and rng.random() < 0.22 and "core2" not in self._family.text[0]:
                core = phrase + rng.choice((" ", ", ", ": ")) + core
            else:
                core += joint + phrase
        return core

    def _core_ja(self, order: Order, bound: Mapping[str, str], inside: Sequence[str]) -> str:
        rng, action = self._rng, order.action
        verbs = self._phrases["verbs"]
        fields = self._family.fields
        parts: list[str] = []
        thing, place = (
            bound.get("O") if order.thing else None,
            bound.get("T") if order.place else None,
        )
        name = action
        as_object = "" if thing is None else thing + ("を" if rng.random() < 0.93 else "")
        if thing is not None and thing in ("それを", "これを", ""):
            as_object = thing
        elif thing is not None and as_object == thing and not fields.get("spaced"):
            as_object += "、" if rng.random() < 0.5 else "を"
        whole = self._phrases["whole"]
        if action in ("stop", "pause", "resume", "home"):
            return "".join(
                (
                    *(p + rng.choice(("、", "")) for p in inside),
                    self._expand(rng.choice(whole[action])),
                )
            )
        if action == "set_speed":
            if order.speed is None:
                name = f"set_speed_{order.constraints[0] if order.constraints else 'slow'}"
                return self._expand(rng.choice(whole[name]))
            if rng.random() < 0.5:
                return self._expand(rng.choice(whole["set_speed"]), bound)
            parts = [
                rng.choice(("速度を", "スピードを", "速さを", "移動速度を", "送り速度を")),
                bound["s"] + rng.choice(("に", "に", "まで")),
            ]
        elif action in ("open_gripper", "close_gripper"):
            if thing is None:
                if rng.random() < 0.4:
                    return "".join((*inside, self._expand(rng.choice(whole[action]))))
                parts = [self._expand("{hand}を")]
                if action == "open_gripper" and rng.random() < 0.25:
                    parts, name = ["手を"], "release"
            elif action == "open_gripper":
                parts, name = [as_object], "release"
            else:
                parts = [
                    self._expand("{hand}で")
                    if rng.random() < 0.0
                    else self._expand("{hand}を閉じて")
                ]
                return "".join(
                    (
                        *inside,
                        as_object.removesuffix("、").removesuffix("を") + "に",
                        *parts,
                        rng.choice(("ください", "", "くれ", "ね")),
                    )
                )
        elif action == "go_to":
            prep = self._expand("{prep_to}")
            parts = [f"{place}{prep}"]
            if rng.random() < 0.12:
                parts = ["アームを", f"{place}{prep}"]
                verb = rng.choice(
                    (
                        "動かして|動かせ|動かす|動かし",
                        "移動させて|移動させろ|移動させる|移動させ",
                        "持っていって|持っていけ|持っていく|持っていき",
                    )
                )
                return self._joined(parts, inside, self._conjugated(verb))
            name += "_T"
        else:
            if place is not None:
                name = action if action == "move_object" else f"{action}_T"
                name = name if name in verbs else action
            match action:
                case "pick" if place is not None:
                    if rng.random() < 0.12:
                        parts = [
                            f"{place}(に)行って".replace("(に)", rng.choice(("に", "へ", "まで")))
                            + rng.choice(("、", ""))
                            + as_object
                        ]
                    else:
                        parts = [f"{place}{self._expand('{prep_from}')}{as_object}"]
                case "place" | "move_object" | "push" | "pull" if place is not None:
                    prep = self._expand("{prep_put}" if action == "place" else "{prep_to}")
                    parts = [as_object, f"{place}{prep}"]
                    if action in ("push", "pull"):
                        parts = [
                            as_object,
                            place
                            + rng.choice(("へ", "まで", "に", "の方へ", "の方に", "の前まで")),
                        ]
                    if action == "move_object" and rng.random() < 0.22:
                        source = self._printed(self.place(rng.choice(("storage", "station"))))
                        parts[0] = (
                            source + rng.choice(("から", "の", "にある", "の上の")) + as_object
                        )
                    if action == "move_object" and rng.random() < 0.18:
                        taken = rng.choice(
                            (
                                "取って",
                                "掴んで",
                                "持って",
                                "持ち上げて",
                                "拾って",
                                "取り出して",
                                "ピックして",
                            )
                        )
                        parts = [
                            f"{parts[0]}{taken}{rng.choice(('、', ''))}{place}{self._expand('{prep_put}')}"
                        ]
                        name = "place_T"
                    elif rng.random() < 0.35:
                        parts.reverse()
                case "hand_over" if place is not None:
                    parts = [
                        as_object,
                        f"{place}(に)".replace(
                            "(に)", rng.choice(("に", "に", "へ", "のところへ"))
                        ),
                    ]
                    if rng.random() < 0.5:
                        parts.reverse()
                case "hand_over":
                    parts = [as_object]
                    if rng.random() < 0.35:
                        parts.insert(
                            rng.randrange(2),
                            rng.choice(
                                ("私に", "こっちに", "ここに", "俺に", "こちらへ", "手元に", "僕に")
                            ),
                        )
                        if rng.random() < 0.2:
                            source = self._printed(self.place("storage"))
                            parts[-1] = (
                                parts[-1]
                                if "を" not in parts[-1]
                                else source + rng.choice(("から", "の")) + parts[-1]
                            )
                case "press" | "open" | "close" | "inspect" | "count" | "clean" if (
                    place is not None
                ):
                    if rng.random() < 0.1:
                        parts = [
                            place + rng.choice(("に行って", "へ行って", "まで行って、")) + as_object
                        ]
                    else:
                        parts = [f"{place}{self._expand('{prep_at}')}{as_object}"]
                case _:
                    parts = [as_object]
        verb = rng.choice(verbs[name])
        if fields.get("end") == "noun":
            nouns = [v for v in verbs[name] if v.endswith("*")]
            verb = rng.choice(nouns) if nouns else verb
        count = ""
        if order.thing is not None and as_object.endswith("を") and rng.random() < 0.06:
            count = rng.choice(
                ("全部", "{n}個", "{n}本", "{n}枚", "二つ", "一つ", "{n}つ", "すべて")
            ).replace("{n}", str(rng.randrange(2, 9)))
            if count and not parts[-1].endswith("を"):
                count = ""
        return self._joined(parts, inside, count + self._conjugated(verb))

    def _joined(self, parts: Sequence[str], inside: Sequence[str], verb: str) -> str:
        """Japanese parts in a row; what modifies the verb stands anywhere before it."""
        rng = self._rng
        row = list(parts)
        for phrase in inside:
            row.insert(rng.randrange(len(row) + 1), phrase + rng.choice(("、", "", "")))
        if self._family.fields.get("inverted") and len(row) > 1:
            last = row.pop(rng.randrange(len(row)))
            return "".join((*row, verb, rng.choice(("、", "。", " ")), last.removesuffix("、")))
        between = rng.choice((" ", " ", "　")) if self._family.fields.get("spaced") else ""
        return between.join((*row, verb))

    def _conjugated(self, verb: str) -> str:
        rng = self._rng
        end = (
            self._family.fields.get("end")
            or rng.choices(("te", "imp", "dict", "noun"), (76, 8, 9, 7))[0]
        )
        if verb.endswith("*"):
            stem = verb[:-1]
            forms = [
                f"{stem}して",
                f"{stem}{rng.choice(('しろ', 'せよ'))}",
                f"{stem}する",
                f"{stem}し",
            ]
            if end == "noun":
                return stem + self._expand("{end_noun}")
        else:
            forms = verb.split("|")
            if end == "noun":
                end = "te" if self._family.fields.get("end") != "noun" else "dict"
        te, imp, dictionary, stem = forms
        match end:
            case "te":
                return te + self._expand("{end_te}")
            case "plain_te":
                return te
            case "imp":
                return imp + self._expand("{end_imp}")
            case "stem":
                return stem + self._expand("{end_stem}")
            case _:
                if self._family.reason or "please-do" in self._family.id:
                    return dictionary
                return dictionary + self._expand("{end_dict}")


def load() -> RobotCommandGenerator:
    """The generator, for `skilld.training`."""
    return RobotCommandGenerator()


def _words(table: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str, bool], list[str]]:
    """By language, class and whether they are held out. `a b|two words` is three words."""
    result = {}
    for name, entry in table.items():
        for lang in ("en", "ja"):
            for key, is_held in ((lang, False), (f"held_{lang}", True)):
                first, *rest = entry[key].split("|")
                result[lang, name, is_held] = [*first.split(), *rest]
    return result


def _weighted(table: Any) -> Any:
    """Alternatives that end in `~3` are listed three times."""
    if isinstance(table, Mapping):
        return {key: _weighted(value) for key, value in table.items()}
    if not isinstance(table, list):
        return table
    result = []
    for item in table:
        found = re.search(r"~(\d+)$", item)
        result += [item[: found.start()]] * int(found[1]) if found else [item]
    return result


def _framed(text: str, frame: tuple[str, str]) -> str | None:
    start = text.find(frame[0])
    if start < 0:
        return None
    return unicodedata.normalize("NFKC", text[start + 1 : text.index(frame[1], start)])


def _lower(text: str) -> str:
    return text if text[1:2].isupper() or text.startswith("I ") else text[:1].lower() + text[1:]


def _plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun if noun.endswith(("pliers", "scissors", "tweezers", "glasses")) else noun + "es"
    if noun.endswith("knife"):
        return noun[:-2] + "ves"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def _gerund(clause: str) -> str:
    """The first verb of an order in -ing; empty if it does not begin with one."""
    found = re.match(r"[A-Za-z]+(?![-'\w])", clause)
    if found is None or found[0].lower() in _NO_VERBS:
        return ""
    verb = found[0].lower()
    if verb.endswith("e") and not verb.endswith(("ee", "oe")):
        made = verb[:-1] + "ing"
    elif re.fullmatch(
        r"(?:put|set|get|cut|drop|grab|grip|let|stop|shut|run|slot|drag|tug|hit|tap|mop|scan|step|nod|plan)",
        verb,
    ):
        made = verb + verb[-1] + "ing"
    else:
        made = verb + "ing"
    return made + clause[found.end() :]


def _tidy(text: str, lang: str, rng: Random) -> str:
    text = re.sub(r" {2,}", " ", text).strip(" ,")
    text = re.sub(r" ([,.;!?])", r"\1", text)
    text = re.sub(r"([,;:.]) ?([.!?])(?!\.)", r"\2", text) if "..." not in text else text
    if lang == "ja":
        text = re.sub(r"([、。！？])[、。]+", r"\1", text)
        if not text.endswith(("。", "！", "？", "?", "!")) and rng.random() < 0.3:
            text += "。"
        return text
    if rng.random() < 0.55:
        bare = _FRAMES.sub("", text)[:1]
        at = text.find(bare)
        if bare.islower() and text[at - 1 : at] not in (OBJECT[0], TARGET[0]):
            text = text[:at] + bare.upper() + text[at + 1 :]
    if text[-1] not in ".!?" and rng.random() < 0.35:
        text += rng.choice((".", ".", ".", "!", " !"))
    return text


def _noisy(text: str, rng: Random, family: Family, draw: Draw) -> str:
    """What fingers, telephones and keyboards do. Names keep their letters; case changes theirs."""
    fields = family.fields
    if fields.get("case") == "upper":
        text = text.upper()
    if fields.get("bare"):
        marks = "[,.!?;:]" if family.lang == "en" else "[、。！？]"
        text = re.sub(
            marks + r"(?!\d)", " " if family.lang == "ja" and rng.random() < 0.5 else "", text
        )
        text = text.lower() if family.lang == "en" else text
    share = 1.0 if draw.is_noisy else 0.22
    if rng.random() > share:
        return text
    rounds = rng.randrange(1, 4) if draw.is_noisy else 1
    if family.lang == "en":
        for _ in range(rounds):
            text = _outside_names(text, rng)
        if rng.random() < (0.4 if draw.is_noisy else 0.3):
            text = noise.recase(text, rng)
        if rng.random() < 0.15:
            text = re.sub(r"[,.!?;](?!\d)", "", text)
    else:
        if rng.random() < 0.45:
            text = noise.full_width(text)
        elif rng.random() < 0.4:
            text = noise.half_width_kana(text)
        if rng.random() < 0.35:
            text = re.sub("[、。]", rng.choice(("", " ", "，")), text)
        if draw.is_noisy and rng.random() < 0.5:
            text = text.replace("ください", rng.choice(("くださぃ", "くださいい", "くだい")))
    return text


def _outside_names(text: str, rng: Random) -> str:
    """One slip of the finger, but not in a name that the answer gives, nor in a figure."""
    pieces: list[str] = []
    end = 0
    spans = [*_FRAMED.finditer(text)]
    target = rng.randrange(len(spans) + 1)
    for i, found in enumerate(spans):
        outside = text[end : found.start()]
        pieces += (noise.typo(outside, rng) if i == target else outside, found[0])
        end = found.end()
    tail = text[end:]
    if target == len(spans) and not re.search(r"\d", tail):
        tail = noise.typo(tail, rng)
    return "".join((*pieces, tail))
