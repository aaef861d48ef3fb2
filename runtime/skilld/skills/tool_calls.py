"""Tool calls by pointing: a model that spells nothing can call tools nobody trained it on.

Each tool of an input is written into the prompt as one short line. Marks of three alphabets stand
behind its name, its arguments and the words of its enums; pieces of the request have marks of
their own (see `spans`). A call is then a few marks in a row:

    set pump speed rpm⟦t⟧ pump id!⟦a1⟧ speed!#⟦a2⟧ mode slow⟦e1⟧ fast⟦e2⟧
    -> "⟦t⟧⟦a1⟧⟦w4⟧⟦a2⟧⟦n1⟧⟦a3⟧⟦e2⟧"

Behind an argument stands one or two marks of the request (a phrase, or one number), one mark of an
enum word, `+` for true or `-` for false. `resolve` gives the call as the tool's schema wants it and
checks it; what does not fit is the model's fault, a `SpanError`. What is wrong with the tools
themselves is the caller's, an `InvalidRequestError`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from jsonschema import Draft202012Validator

from skilld.core.errors import InvalidRequestError
from skilld.skills.span_marks import MARKS, MARKS_PER_KIND, SpanError, mark_at, mark_range
from skilld.skills.units import Unit, unit_named

Json = Any  # a parsed JSON value

TOOL_KINDS: Final = 3
"""Alphabets that tools need beside those of the request: tools, arguments, enum words."""

MAX_TOOLS: Final = 8
_MAX_ARGUMENTS_PER_TOOL: Final = 8
_MAX_DESCRIPTION_WORDS: Final = 10
_MAX_HINT_WORDS: Final = 3
_TYPES: Final = {"string": "", "integer": "#", "number": "#", "boolean": "?"}
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_TRUE, _FALSE = "+", "-"

_WORD = re.compile(r"[^\W_]+(?:[./%'][^\W_]+)*|[%°]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DULL = frozenset(
    {
        "a", "an", "the", "of", "to", "for", "in", "on", "at", "by", "and", "or", "is", "are", "be",
        "as", "it", "its", "this", "that", "these", "with", "from", "which", "given", "specified",
    }
)  # fmt: skip
"""Words that say nothing a line of keywords needs."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool.

    Attributes:
        name: as the tool spells it.
        mark: that stands behind it.
        type: "string", "integer", "number" or "boolean"; "enum" when only some values may be.
        is_required: a call without it is refused.
        choices: mark to enum value, in the order of the schema.
        hint: words of its description that its name does not say.
        unit: that its number is wanted in, where name or description say so.
    """

    name: str
    mark: str
    type: str
    is_required: bool
    choices: Mapping[str, Json]
    hint: str
    unit: Unit | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of an input.

    Attributes:
        name: as the caller spells it.
        mark: that stands behind it.
        summary: words of its description that its name does not say.
        arguments: in the order of its schema.
        validator: of its `parameters`.
    """

    name: str
    mark: str
    summary: str
    arguments: tuple[Argument, ...]
    validator: Draft202012Validator


