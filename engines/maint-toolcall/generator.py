"""Maintenance requests with the tools to fulfil them; every example makes its tools anew.

A tool is an action (verbs.toml) on a thing (things.toml) with some parameters (params.toml), each
named and described in words of its own, so that no name is worth remembering: what counts is what
a line of the input says. First the calls are drawn, then tools, values and wording. Things,
argument names, identifiers and whole actions are held out. Labels come from what was drawn.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from skilld.skills.pointing import SpanRules
from skilld.skills.pointing.marks import SpanError
from skilld.skills.pointing.tool_schemas import argument_unit
from skilld.skills.pointing.units import Unit, converted, unit_behind
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar
from skilld.training.terminals import terminals

VERSION = "1.0.0"
FOLDER = Path(__file__).parent

_NEED = {"~": (0.78, 0.75), "?": (0.45, 0.4)}
"""How often a tool has such a parameter, and how often that is required; see verbs.toml."""

NUM_TOOLS: Mapping[int, float] = {1: 2, 2: 4, 3: 44, 4: 30, 5: 12, 6: 4, 7: 2, 8: 2}
"""How often an input has so many tools."""

MAX_REQUEST_CHARS = 290
_ATTEMPTS = 200
_FIRST_VALUE = 0xF000
"""A value stands in a text as one private-use character until noise has passed over the words."""

_VALUE = re.compile("[\uf000-\uf0ff]")
_SMALL = frozenset(
    {
        "a", "an", "the", "to", "of", "for", "in", "on", "at", "and", "please", "is", "are", "was",
        "were", "by", "be", "me", "my", "us", "can", "could", "would", "as", "so", "then", "also",
        "pls", "s", "t",
    }
)  # fmt: skip
_NUMBERS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30,
}  # fmt: skip
# Arguments that one tool does not have together: the same words could be meant for either.
_EXCLUSIVE = (
    frozenset({"urgent", "priority"}), frozenset({"immediate", "stopmode"}),
    frozenset({"immediate", "delay"}), frozenset({"location", "lineno"}),
    frozenset({"unit", "tempunit"}), frozenset({"duration", "hours"}),
    frozenset({"interval", "frequency"}), frozenset({"title", "text"}),
    frozenset({"stopline", "immediate"}), frozenset({"ramp", "duration"}),
)  # fmt: skip
_PLACES = frozenset({"location", "lineno", "from", "to", "building"})
# Actions of different things that can be asked for in the same words.
_SAME_WORDS = (
    frozenset({"reset", "clear", "ack"}),
    frozenset({"status", "stock"}),
    frozenset({"notify", "sendto"}),
)
_CODE_KEYS = frozenset({"tag", "wo", "docno", "num", "part", "alarmno", "address", "reg"})
_NO_KEY = frozenset({"new", "all", "a", "the", "last"})

_UNIT = re.compile(
    r"(?i:rpm|[kmg]?hz|[km]?va?|m?a|[km]?wh?|[kmh]?pa|m?bar|psi|mm|ml|l|kg|g|min|h|hrs?|s|sec|c|k|nm|cp"
    r"|us|ntu|[a-z]{5,12})(?![A-Za-z0-9_-])|%"
)
_ORDERED = re.compile(
    r"\{(?:can|want|please)\}|\bto \{|not\|| \{[ab]\} (?:as|too)|n't|[Ll]et|just|and \{|be so"
)
_BIG_UNITS = ("minutes", "min", "hours", "h", "hrs", "hour", "days", "cm", "m", "kg", "liters", "l")
_BARE_NUMBER = re.compile(rf"-?\d+(?:\.\d+)?|(?<![a-z])(?:{'|'.join(_NUMBERS)})(?![a-z])")
_PLAIN = re.compile(r"(\([a-z |-]+\)|[a-z]+) \{o\}")
_STATEMENT = re.compile(r"\(?(?:i|we|i am)\b|\{(?:o|person)\}|stocktake|\(counted")

Toml = Mapping[str, Any]


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Thing:
    """What a tool is about."""

    id: str
    cls: str
    words: tuple[tuple[str, str], ...]  # singular and plural
    ja: tuple[str, ...]
    same: str
    key: tuple[str, ...]
    keynames: tuple[str, ...]
    units: tuple[str, ...]
    is_held: bool
    may: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    tell: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """An action on a thing, not yet a tool."""

    verb: Toml
    thing: Thing

    @property
    def id(self) -> str:
        """The pair, as combinations name it."""
        return f"{self.verb['id']}+{self.thing.id}"


@dataclass(slots=True)
class Slot:
    """One argument of a made tool."""

    param: str  # "key" for the one that names the thing
    name: str
    type: str
    description: str
    is_required: bool
    unit: str
    words: tuple[str, ...] = ()  # enum words, in the order of `senses`
    senses: tuple[int, ...] = ()


@dataclass(slots=True)
class Made:
    """A tool of one input."""

    action: Action
    name: str
    description: str
    slots: list[Slot]

    @property
    def schema(self) -> dict[str, Any]:
        """As the input holds it."""
        properties: dict[str, Any] = {}
        for slot in self.slots:
            part: dict[str, Any] = {"type": "string" if slot.type == "enum" else slot.type}
            if slot.description:
                part["description"] = slot.description
            if slot.type == "enum":
                part["enum"] = list(slot.words)
            properties[slot.name] = part
        return {
            "name": self.name,
            "description": self.description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": [slot.name for slot in self.slots if slot.is_required],
            },
        }


@dataclass(slots=True)
class Said:
    """The values of a request, each a character of its text until the end."""

    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> str:
        """The character that stands for a value."""
        self.texts.append(text)
        return chr(_FIRST_VALUE + len(self.texts) - 1)


@dataclass(slots=True)
class Order:
    """One call and the words that ask for it; `values` are argument values or `Said` characters."""

    tool: Made
    values: dict[str, Any]
    text: str = ""
    question: str = ""
    is_bare: bool = False  # the words do not say what kind of thing it is
    units: dict[str, tuple[Unit, Unit]] = field(default_factory=dict)  # said and wanted
    told: set[str] = field(default_factory=set)  # parameters said before the order


class MaintToolcallGenerator:
    """See the module docstring; the protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        self._params: dict[str, Any] = _load("params.toml")
        self._values: dict[str, Any] = _load("values.toml")
        families = _load("families.toml")
        verbs = _load("verbs.toml")
        self._literal = verbs["literal"]
        self._verbs: list[Toml] = [*verbs["verb"], *self._literal_verbs()]
        self._things = self._all_things()
        self._wording: dict[str, Any] = _load("wording.toml")
        skill = _load("skills/maint-toolcall.toml")
        self._spans = SpanRules.model_validate(skill["spans"])
        self._output_schema = skill["output_schema"]
        self._family: dict[str, Toml] = {}
        for lang in ("en", "ja"):
            self._family |= {f["id"]: {"lang": lang, **f} for f in families[lang]}
        self._family |= {f["id"]: {"lang": "en", **f} for f in families["negative"]}
        pos = self._values.pop("parts_of_speech")
        self._bad = {word.split(" ")[0] for word in pos["bad"]}
        drawn = terminals()
        drawn |= {
            "fake": _fake_name, "mm": _in_range(1, 12), "dd": _in_range(1, 28),
            "hh": _in_range(6, 22), "mi": lambda rng: rng.choice(("00", "15", "30", "45", "50")),
            "h": lambda rng: str(rng.randrange(1, 12)), "ww": _in_range(1, 52),
            "day": lambda rng: str(rng.randrange(1, 29)),
            "mon": lambda rng: str(rng.randrange(1, 13)), "junk": _junk,
        }  # fmt: skip
        self._grammars = {}
        for lang in ("en", "ja"):
            lists = {
                name: value.get(lang, value["train"]) if lang == "ja" else value["train"]
                for name, value in self._values.items()
            }
            rules = {**lists, **pos, **families["rules"]}
            rules["jname"] = self._values["name"]["ja"]
            rules["adj"] = ["very old", "brand new", "quite loud", "my favourite machine", "blue"]
            rules["city"] = ["Tokyo", "Berlin", "Osaka", "Paris", "Hamburg", "London", "Nagoya"]
            rules["country"] = ["France", "Peru", "Japan", "Spain", "Kenya", "Norway"]
            self._grammars[lang] = Grammar(rules, terminals=drawn)
        self._held_grammar = Grammar(
            {
                **{n: v["train"] for n, v in self._values.items()},
                **pos,
            },
            terminals=drawn,
        )

    # ------------------------------------------------------------ the protocol

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @cached_property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in six."""
        weights = {name: float(f.get("w", 1)) for name, f in self._family.items()}
        negative = {n for n in weights if "kind" in self._family[n]}
        total = sum(w for n, w in weights.items() if n not in negative)
        scale = total * 0.2 / sum(weights[n] for n in negative)
        japanese = {n for n in weights if self._family[n]["lang"] == "ja"}
        return {
            n: w * (scale if n in negative else 1.0) * (0.8 if n in japanese else 1.0)
            for n, w in weights.items()
        }

    @cached_property
    def held_families(self) -> frozenset[str]:
        """Ways to ask that training never sees."""
        return frozenset(name for name, f in self._family.items() if f.get("held"))

    @cached_property
    def held_values(self) -> tuple[str, ...]:
        """Things, actions, argument names, names and identifier stems that training never sees."""
        found = {one for t in self._things if t.is_held for one, _ in t.words}
        found |= {one.replace(" ", "_") for one in found}
        found |= {name for param in self._params.values() for name in param["held"]}
        found |= set(self._literal["held"])
        for value in self._values.values():
            stems = (held.split("{")[0].strip() for held in value["held"])
            found |= {stem for stem in stems if sum(map(str.isalpha, stem)) > 1}
        return tuple(sorted(found))

    @cached_property
    def held_combinations(self) -> frozenset[str]:
        """Pairs of action and thing, and pairs of actions in one request."""
        actions = {a.id for v in self._verbs for t in self._things if (a := _action(v, t))}
        verbs = [str(v["id"]) for v in self._verbs]
        pairs = {f"{a}&{b}" for a in verbs for b in verbs}
        return frozenset(c for c in actions | pairs if zlib.crc32(c.encode()) % 100 < 12)

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family."""
        layout = self._family[family]
        for attempt in range(_ATTEMPTS):
            if attempt == _ATTEMPTS // 2:  # it cannot do what is asked, so it gives what it can
                draw = replace(draw, held_combination=False)
            example = self._try(rng, layout, draw)
            if example is not None and self._can_be_pointed(example):
                return example
        raise RuntimeError(f"family {family!r} gave no example in {_ATTEMPTS} attempts")

    # ------------------------------------------------------------ one example

    def _can_be_pointed(self, example: Example) -> bool:
        """A slip or a chance neighbour may make a value mean something else; about 1 in 10,000."""
        if example.is_abstain:
            return True
        try:
            marked = self._spans.mark(example.input)
            pointed = marked.point(example.answer, self._output_schema)
            return bool(marked.resolve(pointed, self._output_schema) == example.answer)
        except SpanError:
            return False

    def _try(self, rng: Random, layout: Toml, draw: Draw) -> Example | None:
        lang, kind = layout["lang"], layout.get("kind", "")
        num_calls = int(layout.get("calls", 1))
        trick = layout.get("trick", "")
        said = Said()
        style = rng.choices(("snake", "camel", "kebab", "pascal"), (60, 22, 8, 10))[0]
        speaks_ja = lang == "ja" and rng.random() < 0.3
        if kind == "text":
            tools = self._tool_set(rng, [], draw, style=style, speaks_ja=speaks_ja)
            text = self._grammars[lang].expand(layout["t"], rng).strip()
            return self._finish(rng, layout, draw, said, text, tools, {"abstain": "no_tool"}, "")
        actions = self._actions(rng, num_calls, lang, draw, trick)
        if actions is None:
            return None
        made: list[Made] = []
        for action in actions:
            # The same tool may be called twice.
            known = next((tool for tool in made if tool.action is action), None)
            made.append(
                known or self._make(rng, action, draw, style=style, speaks_ja=speaks_ja, lang=lang)
            )
        if len({tool.name for tool in made}) < len(_distinct(made)):
            return None
        orders = self._orders(rng, layout, lang, draw, made, said)
        if orders is None:
            return None
        bound = self._bound(rng, orders, trick)
        text = self._grammars[lang].expand(layout["t"], rng, bound=bound).strip()
        combination = _combination(actions)
        answer: dict[str, Any]
        match kind:
            case "missing":
                answer = {"abstain": "missing_argument"}
            case "lacking" | "half" | "never":
                answer = {"abstain": "no_tool"}
            case _:
                called = orders[:1] if trick == "aside" else orders
                answer = {"calls": [_as_call(order) for order in called]}
        missing = made[:1] if kind in ("lacking", "half") else []
        present = [tool for tool in made if tool not in missing]
        if kind == "half" and actions[0] is actions[1]:
            return None
        bare = [order.tool.action for order in orders if order.is_bare]
        if any(_clash(a, b, is_bare=True) for a in bare for b in actions if a is not b):
            return None
        tools = self._tool_set(
            rng, present, draw, style=style, speaks_ja=speaks_ja, absent=missing, bare=bare
        )
        return self._finish(rng, layout, draw, said, text, tools, answer, combination)

    def _finish(
        self,
        rng: Random,
        layout: Toml,
        draw: Draw,
        said: Said,
        text: str,
        tools: list[Made],
        answer: dict[str, Any],
        combination: str,
    ) -> Example | None:
        rng.shuffle(tools)
        text, values = _roughened(rng, text, said.texts, draw, lang=layout["lang"])
        written = _written(text, values)
        if written is None or not 0 < len(written) <= MAX_REQUEST_CHARS:
            return None
        if "calls" in answer:
            for call in answer["calls"]:
                call["arguments"] = {
                    name: _spoken_value(value, values) for name, value in call["arguments"].items()
                }
        schemas = [tool.schema for tool in tools]
        words = {w for s in schemas for p in _properties(s) for w in p.get("enum", ())}
        if len(words) > 60 or sum(len(_properties(s)) for s in schemas) > 60:
            return None
        if rng.random() < 0.03 and written.isascii():
            written = noise.full_width(written)
        return Example(layout["id"], {"request": written, "tools": schemas}, answer, combination)

    def _bound(self, rng: Random, orders: list[Order], trick: str) -> dict[str, str]:
        bound: dict[str, str] = {}
        texts = [orders[0].text] if trick == "both" else [order.text for order in orders]
        for letter, text in zip("abc", texts, strict=False):
            bound[letter] = text
            bound[letter.upper()] = text[:1].upper() + text[1:]
        bound["qa"] = orders[0].question
        return bound

    def _actions(
        self, rng: Random, num: int, lang: str, draw: Draw, trick: str
    ) -> list[Action] | None:
        """The actions that are asked for, in order."""
        first = self._action(rng, lang, draw, wants_held=draw.held_combination and num == 1)
        if first is None:
            return None
        if trick == "both":
            return [first, first] if _object(first) in ("one", "item", "item1") else None
        chosen = [first]
        for _ in range(num - 1 + (trick == "aside")):
            if trick == "it" and rng.random() < 0.35:
                other = self._on_same_thing(rng, first)
            elif trick != "aside" and rng.random() < 0.12:
                other = first
            else:
                other = self._action(rng, lang, draw, wants_held=False)
            if other is None or any(_clash(other, a) for a in chosen if a is not other):
                return None
            chosen.append(other)
        if num > 1:
            is_held = _combination(chosen) in self.held_combinations
            if is_held != draw.held_combination:
                return None
        return chosen

    def _action(self, rng: Random, lang: str, draw: Draw, *, wants_held: bool) -> Action | None:
        for _ in range(60):
            held_thing = draw.held_values and rng.random() < 0.8
            if not held_thing and lang == "en" and rng.random() < 0.1:
                thing = _invented(rng, self._things)
            else:
                pool = self._things_by_held[held_thing]
                classes = [c for c in pool if pool[c]]
                weights = [_CLASS_WEIGHTS.get(c, 1.0) for c in classes]
                thing = rng.choice(pool[rng.choices(classes, weights)[0]])
            pool_of_verbs = self._verbs_by_class[thing.cls]
            weights = [v.get("w", 1.0) for v in pool_of_verbs]
            verb = rng.choices(pool_of_verbs, weights)[0]
            if lang == "ja" and "ja" not in verb:
                continue
            if verb.get("held") and not draw.held_values:
                continue
            action = Action(verb, thing)
            if (action.id in self.held_combinations) == wants_held:
                return action
        return None

    def _on_same_thing(self, rng: Random, first: Action) -> Action | None:
        pool = [
            v
            for v in self._verbs_by_class[first.thing.cls]
            if "ja" in v and not v.get("held") and v is not first.verb
        ]
        if not pool:
            return None
        other = Action(rng.choice(pool), first.thing)
        return None if other.id in self.held_combinations else other

    # ------------------------------------------------------------ making tools

    def _tool_set(
        self,
        rng: Random,
        called: Sequence[Made],
        draw: Draw,
        *,
        style: str,
        speaks_ja: bool,
        absent: Sequence[Made] = (),
        bare: Sequence[Action] = (),
    ) -> list[Made]:
        """The called tools and others that do something else."""
        tools = _distinct(called)
        wanted = max(rng.choices(list(NUM_TOOLS), list(NUM_TOOLS.values()))[0], len(tools))
        if absent:
            wanted = max(wanted, 2)
        shunned = [tool.action for tool in (*tools, *absent)]
        for _ in range(60):
            if len(tools) >= wanted:
                break
            other = self._other_action(rng, shunned, draw)
            if other is None or any(_clash(other, action) for action in shunned):
                continue
            if any(_clash(other, action, is_bare=True) for action in bare):
                continue
            tool = self._make(rng, other, draw, style=style, speaks_ja=speaks_ja, lang="en")
            if tool.name in {t.name for t in tools}:
                continue
            tools.append(tool)
            shunned.append(other)
        return tools

    def _other_action(self, rng: Random, shunned: Sequence[Action], draw: Draw) -> Action | None:
        if shunned and rng.random() < 0.55:
            near = rng.choice(shunned)
            if rng.random() < 0.6:  # the same thing, something else done to it
                verb = rng.choice(self._verbs_by_class[near.thing.cls])
                thing = near.thing
            else:  # the same done to something else
                classes = [c for c in near.verb["on"] if self._things_by_held[False].get(c)]
                if not classes:
                    return None
                verb = near.verb
                thing = rng.choice(self._things_by_held[False][rng.choice(classes)])
            if verb.get("held") and not draw.held_values:
                return None
            return Action(verb, thing)
        return self._action(rng, "en", draw, wants_held=rng.random() < 0.12)

    def _make(
        self, rng: Random, action: Action, draw: Draw, *, style: str, speaks_ja: bool, lang: str
    ) -> Made:
        verb, thing = action.verb, action.thing
        word, plural = rng.choice(thing.words)
        slots: list[Slot] = []
        taken: set[str] = set()
        mode = _object(action)
        if mode not in _NO_KEY and (mode != "some" or rng.random() < 0.45):
            slots.append(self._key_slot(rng, action, word, draw, style=style, taken=taken))
        wanted: list[tuple[str, bool]] = []
        for name in verb.get("need", ()):
            there, required = _NEED.get(name[-1], (1.0, 1.0))
            if rng.random() < there:
                wanted.append((name.rstrip("~?"), rng.random() < required))
        extras = [
            name
            for name in (*verb.get("may", ()), *thing.may)
            if name not in {n for n, _ in wanted}
        ]
        count = min(len(extras), rng.choices((0, 1, 2, 3), (46, 36, 14, 4))[0])
        wanted += [(name, rng.random() < 0.14) for name in rng.sample(extras, count)]
        for name, is_required in wanted:
            if any(
                name in pair and pair & {s.param for s in slots} - {name} for pair in _EXCLUSIVE
            ):
                continue
            slots.append(
                self._slot(
                    rng,
                    name,
                    word,
                    draw,
                    is_required=is_required,
                    style=style,
                    taken=taken,
                    units=thing.units,
                )
            )
        if rng.random() < 0.2:
            rng.shuffle(slots)
        name = self._tool_name(rng, verb, word, style)
        return Made(action, name, self._description(rng, action, word, plural, speaks_ja), slots)

    def _key_slot(
        self, rng: Random, action: Action, word: str, draw: Draw, *, style: str, taken: set[str]
    ) -> Slot:
        thing = action.thing
        kind = rng.choice(thing.key)
        is_integer = kind == "num" or (kind == "unit" and rng.random() < 0.25)
        template = rng.choice(thing.keynames)
        if draw.held_values and rng.random() < 0.3:
            template = rng.choice(self._params["asset"]["held"])
        name = _styled(template.replace("{t}", word), style)
        taken.add(name)
        description = ""
        if rng.random() < 0.4:
            text = self._put(rng, "key_description", {"t": word})
            description = text[:1].upper() + text[1:]
        kind_type = "integer" if is_integer and (kind == "unit" or rng.random() < 0.6) else "string"
        is_required = _object(action) != "some" or rng.random() < 0.5
        return Slot("key", name, kind_type, description, is_required, kind)

    def _slot(
        self,
        rng: Random,
        param: str,
        word: str,
        draw: Draw,
        *,
        is_required: bool,
        style: str,
        taken: set[str],
        units: Sequence[str],
    ) -> Slot:
        spec = self._params[param]
        use_held = draw.held_values and rng.random() < 0.6
        for _ in range(20):
            template = rng.choice(spec["held"] if use_held else spec["names"])
            name = _styled(template.replace("{t}", word), style)
            if name not in taken:
                break
            use_held = False
        else:
            name = _styled(f"{param} {len(taken)}", style)
        taken.add(name)
        description = rng.choice(spec["desc"]) if rng.random() < 0.5 or use_held else ""
        unit = ""
        if param == "amount" and units:
            unit = rng.choice(units)
            if unit and rng.random() < 0.4:
                description = f"{description or 'Value'} in {unit}"
        elif "units" in spec:
            unit = rng.choice(spec["units"])
            if "%" in description or "percent" in description:
                unit = rng.choice(("%", "percent"))
            elif param == "speed":
                unit = "rpm"
            elif param == "amount_oil":
                unit = "ml" if "ml" in description or "volume" in name else "g"
                if name.endswith(("_g", "G")):
                    unit = "g"
                elif name.endswith(("_ml", "Ml")):
                    unit = "ml"
        words: tuple[str, ...] = ()
        senses: tuple[int, ...] = ()
        if spec["type"] == "enum":
            count = rng.randrange(2, min(len(spec["sense"]), 4) + 1)
            senses = tuple(sorted(rng.sample(range(len(spec["sense"])), count)))
            if rng.random() < 0.3:
                senses = tuple(rng.sample(senses, len(senses)))
            words = tuple(rng.choice(spec["sense"][i]["words"]) for i in senses)
            case = rng.choice((str, str, str, str.upper, str.capitalize))
            words = tuple(case(w) for w in words)
        return Slot(param, name, spec["type"], description, is_required, unit, words, senses)

    def _tool_name(self, rng: Random, verb: Toml, word: str, style: str) -> str:
        action = rng.choice(verb["name"])
        roll = rng.random()
        if roll < 0.72:
            name = f"{action} {word}"
        elif roll < 0.86:
            name = f"{word} {action}"
        elif roll < 0.95:
            prefix = rng.choice(self._wording["prefix"])
            name = f"{prefix} {action} {word}"
        else:
            name = action
        return _styled(name, style)

    def _description(
        self, rng: Random, action: Action, word: str, plural: str, speaks_ja: bool
    ) -> str:
        if speaks_ja and "ja" in action.verb and action.thing.ja:
            return f"{rng.choice(action.thing.ja)}を{rng.choice(action.verb['ja'])}する"
        text = str(rng.choice(action.verb["desc"]))
        text = text.replace("{ts}", plural).replace("a {t}", f"{_article(word)} {word}")
        text = text.replace("{t}", word)
        tail = rng.random()
        if tail < 0.18:
            text += rng.choice(self._wording["tail"])
        if tail > 0.6:
            text += "."
        return text

    # ------------------------------------------------------------ putting it into words

    def _orders(
        self, rng: Random, layout: Toml, lang: str, draw: Draw, made: list[Made], said: Said
    ) -> list[Order] | None:
        trick, kind = layout.get("trick", ""), layout.get("kind", "")
        orders: list[Order] = []
        corrected = rng.randrange(len(made)) if trick == "correct" else -1
        if trick == "both":
            return self._both(rng, lang, draw, made[0], said)
        for i, tool in enumerate(made):
            dropped = ""
            if kind == "missing" and i == 0:
                required = [s.param for s in tool.slots if s.is_required]
                if not required:
                    return None
                dropped = rng.choice(required)
            shared = orders[0] if trick == "it" and i == 1 else None
            order = self._order(
                rng,
                lang,
                draw,
                tool,
                said,
                dropped=dropped,
                shared=shared,
                is_corrected=i == corrected,
                may_state=not _ORDERED.search(layout["t"]),
            )
            if order is None:
                return None
            orders.append(order)
        return orders

    def _order(
        self,
        rng: Random,
        lang: str,
        draw: Draw,
        tool: Made,
        said: Said,
        *,
        dropped: str = "",
        shared: Order | None = None,
        is_corrected: bool = False,
        may_state: bool = False,
        may_prelude: bool = True,
    ) -> Order | None:
        """Draw the values of a call and word it."""
        spoken: dict[str, str] = {}
        values: dict[str, Any] = {}
        pronoun = ""
        for slot in tool.slots:
            if slot.param == dropped:
                continue
            if not slot.is_required and rng.random() < 0.5 and slot.param != "key":
                continue
            if shared is not None and slot.param in ("key", "asset") and not pronoun:
                value = self._shared_value(shared, tool, slot)
                if value is not None:
                    if lang == "ja":
                        return None
                    pronoun = slot.param
                    values[slot.name] = value
                    word = rng.choice(self._wording["it_again"])
                    spoken[slot.param] = word
                    continue
            made = self._value(rng, lang, draw, tool, slot, said)
            if made is None:
                return None
            values[slot.name], spoken[slot.param] = made
        if shared is not None and not pronoun:
            return None
        if is_corrected and not self._correct(rng, lang, draw, tool, values, spoken, said):
            return None
        order = Order(tool, values)
        if lang == "ja":
            return self._word_it_ja(rng, order, spoken, said)
        prelude = ""
        is_plain = not is_corrected and shared is None and not dropped
        if may_state and may_prelude and is_plain and rng.random() < 0.3:
            prelude = self._prelude(rng, order, spoken, said)
        return self._word_it(rng, order, spoken, may_state=may_state, prelude=prelude, said=said)

    def _shared_value(self, first: Order, tool: Made, slot: Slot) -> Any:
        """What "it" is, if the first call named something that this argument can take."""
        key = next((s for s in first.tool.slots if s.param in ("key", "asset")), None)
        if key is None or key.name not in first.values or key.type != slot.type:
            return None
        if slot.param == "key":
            is_same = tool.action.thing.id == first.tool.action.thing.id
            is_machine = tool.action.thing.cls in ("quantity", "file") and key.param == "asset"
            return first.values[key.name] if is_same or is_machine else None
        is_machine = first.tool.action.thing.cls in ("device", "gate") or key.param == "asset"
        return first.values[key.name] if is_machine else None

    def _correct(
        self,
        rng: Random,
        lang: str,
        draw: Draw,
        tool: Made,
        values: dict[str, Any],
        spoken: dict[str, str],
        said: Said,
    ) -> bool:
        slots = [
            s
            for s in tool.slots
            if s.name in values and s.type in ("string", "integer", "number") and s.param != "text"
        ]
        if not slots:
            return False
        slot = rng.choice(slots)
        made = self._value(rng, lang, draw, tool, slot, said)
        if made is None:
            return False
        right, wrong = spoken[slot.param], made[1]
        slots_said = {"wrong": wrong, "right": right}
        spoken[slot.param] = self._put(rng, "correct", slots_said)
        return True

    def _both(
        self, rng: Random, lang: str, draw: Draw, tool: Made, said: Said
    ) -> list[Order] | None:
        """The same asked for two things in one go."""
        key = next((s for s in tool.slots if s.param == "key"), None)
        if key is None or key.type != "string":
            return None
        first = self._order(rng, lang, draw, tool, said, may_prelude=False)
        made = self._value(rng, lang, draw, tool, key, said)
        if first is None or made is None:
            return None
        mark = first.values[key.name]
        if first.text.count(mark) != 1:
            return None
        second = Order(tool, {**first.values, key.name: made[0]}, units=first.units)
        joint = rng.choice(self._wording["joint"]) if lang == "en" else rng.choice(("と", "、"))
        other = rng.choice((made[0], made[1]))
        quantity = next(
            (s for s in tool.slots if s.param == "qty" and s.name in first.values), None
        )
        if quantity is not None:
            counted = first.values[quantity.name]
            at, place = first.text.find(counted), first.text.index(mark)
            if lang == "ja" or not 0 <= at < place:
                return None
            again = self._value(rng, lang, draw, tool, quantity, said)
            if again is None:
                return None
            second.values[quantity.name] = again[0]
            other = f"{again[0]}{first.text[at + 1 : place]}{made[0]}"
        first.text = first.text.replace(mark, f"{mark}{joint}{other}")
        return [first, second]

    def _value(
        self, rng: Random, lang: str, draw: Draw, tool: Made, slot: Slot, said: Said
    ) -> tuple[Any, str] | None:
        """A value and how it is said: argument value (or `Said` character), text."""
        if slot.param == "key":
            return self._key_value(rng, lang, draw, tool, slot, said)
        spec = self._params[slot.param]
        if slot.type == "boolean":
            is_yes = rng.random() < 0.6
            where = "yes" if is_yes else "no"
            return is_yes, rng.choice(spec[f"ja_{where}" if lang == "ja" else where])
        if slot.type == "enum":
            i = rng.randrange(len(slot.senses))
            sense = spec["sense"][slot.senses[i]]
            if lang == "ja":
                return slot.words[i], rng.choice(sense["ja"])
            if rng.random() < 0.3:
                return slot.words[i], slot.words[i].replace("_", " ").lower()
            return slot.words[i], rng.choice(sense["say"])
        text = self._drawn(rng, lang, draw, spec["value"])
        if slot.param == "asset" and _PLACES & {s.param for s in tool.slots}:
            while " " in text or not text.isascii():  # "line 3" could be the place
                text = self._drawn(rng, lang, draw, spec["value"])
        mark = said.add(text)
        return mark, mark

    def _key_value(
        self, rng: Random, lang: str, draw: Draw, tool: Made, slot: Slot, said: Said
    ) -> tuple[str, str]:
        thing = tool.action.thing
        word = rng.choice(thing.words)[0]
        if slot.unit == "unit":
            number = rng.choice(("1", "2", "3", "4", "5", "6", "7", "8", "12"))
            if lang == "ja":
                if slot.type == "integer":
                    mark = said.add(number)
                    return mark, f"{rng.choice(thing.ja)}{mark}号機"
                mark = said.add(f"{rng.choice(thing.ja)}{number}")
                return mark, mark
            if thing.cls == "quantity":
                word = rng.choice(("line", "press", "zone", "axis", "mixer", "tank", "robot"))
            if slot.type == "integer":
                mark = said.add(number)
                return mark, f"{word} {rng.choice(('', '', '', 'number ', 'no. '))}{mark}"
            mark = said.add(f"{word} {number}")
            return mark, mark
        code = self._drawn(rng, lang, draw, slot.unit)
        while thing.cls != "quantity" and (" " in code or not code.isascii()):
            code = self._drawn(rng, lang, draw, slot.unit)
        mark = said.add(code)
        is_code = slot.unit in _CODE_KEYS and " " not in said.texts[-1]
        if thing.cls in ("quantity", "file") or not is_code:
            return mark, mark
        if lang == "ja":
            return mark, f"{rng.choice(thing.ja)}{mark}" if rng.random() < 0.7 else mark
        kind = "number" if code.isdigit() else "code"
        return mark, self._put(rng, kind, {"t": word, "k": mark})

    def _drawn(self, rng: Random, lang: str, draw: Draw, terminal: str) -> str:
        lists = self._values[terminal]
        if draw.held_values and rng.random() < 0.6:
            return self._held_grammar.expand(rng.choice(lists["held"]), rng)
        grammar = self._grammars[lang]
        options = lists.get(lang, lists["train"]) if rng.random() < 0.75 else lists["train"]
        return unicodedata.normalize("NFKC", grammar.expand(rng.choice(options), rng))

    def _other_unit(self, rng: Random, slot: Slot, order: Order) -> str:
        """A bigger unit than the one that is wanted, where that is said."""
        wanted = argument_unit(slot.name, slot.description)
        if wanted is None or wanted.quantity not in ("time", "length", "mass", "volume"):
            return ""
        known = {u: unit for u in _BIG_UNITS if (unit := unit_behind(u)) is not None}
        bigger = [
            u
            for u, unit in known.items()
            if unit.quantity == wanted.quantity
            and wanted.factor < unit.factor <= wanted.factor * 3600
        ]
        if not bigger:
            return ""
        said = rng.choice(bigger)
        order.units[slot.name] = (known[said], wanted)
        return said

    def _clauses(
        self,
        rng: Random,
        order: Order,
        spoken: Mapping[str, str],
        lang: str,
        used: set[str],
        *,
        said: Said,
    ) -> list[str]:
        tool, told = order.tool, order.told
        clauses = []
        for slot in tool.slots:
            if slot.param not in spoken or slot.param in used or slot.param == "key":
                continue
            if slot.param in told and rng.random() < 0.7:
                continue
            spec, value = self._params[slot.param], spoken[slot.param]
            if slot.type == "boolean":
                clauses.append(value)
                continue
            templates, weights = _weighted(spec[lang])
            template = rng.choices(templates, weights)[0]
            unit = slot.unit
            if "°" in unit or unit in ("C", "degrees", "K"):
                unit = rng.choice(("°C", "C", "degrees"))
            if "{u}" in template and _VALUE.fullmatch(value) and rng.random() < 0.2:
                other = self._other_unit(rng, slot, order)
                unit = said.add(other) if other else unit  # a slip in it would change the number
            clauses.append(template.replace("{u}", unit).replace("{v}", value).rstrip())
        rng.shuffle(clauses)
        return clauses

    def _direct(self, rng: Random, tool: Made, order: Order, lang: str) -> dict[str, str]:
        """Enum values said in a clause of their own ("it can wait")."""
        found = {}
        for slot in tool.slots:
            if slot.type != "enum" or slot.name not in order.values or rng.random() < 0.6:
                continue
            i = slot.words.index(order.values[slot.name])
            sense = self._params[slot.param]["sense"][slot.senses[i]]
            options = sense.get("ja_direct" if lang == "ja" else "direct", ())
            # "high" beside no "urgent" would be asked for in the words of either.
            if options:
                found[slot.param] = rng.choice(options)
        return found

    def _word_it(
        self,
        rng: Random,
        order: Order,
        spoken: dict[str, str],
        *,
        may_state: bool,
        prelude: str,
        said: Said,
    ) -> Order | None:
        tool = order.tool
        verb = tool.action.verb
        said_inline: set[str] = set()
        direct = self._direct(rng, tool, order, "en")
        template = self._template(rng, tool, spoken, may_state=may_state)
        said_inline = _slots_of(template) - {"o", "k"}
        clauses = [text for name, text in direct.items() if name not in said_inline]
        used = said_inline | set(direct)
        noun = self._noun(rng, tool, spoken, used)
        clauses += self._clauses(rng, order, spoken, "en", used, said=said)
        bound = {**spoken, "o": noun, "k": spoken.get("key", "it")}
        for slot in tool.slots:
            if slot.param in said_inline and slot.unit and slot.param != "key":
                unit = slot.unit
                if unit and rng.random() < 0.75:
                    gap = "" if unit == "%" and rng.random() < 0.7 else rng.choice((" ", " ", ""))
                    if slot.param != "percent":
                        bound[slot.param] = f"{spoken[slot.param]}{gap}{unit}"
        grammar = self._grammars["en"]
        text = grammar.expand(template, rng, bound=bound)
        order.question = text
        asked = tool.action.thing.ask if verb["id"] == "read" else ()
        bound["k"] = spoken.get("key", "it")
        if questions := [q for q in (*verb.get("q", ()), *asked) if _slots_of(q) <= bound.keys()]:
            order.question = grammar.expand(rng.choice(questions), rng, bound=bound)
        tail = ""
        for clause in clauses:
            tail += clause if clause.startswith(",") else rng.choice((" ", " ", " ", ", ")) + clause
        if tail and clauses[0][0] != "," and rng.random() < 0.1 and "," not in tail:
            text, order.question = f"{tail.strip()}, {text}", f"{tail.strip()}, {order.question}"
        else:
            text, order.question = text + tail, order.question + tail
        order.text, order.question = prelude + text, prelude + order.question
        order.is_bare = _is_bare(order, said)
        return order

    def _template(
        self, rng: Random, tool: Made, spoken: Mapping[str, str], *, may_state: bool
    ) -> str:
        """How an order is put, with {o} for its thing."""
        verb, wording = tool.action.verb, self._wording
        options = [
            s
            for s in (*verb["say"], *self._said_of(tool))
            if _slots_of(s) <= spoken.keys() | {"o", "k"} and (may_state or not _STATEMENT.match(s))
        ]
        action = str(rng.choice(verb["name"])).replace("_", " ")
        if not options:
            return f"{action} {{o}}"
        roll = rng.random()
        plain = [s for s in options if _PLAIN.fullmatch(s)]
        if plain and roll < 0.16 and _object(tool.action) not in ("new", "a"):
            if roll < 0.07:
                kind = "state" if may_state and rng.random() < 0.7 else "passive"
                verbs = _PLAIN.fullmatch(rng.choice(plain))
                assert verbs is not None
                one = rng.choice(verbs[1].strip("()").split("|"))
                return rng.choice(wording[kind]).replace("{done}", self._participle(one))
            if roll < 0.13 and may_state:
                return rng.choice(wording["terse"]).replace("{verb}", action)
        if roll > 0.985:
            template = rng.choice(wording["by_name"])
            return template.replace("{tool}", tool.name).replace("{a_word}", "a")
        return rng.choice(options)

    def _said_of(self, tool: Made) -> Sequence[str]:
        """What only this thing is told or asked."""
        thing = tool.action.thing
        return thing.tell if tool.action.verb["id"] == "set" else ()

    def _participle(self, verb: str) -> str:
        first, _, rest = verb.partition(" ")
        irregular = self._wording["irregular"]
        if verb in irregular:
            return str(irregular[verb])
        if first in irregular:
            done = str(irregular[first])
        elif first.endswith("e"):
            done = first + "d"
        elif first.endswith("y") and first[-2] not in "aeiou":
            done = first[:-1] + "ied"
        else:
            done = first + "ed"
        return f"{done} {rest}".strip()

    def _prelude(self, rng: Random, order: Order, spoken: dict[str, str], said: Said) -> str:
        """What is wrong with a machine, told before the order; "" where that cannot be."""
        tool = order.tool
        where = "key" if tool.action.thing.cls in ("device", "sensor") else "asset"
        slot = next((s for s in tool.slots if s.param == where), None)
        about = [s for s in tool.slots if s.param in ("text", "title")]
        if "text" in tool.action.verb.get("need", ()):
            return ""  # its sentences end in the text
        if slot is None or where not in spoken or slot.type != "string" or len(about) > 1:
            return ""
        who, grammar = spoken[where], self._grammars["en"]
        if about and about[0].param not in spoken:
            return ""  # nobody could say whether this is what the argument is for
        is_inside = rng.random() < 0.25
        if is_inside:
            machine = order.values[slot.name]
            if about:
                machine = said.texts[ord(machine) - _FIRST_VALUE]
            told = grammar.expand(f"{{part}} (on|of|at|in) {machine} is {{bad}}(| {{very}})", rng)
        else:
            told = _trimmed(
                grammar.expand("({bad}|{bad} {very}|{sound}|{part} {bad}|{event})", rng)
            )
        if about:
            mark = said.add(told)
            order.values[about[0].name] = mark
            del spoken[about[0].param]
            order.told.add(about[0].param)
            told_mark = mark
        else:
            told_mark = told
        order.told.add(where)
        spoken[where] = rng.choice(self._wording["it"])
        end = rng.choice(self._wording["told_end"])
        if is_inside:
            return rng.choice(("", "the ")) + told_mark + end
        kind = "told_state" if told.split(" ")[0] in self._bad else "told_noun"
        return self._put(rng, kind, {"who": who, "told": told_mark}) + end

    def _noun(self, rng: Random, tool: Made, spoken: Mapping[str, str], used: set[str]) -> str:
        """The thing of an order; what it says of the arguments goes into `used`."""
        word, plural = rng.choice(tool.action.thing.words)
        mode, key = _object(tool.action), spoken.get("key", "")
        slots = {"t": word, "ts": plural, "a": _article(word), "k": key}
        if mode == "value" and key:
            it = set(self._wording["it"]) | set(self._wording["it_again"])
            return self._put(rng, "value_it" if key in it else "value", slots)
        if mode == "item" and "qty" in spoken and "qty" not in used:
            used.add("qty")
            slots["q"] = spoken["qty"]
            if not key:
                return f"{spoken['qty']} {plural}"
            # The key brings its noun along, and the list below has one, too.
            found = _VALUE.findall(key)
            slots["k"] = found[0] if len(found) == 1 else key
            return self._put(rng, "item", slots)
        if mode == "new":
            urgency = ""
            if "priority" in spoken and "priority" not in used and rng.random() < 0.4:
                used.add("priority")
                urgency = f"{spoken['priority']}{rng.choice((' priority ', ' '))}"
            slots |= {"t": urgency + word, "a": _article(urgency + word)}
            return self._put(rng, "new", slots)
        if mode in ("all", "a", "the", "last"):
            return self._put(rng, mode, slots)
        if mode == "some":
            return key or self._put(rng, "some", slots)
        return key or self._put(rng, "the" if mode == "value" else "none", slots)

    def _put(self, rng: Random, kind: str, slots: Mapping[str, str]) -> str:
        """One of the wordings of a kind, filled in."""
        template = rng.choice(self._wording[kind])
        return re.sub(r"\{(\w+)\}", lambda f: slots.get(f[1], f[0]), template)

    def _word_it_ja(
        self, rng: Random, order: Order, spoken: dict[str, str], said: Said
    ) -> Order | None:
        tool = order.tool
        verb, thing = tool.action.verb, tool.action.thing
        word = rng.choice(thing.ja) if rng.random() < 0.85 else rng.choice(thing.words)[0]
        mode = _object(tool.action)
        key = spoken.get("key", "")
        used: set[str] = set()
        if mode == "value":
            noun = f"{key}の{word}" if key else word
        elif mode == "item" and "qty" in spoken:
            used.add("qty")
            quantity = f"{spoken['qty']}{rng.choice(('個', '個', '本', '枚'))}"
            noun = f"{key or word}を{quantity}"
        else:
            noun = key or word
        direct = self._direct(rng, tool, order, "ja")
        used |= set(direct)
        front = "".join(
            (*direct.values(), *self._clauses(rng, order, spoken, "ja", used, said=said))
        )
        action = rng.choice(verb["ja"])
        particle = (
            "" if noun.endswith(("個", "本", "枚")) else rng.choice(("を", "を", "を", "の", ""))
        )
        if rng.random() < 0.15:
            front += rng.choice(("、", " "))
        order.text = f"{front}{noun}{particle}{action}"
        order.question = order.text
        order.is_bare = _is_bare(order, said)
        return order

    # ------------------------------------------------------------ tables

    def _literal_verbs(self) -> list[Toml]:
        made = []
        words = [(w, False) for w in self._literal["words"]]
        words += [(w, True) for w in self._literal["held"]]
        for word, is_held in words:
            near = [w for group in self._literal["near"] if word in group for w in group]
            made.append(
                {
                    "id": word.replace(" ", "-"),
                    "on": ["device", "gate"],
                    "object": "one",
                    "name": [word],
                    "desc": [
                        f"{word.capitalize()} a {{t}}",
                        f"{word.capitalize()} the given {{t}}",
                        f"{word} {{ts}}",
                    ],
                    "say": [f"{word} {{o}}"],
                    "may": ["duration", "text", "person", "delay"],
                    "near": [w.replace(" ", "-") for w in near if w != word],
                    "held": is_held,
                    "w": 0.22,
                }
            )
        return made

    def _all_things(self) -> list[Thing]:
        made = []
        for cls, table in _load("things.toml").items():
            for is_held, key in ((False, "train"), (True, "held")):
                for entry in table[key]:
                    words = tuple(_plural(word) for word in entry["words"])
                    made.append(
                        Thing(
                            id=words[0][0].replace(" ", "-").lower(),
                            cls=cls,
                            words=words,
                            ja=tuple(entry["ja"]),
                            same=entry.get("same", words[0][0]),
                            key=tuple(table["key"]),
                            keynames=tuple(table["keynames"]),
                            units=tuple(entry.get("units", ())),
                            is_held=is_held,
                            may=tuple(entry.get("may", ())),
                            ask=tuple(entry.get("ask", ())),
                            tell=tuple(entry.get("tell", ())),
                        )
                    )
        return made

    @cached_property
    def _things_by_held(self) -> dict[bool, dict[str, list[Thing]]]:
        found: dict[bool, dict[str, list[Thing]]] = {False: {}, True: {}}
        for thing in self._things:
            found[thing.is_held].setdefault(thing.cls, []).append(thing)
        return found

    @cached_property
    def _verbs_by_class(self) -> dict[str, list[Toml]]:
        found: dict[str, list[Toml]] = {}
        for verb in self._verbs:
            for cls in verb["on"]:
                found.setdefault(cls, []).append(verb)
        return found


