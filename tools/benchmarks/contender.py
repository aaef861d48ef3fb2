"""Our two contenders, each run in its own process by `engine_bench`.

- `graph`: the compiled graph, its inputs filled beforehand, and nothing around it but `infer` and
  an argmax. It computes the same step over and over, at the mean context of a decoding run.
- `loop`: requests through `EngineLoop`, scheduler, ledger and arena, as the daemon runs them.

    python -m benchmarks.contender graph|loop ENGINE_DIR WORKLOAD_JSON

prints its figures as JSON.
"""

from __future__ import annotations

import itertools
import json
import math
import queue
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.workload import WARM_UP_TOKENS, Figures, Workload
from skilld.core.batch import Batch, Row
from skilld.core.request import Request, SamplingParams
from skilld.engine.openvino import OpenVINOEngine
from skilld.kvcache import Arena, CacheGeometry, CacheTensor, KvLedger
from skilld.loop import Ended, EngineLoop, Event
from skilld.scheduler import CostModel, EngineLimits, Policy, Scheduler
from skilld.skills import Decoding

_WARM_UP_STEPS = 3
_PREFILL_REPEATS = 3
_KV_BUDGET_BYTES = 1 << 30
_ANSWER_TIMEOUT_S = 300.0


def measure_graph(engine_dir: Path, workload: Workload) -> Figures:
    """The graph alone."""
    engine = OpenVINOEngine(engine_dir, num_threads=workload.num_threads)
    blocks_each = -(-workload.max_sequence_tokens // engine.block_tokens)
    arena = _arena(engine, workload.max_sequences * blocks_each)
    engine.bind(arena.arrays)
    vocab_size = engine.manifest.vocabulary.size
    # The engine's own request: its public face adds the Python that is to be left out here.
    request = engine._request  # noqa: SLF001

    def step(num_rows: int, num_new: int, past_len: int) -> None:
        rows = [
            Row(
                request_id=str(row),
                token_ids=_prompt(row, num_new, vocab_size),
                past_len=past_len,
                block_ids=range(row * blocks_each, (row + 1) * blocks_each),
            )
            for row in range(num_rows)
        ]
        engine.step(Batch(engine.manifest.name, rows))

    step(1, WARM_UP_TOKENS, 0)
    figures = {"start": time.time() - psutil.Process().create_time()}
    past_len = workload.context + workload.generated // 2
    for batch in workload.batches:
        step(batch, past_len, 0)
        step(batch, 1, past_len)  # leaves the inputs of a decode step filled
        elapsed_s = _timed(_decode_step(request, batch), workload.generated)
        figures[f"decode_{batch}"] = batch * workload.generated / elapsed_s
    for length in workload.prefills:
        step(1, length, 0)
        elapsed_s = _timed(partial(request.infer, share_outputs=True), _PREFILL_REPEATS)
        figures[f"prefill_{length}"] = length * _PREFILL_REPEATS / elapsed_s
    engine.close()
    return figures


def measure_loop(engine_dir: Path, workload: Workload) -> Figures:
    """Requests through the whole engine loop, submitted together."""
    engine = OpenVINOEngine(engine_dir, num_threads=workload.num_threads)
    name = engine.manifest.name
    vocab_size = engine.manifest.vocabulary.size
    block_bytes = sum(spec.block_bytes for spec in engine.cache_specs)
    num_blocks = _KV_BUDGET_BYTES // block_bytes
    limits = EngineLimits(
        CacheGeometry(engine.block_tokens, block_bytes, num_blocks),
        context_limit=engine.manifest.context_limit,
        max_num_seqs=workload.max_sequences,
        # All prompts in one step, so that all sequences decode from the first step to the last.
        max_num_batched_tokens=workload.max_prefill_tokens,
    )
    arena = _arena(engine, num_blocks)
    engine.bind(arena.arrays)
    ledger = KvLedger(_KV_BUDGET_BYTES)
    ledger.open_account(name, min_bytes=0, max_bytes=_KV_BUDGET_BYTES)
    delivered: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
    policy = Policy(step_bound_ms=math.inf)  # see max_num_batched_tokens
    loop = EngineLoop(Scheduler(ledger, policy), delivered.put)
    loop.add_engine(name, engine, limits=limits, cost=CostModel(), kv_arena=arena)
    loop.start()

    numbers = itertools.count()

    def generate(num_requests: int, num_prompt: int, num_generated: int) -> list[Ended]:
        def submit_all() -> None:
            for row in range(num_requests):
                request = Request(
                    request_id=str(row),
                    engine=name,
                    # No two begin alike, or the later one would share what the first computed.
                    prompt=_prompt(next(numbers), num_prompt, vocab_size),
                    max_tokens=num_generated,
                    arrival_s=time.monotonic(),
                )
                # No end token: random weights would end at random.
                chooser = Decoding(SamplingParams(max_tokens=num_generated), ())
                loop.submit(request, chooser, streams=False)

        # On the engine thread, so that no step starts before the last request is there.
        loop.call(submit_all)
        ended: list[Ended] = []
        while len(ended) < num_requests:
            events = delivered.get(timeout=_ANSWER_TIMEOUT_S)
            ended += [event for event in events if isinstance(event, Ended)]
        for event in ended:
            if event.error is not None:
                raise event.error
            assert len(event.token_ids) == num_generated
        return ended

    generate(1, WARM_UP_TOKENS, 1)
    figures = {"start": time.time() - psutil.Process().create_time()}
    for batch in workload.batches:
        generate(batch, workload.context, _WARM_UP_STEPS)
        ended = generate(batch, workload.context, workload.generated + 1)
        assert {event.num_steps for event in ended} == {workload.generated + 1}
        decode_ms = max(event.total_ms for event in ended) - max(
            event.first_token_ms for event in ended
        )
        figures[f"decode_{batch}"] = batch * workload.generated / decode_ms * 1e3
    for length in workload.prefills:
        generate(1, length, 1)
        elapsed_ms = sum(generate(1, length, 1)[0].total_ms for _ in range(_PREFILL_REPEATS))
        figures[f"prefill_{length}"] = length * _PREFILL_REPEATS / elapsed_ms * 1e3
    loop.stop(_ANSWER_TIMEOUT_S)
    return figures


def _decode_step(request: Any, num_rows: int) -> Callable[[], None]:
    """One step of a request whose inputs are filled: compute, choose, feed."""
    token_ids = request.get_tensor("input_ids").data
    logits = request.get_output_tensor(0).data.reshape(num_rows, -1)

    def step() -> None:
        request.infer(share_outputs=True)
        token_ids[:] = logits.argmax(axis=1)

    return step


def _arena(engine: OpenVINOEngine, num_blocks: int) -> Arena:
    tensors = [CacheTensor(spec.name, spec.dtype, spec.block_shape) for spec in engine.cache_specs]
    return Arena(tensors, num_blocks)


def _prompt(row: int, num_tokens: int, vocab_size: int) -> list[int]:
    """Tokens spread over the vocabulary, different in every row."""
    return [(row * 7919 + position * 104_729) % vocab_size for position in range(num_tokens)]


def _timed(step: Callable[[], None], repeats: int) -> float:
    for _ in range(_WARM_UP_STEPS):
        step()
    started_s = time.perf_counter()
    for _ in range(repeats):
        step()
    return time.perf_counter() - started_s


if __name__ == "__main__":
    _, contender, engine_path, workload_json = sys.argv
    measure = {"graph": measure_graph, "loop": measure_loop}[contender]
    print(json.dumps(measure(Path(engine_path), Workload.from_json(workload_json))))
