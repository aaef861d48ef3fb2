"""`Piece`: a marked piece of an input; and its numbers, in the units that are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skilld.skills.pointing.marks import SpanError
from skilld.skills.pointing.units import Unit, converted, unit_behind

Json = Any  # a parsed JSON value


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


class SaidNumbers:
    """The pieces of an input that are numbers, for arguments that have a unit.

    Args:
        pieces: of the input.
        texts: NFKC text of each field; a unit stands behind its number there.
    """

    def __init__(self, pieces: Sequence[Piece], texts: Mapping[str, str]) -> None:
        self._pieces = [piece for piece in pieces if _is_number(piece.value)]
        self._texts = texts

    @property
    def marks(self) -> frozenset[str]:
        """Of all the numbers."""
        return frozenset(piece.mark for piece in self._pieces)

    def read(self, mark: str, unit: Unit | None) -> int | float:
        """The number of a mark, converted to this unit.

        Raises:
            SpanError: the mark is of no number.
        """
        found = [piece for piece in self._pieces if piece.mark == mark]
        if not found:
            raise SpanError(f"mark {mark!r} is no number of the input")
        # "20 min ... 20 s" share a mark: the one whose unit is wanted, else one that converts.
        best = min(found, key=lambda piece: _unlike(self._unit(piece), unit))
        return converted(best.value, said=self._unit(best), wanted=unit)

    def write(self, value: float, unit: Unit | None) -> str:
        """The other way: the mark of a number that is wanted in this unit.

        Raises:
            SpanError: the number is nowhere in the input.
        """
        for mark in dict.fromkeys(piece.mark for piece in self._pieces):
            number = self.read(mark, unit)
            if number == value and type(number) is type(value):
                return mark
        raise SpanError(f"{value!r} is no number of the input")

    def _unit(self, piece: Piece) -> Unit | None:
        return unit_behind(self._texts[piece.field][piece.end : piece.end + 16])


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unlike(said: Unit | None, wanted: Unit | None) -> int:
    """0 the same unit, 1 another of the same kind, 2 none or of another kind."""
    if said is None or wanted is None or said.quantity != wanted.quantity:
        return 2
    return int(said != wanted)
