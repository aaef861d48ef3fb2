"""`MarkedInput`: one input with its marks; reads what a model wrote with them, and writes so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from skilld.skills.pointing.marked_text import read_text, write_text
from skilld.skills.pointing.marks import SpanError
from skilld.skills.pointing.pieces import Piece, SaidNumbers
from skilld.skills.pointing.schemas import is_span, nullable_span, span_ranges
from skilld.skills.pointing.tool_calls import ToolSet, is_call

if TYPE_CHECKING:
    from skilld.skills.pointing.rules import SpanRules

Json = Any  # a parsed JSON value
Schema = Mapping[str, Json]


@dataclass(frozen=True)
class MarkedInput:
    """An input with its marks.

    Attributes:
        rules: that it was marked by.
        values: the input as the prompt gets it.
        texts: NFKC text of each marked field.
        pieces: in the order of the fields and of their text.
        tools: of an input that has some.
    """

    rules: SpanRules
    values: Mapping[str, Json]
    texts: Mapping[str, str]
    pieces: Sequence[Piece]
    tools: ToolSet | None = None

    @cached_property
    def present(self) -> frozenset[str]:
        """The marks that mean something in this input."""
        marks = frozenset(piece.mark for piece in self.pieces)
        return marks if self.tools is None else marks | self.tools.present

    def resolve(self, answer: Json, schema: Schema) -> Json:
        """What the model wrote, with values in the place of marks.

        Args:
            answer: parsed; `x-span` fields hold marks.
            schema: the skill's output schema.

        Raises:
            SpanError: a mark is not in this input, or a phrase ends before it begins.
        """
        return _walk(answer, schema, self._read_or_null)

    def point(self, answer: Json, schema: Schema) -> Json:
        """The other way: an answer as the model must write it.

        Raises:
            SpanError: a value of a span field is nowhere in the input.
        """
        return _walk(answer, schema, self._write_or_null)

    def call_schema(self) -> dict[str, Json]:
        """What the model may write for a call of the tools of this input, as a JSON Schema.

        Raises:
            SpanError: the skill has no tools.
        """
        phrases = "".join(sorted({piece.mark for piece in self.pieces}))
        numbers = "".join(sorted(self._numbers.marks))
        return self._tools.call_schema(phrases=phrases, numbers=numbers)

    def _read_or_null(self, marks: Json, schema: Schema) -> Json:
        return None if marks == "" and "x-null" in schema else self._read(marks, schema)

    def _write_or_null(self, value: Json, schema: Schema) -> Json:
        return "" if value is None and "x-null" in schema else self._write(value, schema)

    def _read(self, marks: Json, schema: Schema) -> Json:
        if is_call(schema):
            return self._tools.resolve(
                marks,
                read_text=lambda phrase: str(self._read(phrase, self._any_phrase)),
                read_number=self._numbers.read,
            )
        if not isinstance(marks, str):
            raise SpanError(f"{marks!r} is no mark")
        if "x-span-text" in schema:
            wanted = [piece.mark for piece in self._allowed(schema)]
            return read_text(marks, printed=self._printed, wanted=wanted)
        match schema.get("x-phrase", False):
            case "all":
                return self._read_all(marks)
            case True:
                return self._read_from_through(marks)
        for piece in self.pieces:
            if piece.mark == marks:
                return piece.value
        raise SpanError(f"mark {marks!r} is not in the input")

    def _read_from_through(self, marks: str) -> str:
        best: tuple[Piece, Piece] | None = None
        for i, first in enumerate(self.pieces):
            if first.mark != marks[:1]:
                continue
            # The shortest phrase that begins and ends so; of several, the first.
            last = next(
                (
                    piece
                    for piece in self.pieces[i:]
                    if piece.mark == marks[-1] and piece.field == first.field
                ),
                None,
            )
            if last is not None and (
                best is None or last.end - first.start < best[1].end - best[0].start
            ):
                best = (first, last)
        if best is None:
            raise SpanError(f"no phrase goes from {marks[:1]!r} through {marks[-1:]!r}")
        return self.texts[best[0].field][best[0].start : best[1].end]

    def _read_all(self, marks: str) -> str:
        for i in range(len(self.pieces) - len(marks) + 1 if marks else 0):
            run = self.pieces[i : i + len(marks)]
            if "".join(p.mark for p in run) == marks and run[0].field == run[-1].field:
                return self.texts[run[0].field][run[0].start : run[-1].end]
        raise SpanError(f"no phrase has the marks {marks!r}")

    def _write(self, value: Json, schema: Schema) -> str:
        if is_call(schema):
            return self._tools.point(
                value,
                write_text=lambda phrase: self._write(phrase, self._any_phrase),
                write_number=self._numbers.write,
            )
        allowed = self._allowed(schema)
        if "x-span-text" in schema:
            wanted = [piece.mark for piece in allowed]
            return write_text(str(value), printed=self._printed, wanted=wanted)
        if schema.get("x-phrase"):
            return self._write_phrase(value, schema, allowed)
        for piece in allowed:
            if piece.value == value and type(piece.value) is type(value):
                return piece.mark
        raise SpanError(f"{value!r} is no marked piece of the input")

    def _write_phrase(self, value: Json, schema: Schema, allowed: Sequence[Piece]) -> str:
        for first in allowed:
            end = first.start + len(str(value))
            if self.texts[first.field][first.start : end] != value:
                continue
            for last in allowed:
                if last.field != first.field or last.end != end:
                    continue
                if schema["x-phrase"] == "all":
                    begin, through = self.pieces.index(first), self.pieces.index(last)
                    marks = "".join(piece.mark for piece in self.pieces[begin : through + 1])
                else:
                    marks = first.mark if first is last else first.mark + last.mark
                if self._read(marks, schema) == value:
                    return marks
        raise SpanError(f"{value!r} is no phrase from one marked piece of the input to another")

    @cached_property
    def _printed(self) -> dict[str, str]:
        """The text of each mark; of several that mean the same, the first."""
        return {
            piece.mark: self.texts[piece.field][piece.start : piece.end]
            for piece in reversed(self.pieces)
        }

    @cached_property
    def _numbers(self) -> SaidNumbers:
        return SaidNumbers(self.pieces, self.texts)

    def _allowed(self, schema: Schema) -> list[Piece]:
        ranges = re.compile(f"[{span_ranges(self.rules, schema)}]")
        return [piece for piece in self.pieces if ranges.match(piece.mark)]

    @property
    def _tools(self) -> ToolSet:
        if self.tools is None:
            raise SpanError("`x-tool-arguments` needs the key `tools` in [spans]")
        return self.tools

    @property
    def _any_phrase(self) -> dict[str, Json]:
        return {"x-span": [kind.name for kind in self.rules.kind], "x-phrase": True}


def _walk(value: Json, schema: Schema, convert: Callable[[Json, Schema], Json]) -> Json:
    """Rebuild a value, with what lies under a span schema converted."""
    if is_span(schema) or is_call(schema):
        return convert(value, schema)
    if option := nullable_span(schema):
        return convert(value, {**option, "x-null": True})
    if "anyOf" in schema:
        if value is None:
            return None
        span = next((option for option in schema["anyOf"] if is_span(option)), None)
        return value if span is None else convert(value, span)
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        return {key: _walk(item, properties.get(key, {}), convert) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, schema.get("items", {}), convert) for item in value]
    return value
