"""Which tools of an input a request sounds like: a first guess, made by code.

It orders the tools in the prompt, best first, so that their order in the input means nothing and
the model has to learn only where the guess is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from skilld.skills.said_words import SaidWords
from skilld.skills.tool_schemas import Tool, name_words

# Chosen on requests of engines/maint-toolcall, where the first tool then is the right one in six of
# seven; what they are exactly matters little.
_SIGNS: Final = {"*": 2.0, "~": 1.0}
_UNSAID: Final = 0.3
_IN_SUMMARY: Final = 0.6
_COMMON: Final = 0.2


def ranked(tools: Sequence[Tool], said: SaidWords) -> list[int]:
    """Indices of the tools, the one that shares most with the request first.

    A word counts the more the fewer of the tools have it; words of a name count against a tool
    when they are not said. Tools with nothing in common keep their order, behind the others.
    """
    words = [(name_words(tool.name), tool.summary.split()) for tool in tools]
    common = Counter(word for name, summary in words for word in {*name, *summary})

    def likeness(i: int) -> float:
        name, summary = words[i]
        signs = [(word, said.sign(word), True) for word in name]
        signs += [(word, said.sign(word), False) for word in summary]
        if not any(sign for _, sign, _ in signs):
            return -float(len(tools) * 100)
        total = 0.0
        for word, sign, is_name in signs:
            value = _SIGNS.get(sign, -_UNSAID if is_name else 0.0)
            rarity = 1.0 - (common[word] - 1) / len(tools) + _COMMON
            total += value * rarity * (1.0 if is_name else _IN_SUMMARY)
        return total

    scores = [likeness(i) for i in range(len(tools))]
    return sorted(range(len(tools)), key=lambda i: (-scores[i], i))
