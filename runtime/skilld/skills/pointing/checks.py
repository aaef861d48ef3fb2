"""What can be wrong with the `[spans]` table of a skill file and the `x-` keywords that use it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from skilld.skills.pointing.kinds import SpanKind
from skilld.skills.pointing.rules import SpanRules
from skilld.skills.pointing.tool_calls import is_call

MAX_TEXT_CHARS: Final = 4096
"""Longest text that patterns may be run on: they are run on whatever a caller sends."""

Json = Any  # a parsed JSON value
Schema = Mapping[str, Json]

_PLACES: Final = (
    'is understood in `properties` and `items`, and there in `anyOf = [{...}, { type = "null" }]`, '
    "nowhere else"
)
_TYPES: Final = {
    "text": {"string"},
    "clock": {"string"},
    "number": {"number", "integer"},
    "line": {"integer"},
}


class SpanRulesError(ValueError):
    """A skill file cannot be used.

    Attributes:
        key: dotted key in the skill file.
        message: what is wrong there, and what to do.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message


def check_spans(
    rules: SpanRules, *, prompt: str, input_schema: Schema, output_schema: Schema
) -> None:
    """Check the rules against the rest of their skill.

    Raises:
        SpanRulesError: the first thing that is wrong.
    """
    for i, kind in enumerate(rules.kind):
        if kind.name in [other.name for other in rules.kind[:i]]:
            raise SpanRulesError(f"spans.kind[{i}].name", f"{kind.name!r} is there twice")
        for p, pattern in enumerate(kind.patterns):
            key = f"spans.kind[{i}].patterns[{p}].pattern"
            _check_pattern(pattern.pattern, key, may_be_empty=kind.value == "line")
    for i, name in enumerate(rules.fields):
        _check_field(name, f"spans.fields[{i}]", prompt=prompt, input_schema=input_schema)
    if rules.tools is not None:
        _check_tools(rules.tools, prompt=prompt, input_schema=input_schema)
    kinds = {kind.name: kind for kind in rules.kind}
    _OutputCheck(kinds, has_tools=rules.tools is not None).check(output_schema, "output_schema")


def _check_pattern(pattern: str, key: str, *, may_be_empty: bool) -> None:
    try:
        compiled = re.compile(f"(?:{pattern})")
    except re.error as error:
        raise SpanRulesError(key, f"{pattern!r} is no regular expression: {error}") from error
    if compiled.groups:
        raise SpanRulesError(key, f"{pattern!r} has a group: write `(?:...)` instead of `(...)`")
    if compiled.match("") and not may_be_empty:
        raise SpanRulesError(key, f"{pattern!r} matches the empty text")


def _check_field(name: str, key: str, *, prompt: str, input_schema: Schema) -> None:
    field = input_schema.get("properties", {}).get(name)
    if field is None:
        known = ", ".join(sorted(input_schema.get("properties", {}))) or "none"
        raise SpanRulesError(key, f"{name!r} is not a property of the input (known: {known})")
    if f"{{{name}}}" not in prompt:
        raise SpanRulesError(key, f"{name!r} is not in the prompt, so nothing in it can be chosen")
    max_items, text = 1, field
    if field.get("type") == "array":
        max_items, text = field.get("maxItems", 0), field.get("items", {})
        if not max_items:
            raise SpanRulesError(key, f"{name!r} needs `maxItems` in the input schema")
    if text.get("type") != "string":
        raise SpanRulesError(key, f"{name!r} must be a string or an array of strings")
    if not 0 < text.get("maxLength", 0) * max_items <= MAX_TEXT_CHARS:
        raise SpanRulesError(
            key,
            f"{name!r} needs `maxLength` in the input schema, for at most {MAX_TEXT_CHARS} "
            "characters in all",
        )


def _check_tools(name: str, *, prompt: str, input_schema: Schema) -> None:
    field = input_schema.get("properties", {}).get(name)
    if field is None or field.get("type") != "array":
        raise SpanRulesError("spans.tools", f"{name!r} must be a property of the input, an array")
    if f"{{{name}}}" not in prompt:
        raise SpanRulesError("spans.tools", f"{name!r} is not in the prompt")


class _OutputCheck:
    """Walks through an output schema.

    Args:
        kinds: of spans, by name.
        has_tools: whether the input has tools to call.
    """

    def __init__(self, kinds: Mapping[str, SpanKind], *, has_tools: bool) -> None:
        self._kinds = kinds
        self._has_tools = has_tools

    def check(self, node: Json, key: str, *, is_read: bool = True, is_option: bool = False) -> None:
        """Check one part of the schema, found at `key`.

        Args:
            node: the part.
            key: for the error.
            is_read: whether marks are replaced here; anywhere else they would stay marks.
            is_option: of `anyOf`.
        """
        if not isinstance(node, Mapping):
            return
        if "x-phrase" in node and "x-span" not in node:
            raise SpanRulesError(key, "`x-phrase` needs `x-span`")
        for keyword in ("x-span", "x-span-text"):
            if keyword in node:
                if not is_read:
                    raise SpanRulesError(key, f"`{keyword}` {_PLACES}")
                self._check_span(node, keyword, key)
        if is_call(node):
            if not self._has_tools:
                raise SpanRulesError(key, "`x-tool-arguments` needs the key `tools` in [spans]")
            if not is_read or is_option:
                raise SpanRulesError(key, "`x-tool-arguments` cannot stand here")
        self._check_children(node, key, is_read=is_read and not is_option)

    def _check_children(self, node: Schema, key: str, *, is_read: bool) -> None:
        options = node.get("anyOf", ())
        is_nullable = len(options) == 2 and {"type": "null"} in options
        for i, option in enumerate(options):
            is_read_there = is_read and is_nullable
            self.check(option, f"{key}.anyOf[{i}]", is_read=is_read_there, is_option=True)
        for name, child in node.get("properties", {}).items():
            self.check(child, f"{key}.properties.{name}", is_read=is_read and not options)
        if "items" in node:
            self.check(node["items"], f"{key}.items", is_read=is_read and not options)
        for i, child in enumerate(node.get("prefixItems", ())):
            self.check(child, f"{key}.prefixItems[{i}]", is_read=False)
        for name, child in node.get("$defs", {}).items():
            self.check(child, f"{key}.$defs.{name}", is_read=False)

    def _check_span(self, node: Schema, keyword: str, key: str) -> None:
        names = [node[keyword]] if isinstance(node[keyword], str) else node[keyword]
        if not isinstance(names, list) or not names:
            raise SpanRulesError(key, f"`{keyword}` must name a kind, or be an array of names")
        if node.get("x-phrase", False) not in (True, False, "all"):
            raise SpanRulesError(key, '`x-phrase` must be true, false or "all"')
        is_text = keyword == "x-span-text" or bool(node.get("x-phrase", False))
        types = node.get("type")
        types = set(types) if isinstance(types, list) else {types}
        for name in names:
            if name not in self._kinds:
                known = ", ".join(self._kinds)
                raise SpanRulesError(
                    key, f"`{keyword}`: there is no kind {name!r} (known: {known})"
                )
            fitting = {"string"} if is_text else _TYPES[self._kinds[name].value]
            if not types & fitting:
                wanted = " or ".join(f'"{word}"' for word in sorted(fitting))
                raise SpanRulesError(key, f"`type` must be {wanted}: that is what {name!r} gives")
