"""`SchemaValidator`: whether a JSON value keeps a schema, and where it does not.

Every call is checked twice, input and answer, on the event loop, so it is jsonschema-rs that
checks: in a small part of the time of a validator in Python (figures in DECISIONS 40), and a
pattern that would backtrack for hours gives up. It never fetches a schema from anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from jsonschema_rs import Draft202012Validator, ReferencingError, ValidationError

from skilld.core.errors import InvalidRequestError

Json = Any  # a parsed JSON value

_MAX_MESSAGE_CHARS: Final = 500  # it may hold the whole value
_META_SCHEMA: Final = Draft202012Validator(
    {"$ref": "https://json-schema.org/draft/2020-12/schema"}, offline=True
)


class SchemaValidator:
    """See the module docstring.

    Args:
        schema: JSON Schema 2020-12; references stay inside it.
        root: where the schema stands, for what is said about it.

    Raises:
        InvalidRequestError: reason UNSUPPORTED_SCHEMA; it is none, a pattern in it is no regular
            expression, or a reference in it leads nowhere.
    """

    def __init__(self, schema: Mapping[str, Json], *, root: str = "$") -> None:
        try:
            self._validator = Draft202012Validator(dict(schema), offline=True)
        except ValidationError as error:
            raise _not_a_schema(_path_of(error, root), error.message) from error
        except (ReferencingError, ValueError) as error:
            raise _not_a_schema(root, str(error)) from error

    def is_valid(self, value: Json) -> bool:
        """Whether a value keeps the schema."""
        return not self.violations(value, limit=1)

    def violations(self, value: Json, *, limit: int = 8) -> list[tuple[str, str]]:
        """Where a value breaks the schema, as pairs of JSON path and what is wrong there.

        Args:
            value: parsed JSON.
            limit: no more than these; the rest is not looked for.
        """
        try:
            errors = itertools.islice(self._validator.iter_errors(value), limit)
            return [(_path_of(error), _shortened(error.message)) for error in errors]
        except ValueError as error:  # nested deeper than it goes
            return [("$", str(error))]


def check_is_schema(schema: Mapping[str, Json]) -> None:
    """Hold a schema against the schema of schemas, and nothing else: references may lead anywhere.

    Raises:
        InvalidRequestError: reason UNSUPPORTED_SCHEMA; it is none.
    """
    try:
        violation = next(_META_SCHEMA.iter_errors(dict(schema)), None)
    except ValueError as error:
        raise _not_a_schema("$", str(error)) from error
    if violation is not None:
        raise _not_a_schema(_path_of(violation), violation.message)


def _path_of(error: ValidationError, root: str = "$") -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
    return root + "".join(steps)


def _shortened(message: str) -> str:
    if len(message) <= _MAX_MESSAGE_CHARS:
        return message
    half = _MAX_MESSAGE_CHARS // 2
    return f"{message[:half]} ... {message[-half:]}"


def _not_a_schema(path: str, problem: str) -> InvalidRequestError:
    problem = f"not a JSON Schema: {_shortened(problem)}"
    return InvalidRequestError(
        f"{path}: {problem}", reason="UNSUPPORTED_SCHEMA", violations=[(path, problem)]
    )