_CLASS_WEIGHTS = {
    "doc": 2.6,
    "device": 3.0,
    "item": 2.0,
    "quantity": 1.6,
    "person": 0.7,
    "shift": 0.7,
}


def _object(action: Action) -> str:
    return str(action.verb["object"])


def _action(verb: Toml, thing: Thing) -> Action | None:
    return Action(verb, thing) if thing.cls in verb["on"] else None


def _combination(actions: Sequence[Action]) -> str:
    if len(actions) == 1:
        return actions[0].id
    return f"{actions[0].verb['id']}&{actions[1].verb['id']}"


def _clash(a: Action, b: Action, *, is_bare: bool = False) -> bool:
    """One request could mean either; a bare one does not say what kind of thing it is about."""
    va, vb = a.verb["id"], b.verb["id"]
    if any(va in group and vb in group for group in _SAME_WORDS) and va != vb:
        return True
    is_like = va == vb or va in b.verb.get("near", ()) or vb in a.verb.get("near", ())
    if is_bare:
        return is_like or not _first_words(va, a.verb).isdisjoint(_first_words(vb, b.verb))
    is_same = a.thing.same == b.thing.same or a.thing.id == b.thing.id
    is_any = "any" in (a.thing.same, b.thing.same)
    return is_like and (is_same or is_any)


