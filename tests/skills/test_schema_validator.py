"""Values and schemas: the answer is that of another implementation, and bad ones end quickly."""

from __future__ import annotations

import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.core.errors import InvalidRequestError
from skilld.skills.schema_validator import SchemaValidator

names = st.sampled_from(["a", "b", "c"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-4, 4, allow_nan=False).map(lambda number: round(number * 4) / 4)
    | st.text("abé油", max_size=4)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
leaf_schemas = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(
        lambda kind: {"type": kind}
    ),
    st.lists(scalars, min_size=1, max_size=3).map(lambda values: {"enum": values}),
    st.builds(lambda value: {"const": value}, scalars),
    st.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size},
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    st.builds(
        lambda low, step: {"type": "number", "minimum": low, "multipleOf": step},
        st.integers(-3, 3),
        st.sampled_from([0.25, 0.5, 1, 2]),
    ),
    st.sampled_from(["^a", "b$", "[ab]{2}", "é|油"]).map(lambda text: {"pattern": text}),
)
schemas = st.recursive(
    leaf_schemas,
    lambda inner: st.one_of(
        st.builds(
            lambda items, most: {"type": "array", "items": items, "maxItems": most},
            inner,
            st.integers(0, 3),
        ),
        st.builds(
            lambda properties, required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required & properties.keys()),
                "additionalProperties": False,
            },
            st.dictionaries(names, inner, max_size=3),
            st.sets(names),
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=6,
)


@given(schemas, json_values)
def test_a_value_is_judged_as_another_implementation_does(
    schema: dict[str, Any], value: Any
) -> None:
    validator = SchemaValidator(schema)
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(value))
    assert validator.is_valid(value) == (not errors)
    violations = validator.violations(value, limit=1000)
    assert {path for path, _ in violations} == {error.json_path for error in errors}
    assert validator.violations(value, limit=1) == violations[:1]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strin"}, "$.type"),
        ({"properties": {"a": {"minimum": "1"}}}, "$.properties.a.minimum"),
        ({"properties": []}, "$.properties"),
        ({"pattern": "("}, "$.pattern"),
        ({"$ref": "#/$defs/nowhere"}, "$"),
        ({"required": ["a", "a"]}, "$.required"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_place(schema: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        SchemaValidator(schema)
    assert raised.value.reason == "UNSUPPORTED_SCHEMA"
    assert raised.value.violations[0][0] == path
    with pytest.raises(InvalidRequestError) as raised:
        SchemaValidator(schema, root="$.tools[0]")
    assert raised.value.message.startswith("$.tools[0]" + path[1:] + ": not a JSON Schema")


def test_nothing_is_fetched() -> None:
    for schema in (
        {"$ref": "http://localhost:1/schema"},
        {"$dynamicRef": "http://localhost:1/schema#x"},
    ):
        with pytest.raises(InvalidRequestError, match="not a JSON Schema"):
            SchemaValidator(schema)
    SchemaValidator({"$schema": "http://localhost:1/schema"})


def test_a_pattern_that_backtracks_for_ever_gives_up() -> None:
    text = "a" * 40 + "b"
    for pattern in (r"^(a+)+$", r"^(a|a)*(?=c)\1$"):
        (violation,) = SchemaValidator({"pattern": pattern}).violations(text)
        assert violation[0] == "$"


def test_a_message_does_not_grow_with_the_value() -> None:
    ((path, problem),) = SchemaValidator({"enum": ["x"]}).violations("y" * 100_000)
    assert path == "$"
    assert len(problem) < 600
    assert problem.endswith('is not one of "x"')


def test_a_value_deeper_than_it_goes_breaks_the_schema() -> None:
    value: Any = {}
    for _ in range(400):
        value = {"a": value}
    ((path, problem),) = SchemaValidator({"additionalProperties": False}).violations(value)
    assert (path, problem) == ("$", "Recursion limit reached")


@pytest.mark.parametrize("value", [2**80, -(2**80), 1.0])
def test_any_whole_number_is_an_integer(value: float) -> None:
    assert SchemaValidator({"type": "integer"}).is_valid(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1"])
def test_nothing_else_is(value: Any) -> None:
    assert not SchemaValidator({"type": "integer"}).is_valid(value)
