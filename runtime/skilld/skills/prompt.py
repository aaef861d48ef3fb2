"""`Prompt`: a template whose values can never be mistaken for its text."""

from __future__ import annotations

import json
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


class PromptError(ValueError):
    """The template names a field the input schema does not have, or is malformed."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a rendered prompt.

    Attributes:
        text: as it is.
        is_value: came from the caller: special-token words in it are plain text.
    """

    text: str
    is_value: bool


class Prompt:
    """A template in `str.format` notation: `{field}`, with `{{` and `}}` for braces.

    Args:
        template: literal text, which may hold special tokens, and `{field}` marks.
        fields: names the input may have.

    Raises:
        PromptError: unknown field, conversion or format specification, unbalanced brace.
    """

    def __init__(self, template: str, *, fields: Collection[str]) -> None:
        self._parts: list[tuple[str, str | None]] = []
        try:
            parsed = list(string.Formatter().parse(template))
        except ValueError as error:
            raise PromptError(str(error)) from error
        for literal, field, spec, conversion in parsed:
            if field is not None and (spec or conversion):
                raise PromptError(f"{{{field}}}: no format or conversion is supported")
            if field is not None and field not in fields:
                known = ", ".join(sorted(fields)) or "none"
                raise PromptError(f"{{{field}}} is not a property of the input (known: {known})")
            self._parts.append((literal, field))

    @property
    def literals(self) -> list[str]:
        """The template's own pieces of text."""
        return [literal for literal, _ in self._parts if literal]

    @property
    def prefix(self) -> list[Segment]:
        """The template up to its first value, with which every prompt begins."""
        segments = []
        for literal, field in self._parts:
            if literal:
                segments.append(Segment(literal, is_value=False))
            if field is not None:
                break
        return segments

    def render(self, values: Mapping[str, Any]) -> list[Segment]:
        """Fill in the fields of one input; an absent optional field becomes empty text."""
        segments = []
        for literal, field in self._parts:
            if literal:
                segments.append(Segment(literal, is_value=False))
            if field is not None and field in values:
                segments.append(Segment(as_text(values[field]), is_value=True))
        return segments


def as_text(value: Any) -> str:  # Any: a JSON value
    """Strings verbatim, arrays of strings one per line, everything else as compact JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
