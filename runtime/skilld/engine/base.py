"""`Engine`: what a stepped engine can do, whatever vendor computes it.

The engine owns the weights and the arithmetic. It owns no cache memory: it says which cache
tensors it needs (`cache_specs`), is handed arrays of that shape once (`bind`), and every step
names the blocks each sequence uses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from skilld.core.batch import Batch


class Mode(StrEnum):
    """How exactly an engine computes.

    FAST is what serves: quantized activations and cache, so that logits depend slightly on what
    else is in the batch. PARITY computes everything in f32: the same request gives the same
    tokens alone, batched, chunked or fed as several tokens at once.
    """

    FAST = "fast"
    PARITY = "parity"


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """One cache tensor the engine must be bound to, shaped `[num_blocks, *block_shape]`.

    Attributes:
        name: of the tensor, unique in the engine.
        kind: "kv" tensors are indexed by `Row.block_ids`, one block per `block_tokens` tokens;
            "state" tensors by `Row.state_block_ids`, one block per sequence.
        dtype: of the array to bind.
        block_shape: one block, without the leading number of blocks.
    """

    name: str
    kind: Literal["kv", "state"]
    dtype: np.dtype[np.generic]
    block_shape: tuple[int, ...]

    @property
    def block_bytes(self) -> int:
        """Bytes of one block of this tensor."""
        return math.prod(self.block_shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one step computed.

    Attributes:
        logits: float32 `[n, vocab_size]`, the wanted logits of all rows in batch order. A view
            on the engine's memory, good until its next step.
        greedy_ids: for every line of `logits` the token of its largest logit, the lowest id among
            equals.
        step_ms: wall time of the step inside the engine, milliseconds.
    """

    logits: npt.NDArray[np.float32]
    greedy_ids: Sequence[int]
    step_ms: float


class Engine(Protocol):
    """A model that computes one ragged batch at a time. Used from one thread only."""

    @property
    def block_tokens(self) -> int:
        """Tokens per KV block."""
        ...

    @property
    def cache_specs(self) -> tuple[CacheSpec, ...]:
        """The cache tensors to bind; fixed for the life of the engine."""
        ...

    def bind(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Use these arrays as cache memory, one per spec, `[num_blocks, *block_shape]`.

        The engine keeps references; the memory stays the caller's.

        Raises:
            EngineError: an array is missing or has the wrong type or shape.
        """
        ...

    def step(self, batch: Batch) -> StepOutput:
        """Compute the new tokens of every row and write their cache.

        A row with `past_len == 0` starts its sequence anew; its blocks need no clearing. What lies
        behind a row's last token in its last block may be overwritten.

        Raises:
            EngineError: a row does not fit its blocks, or the runtime failed.
        """
        ...

    def close(self) -> None:
        """Release the model and every reference to bound arrays."""
        ...
