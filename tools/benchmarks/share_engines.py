"""`ShareEngines`: real engines under bursts, with the memory split one way and another.

The engines are opened once. Every run gets a ledger, a scheduler and an engine loop of its own.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from benchmarks.arrivals import Arrival
from benchmarks.sharing import Bench, ResidentCost, Split, Tally
from skilld.core.batch import Batch
from skilld.core.request import FinishReason, Request
from skilld.engine.base import StepOutput
from skilld.engine.openvino import OpenVINOEngine
from skilld.kvcache import Arena, CacheTensor
from skilld.loop import Ended, EngineLoop, Event
from skilld.scheduler import CostModel, Scheduler

_STOP_TIMEOUT_S = 60.0
_LEARNING_ROUNDS = 2
_LEARNING_OUTPUTS = (16, 64)


class _Kept:
    """An engine that outlives the loop it runs in; see `skilld.engine.Engine`."""

    def __init__(self, engine: OpenVINOEngine) -> None:
        self._engine = engine
        self.block_tokens = engine.block_tokens
        self.cache_specs = engine.cache_specs

    def bind(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self._engine.bind(arrays)

    def step(self, batch: Batch) -> StepOutput:
        return self._engine.step(batch)

    def close(self) -> None:
        """The next run needs it."""


class _Outputs:
    """Chooses so many tokens, the likeliest ones; see `skilld.loop.TokenChooser`."""

    draft: Sequence[int] = ()

    def __init__(self, num_tokens: int) -> None:
        self._num_left = num_tokens
        self.finish_reason: FinishReason | None = None

    def start(self) -> list[int]:
        return []

    def advance(self, output: StepOutput, first_line: int, draft: Sequence[int]) -> list[int]:
        self._num_left -= 1
        if self._num_left == 0:
            self.finish_reason = FinishReason.STOP
        return [output.greedy_ids[first_line]]


class ShareEngines:
    """See the module docstring.

    Args:
        engine_dirs: from engine name to its folder.
        num_threads: CPU threads of a step.
        kv_bytes: largest budget that will be tried.
    """

    def __init__(self, engine_dirs: Mapping[str, Path], *, num_threads: int, kv_bytes: int) -> None:
        self._engines = {
            name: OpenVINOEngine(path, num_threads=num_threads)
            for name, path in engine_dirs.items()
        }
        self._arenas: dict[str, Arena] = {}
        for name, engine in self._engines.items():
            specs = engine.cache_specs
            tensors = [CacheTensor(spec.name, spec.dtype, spec.block_shape) for spec in specs]
            block_bytes = sum(tensor.block_bytes for tensor in tensors)
            self._arenas[name] = Arena(tensors, kv_bytes // block_bytes)
            engine.bind(self._arenas[name].arrays)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines.values():
            engine.close()

    def learn_costs(self, bench: Bench, split: Split) -> tuple[ResidentCost, ...]:
        """What steps cost in the whole loop, as the scheduler's own model learns it.

        Args:
            bench: its engines' coefficients are where the models start.
            split: with room for `max_sequences` calls of every engine.
        """
        longest = bench.traffic.prompt_tokens[1]
        learned: list[ResidentCost] = []
        for number, engine in enumerate(bench.engines):
            calls = [
                Arrival(0.0, number, longest - 7 * (i % 8), _LEARNING_OUTPUTS[i % 2])
                for i in range(bench.max_sequences)
            ]
            calls += [Arrival(0.0, number, longest, _LEARNING_OUTPUTS[1])]
            model = CostModel(engine.coefficients)
            for _ in range(_LEARNING_ROUNDS):
                # All together, then one alone: every number of rows occurs.
                for some in (calls[:-1], calls[-1:]):
                    self._run(bench, split, some, costs={engine.name: model}, is_urgent=False)
            learned.append(
                ResidentCost(
                    engine.name,
                    engine.block_tokens,
                    engine.block_bytes,
                    (model.step_ms, model.row_ms, model.token_ms, model.cached_token_ms),
                )
            )
        return tuple(learned)

    def run(self, bench: Bench, split: Split, arrivals: Sequence[Arrival]) -> Tally:
        """Meet the calls as they come; returns when the last one has ended."""
        ended = self._run(bench, split, arrivals, costs={}, is_urgent=True)
        tally = Tally(len(arrivals))
        for request, event in ended:
            waited_s = event.total_ms / 1e3
            if event.error is not None:
                tally.book_error(event.error, waited_s)
            else:
                assert request.deadline_s is not None
                limit_s = request.deadline_s - request.arrival_s
                tally.book_answer(waited_s, is_late=waited_s > limit_s)
        return tally

    def _run(
        self,
        bench: Bench,
        split: Split,
        arrivals: Sequence[Arrival],
        *,
        costs: Mapping[str, CostModel],
        is_urgent: bool,
    ) -> list[tuple[Request, Ended]]:
        delivered: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
        loop = EngineLoop(Scheduler(bench.ledger(split)), delivered.put)
        for engine in bench.engines:
            kept: Any = _Kept(self._engines[engine.name])
            loop.add_engine(
                engine.name,
                kept,
                limits=bench.limits(engine, split.budget_bytes),
                cost=costs.get(engine.name) or CostModel(engine.coefficients),
                kv_arena=self._arenas[engine.name],
            )
        loop.start()
        try:
            requests = self._submit(bench, loop, arrivals, is_urgent=is_urgent)
            ended: dict[str, Ended] = {}
            while len(ended) < len(requests):
                for event in delivered.get(timeout=_STOP_TIMEOUT_S):
                    if isinstance(event, Ended):
                        ended[event.request_id] = event
        finally:
            loop.stop(_STOP_TIMEOUT_S)
            for arena in self._arenas.values():
                arena.give_back(range(arena.num_blocks))
        return [(request, ended[request.request_id]) for request in requests]

    @staticmethod
    def _submit(
        bench: Bench, loop: EngineLoop, arrivals: Sequence[Arrival], *, is_urgent: bool
    ) -> list[Request]:
        made = [bench.request(number, arrival) for number, arrival in enumerate(arrivals)]
        start_s = time.monotonic()
        for request, arrival in zip(made, arrivals, strict=True):
            request.arrival_s += start_s
            if request.deadline_s is not None:
                request.deadline_s = request.deadline_s + start_s if is_urgent else None
            time.sleep(max(0.0, request.arrival_s - time.monotonic()))
            loop.submit(request, _Outputs(arrival.output_tokens), streams=False)
        return made
