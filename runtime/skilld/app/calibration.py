"""`measure_cost`: what the steps of a loaded engine cost on this machine, before the first call."""

from __future__ import annotations

import time

from skilld.core.batch import Batch, Row
from skilld.core.manifest import EngineManifest
from skilld.engine import Engine
from skilld.scheduler import CostModel, EngineLimits

# Sequences and prompt tokens of each; small, because a large engine computes 64 tokens in 0.1 s.
_SHAPES = ((1, 64), (4, 16))
_NUM_DECODES = 4


def measure_cost(engine: Engine, manifest: EngineManifest, limits: EngineLimits) -> CostModel:
    """Run a few steps in the first blocks of a bound engine that nobody uses yet.

    They are also its warm-up: the first step is many times slower than all later ones, so every
    shape runs twice and counts once.

    Args:
        engine: bound to its cache.
        manifest: of the engine.
        limits: of the engine.

    Raises:
        EngineError: it cannot compute.
    """
    cost = CostModel()
    geometry = limits.geometry
    for is_counted in (False, True):
        for wanted_rows, wanted_tokens in _SHAPES:
            num_tokens = min(wanted_tokens, limits.context_limit - _NUM_DECODES - 1)
            blocks = geometry.blocks_for(num_tokens + _NUM_DECODES)
            num_rows = min(wanted_rows, geometry.num_blocks // blocks, limits.max_num_seqs)
            for past_len in (0, *range(num_tokens, num_tokens + _NUM_DECODES)):
                new_tokens = 1 if past_len else num_tokens
                if num_rows < 1 or new_tokens < 1:
                    continue
                rows = [
                    Row(
                        "warm-up",
                        [0] * new_tokens,
                        past_len,
                        range(index * blocks, (index + 1) * blocks),
                        [index] * geometry.state_blocks_per_sequence,
                    )
                    for index in range(num_rows)
                ]
                start_s = time.perf_counter()
                engine.step(Batch(manifest.name, rows))
                step_ms = (time.perf_counter() - start_s) * 1000.0
                if is_counted:
                    cost.observe(num_rows, new_tokens * num_rows, past_len * num_rows, step_ms)
    cost.fit()
    return cost
