"""The memory of an engine that is being loaded: its arenas, and limits for the scheduler."""

from __future__ import annotations

from collections.abc import Sequence

from skilld.config import Config, ShareConfig
from skilld.core.manifest import EngineManifest
from skilld.engine import Engine
from skilld.kvcache import Arena, CacheGeometry, CacheTensor
from skilld.scheduler import EngineLimits


def memory_of(
    engine: Engine, manifest: EngineManifest, config: Config
) -> tuple[EngineLimits, Arena, Arena | None]:
    """What the scheduler may do with an engine, and the arenas of its cache and of its state.

    Raises:
        OSError: there is no address space for the budget.
    """
    kv_tensors = _tensors(engine, "kv")
    state_tensors = _tensors(engine, "state")
    settings = config.engine
    kv_block_bytes = sum(tensor.block_bytes for tensor in kv_tensors)
    geometry = CacheGeometry(
        block_tokens=engine.block_tokens,
        block_bytes=kv_block_bytes,
        # Address space for the whole budget: it costs nothing until it is written.
        num_blocks=max(1, config.memory.kv_budget_bytes // kv_block_bytes),
        state_block_bytes=sum(tensor.block_bytes for tensor in state_tensors),
        state_blocks_per_sequence=1 if state_tensors else 0,
        num_state_blocks=settings.max_num_seqs if state_tensors else 0,
    )
    limits = EngineLimits(
        geometry=geometry,
        context_limit=manifest.context_limit,
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        max_queued=config.scheduler.max_queued,
        max_queued_per_client=config.scheduler.max_queued_per_client,
        weight=config.shares.get(manifest.name, ShareConfig()).weight,
    )
    kv_arena = Arena(kv_tensors, geometry.num_blocks)
    state_arena = Arena(state_tensors, geometry.num_state_blocks) if state_tensors else None
    return limits, kv_arena, state_arena


def _tensors(engine: Engine, kind: str) -> Sequence[CacheTensor]:
    """Cache tensors of a kind, "kv" or "state", as an arena wants them."""
    return [
        CacheTensor(spec.name, spec.dtype, spec.block_shape)
        for spec in engine.cache_specs
        if spec.kind == kind
    ]
