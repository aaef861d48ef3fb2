"""What one engine costs on this machine: bytes per token and per sequence, memory, step times.

Measured in a process of its own, so that resident memory is the engine's and not that of the
build tools around it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from skilld.builder.host import cpu_name
from skilld.core.batch import Batch, Row
from skilld.core.errors import EngineError
from skilld.core.manifest import CacheLayout, Measurements, StepTime, read_manifest

_BATCHES: Final = (1, 8)
_CONTEXT_TOKENS: Final = 128
_PREFILL_TOKENS: Final = 512
_REPEATS: Final = 9
_TIMEOUT_S: Final = 900.0


def measure(engine_dir: Path, *, num_threads: int) -> tuple[CacheLayout, Measurements]:
    """Load an engine in a fresh process and measure it.

    Args:
        engine_dir: an engine folder with a manifest.
        num_threads: CPU threads of one step.

    Returns:
        The cache layout as compiled for serving, and the measurements.

    Raises:
        EngineError: the process failed; carries its last words.
    """
    child = subprocess.run(
        [sys.executable, "-m", "skilld.builder.measurement", str(engine_dir), str(num_threads)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if child.returncode != 0:
        last_words = child.stderr.strip().splitlines()[-1:] or ["killed, out of memory?"]
        raise EngineError(f"measuring {engine_dir} failed: {last_words[0]}")
    answer = json.loads(child.stdout)
    return (
        CacheLayout.model_validate(answer["cache"]),
        Measurements.model_validate(answer["measurements"]),
    )


def _measure_here(engine_dir: Path, num_threads: int) -> dict[str, Any]:
    import numpy as np

    from skilld.engine import open_engine

    manifest = read_manifest(engine_dir)
    started_s = time.perf_counter()
    engine = open_engine(engine_dir, manifest, num_threads=num_threads)
    load_s = time.perf_counter() - started_s
    limit = manifest.context_limit
    context = min(_CONTEXT_TOKENS, limit // 2)
    prefill_tokens = min(_PREFILL_TOKENS, limit)
    blocks_each = -(-max(prefill_tokens, context + _REPEATS) // engine.block_tokens)
    num_sequences = max(_BATCHES)
    num_blocks = {"kv": num_sequences * blocks_each, "state": num_sequences}
    engine.bind(
        {
            spec.name: np.zeros((num_blocks[spec.kind], *spec.block_shape), spec.dtype)
            for spec in engine.cache_specs
        }
    )
    has_state = any(spec.kind == "state" for spec in engine.cache_specs)

    def row(sequence: int, num_new: int, past_len: int) -> Row:
        first_block = sequence * blocks_each
        return Row(
            request_id=str(sequence),
            token_ids=[token % manifest.vocabulary.size for token in range(num_new)],
            past_len=past_len,
            block_ids=range(first_block, first_block + blocks_each),
            state_block_ids=(sequence,) if has_state else (),
        )

    def step_ms(*rows: Row) -> float:
        return engine.step(Batch(engine=manifest.name, rows=rows)).step_ms

    step_ms(row(0, prefill_tokens, 0))
    prefill_ms = statistics.median(step_ms(row(0, prefill_tokens, 0)) for _ in range(3))
    steps = []
    for batch in _BATCHES:
        for sequence in range(batch):
            step_ms(row(sequence, context, 0))
        times = [
            step_ms(*(row(sequence, 1, context + repeat) for sequence in range(batch)))
            for repeat in range(_REPEATS)
        ]
        steps.append(StepTime(batch=batch, context=context, step_ms=statistics.median(times)))
    per_block = {
        kind: sum(spec.block_bytes for spec in engine.cache_specs if spec.kind == kind)
        for kind in ("kv", "state")
    }
    cache = CacheLayout(
        block_tokens=engine.block_tokens,
        kv_bytes_per_token=per_block["kv"] // engine.block_tokens,
        state_bytes_per_sequence=per_block["state"],
    )
    measurements = Measurements(
        cpu=cpu_name(),
        num_threads=num_threads,
        load_s=round(load_s, 3),
        resident_bytes=_resident_bytes(),
        steps=tuple(steps),
        prefill_tokens_per_s=round(prefill_tokens / prefill_ms * 1e3, 1),
    )
    return {"cache": cache.model_dump(), "measurements": measurements.model_dump()}


def _resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    answer = _measure_here(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps(answer))
