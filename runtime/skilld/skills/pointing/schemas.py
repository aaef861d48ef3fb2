"""What a model must obey where an answer points: output schemas with marks in place of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from skilld.skills.pointing.marks import SpanError, mark_range
from skilld.skills.pointing.tool_calls import call_schema, is_call

if TYPE_CHECKING:
    from skilld.skills.pointing.marked_input import MarkedInput
    from skilld.skills.pointing.rules import SpanRules

_NO_DIGIT: Final = (  # nor quote, backslash, control or private-use character
    r'[^\d"\\\x00-\x1f\x7f\u00b2\u00b3\u00b9\u2070-\u209f\u2460-\u24ff\ue000-\uf8ff]'
)
_PHRASE_LENGTHS: Final = {False: "", True: "{1,2}", "all": "{1,8}"}

Json = Any  # a parsed JSON value


def marked_schema(
    schema: Mapping[str, Json], rules: SpanRules | None, *, marked: MarkedInput | None = None
) -> dict[str, Json]:
    """The output schema as the model must obey it: span fields are strings of marks.

    Null in the place of a span is the empty string: one decision of the model less.

    Fields with `x-span-text` are strings of marks and of anything else that is no digit, quote,
    backslash or control character.

    Args:
        schema: of the skill.
        rules: of the skill.
        marked: an input with tools, to narrow calls to these tools.

    Raises:
        SpanError: `x-span` or `x-span-text` without `[spans]`, or of an unknown kind.
    """

    def strip(node: Json) -> Json:
        if isinstance(node, list):
            return [strip(item) for item in node]
        if not isinstance(node, dict):
            return node
        if is_call(node):
            if rules is None or rules.tools is None:
                raise SpanError("`x-tool-arguments` needs the key `tools` in [spans]")
            if marked is not None:
                return marked.call_schema()
            ranges = "".join(mark_range(k) for k in range(len(rules.kind)))
            return call_schema(ranges, first_kind=len(rules.kind))
        if option := nullable_span(node):
            inner = strip(option)
            pattern = inner["pattern"].removeprefix("^").removesuffix("$")
            return {"type": "string", "pattern": f"^(?:{pattern})?$"}
        if not is_span(node):
            return {key: strip(value) for key, value in node.items()}
        if rules is None:
            raise SpanError("`x-span` needs a [spans] table in the skill")
        try:
            ranges = span_ranges(rules, node)
        except KeyError as error:
            raise SpanError(f"`x-span` names the unknown kind {error}") from error
        if "x-span-text" in node:
            least, most = node.get("minLength", 0), node.get("maxLength", "")
            return {"type": "string", "pattern": f"^(?:{_NO_DIGIT}|[{ranges}]){{{least},{most}}}$"}
        return {
            "type": "string",
            "pattern": f"^[{ranges}]{_PHRASE_LENGTHS[node.get('x-phrase', False)]}$",
        }

    result: dict[str, Json] = strip(dict(schema))
    return result


def nullable_span(schema: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """The span of a schema that allows a span or null, and nothing else; else None."""
    match schema.get("anyOf"):
        case [first, {"type": "null"}] if "x-span" in first:
            return dict(first)
    return None


def is_span(schema: Mapping[str, Json]) -> bool:
    """Whether what a schema describes is, or holds, marks."""
    return "x-span" in schema or "x-span-text" in schema


def _names(schema: Mapping[str, Json]) -> list[str]:
    names = schema["x-span"] if "x-span" in schema else schema["x-span-text"]
    return [names] if isinstance(names, str) else list(names)


def span_ranges(rules: SpanRules, schema: Mapping[str, Json]) -> str:
    """The marks a span schema allows, for a character class.

    Raises:
        KeyError: it names a kind that the rules do not have.
    """
    return "".join(rules.alphabet(name) for name in _names(schema))
