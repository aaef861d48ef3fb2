"""Spans: answers that point at the input instead of spelling it again.

A small model copies long identifiers badly and may invent a digit. So a skill can say which pieces
of its input may be values of an answer (codes, numbers, words). Behind each piece the prompt
gets a *mark*, one private-use character that is one token, and the model answers with marks:

    14:05⟦c1⟧ TT-101⟦w1⟧ 85.5⟦n1⟧ °C   ->   {"sensor":"⟦w1⟧","value":⟦n1⟧ ...}

What the caller gets is the text, or its value, behind the mark. Equal pieces share a mark, so
there is nothing to choose between two places that say the same. Marks are counted in the order of
the text, or with the rank of their values, which the model then compares instead of digits.
Phrases are two marks, from and through; with `x-phrase = "all"` they are the marks of all their
pieces, for names that differ in the middle. In running text (a translation) marks stand among words
of the model's own, which hold no digit; every marked piece of the input comes again, as often as it
is there.

Text is compared and given back in Unicode form NFKC, the form tokenizers read it in.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skilld.core.errors import InvalidRequestError
from skilld.skills.said_words import SaidWords, Thesaurus
from skilld.skills.span_kinds import (
    SpanKind as SpanKind,
)
from skilld.skills.span_kinds import (
    SpanPattern as SpanPattern,
)
from skilld.skills.span_kinds import (
    SpanScanner,
)
from skilld.skills.span_marks import (
    MARKS as MARKS,
)
from skilld.skills.span_marks import (
    MARKS_PER_KIND as MARKS_PER_KIND,
)
from skilld.skills.span_marks import (
    MAX_KINDS as MAX_KINDS,
)
from skilld.skills.span_marks import (
    SpanError as SpanError,
)
from skilld.skills.span_marks import (
    mark_at,
    mark_range,
)
from skilld.skills.span_schemas import is_span, nullable_span, span_ranges
from skilld.skills.tool_calls import TOOL_KINDS, ToolSet, is_call
from skilld.skills.units import Unit, converted, unit_behind

_MAX_GROWTH: Final = 4
Json = Any  # a parsed JSON value


class SpanRules(BaseModel):
    """The `[spans]` table of a skill.

    Attributes:
        fields: of the input whose text is marked: strings, or arrays of strings.
        kind: in order of precedence where several match at one place.
        tools: the input field that holds tool schemas, for a skill that calls tools; see
            `skilld.skills.tool_calls`.
        same: for such a skill, ways to say the same thing; see `skilld.skills.said_words`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[str, ...] = Field(min_length=1)
    kind: tuple[SpanKind, ...] = Field(min_length=1, max_length=MAX_KINDS)
    tools: str | None = None
    same: tuple[tuple[str, ...], ...] = ()

    @model_validator(mode="after")
    def _has_marks_for_all(self) -> SpanRules:
        if self.tools is not None and len(self.kind) + TOOL_KINDS > MAX_KINDS:
            raise ValueError(f"with tools there are at most {MAX_KINDS - TOOL_KINDS} kinds")
        return self

    @cached_property
    def _thesaurus(self) -> Thesaurus:
        return Thesaurus(self.same)

    @cached_property
    def _scanner(self) -> SpanScanner:
        return SpanScanner(self.kind)

    def alphabet(self, name: str) -> str:
        """First and last mark of a kind, as a range for a character class.

        Raises:
            KeyError: there is no such kind.
        """
        for k, kind in enumerate(self.kind):
            if kind.name == name:
                return mark_range(k)
        raise KeyError(name)

    def marks(self) -> list[str]:
        """Every mark the skill may use; each must be one token of the engine."""
        num_kinds = len(self.kind) + (TOOL_KINDS if self.tools is not None else 0)
        return [mark_at(k, i) for k in range(num_kinds) for i in range(MARKS_PER_KIND)]

    def mark(self, values: Mapping[str, Json]) -> MarkedInput:
        """Mark an input. Pieces beyond `MARKS_PER_KIND` different ones of a kind get no mark.

        Raises:
            InvalidRequestError: the tools of the input cannot be called, or a text is many times
                as long in NFKC; says why and where.
        """
        texts = {name: _clean(name, values[name]) for name in self.fields if name in values}
        scanned = {name: list(self._scanner.scan(text)) for name, text in texts.items()}
        every = [found for pieces in scanned.values() for found in pieces]
        marks = self._scanner.assign(every)
        pieces: list[Piece] = []
        marked = dict(values)
        for name, text in texts.items():
            parts: list[str] = []
            end = 0
            for found in scanned[name]:
                mark = marks.get((found.kind, found.key))
                if mark is None:
                    continue
                pieces.append(Piece(name, found.start, found.end, mark, found.value))
                is_shown = not self.kind[found.kind].alone
                parts += (text[end : found.end if is_shown else found.start], mark)
                end = found.end
            marked[name] = "".join((*parts, text[end:]))
        tools = None
        if self.tools is not None:
            path = f"$.{self.tools}"
            tools = ToolSet(
                values.get(self.tools),
                said=SaidWords("\n".join(texts.values()), self._thesaurus),
                first_kind=len(self.kind),
                path=path,
            )
            marked[self.tools] = tools.render()
        return MarkedInput(self, marked, texts, pieces, tools)


