"""Orders in Japanese."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from .clauses import Clauses
from .request import Order, Request


class Japanese:
    """Words orders in Japanese.

    Args:
        clauses: for what is not said in the order itself.
    """

    def __init__(self, clauses: Clauses) -> None:
        self._clauses = clauses

    def write(self, rng: Random, order: Order, request: Request, spoken: Mapping[str, str]) -> None:
        """Put an order into words; `spoken`: how its arguments are said, by parameter."""
        verb, thing = order.tool.action.verb, order.tool.action.thing
        word = rng.choice(thing.ja) if rng.random() < 0.85 else rng.choice(thing.words)[0]
        mode = order.tool.action.object
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
        whole = self._clauses.whole(rng, order, request)
        used |= set(whole)
        rest = self._clauses.rest(rng, order, request, spoken, used)
        front = "".join((*whole.values(), *rest))
        action = rng.choice(verb["ja"])
        particle = (
            "" if noun.endswith(("個", "本", "枚")) else rng.choice(("を", "を", "を", "の", ""))
        )
        if rng.random() < 0.15:
            front += rng.choice(("、", " "))
        text = f"{front}{noun}{particle}{action}"
        order.put(request, text, text)