_FIRST_WORDS: dict[str, frozenset[str]] = {}


def _first_words(verb_id: str, verb: Toml) -> frozenset[str]:
    """What orders for an action begin with: its verbs."""
    if verb_id not in _FIRST_WORDS:
        found: set[str] = set()
        for template in (*verb["say"], *verb["name"]):
            head = template[1 : template.index(")")] if template[0] == "(" else template
            found |= {option.replace("_", " ").split(" ")[0] for option in head.split("|")}
        _FIRST_WORDS[verb_id] = frozenset(
            found - {"i", "we", "{o}", "{person}", "get", "do", "put"}
        )
    return _FIRST_WORDS[verb_id]


def _is_bare(order: Order, said: Said) -> bool:
    text = _VALUE.sub(lambda f: said.texts[ord(f[0]) - _FIRST_VALUE], order.text)
    thing = order.tool.action.thing
    names = {one for one, _ in thing.words} | {many for _, many in thing.words} | set(thing.ja)
    return not any(name in text for name in names)


def _as_call(order: Order) -> dict[str, Any]:
    arguments = {s.name: order.values[s.name] for s in order.tool.slots if s.name in order.values}
    typed = {}
    for slot in order.tool.slots:
        if slot.name in arguments:
            value = arguments[slot.name]
            units = order.units.get(slot.name)
            typed[slot.name] = (slot.type, value, units) if slot.type in _POINTED else value
    return {"name": order.tool.name, "arguments": typed}


