"""Running text with marks among a model's own words, which hold no digit: a translation.

Every marked piece of the input comes again, as often as it is there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from skilld.skills.pointing.marks import MARKS, SpanError


def read_text(text: str, *, printed: Mapping[str, str], wanted: Iterable[str]) -> str:
    """The text with pieces of the input in the place of marks.

    Args:
        text: that the model wrote.
        printed: what stands before each mark of the input.
        wanted: marks of the pieces that must be in the text, each as often as in the input.

    Raises:
        SpanError: a mark is missing, or there too often.
    """
    _check_complete(text, printed, wanted)
    return MARKS.sub(lambda found: printed[found[0]], text)


def write_text(text: str, *, printed: Mapping[str, str], wanted: Iterable[str]) -> str:
    """The other way: the text with marks in the place of the wanted pieces.

    Raises:
        SpanError: a piece is missing or there too often, or a digit is of no piece.
    """
    wanted = list(wanted)
    marks = {printed[mark]: mark for mark in wanted}
    for piece in sorted(marks, key=len, reverse=True):
        text = _replaced(text, piece, marks[piece])
    if found := re.search(r"\d", text):
        raise SpanError(f"{text!r}: the digit {found[0]!r} is of no marked piece")
    _check_complete(text, printed, wanted)
    return text


def _check_complete(text: str, printed: Mapping[str, str], wanted: Iterable[str]) -> None:
    there, written = Counter(wanted), Counter(MARKS.findall(text))
    for mark in sorted(there | written):
        if written[mark] != there[mark]:
            raise SpanError(
                f"{text!r}: {printed.get(mark, mark)!r} occurs {written[mark]} times, "
                f"in the input {there[mark]} times"
            )


def _replaced(text: str, piece: str, mark: str) -> str:
    """A mark in every place of a piece; not where it is part of a longer word or number."""
    at = text.find(piece)
    while at >= 0:
        end = at + len(piece)
        if _ends_before(text[:at][::-1], piece[0]) and _ends_before(text[end:], piece[-1]):
            text = text[:at] + mark + text[end:]
            end = at + 1
        at = text.find(piece, end)
    return text


def _ends_before(rest: str, edge: str) -> bool:
    """Whether a piece with this character at its edge ends where the rest begins."""
    first, second = rest[:1], rest[1:2]
    if edge.isalpha():
        return not (first.isascii() and first.isalnum())
    return not (first.isdecimal() or (first in (".", ",") and second.isdecimal()))
