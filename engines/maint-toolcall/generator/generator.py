"""Puts everything together: one example of a family."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

from skilld.skills.pointing import SpanRules
from skilld.skills.pointing.marks import SpanError
from skilld.training import noise
from skilld.training.example import Draw, Example
from skilld.training.grammar import Grammar

from .actions import clash, combination
from .answers import call_of
from .clauses import Clauses
from .english import English
from .families import Family, read_families, shares
from .handwriting import roughened, written
from .japanese import Japanese
from .lexicon import Lexicon
from .orders import Orders
from .preludes import Preludes
from .repertoire import Repertoire
from .request import Order, Request
from .service_orders import ServiceOrders
from .things import read_things
from .tool_maker import ToolMaker
from .toolbox import Toolbox
from .tools import Style, Tool
from .values import Values
from .verbs import read_verbs
from .wording import Wording

VERSION = "2.0.0"
FOLDER = Path(__file__).parents[1]

MAX_REQUEST_CHARS = 290
_MAX_ARGUMENTS = 60
"""Most arguments of all tools of an input together, and most words of their enums."""

_SERVICE_SHARE = 0.68
"""How often a family that can do either asks for the tools of one service."""
_HELD_SERVICE_SHARE = 0.3
"""The same where held-out values are wanted: few services are held out."""

_ATTEMPTS = 200


class MaintToolcallGenerator:
    """See the package; the protocol is `skilld.training.example.Generator`."""

    def __init__(self) -> None:
        def read(name: str) -> dict[str, Any]:
            return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))

        families, verbs = read("families.toml"), read("verbs.toml")
        skill = read("skills/maint-toolcall.toml")
        self._spans = SpanRules.model_validate(skill["spans"])
        self._output_schema = skill["output_schema"]
        self._params = read("params.toml")
        self._things = read_things(read("things.toml"))
        self._held_verbs: Sequence[str] = verbs["literal"]["held"]
        self._family = read_families(families)
        self._lexicon = Lexicon(read("values.toml"), families["rules"])
        self._repertoire = Repertoire(read_verbs(verbs), self._things)
        wording = Wording(read("wording.toml"))
        self._toolbox = Toolbox(self._repertoire, ToolMaker(self._params, wording))
        self._services = ServiceOrders(read("services.toml"), self._lexicon, wording)
        clauses = Clauses(self._params)
        self._orders = Orders(
            Values(self._params, self._lexicon, wording),
            wording,
            preludes=Preludes(self._lexicon, wording),
            english=English(clauses, self._lexicon, wording),
            japanese=Japanese(clauses),
        )

    @property
    def version(self) -> str:
        """Changes whenever the same seed gives other examples."""
        return VERSION

    @cached_property
    def families(self) -> Mapping[str, float]:
        """Family id to weight. Negatives are about one in six."""
        return shares(self._family.values())

    @cached_property
    def held_families(self) -> frozenset[str]:
        """Ways to ask that training never sees."""
        return frozenset(name for name, family in self._family.items() if family.is_held)

    @cached_property
    def held_values(self) -> tuple[str, ...]:
        """Things, actions, argument names, names and identifier stems that training never sees."""
        found = {one for t in self._things if t.is_held for one, _ in t.words}
        found |= {one.replace(" ", "_") for one in found}
        found |= {name for param in self._params.values() for name in param["held"]}
        found |= self._services.held_words | set(self._held_verbs)
        return tuple(sorted(found | self._lexicon.held_stems))

    @cached_property
    def held_combinations(self) -> frozenset[str]:
        """Pairs of action and thing, and pairs of actions or tools in one request."""
        return self._repertoire.held_combinations | self._services.held_combinations

    def sample(self, rng: Random, *, family: str, draw: Draw) -> Example:
        """One example of a family."""
        for attempt in range(_ATTEMPTS):
            if attempt == _ATTEMPTS // 2:  # it cannot do what is asked, so it gives what it can
                draw = replace(draw, held_combination=False)
            example = self._try(rng, self._family[family], draw)
            if example is not None and self._can_be_pointed(example):
                return example
        raise RuntimeError(f"family {family!r} gave no example in {_ATTEMPTS} attempts")

    def _can_be_pointed(self, example: Example) -> bool:
        """A slip or a chance neighbour may make a value mean something else; about 1 in 10,000."""
        if example.is_abstain:
            return True
        try:
            # Reading the other tools would take most of the time, and changes nothing.
            called = {call["name"] for call in example.answer["calls"]}
            tools = [tool for tool in example.input["tools"] if tool["name"] in called]
            marked = self._spans.mark({**example.input, "tools": tools})
            pointed = marked.point(example.answer, self._output_schema)
            return bool(marked.resolve(pointed, self._output_schema) == example.answer)
        except SpanError:
            return False

    def _try(self, rng: Random, family: Family, draw: Draw) -> Example | None:
        request = Request(family.lang, draw)
        style = Style.draw(rng, family.lang)
        if family.kind == "near":
            return self._near(rng, family, request, style)
        if family.kind == "text":
            if rng.random() < _SERVICE_SHARE:
                tools = self._services.tools(rng, draw.held_values, style)
            else:
                tools = self._toolbox.filled(rng, [], draw, style)
            text = self._grammar(family).expand(family.template, rng).strip()
            return self._finish(rng, family, request, text, [], tools)
        by_service = self._services.fits(family, request)
        share = (
            _HELD_SERVICE_SHARE if draw.held_values else 1.0 if family.is_free else _SERVICE_SHARE
        )
        if by_service and rng.random() < share:
            drawn = self._services.draw(rng, family, request, style)
            if drawn is None:
                return None
            text = self._worded(rng, family, drawn[0])
            return self._finish(rng, family, request, text, *drawn)
        actions = self._repertoire.asked(rng, family, draw)
        if actions is None:
            return None
        made = self._toolbox.called(rng, actions, draw, style)
        if made is None:
            return None
        orders = self._orders.draw(rng, family, request, made)
        if orders is None or ("{qa}" in family.template and not orders[0].question):
            return None
        text = self._worded(rng, family, orders)
        missing = made[:1] if family.kind in ("lacking", "half") else []
        present = [tool for tool in made if tool not in missing]
        if family.kind == "half" and actions[0] is actions[1]:
            return None
        bare = [order.tool.action for order in orders if order.is_bare]
        if any(clash(a, b, is_bare=True) for a in bare for b in actions if a is not b):
            return None
        tools = self._toolbox.filled(rng, present, draw, style, absent=missing, bare=bare)
        return self._finish(rng, family, request, text, orders, tools)

    def _near(self, rng: Random, family: Family, request: Request, style: Style) -> Example | None:
        """What is nearly what the tools do, but not quite."""
        found = self._services.near(rng, request, style)
        if found is None:
            return None
        bound = {"a": found[0], "A": found[0][:1].upper() + found[0][1:]}
        text = self._grammar(family).expand(family.template, rng, bound=bound).strip()
        return self._finish(rng, family, request, text, [], found[1])

    def _worded(self, rng: Random, family: Family, orders: Sequence[Order]) -> str:
        bound = _bound(orders, is_one=family.trick == "both")
        return self._grammar(family).expand(family.template, rng, bound=bound).strip()

    def _grammar(self, family: Family) -> Grammar:
        return self._lexicon.grammars[family.lang]

    def _finish(
        self,
        rng: Random,
        family: Family,
        request: Request,
        text: str,
        orders: Sequence[Order],
        tools: list[Tool],
    ) -> Example | None:
        """Roughen the words, put the values in place and read the answer off the orders."""
        rng.shuffle(tools)
        text, values = roughened(rng, text, request)
        whole = written(text, values)
        if whole is None or not 0 < len(whole) <= MAX_REQUEST_CHARS:
            return None
        called = orders[:1] if family.trick == "aside" else orders
        answer: dict[str, Any] = {"calls": [call_of(order, values) for order in called]}
        if family.abstain:
            answer = {"abstain": family.abstain}
        slots = [slot for tool in tools for slot in tool.slots]
        words = {word for slot in slots for word in slot.words}
        if len(words) > _MAX_ARGUMENTS or len(slots) > _MAX_ARGUMENTS:
            return None
        if rng.random() < 0.03 and whole.isascii():
            whole = noise.full_width(whole)
        return Example(
            family.id,
            {"request": whole, "tools": [tool.schema for tool in tools]},
            answer,
            combination([order.tool.action for order in orders]) if orders else "",
        )


def _bound(orders: Sequence[Order], *, is_one: bool) -> dict[str, str]:
    """What {a}, {A}, {b} ... and {qa} of a family stand for; `is_one`: one text for all orders."""
    bound: dict[str, str] = {}
    texts = [order.text for order in (orders[:1] if is_one else orders)]
    for letter, text in zip("abc", texts, strict=False):
        bound[letter] = text
        bound[letter.upper()] = text[:1].upper() + text[1:]
    bound["qa"] = orders[0].question
    bound["f"], bound["F"] = bound["a"], bound["A"]
    bound["g"] = bound.get("b", "")
    return bound