_POINTED = ("string", "integer", "number")


def _spoken_value(value: Any, texts: Sequence[str]) -> Any:
    if not isinstance(value, tuple):
        return value
    kind, mark, units = value
    text = texts[ord(mark) - _FIRST_VALUE]
    if kind == "string":
        return _trimmed(text)
    if text.lower() in _NUMBERS:
        number: int | float = _NUMBERS[text.lower()]
    else:
        digits = text.replace(",", "")
        number = float(digits) if "." in digits else int(digits)
    return number if units is None else converted(number, said=units[0], wanted=units[1])


def _trimmed(text: str) -> str:
    """Without the small words at its ends, which no mark stands behind."""
    words = text.split(" ")
    while len(words) > 1 and words[0] in _SMALL:
        words.pop(0)
    while len(words) > 1 and words[-1] in _SMALL:
        words.pop()
    return " ".join(words)


def _roughened(
    rng: Random, text: str, values: Sequence[str], draw: Draw, *, lang: str
) -> tuple[str, list[str]]:
    """Slips of the finger in the words, never in the values; capitals or none for all."""
    values = list(values)
    if not draw.is_noisy and rng.random() > 0.22:
        return text, values
    count = rng.choice((2, 3, 4)) if draw.is_noisy else rng.choice((0, 1, 1, 2))
    for _ in range(count):
        text = noise.typo(text, rng)
    roll = rng.random()
    if roll < 0.1:
        text, values = text.upper(), [value.upper() for value in values]
    elif roll < 0.3:
        lowered = [value.lower() for value in values]
        if all(_trimmed(v) == v and re.split(r"[^a-z0-9]", v)[0] not in _SMALL for v in lowered):
            text, values = text.lower(), lowered
    elif roll < 0.4:
        text = text.replace(",", "").replace(".\n", "\n").rstrip(".?!")
    elif roll < 0.45 and lang == "ja":
        text = noise.half_width_kana(text)
    elif roll < 0.5:
        text = text.replace(" ", "  ", 1)
    return text, values


