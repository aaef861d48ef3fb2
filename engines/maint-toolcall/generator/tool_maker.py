"""Makes tools of actions: which arguments they have, what they are called and described as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from skilld.training.example import Draw

from .actions import Action
from .things import article
from .tools import Slot, Style, Tool
from .verbs import Verb
from .wording import Wording

_NEED = {"~": (0.78, 0.75), "?": (0.45, 0.4)}
"""How often a tool has such a parameter, and how often that is required; see verbs.toml."""

# Arguments that one tool does not have together: the same words could be meant for either.
_EXCLUSIVE = (
    frozenset({"urgent", "priority"}), frozenset({"immediate", "stopmode"}),
    frozenset({"immediate", "delay"}), frozenset({"location", "lineno"}),
    frozenset({"unit", "tempunit"}), frozenset({"duration", "hours"}),
    frozenset({"interval", "frequency"}), frozenset({"title", "text"}),
    frozenset({"stopline", "immediate"}), frozenset({"ramp", "duration"}),
)  # fmt: skip
_NO_KEY = frozenset({"new", "all", "a", "the", "last"})


@dataclass(slots=True)
class _Sketch:
    """A tool while it is made."""

    action: Action
    word: str  # for its thing
    draw: Draw
    style: Style
    taken: set[str] = field(default_factory=set)  # names of arguments


class ToolMaker:
    """Makes tools.

    Args:
        params: params.toml.
        wording: wording.toml.
    """

    def __init__(self, params: Mapping[str, Any], wording: Wording) -> None:
        self._params = params
        self._wording = wording

    def make(self, rng: Random, action: Action, draw: Draw, style: Style) -> Tool:
        """A tool that does an action."""
        word, plural = rng.choice(action.thing.words)
        sketch = _Sketch(action, word, draw, style)
        slots: list[Slot] = []
        mode = action.object
        if mode not in _NO_KEY and (mode != "some" or rng.random() < 0.45):
            slots.append(self._key_slot(rng, sketch))
        for name, is_required in self._wanted(rng, action):
            others = {slot.param for slot in slots} - {name}
            if not any(name in pair and pair & others for pair in _EXCLUSIVE):
                slots.append(self._slot(rng, sketch, name, is_required=is_required))
        if rng.random() < 0.2:
            rng.shuffle(slots)
        name = style.spelt(self._name(rng, action.verb, word))
        return Tool(action, name, self._description(rng, sketch, plural), slots)

    def _wanted(self, rng: Random, action: Action) -> list[tuple[str, bool]]:
        """Parameters, and whether they are required."""
        wanted: list[tuple[str, bool]] = []
        for name in action.verb.get("need", ()):
            there, required = _NEED.get(name[-1], (1.0, 1.0))
            if rng.random() < there:
                wanted.append((name.rstrip("~?"), rng.random() < required))
        needed = {name for name, _ in wanted}
        extras = [n for n in (*action.verb.get("may", ()), *action.thing.may) if n not in needed]
        count = min(len(extras), rng.choices((0, 1, 2, 3), (56, 34, 9, 1))[0])
        return [*wanted, *((name, rng.random() < 0.06) for name in rng.sample(extras, count))]

    def _key_slot(self, rng: Random, sketch: _Sketch) -> Slot:
        thing = sketch.action.thing
        kind = rng.choice(thing.key)
        is_integer = kind == "num" or (kind == "unit" and rng.random() < 0.25)
        template = rng.choice(thing.keynames)
        if sketch.draw.held_values and rng.random() < 0.3:
            template = rng.choice(self._params["asset"]["held"])
        name = sketch.style.spelt(template.replace("{t}", sketch.word))
        sketch.taken.add(name)
        description = ""
        if rng.random() < 0.22:
            text = self._wording.put(rng, "key_description", {"t": sketch.word})
            description = text[:1].upper() + text[1:]
        kind_type = "integer" if is_integer and (kind == "unit" or rng.random() < 0.6) else "string"
        is_required = sketch.action.object != "some" or rng.random() < 0.5
        return Slot("key", name, kind_type, description, is_required, kind)

    def _slot(self, rng: Random, sketch: _Sketch, param: str, *, is_required: bool) -> Slot:
        spec = self._params[param]
        use_held = sketch.draw.held_values and rng.random() < 0.6
        for _ in range(20):
            template = rng.choice(spec["held"] if use_held else spec["names"])
            name = sketch.style.spelt(template.replace("{t}", sketch.word))
            if name not in sketch.taken:
                break
            use_held = False
        else:
            name = sketch.style.spelt(f"{param} {len(sketch.taken)}")
        sketch.taken.add(name)
        description = (
            rng.choice(spec["desc"]) if rng.random() < 0.3 or use_held or "units" in spec else ""
        )
        unit = ""
        units = sketch.action.thing.units
        if param == "amount" and units:
            unit = rng.choice(units)
            if unit and rng.random() < 0.4:
                description = f"{description or 'Value'} in {unit}"
        elif "units" in spec:
            unit = _fitting(rng, param, rng.choice(spec["units"]), name, description)
        words, senses = _choices(rng, spec) if spec["type"] == "enum" else ((), ())
        return Slot(param, name, spec["type"], description, is_required, unit, words, senses)

    def _name(self, rng: Random, verb: Verb, word: str) -> str:
        action = rng.choice(verb["name"])
        roll = rng.random()
        if roll < 0.72:
            return f"{action} {word}"
        if roll < 0.86:
            return f"{word} {action}"
        if roll < 0.95:
            return f"{self._wording.draw(rng, 'prefix')} {action} {word}"
        return str(action)

    def _description(self, rng: Random, sketch: _Sketch, plural: str) -> str:
        verb, thing, word = sketch.action.verb, sketch.action.thing, sketch.word
        if sketch.style.speaks_ja and "ja" in verb and thing.ja:
            return f"{rng.choice(thing.ja)}を{rng.choice(verb['ja'])}する"
        text = str(rng.choice(verb["desc"]))
        text = text.replace("{ts}", plural).replace("a {t}", f"{article(word)} {word}")
        text = text.replace("{t}", word)
        tail = rng.random()
        if tail < 0.08:
            text += self._wording.draw(rng, "tail")
        if tail > 0.6:
            text += "."
        return text


def _fitting(rng: Random, param: str, unit: str, name: str, description: str) -> str:
    """The unit of an argument whose name or description may say one."""
    if "%" in description or "percent" in description:
        return rng.choice(("%", "percent"))
    if param == "speed":
        return "rpm"
    if param == "amount_oil":
        unit = "ml" if "ml" in description or "volume" in name else "g"
        if name.endswith(("_g", "G")):
            return "g"
        if name.endswith(("_ml", "Ml")):
            return "ml"
    return unit


def _choices(rng: Random, spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Words of an enum, and which senses they have."""
    known: Sequence[Mapping[str, Any]] = spec["sense"]
    count = rng.randrange(2, min(len(known), 4) + 1)
    senses = tuple(sorted(rng.sample(range(len(known)), count)))
    if rng.random() < 0.3:
        senses = tuple(rng.sample(senses, len(senses)))
    words = tuple(rng.choice(known[i]["words"]) for i in senses)
    case = rng.choice((str, str, str, str.upper, str.capitalize))
    return tuple(case(w) for w in words), senses
