"""Values of arguments, and how they are said."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from .lexicon import Lexicon
from .request import Request
from .tools import Slot, Tool
from .wording import Wording

_PLACES = frozenset({"location", "lineno", "from", "to", "building"})
_CODE_KEYS = frozenset({"tag", "wo", "docno", "num", "part", "alarmno", "address", "reg"})


class Values:
    """Draws values.

    Args:
        params: params.toml.
        lexicon: what they are drawn from.
        wording: wording.toml.
    """

    def __init__(self, params: Mapping[str, Any], lexicon: Lexicon, wording: Wording) -> None:
        self._params = params
        self._lexicon = lexicon
        self._wording = wording

    def draw(self, rng: Random, request: Request, tool: Tool, slot: Slot) -> tuple[Any, str]:
        """The value of an argument (or the character that stands for it), and how it is said."""
        lang = request.lang
        if slot.param == "key":
            return self._key(rng, request, tool, slot)
        spec = self._params[slot.param]
        if slot.type == "boolean":
            is_yes = rng.random() < 0.8
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
        text = self._lexicon.draw(rng, request, spec["value"])
        if slot.param == "asset" and _PLACES & {s.param for s in tool.slots}:
            while " " in text or not text.isascii():  # "line 3" could be the place
                text = self._lexicon.draw(rng, request, spec["value"])
        mark = request.add(text)
        return mark, mark

    def _key(self, rng: Random, request: Request, tool: Tool, slot: Slot) -> tuple[str, str]:
        thing = tool.action.thing
        word = rng.choice(thing.words)[0]
        if slot.unit == "unit":
            return self._numbered(rng, request, tool, slot, word)
        code = self._lexicon.draw(rng, request, slot.unit)
        while thing.cls != "quantity" and (" " in code or not code.isascii()):
            code = self._lexicon.draw(rng, request, slot.unit)
        mark = request.add(code)
        is_code = slot.unit in _CODE_KEYS and " " not in code
        if thing.cls in ("quantity", "file") or not is_code:
            return mark, mark
        if request.lang == "ja":
            return mark, f"{rng.choice(thing.ja)}{mark}" if rng.random() < 0.7 else mark
        kind = "number" if code.isdigit() else "code"
        return mark, self._wording.put(rng, kind, {"t": word, "k": mark})

    def _numbered(
        self, rng: Random, request: Request, tool: Tool, slot: Slot, word: str
    ) -> tuple[str, str]:
        """One of several of the same kind: "press 3"."""
        thing = tool.action.thing
        number = rng.choice(("1", "2", "3", "4", "5", "6", "7", "8", "12"))
        if request.lang == "ja":
            if slot.type == "integer":
                mark = request.add(number)
                return mark, f"{rng.choice(thing.ja)}{mark}号機"
            mark = request.add(f"{rng.choice(thing.ja)}{number}")
            return mark, mark
        if thing.cls == "quantity":
            word = rng.choice(("line", "press", "zone", "axis", "mixer", "tank", "robot"))
        if slot.type == "integer":
            mark = request.add(number)
            return mark, f"{word} {rng.choice(('', '', '', 'number ', 'no. '))}{mark}"
        mark = request.add(f"{word} {number}")
        return mark, mark
