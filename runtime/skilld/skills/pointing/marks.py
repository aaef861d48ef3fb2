"""The marks of spans: private-use characters, a fixed number for each kind of thing."""

from __future__ import annotations

import re
from typing import Final

MARKS_PER_KIND: Final = 64
MAX_KINDS: Final = 6
_FIRST: Final = 0xE000
MARKS: Final = re.compile(f"[{chr(_FIRST)}-{chr(_FIRST + MARKS_PER_KIND * MAX_KINDS - 1)}]")


class SpanError(ValueError):
    """An answer cannot be written with the marks of its input, or marks mean nothing in it."""


def mark_at(kind: int, index: int) -> str:
    """The mark with this index (counted around) of the kind with this index."""
    return chr(_FIRST + kind * MARKS_PER_KIND + index % MARKS_PER_KIND)


def kind_of(mark: str) -> int:
    """Index of the kind that a mark belongs to."""
    return (ord(mark) - _FIRST) // MARKS_PER_KIND


def mark_range(kind: int) -> str:
    """First and last mark of a kind, as a range for a character class."""
    return f"{mark_at(kind, 0)}-{mark_at(kind, MARKS_PER_KIND - 1)}"
