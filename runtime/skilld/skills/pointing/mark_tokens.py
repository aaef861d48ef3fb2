"""`MarkTokens`: which tokens may be chosen for an input with marks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from skilld.skills.pointing.marks import SpanError
from skilld.skills.tokenizer import Tokenizer

_FIRST_BYTE = 0xEE
"""Every mark begins with this byte in UTF-8, and no character of any script does."""


class MarkTokens:
    """The tokens of the marks of one skill. Marks that mean nothing in an input are not for sale.

    Args:
        marks: of the skill.
        tokenizer: of its engine.
        spell: the bytes of a token.
        vocab_size: of the engine.

    Raises:
        SpanError: a mark is not exactly one token wherever it stands.
    """

    def __init__(
        self,
        marks: Sequence[str],
        *,
        tokenizer: Tokenizer,
        spell: Callable[[int], bytes],
        vocab_size: int,
    ) -> None:
        self._ids: dict[str, int] = {}
        for mark in marks:
            ids = tokenizer.encode_value(mark)
            between = tokenizer.encode_value(f"A1{mark}){mark}あ")
            is_one = len(ids) == 1 and between.count(ids[0]) == 2
            if not is_one or spell(ids[0]) != mark.encode():
                raise SpanError(
                    f"the mark U+{ord(mark):04X} is {len(ids)} tokens"
                    if len(ids) != 1
                    else f"the mark U+{ord(mark):04X} is not a token of its own in every text"
                )
            self._ids[mark] = ids[0]
        # Marks could be put together from bytes, too; other private-use characters are nobody's.
        self._barred = np.array(
            [_FIRST_BYTE in spell(token_id) for token_id in range(vocab_size)], np.bool_
        )

    def open_for(self, present: Collection[str]) -> NDArray[np.bool_]:
        """Tokens that may be chosen when these marks mean something: bool `[vocab_size]`."""
        open_tokens = ~self._barred
        open_tokens[[self._ids[mark] for mark in present]] = True
        return open_tokens