def _written(text: str, values: Sequence[str]) -> str | None:
    """The text with its values in place; None if one cannot be told from what is around it."""
    parts: list[str] = []
    spans: list[tuple[int, str]] = []
    end = at = 0
    for found in _VALUE.finditer(text):
        value = values[ord(found[0]) - _FIRST_VALUE]
        between = text[end : found.start()]
        spans.append((at + len(between), value))
        parts += (between, value)
        at += len(between) + len(value)
        end = found.end()
    written = "".join((*parts, text[end:]))
    numbers = [_plain_number(number) for number in _BARE_NUMBER.findall(written.lower())]
    for start, value in spans:
        stop = start + len(value)
        if start and _script(written[start - 1]) == _script(value[0]) != "":
            return None
        if written[start - 1 : start] == "." and written[start - 2 : start - 1].isalnum():
            return None
        behind = written[stop : stop + 14]
        has_unit = value[-1].isdigit() and _UNIT.match(behind)
        if behind and not has_unit and _script(behind[0]) == _script(value[-1]) != "":
            return None
        words = value.split(" ")
        # Equal numbers share a mark, and their units may differ.
        if _BARE_NUMBER.fullmatch(value.lower()) and numbers.count(_plain_number(value)) > 1:
            return None
        digits = re.findall(r"\d+", value)
        if "月" in value and len(set(digits)) < len(digits):
            return None
        if len(words) > 1:
            # The shortest way from its first word to its last must be the value itself.
            ends = re.compile(
                rf"(?<!\w){re.escape(words[0])}(?!\w)|(?<!\w){re.escape(words[-1])}(?!\w)"
            )
            if len(ends.findall(written)) != 2 * sum(v == value for _, v in spans):
                return None
    return written