@dataclass(frozen=True, slots=True)
class Piece:
    """A marked piece of an input.

    Attributes:
        field: of the input.
        start: index of its first character in the NFKC text of the field.
        end: index behind its last character.
        mark: that stands behind it in the prompt.
        value: what the mark means.
    """

    field: str
    start: int
    end: int
    mark: str
    value: Json


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

    def resolve(self, answer: Json, schema: Mapping[str, Json]) -> Json:
        """What the model wrote, with values in the place of marks.

        Args:
            answer: parsed; `x-span` fields hold marks.
            schema: the skill's output schema.

        Raises:
            SpanError: a mark is not in this input, or a phrase ends before it begins.
        """
        return _walk(answer, schema, self._read_or_null)

    def point(self, answer: Json, schema: Mapping[str, Json]) -> Json:
        """The other way: an answer as the model must write it.

        Raises:
            SpanError: a value of a span field is nowhere in the input.
        """
        return _walk(answer, schema, self._write_or_null)

    def _read_or_null(self, marks: Json, schema: Mapping[str, Json]) -> Json:
        return None if marks == "" and "x-null" in schema else self._read(marks, schema)

    def _write_or_null(self, value: Json, schema: Mapping[str, Json]) -> Json:
        return "" if value is None and "x-null" in schema else self._write(value, schema)

    def _read(self, marks: Json, schema: Mapping[str, Json]) -> Json:
        if is_call(schema):
            return self._tools.resolve(
                marks,
                read_text=lambda phrase: str(self._read(phrase, self._any_phrase)),
                read_number=self._read_number,
            )
        if not isinstance(marks, str):
            raise SpanError(f"{marks!r} is no mark")
        if "x-span-text" in schema:
            self._check_complete(marks, schema)
            return MARKS.sub(lambda found: self._printed[found[0]], marks)
        if not schema.get("x-phrase"):
            for piece in self.pieces:
                if piece.mark == marks:
                    return piece.value
            raise SpanError(f"mark {marks!r} is not in the input")
        if schema["x-phrase"] == "all":
            return self._read_all(marks)
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

    def _write(self, value: Json, schema: Mapping[str, Json]) -> str:
        if is_call(schema):
            return self._tools.point(
                value,
                write_text=lambda phrase: self._write(phrase, self._any_phrase),
                write_number=self._write_number,
            )
        allowed = self._allowed(schema)
        if "x-span-text" in schema:
            return self._write_text(str(value), schema)
        if not schema.get("x-phrase"):
            for piece in allowed:
                if piece.value == value and type(piece.value) is type(value):
                    return piece.mark
            raise SpanError(f"{value!r} is no marked piece of the input")
        for first in allowed:
            end = first.start + len(str(value))
            if self.texts[first.field][first.start : end] != value:
                continue
            for last in allowed:
                if last.field == first.field and last.end == end:
                    if schema["x-phrase"] == "all":
                        begin, through = self.pieces.index(first), self.pieces.index(last)
                        marks = "".join(p.mark for p in self.pieces[begin : through + 1])
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

    def _allowed(self, schema: Mapping[str, Json]) -> list[Piece]:
        ranges = re.compile(f"[{span_ranges(self.rules, schema)}]")
        return [piece for piece in self.pieces if ranges.match(piece.mark)]

    def _write_text(self, text: str, schema: Mapping[str, Json]) -> str:
        marks = {self._printed[piece.mark]: piece.mark for piece in self._allowed(schema)}
        for printed in sorted(marks, key=len, reverse=True):
            text = _replaced(text, printed, marks[printed])
        if found := re.search(r"\d", text):
            raise SpanError(f"{text!r}: the digit {found[0]!r} is of no marked piece")
        self._check_complete(text, schema)
        return text

    def _check_complete(self, text: str, schema: Mapping[str, Json]) -> None:
        """Every piece of the kinds that may occur does, as often as in the input."""
        wanted = Counter(piece.mark for piece in self._allowed(schema))
        written = Counter(MARKS.findall(text))
        for mark in sorted(wanted | written):
            if written[mark] != wanted[mark]:
                raise SpanError(
                    f"{text!r}: {self._printed.get(mark, mark)!r} occurs {written[mark]} times, "
                    f"in the input {wanted[mark]} times"
                )

    def call_schema(self) -> dict[str, Json]:
        """What the model may write for a call of the tools of this input, as a JSON Schema.

        Raises:
            SpanError: the skill has no tools.
        """
        numbers = {piece.mark for piece in self.pieces if _is_number(piece.value)}
        phrases = {piece.mark for piece in self.pieces}
        return self._tools.call_schema(
            phrases="".join(sorted(phrases)), numbers="".join(sorted(numbers))
        )

    @property
    def _tools(self) -> ToolSet:
        if self.tools is None:
            raise SpanError("`x-tool-arguments` needs the key `tools` in [spans]")
        return self.tools

    @property
    def _any_piece(self) -> dict[str, Json]:
        return {"x-span": [kind.name for kind in self.rules.kind]}

    @property
    def _any_phrase(self) -> dict[str, Json]:
        return {**self._any_piece, "x-phrase": True}

    def _read_number(self, mark: str, unit: Unit | None) -> int | float:
        found = [piece for piece in self.pieces if piece.mark == mark and _is_number(piece.value)]
        if not found:
            raise SpanError(f"mark {mark!r} is no number of the input")
        # "20 min ... 20 s" share a mark: the one whose unit is wanted, else one that converts.
        best = min(found, key=lambda piece: _unlike(self._unit(piece), unit))
        return converted(best.value, said=self._unit(best), wanted=unit)

    def _write_number(self, value: int | float, unit: Unit | None) -> str:
        for mark in dict.fromkeys(piece.mark for piece in self.pieces if _is_number(piece.value)):
            number = self._read_number(mark, unit)
            if number == value and type(number) is type(value):
                return mark
        raise SpanError(f"{value!r} is no number of the input")

    def _unit(self, piece: Piece) -> Unit | None:
        return unit_behind(self.texts[piece.field][piece.end : piece.end + 16])


