"""Reading a TOML file into a frozen pydantic record, with errors a person can act on."""

from __future__ import annotations

import difflib
import tomllib
import types
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from skilld.core.errors import ArtefactError

RecordT = TypeVar("RecordT", bound=BaseModel)


def read_toml(path: Path, record: type[RecordT], *, reason: str) -> RecordT:
    """Read `path` and validate it as `record`.

    Args:
        path: the TOML file.
        record: a pydantic model with `extra="forbid"`.
        reason: of the error, when there is one.

    Raises:
        ArtefactError: unreadable, not TOML (with line and column), or not such a record: names
            the file, the dotted key, and for an unknown key the nearest known one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtefactError(
            f"cannot be read: {error.strerror}", path=path, reason=reason
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArtefactError(f"is not TOML: {error}", path=path, reason=reason) from error
    try:
        return record.model_validate(content)
    except ValidationError as error:
        # A misspelt key is two errors, one unknown and one missing: the first helps more.
        errors = error.errors()
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        location = [str(part) for part in first["loc"]]
        if first["type"] == "extra_forbidden":
            message, hint = "unknown key", _nearest_key(record, location)
        else:
            message, hint = str(first["msg"]), ""
        raise ArtefactError(
            message, path=path, key=".".join(location), hint=hint, reason=reason
        ) from error


def _nearest_key(record: type[BaseModel], location: list[str]) -> str:
    for part in location[:-1]:
        field = next(
            (f for name, f in record.model_fields.items() if part in (name, f.alias)), None
        )
        inner = None if field is None else _model_of(field.annotation)
        if inner is None:
            return ""
        record = inner
    known = [field.alias or name for name, field in record.model_fields.items()]
    close = difflib.get_close_matches(location[-1], known, n=1)
    return f"did you mean `{close[0]}`?" if close else "known keys: " + ", ".join(known)


def _model_of(annotation: Any) -> type[BaseModel] | None:  # Any: annotations have no common type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        for argument in get_args(annotation):
            found = _model_of(argument)
            if found is not None:
                return found
    return None
