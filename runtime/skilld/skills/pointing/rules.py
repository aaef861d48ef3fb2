"""`SpanRules`: the `[spans]` table of a skill, and marking an input by it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skilld.core.errors import InvalidRequestError
from skilld.skills.pointing.kinds import SpanKind, SpanScanner
from skilld.skills.pointing.marked_input import MarkedInput
from skilld.skills.pointing.marks import MARKS, MARKS_PER_KIND, MAX_KINDS, mark_at, mark_range
from skilld.skills.pointing.pieces import Piece
from skilld.skills.pointing.said_words import SaidWords, Thesaurus
from skilld.skills.pointing.tool_calls import TOOL_KINDS, ToolSet

_MAX_GROWTH: Final = 4
Json = Any  # a parsed JSON value


class SpanRules(BaseModel):
    """The `[spans]` table of a skill.

    Attributes:
        fields: of the input whose text is marked: strings, or arrays of strings.
        kind: in order of precedence where several match at one place.
        tools: the input field that holds tool schemas, for a skill that calls tools; see
            `skilld.skills.pointing.tool_calls`.
        same: for such a skill, ways to say the same thing; see `skilld.skills.pointing.said_words`.
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
