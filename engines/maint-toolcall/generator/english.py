"""Orders in English."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

from .clauses import Clauses
from .lexicon import Lexicon
from .request import VALUE, Order, Request
from .things import article
from .tools import Tool
from .wording import Wording, slots_of

_PLAIN = re.compile(r"(\([a-z |-]+\)|[a-z]+) \{o\}")
_STATEMENT = re.compile(r"\(?(?:i|we|i am)\b|\{(?:o|person)\}|stocktake|\(counted")


class English:
    """Words orders in English.

    Args:
        clauses: for what is not said in the order itself.
        lexicon: for its grammar.
        wording: wording.toml.
    """

    def __init__(self, clauses: Clauses, lexicon: Lexicon, wording: Wording) -> None:
        self._clauses = clauses
        self._grammar = lexicon.grammars["en"]
        self._wording = wording

    def write(
        self,
        rng: Random,
        order: Order,
        request: Request,
        spoken: Mapping[str, str],
        *,
        may_state: bool,
        prelude: str,
    ) -> None:
        """Put an order into words.

        `spoken` is how its arguments are said, by parameter; `prelude` is what is said before it.
        An order that `may_state` may be a statement.
        """
        tool = order.tool
        whole = self._clauses.whole(rng, order, request)
        template = self._template(rng, tool, spoken, may_state=may_state, is_simple=bool(prelude))
        inline = slots_of(template) - {"o", "k"}
        clauses = [text for name, text in whole.items() if name not in inline]
        used = inline | set(whole)
        noun = self._noun(rng, tool, spoken, used)
        clauses += self._clauses.rest(rng, order, request, spoken, used)
        bound = {**spoken, "o": noun, "k": spoken.get("key", "it")}
        bound |= _with_units(rng, tool, spoken, inline)
        text, question = self._grammar.expand(template, rng, bound=bound), ""
        verb = tool.action.verb
        asked = tool.action.thing.ask if verb["id"] == "read" else ()
        if questions := [q for q in (*verb.get("q", ()), *asked) if slots_of(q) <= bound.keys()]:
            question = self._grammar.expand(rng.choice(questions), rng, bound=bound)
        tail = ""
        for clause in clauses:
            tail += clause if clause.startswith(",") else rng.choice((" ", " ", " ", ", ")) + clause
        if tail and clauses[0][0] != "," and rng.random() < 0.04 and "," not in tail:
            front = f"{prelude}{tail.strip()}, "
            order.put(request, front + text, front + question if question else "")
        else:
            question = prelude + question + tail if question else ""
            order.put(request, prelude + text + tail, question)

    def _template(
        self,
        rng: Random,
        tool: Tool,
        spoken: Mapping[str, str],
        *,
        may_state: bool,
        is_simple: bool,
    ) -> str:
        """How an order is put, with {o} for its thing; `is_simple`: its verb comes first."""
        verb, thing = tool.action.verb, tool.action.thing
        told = thing.tell if verb["id"] == "set" else ()
        options = [
            s
            for s in (*verb["say"], *told)
            if slots_of(s) <= spoken.keys() | {"o", "k"} and (may_state or not _STATEMENT.match(s))
        ]
        action = str(rng.choice(verb["name"])).replace("_", " ")
        if not options:
            return f"{action} {{o}}"
        roll = 0.5 if is_simple else rng.random()
        plain = [found[1] for s in options if (found := _PLAIN.fullmatch(s))]
        if plain and roll < 0.16 and tool.action.object not in ("new", "a"):
            if roll < 0.07:
                kind = "state" if may_state and rng.random() < 0.7 else "passive"
                one = rng.choice(rng.choice(plain).strip("()").split("|"))
                done = self._wording.participle(one)
                return self._wording.draw(rng, kind).replace("{done}", done)
            if roll < 0.13 and may_state:
                return self._wording.draw(rng, "terse").replace("{verb}", action)
        if roll > 0.993:
            template = self._wording.draw(rng, "by_name")
            return template.replace("{tool}", tool.name).replace("{a_word}", "a")
        return str(rng.choice(options))

    def _noun(self, rng: Random, tool: Tool, spoken: Mapping[str, str], used: set[str]) -> str:
        """The thing of an order; what it says of the arguments goes into `used`."""
        word, plural = rng.choice(tool.action.thing.words)
        mode, key = tool.action.object, spoken.get("key", "")
        slots = {"t": word, "ts": plural, "a": article(word), "k": key}
        if mode == "value" and key:
            kind = "value_it" if self._wording.is_pronoun(key) else "value"
            return self._wording.put(rng, kind, slots)
        if mode == "item" and "qty" in spoken and "qty" not in used:
            used.add("qty")
            slots["q"] = spoken["qty"]
            if not key:
                return f"{spoken['qty']} {plural}"
            # The key brings its noun along, and the list below has one, too.
            found = VALUE.findall(key)
            slots["k"] = found[0] if len(found) == 1 else key
            return self._wording.put(rng, "item", slots)
        if mode == "new":
            urgency = ""
            if "priority" in spoken and "priority" not in used and rng.random() < 0.4:
                used.add("priority")
                urgency = f"{spoken['priority']}{rng.choice((' priority ', ' '))}"
            slots |= {"t": urgency + word, "a": article(urgency + word)}
            return self._wording.put(rng, "new", slots)
        if mode in ("all", "a", "the", "last"):
            return self._wording.put(rng, mode, slots)
        if mode == "some":
            return key or self._wording.put(rng, "some", slots)
        return key or self._wording.put(rng, "the" if mode == "value" else "none", slots)


def _with_units(
    rng: Random, tool: Tool, spoken: Mapping[str, str], inline: set[str]
) -> dict[str, str]:
    """Values that stand in the order itself, most of them with their unit."""
    found = {}
    for slot in tool.slots:
        if slot.param not in inline or not slot.unit or slot.param == "key":
            continue
        if rng.random() < 0.75:
            unit = slot.unit
            gap = "" if unit == "%" and rng.random() < 0.7 else rng.choice((" ", " ", ""))
            if slot.param != "percent":
                found[slot.param] = f"{spoken[slot.param]}{gap}{unit}"
    return found
