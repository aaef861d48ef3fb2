"""The part of JSON Schema a skill may use.

Decoding enforces an output schema through a grammar, and grammar compilers differ in what they
silently ignore. A keyword is admitted only when the constraint enforces it, so that a schema
means the same on every engine. Everything else is refused when the skill is registered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from skilld.core.errors import InvalidRequestError
from skilld.skills.schema_validator import SchemaValidator, check_is_schema

_ANNOTATIONS = {"title", "description", "examples", "default", "$comment"}
_SPAN_KEYWORDS = {"x-span", "x-phrase", "x-span-text", "x-tool-arguments"}
_SUPPORTED = _ANNOTATIONS | {
    "type", "properties", "required", "additionalProperties", "enum", "const",
    "items", "prefixItems", "minItems", "maxItems",
    "minLength", "maxLength", "pattern",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "anyOf", "$ref", "$defs",
}  # fmt: skip
_MAX_DEPTH = 16
_MAX_KEYWORDS = 2000

Json = Any  # a parsed JSON value; its shape is what the schema is there to say
Schema = Mapping[str, Json]


def check_output_schema(schema: Schema, *, has_spans: bool = False) -> dict[str, Json]:
    """Check an output schema against the profile and close its objects.

    Args:
        schema: as written.
        has_spans: whether the skill has a `[spans]` table, which the keywords that point at the
            input (`x-span` and others) need.

    Returns:
        The schema with `additionalProperties: false` on every object.

    Raises:
        InvalidRequestError: reason UNSUPPORTED_SCHEMA; the message names the keyword and the
            JSON path of the first offence.
    """
    check_is_schema(schema)
    count = 0
    for path, depth, node in _subschemas(schema, "$", 0):
        if depth > _MAX_DEPTH:
            raise _refusal(path, "$", f"is nested deeper than {_MAX_DEPTH} levels")
        count += len(node)
        if count > _MAX_KEYWORDS:
            raise _refusal(path, "$", f"has more than {_MAX_KEYWORDS} keywords")
        for keyword, value in node.items():
            if keyword in _SPAN_KEYWORDS:
                if not has_spans:
                    raise _refusal(path, keyword, "needs a [spans] table in the skill")
                continue
            if keyword not in _SUPPORTED:
                raise _refusal(path, keyword, "is not in the supported profile")
            if keyword == "additionalProperties" and value is not False:
                raise _refusal(path, keyword, "must be false: an answer has no unknown fields")
            if keyword == "$ref" and not str(value).startswith("#/"):
                raise _refusal(path, keyword, "must point into the same schema")
    closed: dict[str, Json] = _closed(schema)
    return closed


def check_input_schema(schema: Schema) -> SchemaValidator:
    """Check that an input schema is one, and return its validator.

    Raises:
        InvalidRequestError: reason UNSUPPORTED_SCHEMA: not a JSON Schema, or not of an object.
    """
    check_is_schema(schema)
    if schema.get("type") != "object":
        raise _refusal("$", "type", 'of an input must be "object"')
    for path, _, node in _subschemas(schema, "$", 0):
        if "$ref" in node and not str(node["$ref"]).startswith("#/"):
            raise _refusal(path, "$ref", "must point into the same schema")
    return SchemaValidator(schema)


def public_schema(schema: Schema) -> dict[str, Json]:
    """A schema as callers see it: without the keywords that say where answers come from."""

    def strip(node: Json, *, is_schema: bool) -> Json:
        if isinstance(node, list):
            return [strip(item, is_schema=is_schema) for item in node]
        if not isinstance(node, Mapping):
            return node
        return {
            key: strip(value, is_schema=not is_schema or key not in ("properties", "$defs"))
            for key, value in node.items()
            if not (is_schema and key in _SPAN_KEYWORDS)
        }

    public: dict[str, Json] = strip(schema, is_schema=True)
    return public


def _refusal(path: str, keyword: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{path}: keyword `{keyword}` {why}",
        reason="UNSUPPORTED_SCHEMA",
        violations=[(path, f"`{keyword}` {why}")],
    )


def _subschemas(node: Json, path: str, depth: int) -> Iterator[tuple[str, int, Schema]]:
    """Every schema inside a schema, itself first, as (JSON path, depth, schema)."""
    if not isinstance(node, Mapping):
        return
    yield path, depth, node
    for keyword in ("properties", "$defs"):
        for name, child in node.get(keyword, {}).items():
            yield from _subschemas(child, f"{path}.{keyword}.{name}", depth + 1)
    for keyword in ("anyOf", "prefixItems"):
        for index, child in enumerate(node.get(keyword, ())):
            yield from _subschemas(child, f"{path}.{keyword}[{index}]", depth + 1)
    if "items" in node:
        yield from _subschemas(node["items"], f"{path}.items", depth + 1)


def _closed(node: Json) -> Json:
    if not isinstance(node, Mapping):
        return node
    closed = dict(node)
    if "properties" in node:
        closed["additionalProperties"] = False
    for keyword in ("properties", "$defs"):
        if keyword in node:
            closed[keyword] = {name: _closed(child) for name, child in node[keyword].items()}
    for keyword in ("anyOf", "prefixItems"):
        if keyword in node:
            closed[keyword] = [_closed(child) for child in node[keyword]]
    if "items" in node:
        closed["items"] = _closed(node["items"])
    return closed
