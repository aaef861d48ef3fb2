"""Tool calls by pointing: a model that spells nothing can call tools nobody trained it on.

Each tool of an input is written into the prompt as one short line. Marks of three alphabets stand
behind its name, its arguments and the words of its enums; pieces of the request have marks of
their own (see `skilld.skills.pointing`). A call is then a few marks in a row:

    set pump* speed*: rpm⟦t⟧ pump* id!⟦a1⟧ speed*#!⟦a2⟧ mode⟦a3⟧ slow⟦e1⟧ fast*⟦e2⟧
    -> "⟦t⟧⟦a1⟧⟦w4⟧⟦a2⟧⟦n1⟧⟦a3⟧⟦e2⟧"

Behind an argument stands one or two marks of the request (a phrase, or one number), one mark of an
enum word, `+` for true or `-` for false. `resolve` gives the call as the tool's schema wants it and
checks it; what does not fit is the model's fault, a `SpanError`. What is wrong with the tools
themselves is the caller's, an `InvalidRequestError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

from skilld.skills.pointing.marks import MARKS_PER_KIND, SpanError, mark_at, mark_range
from skilld.skills.pointing.said_words import SaidWords
from skilld.skills.pointing.tool_ranking import ranked
from skilld.skills.pointing.tool_schemas import (
    MAX_ARGUMENTS_PER_TOOL,
    MAX_TOOLS,
    Argument,
    Tool,
    ToolReader,
    refusal,
    tool_line,
)
from skilld.skills.pointing.units import Unit

Json = Any  # a parsed JSON value

TOOL_KINDS: Final = 3
"""Alphabets that tools need beside those of the request: tools, arguments, enum words."""

_TRUE, _FALSE = "+", "-"


class MissingArgumentError(SpanError):
    """A call lacks an argument that its tool requires: the request does not say it."""


class ToolSet:
    """The tools of one input, with marks.

    Args:
        tools: array of `{name, description, parameters}`; `parameters` is a JSON Schema of an
            object whose properties are strings, integers, numbers, booleans or enums.
        said: words of the request; what both say is shown.
        first_kind: index of the alphabet of tools; those of arguments and enum words follow.
        path: JSON path of the array, for errors.

    Raises:
        InvalidRequestError: reason INVALID_INPUT; says what is wrong with which tool.
    """

    def __init__(
        self,
        tools: Json,
        *,
        said: SaidWords,
        first_kind: int,
        path: str = "$.tools",
    ) -> None:
        self._said = said
        self._first_kind = first_kind
        if not isinstance(tools, list) or not 1 <= len(tools) <= MAX_TOOLS:
            raise refusal(path, f"must be an array of 1 to {MAX_TOOLS} tools")
        reader = ToolReader(first_kind=first_kind)
        listed = [reader.read(tool, f"{path}[{i}]") for i, tool in enumerate(tools)]
        names = [tool.name for tool in listed]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise refusal(f"{path}[{i}].name", f"{name!r} is the name of two tools")
        reader = ToolReader(first_kind=first_kind)  # marks count from the likeliest tool on
        self.tools: tuple[Tool, ...] = tuple(
            reader.read(tools[i], f"{path}[{i}]") for i in ranked(listed, said)
        )

    def render(self) -> str:
        """The tools as the prompt shows them, one line each, the likeliest first."""
        return "\n".join(tool_line(tool, self._said) for tool in self.tools)

    def call_schema(self, *, phrases: str, numbers: str) -> dict[str, Json]:
        """What the model may write for a call of these tools, as a JSON Schema.

        Narrower than the `call_schema` of any input: a tool has its own arguments, in the order
        of its schema and each at most once, with values of the right type. A required argument
        may be left out; that is how the model says that the request does not name it.

        Args:
            phrases: marks of the request that a phrase may begin or end with.
            numbers: marks of the request that are numbers.
        """
        calls = []
        for tool in self.tools:
            values = (self._value_pattern(a, phrases, numbers) for a in tool.arguments)
            pairs = zip(tool.arguments, values, strict=True)
            calls.append(tool.mark + "".join(f"(?:{a.mark}{v})?" for a, v in pairs if v))
        return {"type": "string", "pattern": f"^(?:{'|'.join(calls)})$"}

    @staticmethod
    def _value_pattern(argument: Argument, phrases: str, numbers: str) -> str:
        match argument.type:
            case "enum":
                return f"[{''.join(argument.choices)}]"
            case "boolean":
                return f"[{_TRUE}{_FALSE}]"
            case "string":
                return f"[{phrases}]{{1,2}}" if phrases else ""
        return f"[{numbers}]" if numbers else ""

    @cached_property
    def present(self) -> frozenset[str]:
        """The marks that mean something for these tools."""
        marks = {tool.mark for tool in self.tools}
        for tool in self.tools:
            for argument in tool.arguments:
                marks |= {argument.mark, *argument.choices}
        return frozenset(marks)

    def resolve(
        self,
        call: Json,
        *,
        read_text: Callable[[str], str],
        read_number: Callable[[str, Unit | None], int | float],
    ) -> dict[str, Json]:
        """A call as the model wrote it, as `{"name", "arguments"}` with values of the right type.

        Args:
            call: marks; see the module docstring.
            read_text: the phrase that one or two marks of the request stand for.
            read_number: the number that a mark of the request stands for, in this unit.

        Raises:
            MissingArgumentError: a required argument is not given.
            SpanError: marks that mean nothing here, an argument of another tool or given twice,
                or a value its schema does not allow.
        """
        if not isinstance(call, str) or not call:
            raise SpanError(f"{call!r} is no call")
        tool = next((tool for tool in self.tools if tool.mark == call[0]), None)
        if tool is None:
            raise SpanError(f"mark {call[0]!r} is no tool of the input")
        by_mark = {argument.mark: argument for argument in tool.arguments}
        found: dict[str, Json] = {}
        at = 1
        while at < len(call):
            argument = by_mark.get(call[at])
            if argument is None:
                raise SpanError(f"mark {call[at]!r} is no argument of {tool.name!r}")
            if argument.name in found:
                raise SpanError(f"{tool.name!r}: argument {argument.name!r} is given twice")
            end = at + 1
            while end < len(call) and not self._is_argument(call[end]):
                end += 1
            found[argument.name] = self._value(
                tool, argument, call[at + 1 : end], read_text, read_number
            )
            at = end
        arguments = {a.name: found[a.name] for a in tool.arguments if a.name in found}
        for argument in tool.arguments:
            if argument.is_required and argument.name not in arguments:
                raise MissingArgumentError(f"{tool.name!r}: {argument.name!r} is not given")
        for path, problem in tool.validator.violations(arguments, limit=1):
            raise SpanError(f"{tool.name!r}: {path}: {problem}")
        return {"name": tool.name, "arguments": arguments}

    def point(
        self,
        call: Json,
        *,
        write_text: Callable[[str], str],
        write_number: Callable[[int | float, Unit | None], str],
    ) -> str:
        """The other way: a call as the model must write it.

        Args:
            call: `{"name", "arguments"}`.
            write_text: marks of a phrase of the request.
            write_number: mark of a number of the request, given in this unit.

        Raises:
            SpanError: no such tool, argument or enum word, or a value that is nowhere in the
                request.
        """
        tool = next((tool for tool in self.tools if tool.name == call["name"]), None)
        if tool is None:
            raise SpanError(f"{call['name']!r} is no tool of the input")
        values = dict(call["arguments"])
        parts = [tool.mark]
        for argument in tool.arguments:
            if argument.name not in values:
                continue
            value = values.pop(argument.name)
            parts.append(argument.mark)
            if argument.type == "enum":
                marks = [m for m, choice in argument.choices.items() if _same(choice, value)]
                if not marks:
                    raise SpanError(f"{argument.name!r} of {tool.name!r} cannot be {value!r}")
                parts.append(marks[0])
            elif argument.type == "boolean":
                parts.append(_TRUE if value else _FALSE)
            elif argument.type == "string":
                parts.append(write_text(value))
            else:
                parts.append(write_number(value, argument.unit))
        if values:
            raise SpanError(f"{tool.name!r} has no argument {next(iter(values))!r}")
        return "".join(parts)

    def _value(
        self,
        tool: Tool,
        argument: Argument,
        written: str,
        read_text: Callable[[str], str],
        read_number: Callable[[str, Unit | None], int | float],
    ) -> Json:
        if written in argument.choices:
            return argument.choices[written]
        if argument.type == "boolean" and written in (_TRUE, _FALSE):
            return written == _TRUE
        if argument.type == "string" and written not in ("", _TRUE, _FALSE):
            return read_text(written)
        if argument.type in ("integer", "number") and len(written) == 1:
            return read_number(written, argument.unit)
        raise SpanError(
            f"{written!r} is no {argument.type} value for {argument.name!r} of {tool.name!r}"
        )

    def _is_argument(self, char: str) -> bool:
        first = mark_at(self._first_kind + 1, 0)
        return first <= char <= mark_at(self._first_kind + 1, MARKS_PER_KIND - 1)


def is_call(schema: Mapping[str, Json]) -> bool:
    """This part of an output schema is a tool call: its `arguments` has `x-tool-arguments`."""
    properties = schema.get("properties")
    arguments = properties.get("arguments") if isinstance(properties, Mapping) else None
    return isinstance(arguments, Mapping) and bool(arguments.get("x-tool-arguments"))


def call_schema(request_ranges: str, *, first_kind: int) -> dict[str, Json]:
    """What the model may write for a call, as a JSON Schema made of marks only.

    Args:
        request_ranges: every mark of the request, as ranges for a character class.
        first_kind: index of the alphabet of tools.
    """
    tool, argument, choice = (mark_range(first_kind + i) for i in range(TOOL_KINDS))
    value = f"[{request_ranges}]{{1,2}}|[{choice}]|[{_TRUE}{_FALSE}]"
    pattern = f"^[{tool}](?:[{argument}](?:{value})){{0,{MAX_ARGUMENTS_PER_TOOL}}}$"
    return {"type": "string", "pattern": pattern}


def _same(choice: Json, value: Json) -> bool:
    return type(choice) is type(value) and bool(choice == value)
