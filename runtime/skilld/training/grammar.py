r"""`Grammar`: text written as typed slots and weighted alternatives, expanded from a seed.

Notation:
    `{slot}`      one production of the rule `slot`, or its bound value, or its terminal
    `(a|b~3|)`    one alternative; `~3` makes it three times as likely; it may be empty
    `(a)`         no alternative, so these are parentheses
    `\(`         the character itself
Both nest, and rules may refer to each other and to themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

MAX_DEPTH = 40
_WEIGHT = re.compile(r"~(\d+(?:\.\d+)?)$")


class GrammarError(ValueError):
    """A template is malformed, names no known slot, or recurses without an end."""


@dataclass(frozen=True, slots=True)
class _Slot:
    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    options: tuple[tuple[_Node, ...], ...]
    weights: tuple[float, ...]


_Node = str | _Slot | _Choice
Terminal = Callable[[Random], str]


class Grammar:
    """Rules and terminals. Expansion depends on the random generator alone.

    Args:
        rules: slot name to its productions, each a template of its own.
        terminals: slot name to a function that draws a value (numbers, identifiers).
    """

    def __init__(
        self, rules: Mapping[str, Sequence[str]], *, terminals: Mapping[str, Terminal]
    ) -> None:
        self._rules = {name: tuple(options) for name, options in rules.items()}
        self._terminals = dict(terminals)
        self._parsed: dict[str, tuple[_Node, ...]] = {}

    def expand(self, template: str, rng: Random, *, bound: Mapping[str, str] | None = None) -> str:
        """One text of `template`.

        Args:
            template: see the module docstring.
            rng: source of every choice.
            bound: slots that already have a value; the value is taken as it is.

        Raises:
            GrammarError: malformed template, unknown slot, recursion deeper than `MAX_DEPTH`.
        """
        parts: list[str] = []
        self._write(self._parse(template), rng, bound or {}, depth=0, parts=parts)
        return "".join(parts)

    def _write(
        self,
        nodes: Sequence[_Node],
        rng: Random,
        bound: Mapping[str, str],
        *,
        depth: int,
        parts: list[str],
    ) -> None:
        if depth > MAX_DEPTH:
            raise GrammarError(f"recursion deeper than {MAX_DEPTH}: give a rule a way to end")
        for node in nodes:
            match node:
                case str():
                    parts.append(node)
                case _Choice():
                    option = rng.choices(node.options, node.weights)[0]
                    self._write(option, rng, bound, depth=depth + 1, parts=parts)
                case _Slot(name):
                    if name in bound:
                        parts.append(bound[name])
                    elif name in self._terminals:
                        parts.append(self._terminals[name](rng))
                    elif name in self._rules:
                        production = self._parse(rng.choice(self._rules[name]))
                        self._write(production, rng, bound, depth=depth + 1, parts=parts)
                    else:
                        raise GrammarError(f"{{{name}}} is neither rule, terminal nor bound")

    def _parse(self, template: str) -> tuple[_Node, ...]:
        nodes = self._parsed.get(template)
        if nodes is None:
            nodes, end = _parse_sequence(template, 0, in_choice=False)
            if end != len(template):
                raise GrammarError(f"unbalanced `)` or `|` at {end} in {template!r}")
            self._parsed[template] = nodes
        return nodes


def _parse_sequence(text: str, at: int, *, in_choice: bool) -> tuple[tuple[_Node, ...], int]:
    nodes: list[_Node] = []
    literal: list[str] = []

    def flush() -> None:
        if literal:
            nodes.append("".join(literal))
            literal.clear()

    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            literal.append(text[at + 1])
            at += 2
        elif char == "{":
            end = text.find("}", at)
            if end < 0:
                raise GrammarError(f"unclosed `{{` at {at} in {text!r}")
            flush()
            nodes.append(_Slot(text[at + 1 : end]))
            at = end + 1
        elif char == "(":
            flush()
            choice, at = _parse_choice(text, at + 1)
            if len(choice.options) == 1:
                nodes += ["(", *choice.options[0], ")"]
            else:
                nodes.append(choice)
        elif char == ")" or (in_choice and char == "|"):
            break
        else:
            literal.append(char)
            at += 1
    flush()
    return tuple(nodes), at


def _parse_choice(text: str, at: int) -> tuple[_Choice, int]:
    options: list[tuple[_Node, ...]] = []
    weights: list[float] = []
    while True:
        nodes, at = _parse_sequence(text, at, in_choice=True)
        if at >= len(text):
            raise GrammarError(f"unclosed `(` in {text!r}")
        weight = 1.0
        if nodes and isinstance(nodes[-1], str) and (found := _WEIGHT.search(nodes[-1])):
            weight = float(found[1])
            nodes = (*nodes[:-1], nodes[-1][: found.start()])
        options.append(nodes)
        weights.append(weight)
        at += 1
        if text[at - 1] == ")":
            return _Choice(tuple(options), tuple(weights)), at
