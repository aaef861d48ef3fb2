"""The tools of one input: those that are called, and others that do something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from skilld.training.example import Draw

from .actions import Action, clash
from .repertoire import Repertoire
from .tool_maker import ToolMaker
from .tools import Style, Tool

NUM_TOOLS: Mapping[int, float] = {1: 3, 2: 6, 3: 47, 4: 28, 5: 10, 6: 3, 7: 2, 8: 2}
"""How often an input has so many tools."""

_ATTEMPTS = 60


class Toolbox:
    """Puts tools together.

    Args:
        repertoire: of actions.
        maker: of tools.
    """

    def __init__(self, repertoire: Repertoire, maker: ToolMaker) -> None:
        self._repertoire = repertoire
        self._maker = maker

    def called(
        self, rng: Random, actions: Sequence[Action], draw: Draw, style: Style
    ) -> list[Tool] | None:
        """A tool for each action, the same one for the same; None if two share a name."""
        made: list[Tool] = []
        for action in actions:
            known = next((tool for tool in made if tool.action is action), None)
            made.append(known or self._maker.make(rng, action, draw, style))
        return made if len({tool.name for tool in made}) == len(_distinct(made)) else None

    def filled(
        self,
        rng: Random,
        called: Sequence[Tool],
        draw: Draw,
        style: Style,
        *,
        absent: Sequence[Tool] = (),
        bare: Sequence[Action] = (),
    ) -> list[Tool]:
        """The called tools and others that cannot be meant.

        Tools that are called but `absent` are left out, and so is what could stand in for them;
        `bare` actions are asked for in words that do not say what kind of thing it is.
        """
        tools = _distinct(called)
        wanted = max(rng.choices(list(NUM_TOOLS), list(NUM_TOOLS.values()))[0], len(tools))
        if absent:
            wanted = max(wanted, 2)
        shunned = [tool.action for tool in (*tools, *absent)]
        for _ in range(_ATTEMPTS):
            if len(tools) >= wanted:
                break
            other = self._repertoire.beside(rng, shunned, draw)
            if other is None or any(clash(other, action) for action in shunned):
                continue
            if any(clash(other, action, is_bare=True) for action in bare):
                continue
            tool = self._maker.make(rng, other, draw, style)
            if tool.name in {t.name for t in tools}:
                continue
            tools.append(tool)
            shunned.append(other)
        return tools


def _distinct(tools: Sequence[Tool]) -> list[Tool]:
    found: list[Tool] = []
    for tool in tools:
        if not any(tool is other for other in found):
            found.append(tool)
    return found
