"""Orders: the values of each call, and what one order has to do with another."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from .english import English
from .families import Family
from .japanese import Japanese
from .preludes import Preludes
from .request import Order, Request
from .tools import Slot, Tool
from .values import Values
from .wording import Wording


class Orders:
    """Draws the orders of a request.

    Args:
        values: for their arguments.
        wording: wording.toml.
        preludes: for what is told before an order.
        english: puts them into words.
        japanese: the same.
    """

    def __init__(
        self,
        values: Values,
        wording: Wording,
        *,
        preludes: Preludes,
        english: English,
        japanese: Japanese,
    ) -> None:
        self._values = values
        self._wording = wording
        self._preludes = preludes
        self._english = english
        self._japanese = japanese

    def draw(
        self, rng: Random, family: Family, request: Request, tools: Sequence[Tool]
    ) -> list[Order] | None:
        """One order for each tool; None where the family's trick cannot be done with them."""
        orders: list[Order] = []
        corrected = rng.randrange(len(tools)) if family.trick == "correct" else -1
        if family.trick == "both":
            return self._both(rng, request, tools[0])
        for i, tool in enumerate(tools):
            dropped = ""
            if family.kind == "missing" and i == 0:
                required = [s.param for s in tool.slots if s.is_required]
                if not required:
                    return None
                dropped = rng.choice(required)
            order = self._order(
                rng,
                request,
                tool,
                dropped=dropped,
                shared=orders[0] if family.trick == "it" and i == 1 else None,
                is_corrected=i == corrected,
                may_state=family.may_state,
            )
            if order is None:
                return None
            orders.append(order)
        return orders

    def _order(
        self,
        rng: Random,
        request: Request,
        tool: Tool,
        *,
        dropped: str = "",
        shared: Order | None = None,
        is_corrected: bool = False,
        may_state: bool = False,
    ) -> Order | None:
        """Draw the values of a call and word it.

        The parameter `dropped` is not said; "it" refers to the order `shared`; one value of a
        corrected order is taken back. Where it `may_state`, it may begin with what is wrong.
        """
        spoken: dict[str, str] = {}  # how arguments are said, by parameter
        order = Order(tool, {})
        has_pronoun = False
        num_extra = 0  # optional arguments that are said
        for slot in tool.slots:
            if slot.param == dropped:
                continue
            if not slot.is_required and slot.param != "key":
                if num_extra == 2 or rng.random() < 0.6:
                    continue
                num_extra += 1
            if shared is not None and slot.param in ("key", "asset") and not has_pronoun:
                value = _shared_value(shared, tool, slot)
                if value is not None:
                    if request.lang == "ja":
                        return None
                    has_pronoun = True
                    order.values[slot.name] = value
                    spoken[slot.param] = self._wording.draw(rng, "it_again")
                    continue
            order.values[slot.name], spoken[slot.param] = self._values.draw(
                rng, request, tool, slot
            )
        if shared is not None and not has_pronoun:
            return None
        if is_corrected and not self._correct(rng, request, order, spoken):
            return None
        if request.lang == "ja":
            self._japanese.write(rng, order, request, spoken)
            return order
        prelude = ""
        is_plain = not is_corrected and shared is None and not dropped
        if may_state and is_plain and rng.random() < 0.18:
            prelude = self._preludes.write(rng, order, request, spoken)
        self._english.write(rng, order, request, spoken, may_state=may_state, prelude=prelude)
        return order

    def _correct(self, rng: Random, request: Request, order: Order, spoken: dict[str, str]) -> bool:
        """Say another value before the right one; False if there is none to correct."""
        slots = [
            s
            for s in order.tool.slots
            if s.name in order.values
            and s.type in ("string", "integer", "number")
            and s.param != "text"
        ]
        if not slots:
            return False
        slot = rng.choice(slots)
        _, wrong = self._values.draw(rng, request, order.tool, slot)
        said = {"wrong": wrong, "right": spoken[slot.param]}
        spoken[slot.param] = self._wording.put(rng, "correct", said)
        return True

    def _both(self, rng: Random, request: Request, tool: Tool) -> list[Order] | None:
        """The same asked for two things in one go."""
        key = tool.slot("key")
        if key is None or key.type != "string":
            return None
        first = self._order(rng, request, tool)
        value, said = self._values.draw(rng, request, tool, key)
        if first is None:
            return None
        mark = first.values[key.name]
        if first.text.count(mark) != 1:
            return None
        second = Order(tool, {**first.values, key.name: value}, units=first.units)
        is_ja = request.lang == "ja"
        joint = rng.choice(("と", "、")) if is_ja else self._wording.draw(rng, "joint")
        other = rng.choice((value, said))
        quantity = tool.slot("qty")
        if quantity is not None and quantity.name in first.values:
            counted = first.values[quantity.name]
            at, place = first.text.find(counted), first.text.index(mark)
            if is_ja or not 0 <= at < place:
                return None
            again, _ = self._values.draw(rng, request, tool, quantity)
            second.values[quantity.name] = again
            other = f"{again}{first.text[at + 1 : place]}{value}"
        first.text = first.text.replace(mark, f"{mark}{joint}{other}")
        return [first, second]


def _shared_value(first: Order, tool: Tool, slot: Slot) -> Any:
    """What "it" is, if the first call named something that this argument can take."""
    key = first.tool.slot("key", "asset")
    if key is None or key.name not in first.values or key.type != slot.type:
        return None
    if slot.param == "key":
        is_same = tool.action.thing.id == first.tool.action.thing.id
        is_machine = tool.action.thing.cls in ("quantity", "file") and key.param == "asset"
        return first.values[key.name] if is_same or is_machine else None
    is_machine = first.tool.action.thing.cls in ("device", "gate") or key.param == "asset"
    return first.values[key.name] if is_machine else None
