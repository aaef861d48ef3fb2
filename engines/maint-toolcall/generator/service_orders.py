"""Orders for the tools of one service, and the tools to go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from skilld.skills.pointing.tool_schemas import argument_unit

from .actions import Action
from .clauses import other_unit
from .families import Family
from .lexicon import Lexicon
from .request import Order, Request
from .services import OPTIONAL, Service, ServiceTool, pairs_held_out, params_of, read_services
from .things import Thing
from .tools import Slot, Style, Tool
from .wording import Wording, slots_of

_SAID = 0.4
"""How often something optional is said."""

_NUM_TOOLS = {2: 6, 3: 34, 4: 30, 5: 16, 6: 9, 7: 4, 8: 1}
_FREE = {"say": 40, "note": 40, "q": 20}
_JOINED_MARKS = (" and ", " and ", " & ", ", ", " + ")


class ServiceOrders:
    """Draws orders.

    Args:
        tables: services.toml.
        lexicon: what arguments are said to be.
        wording: wording.toml.
    """

    def __init__(self, tables: Mapping[str, Any], lexicon: Lexicon, wording: Wording) -> None:
        services = read_services(tables)
        self._by_held = {
            held: [service for service in services if service.is_held == held]
            for held in (False, True)
        }
        self._lexicon = lexicon
        self._wording = wording
        self.held_combinations = pairs_held_out(services)
        self.held_words = {s.topic for s in self._by_held[True]}

    def fits(self, family: Family, request: Request) -> bool:
        """Orders can be drawn for a family."""
        if family.trick == "it" or family.kind == "text":
            return False
        if request.draw.held_combination and (family.num_calls != 2 or family.trick):
            return False
        return family.lang == "en" or family.is_free

    def tools(self, rng: Random, draw_held: bool, style: Style) -> list[Tool]:
        """The tools of a request that asks for none of them."""
        service = rng.choice(self._by_held[draw_held])
        return self._filled(rng, service, [], {}, style)

    def near(self, rng: Random, request: Request, style: Style) -> tuple[str, list[Tool]] | None:
        """Words that ask for what no tool of a service does, and its tools."""
        service = rng.choice(self._by_held[request.draw.held_values])
        templates = service.near[request.lang]
        if not templates:
            return None
        template = _cut(rng, rng.choice(templates))
        said = {p: self._value(rng, request, service, p)[1] for p in sorted(params_of(template))}
        text = self._lexicon.grammars[request.lang].expand(template, rng, bound=said)
        return text, self._filled(rng, service, [], {}, style, may_mix=False)

    def draw(
        self, rng: Random, family: Family, request: Request, style: Style
    ) -> tuple[list[Order], list[Tool]] | None:
        """Orders with the tools that there are; None if the family cannot be done this time."""
        service = rng.choice(self._by_held[request.draw.held_values])
        count = family.num_calls + (family.trick == "aside")
        if family.trick == "both":
            count = 1
        wanted = self._wanted(rng, family, service, request, count)
        if wanted is None:
            return None
        made: dict[str, Tool] = {}
        used: dict[str, set[str]] = {}
        for tool, template in wanted:
            used.setdefault(tool.id, set()).update(params_of(template))
        for tool, _ in wanted:
            if tool.id not in made:
                missing = family.kind == "missing" and tool is wanted[0][0]
                made[tool.id] = self._tool(
                    rng, service, tool, used[tool.id], style, is_whole=not missing
                )
        orders = []
        for tool, template in wanted:
            order = Order(made[tool.id], {})
            text = self._said(rng, request, service, order, template)
            order.text = order.question = text
            orders.append(order)
        if family.trick == "correct" and not self._correct(rng, request, service, orders[0]):
            return None
        if family.trick == "both":
            second = self._again(rng, request, service, orders[0])
            if second is None:
                return None
            orders.append(second)
        if family.kind in ("lacking", "half"):
            if wanted[0][0] is wanted[-1][0] and family.kind == "half":
                return None
            absent = wanted[0][0].id
            shown = {name: tool for name, tool in made.items() if name != absent}
            return orders, self._filled(rng, service, [absent], shown, style, may_mix=False)
        return orders, self._filled(rng, service, [], made, style, may_mix=not family.kind)

    def _wanted(
        self, rng: Random, family: Family, service: Service, request: Request, count: int
    ) -> list[tuple[ServiceTool, str]] | None:
        """Which tools are asked for in which words."""
        found: list[tuple[ServiceTool, str]] = []
        for i in range(count):
            again = found and family.trick != "aside" and rng.random() < 0.15
            tool = found[0][0] if again else rng.choice(service.tools)
            if not again and any(tool is other for other, _ in found):
                return None
            template = self._template(rng, family, tool, is_first=i == 0)
            if template is None:
                return None
            found.append((tool, _cut(rng, template)))
        if count > 1 and not family.kind:
            pair = f"{found[0][0].id}&{found[1][0].id}"
            if (pair in self.held_combinations) != request.draw.held_combination:
                return None
        return found

    def _template(
        self, rng: Random, family: Family, tool: ServiceTool, *, is_first: bool
    ) -> str | None:
        if family.lang == "ja":
            mood = "missja" if family.kind == "missing" and is_first else "ja"
        elif family.kind == "missing" and is_first:
            mood = "miss"
        elif "{qa}" in family.template:
            mood = "q"
        elif family.is_free:
            moods = {
                m: w for m, w in _FREE.items() if tool.asked[m] and not (family.joins and m == "q")
            }
            if not moods:
                return None
            mood = rng.choices(list(moods), list(moods.values()))[0]
        else:
            states = family.may_state and rng.random() < 0.25
            mood = "note" if states and tool.asked["note"] else "say"
        options = tool.asked[mood]
        if not options:
            return None
        template = rng.choice(options)
        if mood == "q" and family.is_free and rng.random() < 0.65:
            template += "?"
        return template

    def _said(
        self, rng: Random, request: Request, service: Service, order: Order, template: str
    ) -> str:
        """An order in words; its values go into it."""
        said: dict[str, str] = {}
        for slot in order.tool.slots:
            if slot.param in slots_of(template):
                value, text = self._value(rng, request, service, slot.param, slot)
                order.values[slot.name] = value
                said[slot.param] = text
        for name in slots_of(template):
            if name.endswith("_u"):
                slot = next(s for s in order.tool.slots if s.param == name[:-2])
                other = other_unit(rng, slot, order) if rng.random() < 0.15 else ""
                units = service.slots[slot.param]["u"]
                said[name] = request.add(other) if other else rng.choice(units)
        return self._lexicon.grammars[request.lang].expand(template, rng, bound=said)

    def _value(
        self, rng: Random, request: Request, service: Service, param: str, slot: Slot | None = None
    ) -> tuple[Any, str]:
        spec, is_ja = service.slots[param], request.lang == "ja"
        if "yes" in spec:
            is_yes = rng.random() < 0.65
            key = ("j" if is_ja else "") + ("yes" if is_yes else "no")
            return is_yes, rng.choice(spec[key])
        if "e" in spec:
            i = rng.randrange(len(spec["e"])) if slot is None else rng.randrange(len(slot.senses))
            sense = spec["e"][i if slot is None else slot.senses[i]]
            word = sense[0][0] if slot is None else slot.words[i]
            if is_ja:
                return word, rng.choice(sense[2])
            if rng.random() < 0.35 and not word.isdigit():
                return word, word.replace("_", " ").lower()
            return word, rng.choice(sense[1])
        mark = request.add(self._text(rng, request, spec))
        return mark, mark

    def _text(self, rng: Random, request: Request, spec: Mapping[str, Any]) -> str:
        if isinstance(spec["v"], str):
            return self._lexicon.draw(rng, request, spec["v"])
        options = spec.get("vj", spec["v"]) if request.lang == "ja" else spec["v"]
        return self._lexicon.expand(rng, request.lang, rng.choice(options))

    def _correct(self, rng: Random, request: Request, service: Service, order: Order) -> bool:
        """Say another value before the right one."""
        slots = [
            slot
            for slot in order.tool.slots
            if slot.name in order.values
            and slot.type in ("string", "integer", "number")
            and service.slots[slot.param]["v"] != "fault"
            and order.text.count(order.values[slot.name]) == 1
        ]
        if not slots:
            return False
        slot = rng.choice(slots)
        right = order.values[slot.name]
        wrong, _ = self._value(rng, request, service, slot.param, slot)
        text = self._wording.put(rng, "correct", {"wrong": wrong, "right": right})
        order.text = order.question = order.text.replace(right, text)
        return True

    def _again(self, rng: Random, request: Request, service: Service, order: Order) -> Order | None:
        """The same asked for a second thing."""
        slot = next((s for s in order.tool.slots if s.is_required), None)
        if slot is None or slot.type != "string" or "v" not in service.slots[slot.param]:
            return None
        if service.slots[slot.param]["v"] in ("fault", "date", "clock"):
            return None
        mark = order.values[slot.name]
        value, _ = self._value(rng, request, service, slot.param, slot)
        joint = rng.choice(("と", "、")) if request.lang == "ja" else rng.choice(_JOINED_MARKS)
        order.text = order.question = order.text.replace(mark, f"{mark}{joint}{value}")
        return Order(order.tool, {**order.values, slot.name: value}, units=order.units)

    def _filled(
        self,
        rng: Random,
        service: Service,
        absent: Sequence[str],
        made: Mapping[str, Tool],
        style: Style,
        *,
        may_mix: bool = True,
    ) -> list[Tool]:
        """The tools that are called and others; of another service, too, where they `may_mix`."""
        tools = list(made.values())
        wanted = rng.choices(list(_NUM_TOOLS), list(_NUM_TOOLS.values()))[0]
        others = [(service, t) for t in service.tools if t.id not in made and t.id not in absent]
        rng.shuffle(others)
        if may_mix and rng.random() < 0.2:
            stranger = rng.choice(self._by_held[False])
            if stranger.topic != service.topic:
                picked = rng.sample(stranger.tools, min(2, len(stranger.tools)))
                others = [*((stranger, tool) for tool in picked), *others]
        for owner, tool in others:
            if len(tools) >= wanted:
                break
            new = self._tool(rng, owner, tool, set(), style)
            if all(new.name != known.name for known in tools):
                tools.append(new)
        return tools

    def _tool(
        self,
        rng: Random,
        service: Service,
        tool: ServiceTool,
        used: set[str],
        style: Style,
        *,
        is_whole: bool = True,
    ) -> Tool:
        """A tool with arguments for all that is `used`; where not `is_whole`, one is missing."""
        slots: list[Slot] = []
        taken: set[str] = set()
        for param, flag in tool.args:
            if flag != "!" and param not in used and rng.random() < 0.6:
                continue
            spec = service.slots[param]
            names = [name for n in spec["n"] if (name := style.spelt(n)) not in taken]
            name = rng.choice(names)
            taken.add(name)
            is_required = flag == "!" or (flag == "~" and param in used and rng.random() < 0.5)
            description = ""
            needs_unit = "u" in spec and argument_unit(name, "") is None
            if spec["d"] and rng.random() < (0.9 if needs_unit else 0.18):
                description = rng.choice(spec["d"])
            words, senses = _choices(rng, spec["e"]) if "e" in spec else ((), ())
            kind = _type(spec)
            slots.append(Slot(param, name, kind, description, is_required, "", words, senses))
        if rng.random() < 0.1:
            rng.shuffle(slots)
        action = Action({"id": tool.id, "object": "one"}, _thing(service))
        description = rng.choice(tool.descriptions)
        if rng.random() < 0.3:
            description += "."
        return Tool(action, style.spelt(rng.choice(tool.names)), description, slots)


def _cut(rng: Random, template: str) -> str:
    """Decide what of the optional parts is said."""
    if "[" not in template:
        return template
    return OPTIONAL.sub(lambda found: found[1] if rng.random() < _SAID else "", template)


def _type(spec: Mapping[str, Any]) -> str:
    if "yes" in spec:
        return "boolean"
    return "enum" if "e" in spec else str(spec.get("t", "string"))


def _choices(
    rng: Random, senses: Sequence[Sequence[Sequence[str]]]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    kept = list(range(len(senses)))
    if len(kept) > 3 and rng.random() < 0.3:
        kept.remove(rng.choice(kept))
    case = rng.choice((str, str, str, str, str.upper, str.capitalize))
    return tuple(case(rng.choice(senses[i][0])) for i in kept), tuple(kept)


def _thing(service: Service) -> Thing:
    return Thing(
        service.topic, "service", ((service.topic, service.topic),), (), service.topic, (), (), (),
        is_held=service.is_held,
    )  # fmt: skip