def _plain_number(text: str) -> str:
    return str(_NUMBERS.get(text.lower(), text))


def _script(char: str) -> str:
    """Letters of one kind run together; other characters part words."""
    char = unicodedata.normalize("NFKC", char)[:1]
    if (char.isascii() and char.isalnum()) or char in "-.%#_ü":
        return "latin" if char not in "." else ""
    if "ァ" <= char <= "ー":
        return "katakana"
    if "㐀" <= char <= "鿿":
        return "kanji"
    return ""


def _properties(schema: Toml) -> list[Toml]:
    return list(schema["parameters"]["properties"].values())


def _distinct(tools: Sequence[Made]) -> list[Made]:
    found: list[Made] = []
    for tool in tools:
        if not any(tool is other for other in found):
            found.append(tool)
    return found


def _styled(name: str, style: str) -> str:
    words = [w for w in re.split(r"[ _\-/]+", name) if w]
    match style:
        case "camel":
            return words[0].lower() + "".join(w[:1].upper() + w[1:].lower() for w in words[1:])
        case "pascal":
            return "".join(w[:1].upper() + w[1:].lower() for w in words)
        case "kebab":
            return "-".join(w.lower() for w in words)
    return "_".join(w.lower() for w in words)


def _slots_of(template: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", template))


def _weighted(templates: Sequence[str]) -> tuple[list[str], list[float]]:
    parts = [t.partition("~") for t in templates]
    return [p[0] for p in parts], [float(p[2] or 1) for p in parts]


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" and not word.lower().startswith("u") else "a"


def _plural(word: str) -> tuple[str, str]:
    one, _, many = word.partition("|")
    return one, many or (one + "es" if one.endswith(("s", "sh", "ch", "x")) else one + "s")


def _in_range(first: int, last: int) -> Any:
    return lambda rng: f"{rng.randrange(first, last + 1):02d}"


def _syllables(rng: Random, count: int) -> str:
    return "".join(
        rng.choice("bdfgklmnprstv") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "l", "s"))
        for _ in range(count)
    )


def _fake_name(rng: Random) -> str:
    return _syllables(rng, rng.choice((2, 2, 3))).capitalize()


def _junk(rng: Random) -> str:
    return "".join(rng.choices("asdfghjklqwertzuiopyxcvbnm;", k=rng.randrange(3, 9)))


def _invented(rng: Random, things: Sequence[Thing]) -> Thing:
    """A thing with a made-up name, so that only its letters can be recognised."""
    model = rng.choice([t for t in things if not t.is_held and t.cls != "person"])
    word = _syllables(rng, rng.choice((2, 3))) + rng.choice(("or", "er", "ator", "", "al", "ex"))
    if rng.random() < 0.3:
        word += " " + rng.choice(("unit", "plate", "sheet", "station", "module", "list"))
    words = (_plural(word),)
    return Thing(
        f"invented-{model.cls}", model.cls, words, (), word, model.key, model.keynames,
        model.units, is_held=False,
    )  # fmt: skip


def load() -> MaintToolcallGenerator:
    """The generator of this engine."""
    return MaintToolcallGenerator()
