"""What is wrong with a machine, told before the order."""

from __future__ import annotations

from random import Random

from .answers import trimmed
from .lexicon import Lexicon
from .request import Order, Request
from .wording import Wording


class Preludes:
    """Writes preludes, in English.

    Args:
        lexicon: what can be wrong.
        wording: wording.toml.
    """

    def __init__(self, lexicon: Lexicon, wording: Wording) -> None:
        self._grammar = lexicon.grammars["en"]
        self._lexicon = lexicon
        self._wording = wording

    def write(self, rng: Random, order: Order, request: Request, spoken: dict[str, str]) -> str:
        """A prelude, which takes what it says out of `spoken`; "" where there cannot be one."""
        tool = order.tool
        where = "key" if tool.action.thing.cls in ("device", "sensor") else "asset"
        slot = tool.slot(where)
        about = [s for s in tool.slots if s.param in ("text", "title")]
        if "text" in tool.action.verb.get("need", ()):
            return ""  # its sentences end in the text
        if slot is None or where not in spoken or slot.type != "string" or len(about) > 1:
            return ""
        who = spoken[where]
        if about and about[0].param not in spoken:
            return ""  # nobody could say whether this is what the argument is for
        is_inside = rng.random() < 0.25
        if is_inside:
            machine = order.values[slot.name]
            if about:
                machine = request.read(machine)
            template = f"{{part}} (on|of|at|in) {machine} is {{bad}}(| {{very}})"
            told = self._grammar.expand(template, rng)
        else:
            template = "({bad}|{bad} {very}|{sound}|{part} {bad}|{event})"
            told = trimmed(self._grammar.expand(template, rng))
        mark = told
        if about:
            mark = request.add(told)
            order.values[about[0].name] = mark
            del spoken[about[0].param]
            order.told.add(about[0].param)
        order.told.add(where)
        spoken[where] = self._wording.draw(rng, "it")
        end = self._wording.draw(rng, "told_end")
        if is_inside:
            return rng.choice(("", "the ")) + mark + end
        kind = "told_state" if self._lexicon.is_state(told) else "told_noun"
        return self._wording.put(rng, kind, {"who": who, "told": mark}) + end