def _replaced(text: str, printed: str, mark: str) -> str:
    """A mark in every place of a piece; not where it is part of a longer word or number."""
    at = text.find(printed)
    while at >= 0:
        end = at + len(printed)
        if _ends_before(text[:at][::-1], printed[0]) and _ends_before(text[end:], printed[-1]):
            text = text[:at] + mark + text[end:]
            end = at + 1
        at = text.find(printed, end)
    return text


def _ends_before(rest: str, edge: str) -> bool:
    """Whether a piece with this character at its edge ends where the rest begins."""
    first, second = rest[:1], rest[1:2]
    if edge.isalpha():
        return not (first.isascii() and first.isalnum())
    return not (first.isdecimal() or (first in (".", ",") and second.isdecimal()))


def _walk(value: Json, schema: Mapping[str, Json], convert: Any) -> Json:
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


def _clean(name: str, value: Json) -> str:
    """Text of a field; marks that a caller wrote are taken out of it.

    Raises:
        InvalidRequestError: the text grows beyond what its `maxLength` is there to bound. One
            character may stand for 18; whoever sends many of them wants to keep the box busy.
    """
    if isinstance(value, list):  # a line break within an item is none between items
        value = "\n".join(" ".join(str(item).splitlines()) for item in value)
    text = str(value)
    clean = unicodedata.normalize("NFKC", text)
    if len(clean) > _MAX_GROWTH * len(text):
        problem = f"grows from {len(text)} to {len(clean)} characters in Unicode form NFKC"
        raise InvalidRequestError(
            f"$.{name} {problem}: write it out", violations=[(f"$.{name}", problem)]
        )
    return MARKS.sub("\ufffd", clean)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unlike(said: Unit | None, wanted: Unit | None) -> int:
    """0 the same unit, 1 another of the same kind, 2 none or of another kind."""
    if said is None or wanted is None or said.quantity != wanted.quantity:
        return 2
    return int(said != wanted)
