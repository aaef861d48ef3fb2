"""`FakeEngine`: an engine without a model, whose tokens one can work out by hand.

It takes a rule instead of weights: all tokens of a sequence so far give the next one. It keeps
no history of its own. Everything it knows of a sequence it reads back from the cache blocks it
is handed, each entry sealed with a checksum of all entries before it, so a block that is given
to two sequences, given back too early, or listed in the wrong order fails the step.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from skilld.core.batch import Batch, Row
from skilld.core.errors import EngineError
from skilld.engine.base import CacheSpec, StepOutput

_CACHE = "tokens_and_seals"

Rule = Callable[[Sequence[int]], int]
"""Every token of a sequence, prompt first, to the token that should follow."""


def count_up(tokens: Sequence[int]) -> int:
    """The rule of a fake nobody gave one: 7 is followed by 8."""
    return tokens[-1] + 1


def answering(
    separator: int, reply: Callable[[Sequence[int]], Sequence[int]], *, end_id: int
) -> Rule:
    """A rule that answers prompts from a script.

    Args:
        separator: the token that ends every prompt, at its first occurrence.
        reply: tokens of a prompt, without the separator, to the tokens of its answer.
        end_id: follows the answer, and prompts without a separator.
    """

    def rule(tokens: Sequence[int]) -> int:
        if separator not in tokens:
            return end_id
        prompt_len = tokens.index(separator)
        answer = reply(tokens[:prompt_len])
        done = len(tokens) - prompt_len - 1
        return answer[done] if done < len(answer) else end_id

    return rule


class FakeEngine:
    """See the module docstring; implements `skilld.engine.Engine`.

    Args:
        vocab_size: columns of the logits.
        rule: what follows what.
        block_tokens: tokens per cache block.
        before_step: called on the engine thread with every batch. A test holds a step back by
            blocking in it, and fails one by raising.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        rule: Rule = count_up,
        block_tokens: int = 4,
        before_step: Callable[[Batch], None] | None = None,
    ) -> None:
        self._vocab_size = vocab_size
        self._rule = rule
        self._block_tokens = block_tokens
        self._before_step = before_step
        self._cache: NDArray[np.uint32] | None = None

    @property
    def block_tokens(self) -> int:
        """Tokens per cache block."""
        return self._block_tokens

    @property
    def cache_specs(self) -> tuple[CacheSpec, ...]:
        """One tensor, uint32 `[num_blocks, 2, block_tokens]`: tokens, and their seals."""
        shape = (2, self._block_tokens)
        return (CacheSpec(_CACHE, "kv", np.dtype(np.uint32), shape),)

    def bind(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """See `Engine.bind`."""
        (spec,) = self.cache_specs
        array = arrays.get(spec.name)
        if array is None or array.dtype != spec.dtype or array.shape[1:] != spec.block_shape:
            raise EngineError(f"cache {spec.name!r} must be {spec.dtype} {spec.block_shape}")
        self._cache = array.view(np.uint32)

    def step(self, batch: Batch) -> StepOutput:
        """Favour one token per wanted row: its logit is 1, all others are 0.

        Raises:
            EngineError: a row does not fit its blocks, or they do not hold what this sequence
                wrote there.
        """
        start_s = time.perf_counter()
        if self._before_step is not None:
            self._before_step(batch)
        logits = np.zeros((sum(row.num_logits for row in batch.rows), self._vocab_size), np.float32)
        next_line = 0
        for row in batch.rows:
            history = self._extend(row)
            for back in reversed(range(row.num_logits)):
                logits[next_line, self._rule(history[: len(history) - back]) % self._vocab_size] = 1
                next_line += 1
        greedy_ids = logits.argmax(axis=-1).tolist()
        return StepOutput(logits, greedy_ids, step_ms=(time.perf_counter() - start_s) * 1000.0)

    def close(self) -> None:
        """Let go of the cache."""
        self._cache = None

    def _extend(self, row: Row) -> list[int]:
        """Check what the blocks hold, append the new tokens, return the whole sequence."""
        assert self._cache is not None, "the engine was stepped before bind or after close"
        end = row.past_len + len(row.token_ids)
        if len(row.block_ids) * self._block_tokens < end:
            raise EngineError(
                f"request {row.request_id}: {end} tokens do not fit {len(row.block_ids)} blocks "
                f"of {self._block_tokens}"
            )
        blocks = self._cache[list(row.block_ids)]  # a copy
        tokens, seals = blocks[:, 0].reshape(-1), blocks[:, 1].reshape(-1)
        # The seal starts from a constant, so that a block of zeros is not the seal of nothing.
        seal = zlib.crc32(tokens[: row.past_len].tobytes(), 1)
        if row.past_len > 0 and seals[row.past_len - 1] != seal:
            raise EngineError(
                f"request {row.request_id}: blocks {list(row.block_ids)} do not hold its first "
                f"{row.past_len} tokens; somebody else wrote there, or they were given back"
            )
        tokens[row.past_len : end] = row.token_ids
        for position in range(row.past_len, end):
            seal = zlib.crc32(tokens[position].tobytes(), seal)
            seals[position] = seal
        for index in range(row.past_len // self._block_tokens, -(-end // self._block_tokens)):
            first = index * self._block_tokens
            written = slice(max(row.past_len, first), min(end, first + self._block_tokens))
            inside = slice(written.start - first, written.stop - first)
            self._cache[row.block_ids[index], 0, inside] = tokens[written]
            self._cache[row.block_ids[index], 1, inside] = seals[written]
        history: list[int] = tokens[:end].tolist()
        return history
