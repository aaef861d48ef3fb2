"""`Batch`: what the scheduler asks one engine to compute in one step.

The answer, `StepOutput`, carries arrays and therefore lives in `skilld.engine.base`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """New tokens of one sequence: a prefill chunk, one decoded token, or several forced ones.

    Attributes:
        request_id: whose row this is.
        token_ids: the new tokens, at positions `past_len .. past_len + len(token_ids) - 1`.
        past_len: tokens of this sequence already in the cache.
        block_ids: KV blocks of the sequence in order, enough for all its tokens after this step.
        state_block_ids: recurrent-state blocks of the sequence; empty for pure attention models.
        num_logits: logits wanted, for the last `num_logits` tokens of the row: 0 inside a
            prefill, 1 as a rule, one more per drafted token.
    """

    request_id: str
    token_ids: Sequence[int]
    past_len: int
    block_ids: Sequence[int]
    state_block_ids: Sequence[int] = ()
    num_logits: int = 1

    @property
    def draft(self) -> Sequence[int]:
        """The guessed tokens at the end of the row, which its logits are to verify."""
        if self.num_logits < 2:
            return ()
        return self.token_ids[len(self.token_ids) - self.num_logits + 1 :]


@dataclass(frozen=True, slots=True)
class Batch:
    """One ragged step of one engine; rows may mix prefill, decode and multi-token rows."""

    engine: str
    rows: Sequence[Row]

    @property
    def num_new_tokens(self) -> int:
        """Tokens computed by this step."""
        return sum(len(row.token_ids) for row in self.rows)