class ToolSet:
    """The tools of one input, with marks.

    Args:
        tools: array of `{name, description, parameters}`; `parameters` is a JSON Schema of an
            object whose properties are strings, integers, numbers, booleans or enums.
        first_kind: index of the alphabet of tools; those of arguments and enum words follow.
        start: index of the first mark of each alphabet.
        path: JSON path of the array, for errors.

    Raises:
        InvalidRequestError: reason INVALID_INPUT; says what is wrong with which tool.
    """

    def __init__(self, tools: Json, *, first_kind: int, start: int, path: str = "$.tools") -> None:
        self._first_kind = first_kind
        self._start = start
        self._choice_marks: dict[str, str] = {}
        self._num_arguments = 0
        if not isinstance(tools, list) or not 1 <= len(tools) <= MAX_TOOLS:
            raise _refusal(path, f"must be an array of 1 to {MAX_TOOLS} tools")
        self.tools: tuple[Tool, ...] = tuple(
            self._read_tool(tool, i, f"{path}[{i}]") for i, tool in enumerate(tools)
        )
        names = [tool.name for tool in self.tools]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise _refusal(f"{path}[{i}].name", f"{name!r} is the name of two tools")

    def render(self) -> str:
        """The tools as the prompt shows them, one line each."""
        return "\n".join(_line(tool) for tool in self.tools)

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
            SpanError: marks that mean nothing here, an argument of another tool, given twice or
                missing, or a value its schema does not allow.
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
        violation = next(tool.validator.iter_errors(arguments), None)
        if violation is not None:
            raise SpanError(f"{tool.name!r}: {violation.json_path}: {violation.message}")
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

    # ------------------------------------------------------------ reading schemas

    def _read_tool(self, tool: Json, index: int, path: str) -> Tool:
        if not isinstance(tool, Mapping):
            raise _refusal(path, "must be an object with name, description and parameters")
        name, description = tool.get("name"), tool.get("description", "")
        if not isinstance(name, str) or not name or len(name) > 64:
            raise _refusal(f"{path}.name", "must be a text of 1 to 64 characters")
        if not isinstance(description, str) or len(description) > 1000:
            raise _refusal(f"{path}.description", "must be a text of at most 1000 characters")
        path += ".parameters"
        parameters = tool.get("parameters", {})
        if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
            raise _refusal(path, "must be a JSON Schema of an object")
        properties, required = parameters.get("properties", {}), parameters.get("required", [])
        if not isinstance(properties, Mapping) or len(properties) > _MAX_ARGUMENTS_PER_TOOL:
            raise _refusal(
                f"{path}.properties", f"must hold at most {_MAX_ARGUMENTS_PER_TOOL} arguments"
            )
        if not isinstance(required, list) or not all(r in properties for r in required):
            raise _refusal(f"{path}.required", "must be an array of names of properties")
        arguments = tuple(
            self._read_argument(
                key, schema, f"{path}.properties.{key}", is_required=key in required
            )
            for key, schema in properties.items()
        )
        closed = {
            "type": "object",
            "properties": {key: _checked_part(schema) for key, schema in properties.items()},
            "required": required,
            "additionalProperties": False,
        }
        summary = _keywords(description, known=_words(name), limit=_MAX_DESCRIPTION_WORDS)
        mark = mark_at(self._first_kind, self._start + index)
        return Tool(name, mark, summary, arguments, Draft202012Validator(closed))

    def _read_argument(self, name: str, schema: Json, path: str, *, is_required: bool) -> Argument:
        if not name or len(name) > 64:
            raise _refusal(path, "the name of an argument has 1 to 64 characters")
        if not isinstance(schema, Mapping):
            raise _refusal(path, "must be a JSON Schema")
        kind = schema.get("type", "string" if "enum" in schema else None)
        if not isinstance(kind, str) or kind not in _TYPES:
            raise _refusal(
                path, f"type {kind!r} is not supported: use one of {', '.join(_TYPES)}, or an enum"
            )
        for key in _BOUNDS:
            if not isinstance(schema.get(key, 0), int | float):
                raise _refusal(f"{path}.{key}", "must be a number")
        choices: dict[str, Json] = {}
        if "enum" in schema:
            if not isinstance(schema["enum"], list) or not schema["enum"]:
                raise _refusal(f"{path}.enum", "must be an array of values")
            for value in schema["enum"]:
                if not isinstance(value, str | int | float) or not _words(str(value)):
                    raise _refusal(f"{path}.enum", f"{value!r} is neither a word nor a number")
                choices[self._choice_mark(value, path)] = value
        if self._num_arguments == MARKS_PER_KIND:
            raise _refusal(path, f"the tools have more than {MARKS_PER_KIND} arguments together")
        mark = mark_at(self._first_kind + 1, self._start + self._num_arguments)
        self._num_arguments += 1
        description = str(schema.get("description", ""))
        hint = _keywords(description, known=_words(name), limit=_MAX_HINT_WORDS)
        unit = argument_unit(name, description)
        return Argument(name, mark, "enum" if choices else kind, is_required, choices, hint, unit)

    def _choice_mark(self, value: Json, path: str) -> str:
        """Equal enum words share a mark, whichever arguments they belong to."""
        key = repr(value)
        if key not in self._choice_marks:
            count = len(self._choice_marks)
            if count == MARKS_PER_KIND:
                raise _refusal(
                    f"{path}.enum", f"the tools have more than {MARKS_PER_KIND} different values"
                )
            self._choice_marks[key] = mark_at(self._first_kind + 2, self._start + count)
        return self._choice_marks[key]


def argument_unit(name: str, description: str) -> Unit | None:
    """The unit that an argument is wanted in, if its name or else its description names one."""
    return unit_named(_words(name)) or unit_named(_plain_words(description))


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
    pattern = f"^[{tool}](?:[{argument}](?:{value})){{0,{_MAX_ARGUMENTS_PER_TOOL}}}$"
    return {"type": "string", "pattern": pattern}


def _line(tool: Tool) -> str:
    parts = [f"{_spoken(tool.name)}{_after(tool.summary, ':')}{tool.mark}"]
    for argument in tool.arguments:
        sign = _TYPES.get(argument.type, "") + ("!" if argument.is_required else "")
        choices = "".join(f" {_spoken(str(v))}{mark}" for mark, v in argument.choices.items())
        hint = _after(argument.hint, ":")
        parts.append(f"{_spoken(argument.name)}{hint}{sign}{argument.mark}{choices}")
    return " ".join(parts)


def _after(words: str, sign: str) -> str:
    return f"{sign} {words}" if words else ""


def _spoken(name: str) -> str:
    """A name as words: whatever its spelling, snake, kebab or camel."""
    return " ".join(_words(name)) or MARKS.sub("\ufffd", name)


def _words(name: str) -> list[str]:
    return _plain_words(_CAMEL.sub(" ", name))


def _plain_words(text: str) -> list[str]:
    """Words of a text as they stand there: `kW` is one."""
    clean = MARKS.sub("\ufffd", unicodedata.normalize("NFKC", text))
    return [word.lower() for word in _WORD.findall(clean)]


def _keywords(text: str, *, known: list[str], limit: int) -> str:
    """The words of a description that say something new, the first `limit` of them."""
    kept: list[str] = []
    for word in _plain_words(text):
        if word not in _DULL and word not in kept and not _is_known(word, known):
            kept.append(word)
    return " ".join(kept[:limit])


def _is_known(word: str, known: list[str]) -> bool:
    return any(word in (k, k + "s", k + "es") or k == word + "s" for k in known)


def _checked_part(schema: Mapping[str, Json]) -> dict[str, Json]:
    """The part of an argument's schema that an answer is checked against."""
    return {key: schema[key] for key in ("type", "enum", *_BOUNDS) if key in schema}


def _same(choice: Json, value: Json) -> bool:
    return type(choice) is type(value) and bool(choice == value)


def _refusal(path: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"{path}: {why}", violations=[(path, why)])
