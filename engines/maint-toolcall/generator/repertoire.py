"""All actions there are, and which of them are asked for together."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from random import Random

from skilld.training.example import Draw

from .actions import Action, clash, combination
from .families import Family
from .invented import invented_thing
from .things import Thing
from .verbs import Verb

_ATTEMPTS = 60
_CLASS_WEIGHTS = {
    "doc": 2.6,
    "device": 3.0,
    "item": 2.0,
    "quantity": 1.6,
    "person": 0.7,
    "shift": 0.7,
}


class Repertoire:
    """Draws actions.

    Args:
        verbs: what can be done.
        things: what it can be done to.
    """

    def __init__(self, verbs: Sequence[Verb], things: Sequence[Thing]) -> None:
        self._things = things
        self._things_by_held: dict[bool, dict[str, list[Thing]]] = {False: {}, True: {}}
        for thing in things:
            self._things_by_held[thing.is_held].setdefault(thing.cls, []).append(thing)
        self._verbs_by_class: dict[str, list[Verb]] = {}
        for verb in verbs:
            for cls in verb["on"]:
                self._verbs_by_class.setdefault(cls, []).append(verb)
        actions = {Action(v, t).id for v in verbs for t in things if t.cls in v["on"]}
        pairs = {f"{a['id']}&{b['id']}" for a in verbs for b in verbs}
        self.held_combinations = frozenset(
            c for c in actions | pairs if zlib.crc32(c.encode()) % 100 < 12
        )

    def asked(self, rng: Random, family: Family, draw: Draw) -> list[Action] | None:
        """The actions that a family asks for, in order."""
        num, trick = family.num_calls, family.trick
        wants_held = draw.held_combination and num == 1
        first = self.draw(rng, family.lang, draw, wants_held=wants_held)
        if first is None:
            return None
        if trick == "both":
            return [first, first] if first.object in ("one", "item", "item1") else None
        chosen = [first]
        for _ in range(num - 1 + (trick == "aside")):
            if trick == "it" and rng.random() < 0.35:
                other = self._on_same_thing(rng, first)
            elif trick != "aside" and rng.random() < 0.12:
                other = first
            else:
                other = self.draw(rng, family.lang, draw, wants_held=False)
            if other is None or any(clash(other, a) for a in chosen if a is not other):
                return None
            chosen.append(other)
        if num > 1:
            is_held = combination(chosen) in self.held_combinations
            if is_held != draw.held_combination:
                return None
        return chosen

    def draw(self, rng: Random, lang: str, draw: Draw, *, wants_held: bool) -> Action | None:
        """Any action that can be asked for in a language."""
        for _ in range(_ATTEMPTS):
            held_thing = draw.held_values and rng.random() < 0.8
            if not held_thing and lang == "en" and rng.random() < 0.1:
                thing = invented_thing(rng, self._things)
            else:
                pool = self._things_by_held[held_thing]
                classes = [c for c in pool if pool[c]]
                weights = [_CLASS_WEIGHTS.get(c, 1.0) for c in classes]
                thing = rng.choice(pool[rng.choices(classes, weights)[0]])
            verbs = self._verbs_by_class[thing.cls]
            verb = rng.choices(verbs, [v.get("w", 1.0) for v in verbs])[0]
            if lang == "ja" and "ja" not in verb:
                continue
            if verb.get("held") and not draw.held_values:
                continue
            action = Action(verb, thing)
            if (action.id in self.held_combinations) == wants_held:
                return action
        return None

    def beside(self, rng: Random, known: Sequence[Action], draw: Draw) -> Action | None:
        """Another action for a tool that is not called: as often as not like one of these."""
        if not known or rng.random() >= 0.55:
            return self.draw(rng, "en", draw, wants_held=rng.random() < 0.12)
        near = rng.choice(known)
        if rng.random() < 0.6:  # the same thing, something else done to it
            verb = rng.choice(self._verbs_by_class[near.thing.cls])
            thing = near.thing
        else:  # the same done to something else
            things = self._things_by_held[False]
            classes = [c for c in near.verb["on"] if things.get(c)]
            if not classes:
                return None
            verb = near.verb
            thing = rng.choice(things[rng.choice(classes)])
        if verb.get("held") and not draw.held_values:
            return None
        return Action(verb, thing)

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
