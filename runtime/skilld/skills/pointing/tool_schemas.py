"""What a caller says about its tools: schemas in, marked lines of keywords out.

Descriptions are cut to the words that a name does not say already, so that a tool takes some twenty
tokens of a prompt. Names are written as words, however they are spelt.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from skilld.core.errors import InvalidRequestError
from skilld.skills.pointing.marks import MARKS, MARKS_PER_KIND, mark_at
from skilld.skills.pointing.said_words import SaidWords
from skilld.skills.pointing.units import Unit, unit_named
from skilld.skills.schema_validator import SchemaValidator

Json = Any  # a parsed JSON value

MAX_TOOLS: Final = 8
MAX_ARGUMENTS_PER_TOOL: Final = 8
_MAX_DESCRIPTION_WORDS: Final = 6
_MAX_HINT_WORDS: Final = 2
_TYPES: Final = {"string": "", "integer": "#", "number": "#", "boolean": "?"}
_KNOWN_TEXTS: Final = 2048
"""The same tools come with every request, so what their texts mean is kept."""

_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")

_WORD = re.compile(r"[^\W_]+(?:[./%'][^\W_]+)*|[%°]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DULL = frozenset(
    {
        "a", "an", "the", "of", "to", "for", "in", "on", "at", "by", "and", "or", "is", "are", "be",
        "as", "it", "its", "this", "that", "these", "with", "from", "which", "given", "specified",
        "what", "whether", "e.g", "i.e", "example", "optional", "if",
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
    validator: SchemaValidator


class ToolReader:
    """Reads the tools of one input and hands out their marks.

    Args:
        first_kind: index of the alphabet of tools; those of arguments and enum words follow.
    """

    def __init__(self, *, first_kind: int) -> None:
        self._first_kind = first_kind
        self._num_tools = 0
        self._num_arguments = 0
        self._choice_marks: dict[str, str] = {}

    def read(self, tool: Json, path: str) -> Tool:
        """Read one tool.

        Args:
            tool: `{name, description, parameters}`.
            path: its JSON path, for errors.

        Raises:
            InvalidRequestError: says what is wrong and where.
        """
        if not isinstance(tool, Mapping):
            raise refusal(path, "must be an object with name, description and parameters")
        name, description = tool.get("name"), tool.get("description", "")
        if not isinstance(name, str) or not name or len(name) > 64:
            raise refusal(f"{path}.name", "must be a text of 1 to 64 characters")
        if not isinstance(description, str) or len(description) > 1000:
            raise refusal(f"{path}.description", "must be a text of at most 1000 characters")
        path += ".parameters"
        parameters = tool.get("parameters", {})
        if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
            raise refusal(path, "must be a JSON Schema of an object")
        properties, required = parameters.get("properties", {}), parameters.get("required", [])
        if not isinstance(properties, Mapping) or len(properties) > MAX_ARGUMENTS_PER_TOOL:
            raise refusal(
                f"{path}.properties", f"must hold at most {MAX_ARGUMENTS_PER_TOOL} arguments"
            )
        known = isinstance(required, list) and all(
            isinstance(name, str) and name in properties for name in required
        )
        if not known:
            raise refusal(f"{path}.required", "must be an array of names of properties")
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
        summary = _keywords(description, known=name_words(name), limit=_MAX_DESCRIPTION_WORDS)
        mark = mark_at(self._first_kind, self._num_tools)
        self._num_tools += 1
        return Tool(name, mark, summary, arguments, SchemaValidator(closed, root=path))

    def _read_argument(self, name: str, schema: Json, path: str, *, is_required: bool) -> Argument:
        if not name or len(name) > 64:
            raise refusal(path, "the name of an argument has 1 to 64 characters")
        if not isinstance(schema, Mapping):
            raise refusal(path, "must be a JSON Schema")
        kind = schema.get("type", "string" if "enum" in schema else None)
        if not isinstance(kind, str) or kind not in _TYPES:
            raise refusal(
                path, f"type {kind!r} is not supported: use one of {', '.join(_TYPES)}, or an enum"
            )
        for key in _BOUNDS:
            if not isinstance(schema.get(key, 0), int | float):
                raise refusal(f"{path}.{key}", "must be a number")
        choices: dict[str, Json] = {}
        if "enum" in schema:
            if not isinstance(schema["enum"], list) or not schema["enum"]:
                raise refusal(f"{path}.enum", "must be an array of values")
            for value in schema["enum"]:
                if not isinstance(value, str | int | float) or not name_words(str(value)):
                    raise refusal(f"{path}.enum", f"{value!r} is neither a word nor a number")
                choices[self._choice_mark(value, path)] = value
        if self._num_arguments == MARKS_PER_KIND:
            raise refusal(path, f"the tools have more than {MARKS_PER_KIND} arguments together")
        mark = mark_at(self._first_kind + 1, self._num_arguments)
        self._num_arguments += 1
        description = str(schema.get("description", ""))
        hint = _keywords(description, known=name_words(name), limit=_MAX_HINT_WORDS)
        unit = argument_unit(name, description)
        return Argument(name, mark, "enum" if choices else kind, is_required, choices, hint, unit)

    def _choice_mark(self, value: Json, path: str) -> str:
        """Equal enum words share a mark, whichever arguments they belong to."""
        key = repr(value)
        if key not in self._choice_marks:
            count = len(self._choice_marks)
            if count == MARKS_PER_KIND:
                raise refusal(
                    f"{path}.enum", f"the tools have more than {MARKS_PER_KIND} different values"
                )
            self._choice_marks[key] = mark_at(self._first_kind + 2, count)
        return self._choice_marks[key]


@lru_cache(maxsize=_KNOWN_TEXTS)
def argument_unit(name: str, description: str) -> Unit | None:
    """The unit that an argument is wanted in, if its name or else its description names one."""
    return unit_named(name_words(name)) or unit_named(_plain_words(description))


def tool_line(tool: Tool, said: SaidWords) -> str:
    """A tool as the prompt shows it, with the signs of `SaidWords`."""
    parts = [f"{_shown(_spoken(tool.name), said)}{_after(tool.summary, said)}{tool.mark}"]
    for argument in tool.arguments:
        sign = _TYPES.get(argument.type, "") + ("!" if argument.is_required else "")
        choices = "".join(
            f" {_shown(_spoken(str(value)), said)}{mark}"
            for mark, value in argument.choices.items()
        )
        name, hint = _shown(_spoken(argument.name), said), _after(argument.hint, said)
        parts.append(f"{name}{hint}{sign}{argument.mark}{choices}")
    return " ".join(parts)


def _after(words: str, said: SaidWords) -> str:
    return f": {_shown(words, said)}" if words else ""


def _shown(words: str, said: SaidWords) -> str:
    return " ".join(word + said.sign(word) for word in words.split(" "))


def _spoken(name: str) -> str:
    """A name as words: whatever its spelling, snake, kebab or camel."""
    return " ".join(name_words(name)) or MARKS.sub("\ufffd", name)


@lru_cache(maxsize=_KNOWN_TEXTS)
def name_words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case, whatever its spelling: snake, kebab or camel."""
    return _plain_words(_CAMEL.sub(" ", name))


