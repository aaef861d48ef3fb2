"""`EngineNeed`: the memory one engine asks for, from its manifest and skills; nothing is loaded.

Bytes that are resident once an engine serves:

- weights: the model files twice. OpenVINO maps the file, and the CPU plugin keeps a second copy
  in the layout its kernels want. Mapped pages can be taken back by the system, but stay as long
  as there is room, and the embedding is read from them. Where the manifest has measurements and
  the engine was seen to hold less, that counts.
- workspace: what the process that measured the engine held beyond its own base, these weights and
  its cache; by shape where nothing was measured. Plus what steps of many sizes add, and the
  tokenizer with its masks, which a measuring process does not load.

The constants were measured on x86-64 Linux with Python 3.11 and OpenVINO 2026.4.1. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from skilld.config import EngineConfig
from skilld.core.manifest import EngineManifest

_MIB: Final = 1 << 20

# A process that does nothing but measure one engine, less that engine (ten shapes of 0.1 MB).
_MEASURING_PROCESS_BYTES: Final = 110 * _MIB
# What measuring writes to the cache: one prompt, and seven more sequences of a short context.
_MEASURED_SEQUENCE_TOKENS: Final = (512, *[137] * 7)
_WEIGHT_COPIES: Final = 2
# By shape, fitted to three of them: objects per layer, activations of one step, logits.
_LAYER_BYTES: Final = 1 * _MIB
_ACTIVATIONS_PER_TOKEN: Final = 16  # f32 vectors of the hidden size
_LOGITS_COPIES: Final = 2
_MEASURED_STEP_TOKENS: Final = 512
# The runtime keeps kernels for every number of tokens a step ever had, the same 1.6 MiB for 5 M
# and for 135 M parameters, and measuring sees few numbers. Small calls bring about a hundred
# within minutes, and few more later.
_STEP_SIZE_BYTES: Final = int(1.6 * _MIB)
_NUM_STEP_SIZES: Final = 100
# `tokenizers` and llguidance together, per byte of tokenizer.json (151,000 words: 13 MB, 205 MB).
_TOKENIZER_FACTOR: Final = 16

GUARANTEED_TOKENS: Final = 1024


@dataclass(frozen=True, slots=True)
class SkillNeed:
    """What calls of one skill ask for.

    Attributes:
        skill: its id.
        max_tokens: most tokens of an answer.
        prompt_tokens: of the longest golden prompt; None without golden cases.
        prefix_tokens: with which every prompt begins, when they are worth pinning, else 0.
    """

    skill: str
    max_tokens: int
    prompt_tokens: int | None = None
    prefix_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EngineNeed:
    """What one engine asks for.

    Attributes:
        engine: its name.
        weights_bytes: resident; see the module docstring.
        workspace_bytes: resident beside weights and cache.
        is_measured: whether the two come from a measurement or from the shape alone.
        block_tokens: tokens per KV block.
        block_bytes: of one KV block.
        state_bytes: of recurrent state per sequence; 0 without such.
        context_limit: most tokens of a sequence.
        max_num_seqs: most sequences of one batch.
        min_bytes: cache memory guaranteed to it.
        max_bytes: cache memory it may hold; None for the whole budget.
        skills: what it offers.
    """

    engine: str
    weights_bytes: int
    workspace_bytes: int
    is_measured: bool
    block_tokens: int
    block_bytes: int
    state_bytes: int
    context_limit: int
    max_num_seqs: int
    min_bytes: int
    max_bytes: int | None = None
    skills: tuple[SkillNeed, ...] = ()

    @property
    def fixed_bytes(self) -> int:
        """Weights and workspace."""
        return self.weights_bytes + self.workspace_bytes

    def sequence_bytes(self, num_tokens: int) -> int:
        """Cache bytes of a sequence of so many tokens, cut at the context limit."""
        num_blocks = -(-min(num_tokens, self.context_limit) // self.block_tokens)
        return num_blocks * self.block_bytes + self.state_bytes


def need_of(
    manifest: EngineManifest,
    skills: Sequence[SkillNeed] = (),
    *,
    config: EngineConfig,
    min_bytes: int | None = None,
    max_bytes: int | None = None,
) -> EngineNeed:
    """What an engine asks for, from its manifest alone.

    Args:
        manifest: of the engine.
        skills: what its calls ask for.
        config: batch limits, and the mode: parity has a wider cache.
        min_bytes: its guarantee; None for one sequence of 1,024 tokens, or its context.
        max_bytes: its cap; None for the budget.
    """
    cache, shape = manifest.cache, manifest.geometry
    token_bytes = cache.kv_bytes_per_token
    if config.mode == "parity":  # keys and values in f32, on every layer at most
        token_bytes = 2 * 4 * shape.num_layers * shape.num_kv_heads * shape.head_dim
    model_bytes = sum(e.num_bytes for name, e in manifest.files.items() if name.startswith("model"))
    weights_bytes = _WEIGHT_COPIES * model_bytes
    activation_bytes = 4 * _ACTIVATIONS_PER_TOKEN * shape.hidden_size
    more_tokens = max(0, config.max_num_batched_tokens - _MEASURED_STEP_TOKENS)
    if manifest.measurements is not None:
        own_bytes = manifest.measurements.resident_bytes - _MEASURING_PROCESS_BYTES
        for num_tokens in _MEASURED_SEQUENCE_TOKENS:
            num_blocks = -(-min(num_tokens, manifest.context_limit) // cache.block_tokens)
            own_bytes -= num_blocks * cache.block_tokens * cache.kv_bytes_per_token
            own_bytes -= cache.state_bytes_per_sequence
        weights_bytes = min(weights_bytes, max(model_bytes, own_bytes))
        workspace_bytes = max(0, own_bytes - weights_bytes) + activation_bytes * more_tokens
    else:
        workspace_bytes = (
            _LAYER_BYTES * shape.num_layers
            + activation_bytes * (_MEASURED_STEP_TOKENS + more_tokens)
            + 4 * _LOGITS_COPIES * shape.vocab_size * config.max_num_seqs
        )
    tokenizer = manifest.files.get("tokenizer.json")
    if tokenizer is not None:
        workspace_bytes += _TOKENIZER_FACTOR * tokenizer.num_bytes
    need = EngineNeed(
        engine=manifest.name,
        weights_bytes=weights_bytes,
        workspace_bytes=workspace_bytes
        + _STEP_SIZE_BYTES * min(_NUM_STEP_SIZES, config.max_num_batched_tokens),
        is_measured=manifest.measurements is not None,
        block_tokens=cache.block_tokens,
        block_bytes=cache.block_tokens * token_bytes,
        state_bytes=cache.state_bytes_per_sequence,
        context_limit=manifest.context_limit,
        max_num_seqs=config.max_num_seqs,
        min_bytes=0,
        max_bytes=max_bytes,
        skills=tuple(skills),
    )
    if min_bytes is None:
        min_bytes = need.sequence_bytes(GUARANTEED_TOKENS)
    return replace(need, min_bytes=min_bytes)
