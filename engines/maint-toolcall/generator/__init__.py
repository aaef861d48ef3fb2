"""Maintenance requests with the tools to fulfil them; every example makes its tools anew.

A tool is an action (verbs.toml) on a thing (things.toml) with some parameters (params.toml), each
named and described in words of its own, so that no name is worth remembering: what counts is what
a line of the input says. First the calls are drawn, then tools, values and wording. Things,
argument names, identifiers and whole actions are held out. Labels come from what was drawn.
Two thirds of the inputs have the tools of one service instead (services.toml), written together
with the ways to ask for them (`services`, `service_orders`).

An input is made of actions (`actions`), which become tools (`tool_maker`, `toolbox`); orders for
them (`orders`) have values (`values`) and are put into words (`english`, `japanese`, `clauses`,
`preludes`); slips come last (`handwriting`), and the answer is read off the orders (`answers`).
"""

from __future__ import annotations

from .generator import MaintToolcallGenerator


def load() -> MaintToolcallGenerator:
    """The generator, for `skilld.training`."""
    return MaintToolcallGenerator()