@lru_cache(maxsize=_KNOWN_TEXTS)
def _plain_words(text: str) -> tuple[str, ...]:
    """Words of a text as they stand there: `kW` is one."""
    clean = MARKS.sub("\ufffd", unicodedata.normalize("NFKC", text))
    return tuple(word.lower() for word in _WORD.findall(clean))


@lru_cache(maxsize=_KNOWN_TEXTS)
def _keywords(text: str, *, known: tuple[str, ...], limit: int) -> str:
    """The words of a description that say something new, the first `limit` of them."""
    kept: list[str] = []
    for word in _plain_words(text):
        if word not in _DULL and word not in kept and not _is_known(word, known):
            kept.append(word)
    return " ".join(kept[:limit])


def _is_known(word: str, known: tuple[str, ...]) -> bool:
    return any(word in (k, k + "s", k + "es") or k == word + "s" for k in known)


def _checked_part(schema: Mapping[str, Json]) -> dict[str, Json]:
    """The part of an argument's schema that an answer is checked against."""
    return {key: schema[key] for key in ("type", "enum", *_BOUNDS) if key in schema}


def refusal(path: str, why: str) -> InvalidRequestError:
    """An error about one place of the input."""
    return InvalidRequestError(f"{path}: {why}", violations=[(path, why)])
