"""`measure_cost`: what the steps of a loaded engine cost on this machine, before the first call."""

from __future__ import annotations

import time

from skilld.core.batch import Batch, Row
from skilld.core.manifest import EngineManifest
from skilld.engine import Engine
from skilld.scheduler import CostModel, EngineLimits

# Sequences, and prompt tokens of each: small, a large engine computes 64 tokens in 0.1 s.
_SHAPES = ((1, 64), (1, 8), (4, 16), (8, 16))
# The runtime prepares a step of another size than the one before; only the later ones count.
_REPEATS = 3


def measure_cost(engine: Engine, manifest: EngineManifest, limits: EngineLimits) -> CostModel:
    """Run a few steps in the first blocks of a bound engine that nobody uses yet.

    They are its warm-up, too: the first step of a size is many times slower than all later ones.

    Args:
        engine: bound to its cache.
        manifest: of the engine.
        limits: of the engine.

    Raises:
        EngineError: it cannot compute.
    """
    cost = CostModel()
    geometry = limits.geometry
    for wanted_rows, wanted_tokens in _SHAPES:
        num_tokens = min(wanted_tokens, limits.context_limit - 1)
        num_blocks = geometry.blocks_for(num_tokens + 1)
        num_rows = min(wanted_rows, geometry.num_blocks // num_blocks, limits.max_num_seqs)
        if num_tokens < 1 or num_rows < 1:
            continue
        for past_len, new_tokens in ((0, num_tokens), (num_tokens, 1)):
            rows = [
                Row(
                    "warm-up",
                    [0] * new_tokens,
                    past_len,
                    range(row * num_blocks, (row + 1) * num_blocks),
                    [row] * geometry.state_blocks_per_sequence,
                )
                for row in range(num_rows)
            ]
            for repeat in range(_REPEATS):
                start_s = time.perf_counter()
                engine.step(Batch(manifest.name, rows))
                step_ms = (time.perf_counter() - start_s) * 1000.0
                if repeat > 0:
                    cost.observe(num_rows, new_tokens * num_rows, past_len * num_rows, step_ms)
    cost.fit()
    return cost
