"""Which tools of an input a request sounds like: a first guess, made by code.

It orders the tools in the prompt, best first, so that their order in the input means nothing and
the model has to learn only where the guess is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from skilld.skills.pointing.said_words import SaidWords
from skilld.skills.pointing.tool_schemas import Tool, name_words

# Chosen on requests that the generator of engines/maint-toolcall made, where the first tool then is
# the right one in nine of ten; what they are exactly matters little.
_SIGNS: Final = {"*": 2.0, "~": 1.0}
_UNSAID: Final = 0.3
_IN_NAME: Final = 1.0
_IN_SUMMARY: Final = 0.6
_IN_ARGUMENTS: Final = 0.2
_COMMON: Final = 0.2
_NOTHING: Final = 1000.0


def ranked(tools: Sequence[Tool], said: SaidWords) -> list[int]:
    """Indices of the tools, the one that shares most with the request first.

    A word counts the more the fewer of the tools have it, and most in a name; words of a name
    count against a tool when they are not said. Tools with nothing in common keep their order,
    behind the others.
    """
    places = [_places(tool) for tool in tools]
    common = Counter(word for weights in places for word in weights)

    def likeness(weights: Mapping[str, float]) -> float:
        signs = {word: said.sign(word) for word in weights}
        if not any(signs.values()):
            return -_NOTHING
        return sum(
            _SIGNS.get(signs[word], -_UNSAID if weight == _IN_NAME else 0.0)
            * weight
            * (1.0 - (common[word] - 1) / len(tools) + _COMMON)
            for word, weight in weights.items()
        )

    scores = [likeness(weights) for weights in places]
    return sorted(range(len(tools)), key=lambda i: (-scores[i], i))


def _places(tool: Tool) -> dict[str, float]:
    """What each word of a tool weighs, by the best place it stands at."""
    arguments = [word for a in tool.arguments for word in (*name_words(a.name), *a.hint.split())]
    choices = [
        word for a in tool.arguments for v in a.choices.values() for word in name_words(str(v))
    ]
    return {
        **dict.fromkeys((*arguments, *choices), _IN_ARGUMENTS),
        **dict.fromkeys(tool.summary.split(), _IN_SUMMARY),
        **dict.fromkeys(name_words(tool.name), _IN_NAME),
    }
