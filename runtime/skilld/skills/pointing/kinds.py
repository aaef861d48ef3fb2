"""`SpanKind`: what is found in a text to be pointed at, and which mark each piece gets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from skilld.skills.pointing.marks import MARKS_PER_KIND, mark_at
from skilld.skills.pointing.moments import moment_value
from skilld.skills.pointing.values import clock_value, number_value

Json = Any  # a parsed JSON value


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SpanPattern(_Record):
    """One way a kind of span is written.

    Attributes:
        pattern: regular expression on NFKC text.
        scale: what a number is multiplied by, so that one kind may read several units.
    """

    pattern: str
    scale: float = 1.0


class SpanKind(_Record):
    """What may be pointed at for one purpose, with marks of its own.

    Attributes:
        name: what `x-span` in an output schema refers to.
        value: what a mark stands for: the "text" as it is, its "number" times the scale, the
            time of day ("clock", "HH:MM"), or the number, from 1, of the "line" it is in (for
            answers that name an item of an array; the pattern is `(?m:^)`). Pieces without such
            a value get no mark.
        rank: what the marks of the kind count up with, from its first one: the "number" in the
            text (a value past its limit has the later mark), the "moment" (date and time: the
            earliest line has the first mark), or the "line". It spares a model the comparing of
            digits, which small ones do badly. Pieces without such a value get no mark. Without a
            rank, marks count in the order of the text.
        alone: the mark stands in the prompt in place of its text, not behind it: for long texts
            of which a model needs to know no more than the rank.
        patterns: tried in this order; kinds are tried in the order of the skill file.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    value: Literal["text", "number", "clock", "line"] = "text"
    rank: Literal["number", "moment", "line"] | None = None
    alone: bool = False
    patterns: tuple[SpanPattern, ...] = Field(min_length=1)

    def value_of(self, text: str, pattern: SpanPattern, *, line: int) -> Json:
        """What a mark behind this text stands for; None if the text has no such value."""
        match self.value:
            case "number":
                return number_value(text, scale=pattern.scale)
            case "clock":
                return clock_value(text)
            case "line":
                return line
        return text

    def rank_of(self, text: str, *, line: int) -> float | None:
        """What decides the mark of this text; None if the text has no such rank."""
        match self.rank:
            case "number":
                return number_value(text)
            case "moment":
                return moment_value(text)
            case "line":
                return line
        return 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of text before it has its mark.

    Attributes:
        kind: index of its kind.
        start: index of its first character.
        end: index behind its last character.
        key: pieces of one kind with the same key share a mark.
        value: what its mark stands for.
        rank: see `SpanKind.rank`.
    """

    kind: int
    start: int
    end: int
    key: str
    value: Json
    rank: float


class SpanScanner:
    """Finds the pieces of all kinds in one pass.

    Args:
        kinds: in order of precedence where several match at one place.
    """

    def __init__(self, kinds: Sequence[SpanKind]) -> None:
        self._kinds = kinds

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = [
            f"(?P<k{k}p{p}>{pattern.pattern})"
            for k, kind in enumerate(self._kinds)
            for p, pattern in enumerate(kind.patterns)
        ]
        return re.compile("|".join(parts))

    def scan(self, text: str) -> Iterator[Found]:
        """The pieces of a text that have a value and a rank."""
        for found in self._pattern.finditer(text):
            assert found.lastgroup is not None
            k, p = map(int, found.lastgroup[1:].split("p"))
            kind = self._kinds[k]
            if not found[0] and kind.value != "line":
                continue
            line = 1 + text.count("\n", 0, found.start())
            value = kind.value_of(found[0], kind.patterns[p], line=line)
            rank = kind.rank_of(found[0], line=line)
            if value is not None and rank is not None:
                key = found[0] if kind.value == "text" else repr(value)
                yield Found(k, found.start(), found.end(), key, value, rank)

    def assign(self, pieces: Sequence[Found]) -> dict[tuple[int, str], str]:
        """A mark for each kind and key; at most `MARKS_PER_KIND` keys of a kind get one.

        Args:
            pieces: of the whole input, in the order of its text.
        """
        marks: dict[tuple[int, str], str] = {}
        for k, kind in enumerate(self._kinds):
            ranks: dict[str, float] = {}
            for piece in pieces:
                if piece.kind == k and len(ranks) < MARKS_PER_KIND:
                    ranks.setdefault(piece.key, piece.rank)
            if kind.rank is None:
                marks |= {(k, key): mark_at(k, i) for i, key in enumerate(ranks)}
            else:
                # Each text has a mark of its own, so that it comes back as it is printed; of
                # equal values the one that stands first counts as the smaller.
                in_order = sorted(ranks, key=ranks.__getitem__)
                marks |= {(k, key): mark_at(k, i) for i, key in enumerate(in_order)}
        return marks
