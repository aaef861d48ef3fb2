"""`Scheduler`: admission, batches, and the blocks that go with them, for all engines.

Each call decides one thing and returns it; the engine loop acts. Owned by the engine thread.

1. `add` bounds the queue and refuses what can never fit.
2. `schedule` drops what is past its deadline, admits in order while the ledger grants the whole
   reservation of a request, picks the engine that has used the least device time among those
   with work, and builds one ragged batch: every decode, then prefill chunks up to the token
   bound of a step.
3. `update` books the step and appends the chosen tokens.
4. `finish` and `abort` end a request; its blocks are free from that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skilld.core.batch import Batch, Row
from skilld.core.errors import DeadlineError, InvalidRequestError, OverloadedError
from skilld.core.request import FinishReason, Request
from skilld.kvcache import BlockPool, KvLedger
from skilld.scheduler.request_queue import RequestQueue

_EWMA_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the scheduler must know about an engine.

    Attributes:
        block_tokens: tokens per KV block.
        block_bytes: bytes of one KV block over all cache tensors.
        num_blocks: KV blocks of address space.
        state_block_bytes: bytes of one recurrent-state block; 0 for pure attention models.
        state_blocks_per_sequence: state blocks each sequence holds from start to end.
        num_state_blocks: state blocks of address space.
        context_limit: most tokens of one sequence.
        max_num_seqs: most rows of one batch.
        max_num_batched_tokens: most new tokens of one batch.
        max_queued: most waiting requests.
    """

    block_tokens: int
    block_bytes: int
    num_blocks: int
    context_limit: int
    state_block_bytes: int = 0
    state_blocks_per_sequence: int = 0
    num_state_blocks: int = 0
    max_num_seqs: int = 16
    max_num_batched_tokens: int = 512
    max_queued: int = 64

    def blocks_for(self, num_tokens: int) -> int:
        """KV blocks that hold this many tokens."""
        return -(-num_tokens // self.block_tokens)

    def sequence_bytes(self, num_tokens: int) -> int:
        """Bytes one sequence of this many tokens holds."""
        return (
            self.blocks_for(num_tokens) * self.block_bytes
            + self.state_blocks_per_sequence * self.state_block_bytes
        )

    def reservation_bytes(self, request: Request) -> int:
        """Bytes a request may come to hold."""
        return self.sequence_bytes(request.max_total_tokens)


@dataclass(frozen=True, slots=True)
class Finished:
    """A request the scheduler ended by itself."""

    request: Request
    reason: FinishReason
    error: DeadlineError


@dataclass(slots=True)
class _Lane:
    """Everything of one engine."""

    limits: EngineLimits
    blocks: BlockPool
    states: BlockPool
    queue: RequestQueue = field(default_factory=RequestQueue)
    running: list[Request] = field(default_factory=list)
    device_ms: float = 0.0
    step_ms: float = 0.0  # recent average


class Scheduler:
    """See the module docstring.

    Args:
        ledger: with an account for every engine that will be added.
    """

    def __init__(self, ledger: KvLedger) -> None:
        self.ledger = ledger
        self._lanes: dict[str, _Lane] = {}

    def add_engine(self, engine: str, limits: EngineLimits) -> None:
        """Start scheduling an engine whose ledger account is open."""
        assert engine in self.ledger.accounts, f"{engine} has no ledger account"
        self._lanes[engine] = _Lane(
            limits, BlockPool(limits.num_blocks), BlockPool(limits.num_state_blocks)
        )

    def add(self, request: Request) -> int:
        """Queue a request.

        Returns:
            How many requests of the engine go before it, running ones not counted.

        Raises:
            InvalidRequestError: reason PROMPT_TOO_LONG or REQUEST_TOO_LARGE; can never run.
            OverloadedError: reason QUEUE_FULL.
        """
        lane = self._lanes[request.engine]
        limits = lane.limits
        if request.max_total_tokens > limits.context_limit:
            raise InvalidRequestError(
                f"prompt of {len(request.prompt)} tokens and {request.max_tokens} to generate "
                f"exceed the context of {limits.context_limit}; shorten the input",
                reason="PROMPT_TOO_LONG",
                prompt_tokens=str(len(request.prompt)),
                context_limit=str(limits.context_limit),
            )
        num_bytes = limits.reservation_bytes(request)
        if not self.ledger.could_ever_reserve(request.engine, num_bytes):
            raise InvalidRequestError(
                f"needs {num_bytes} B of cache, more than engine {request.engine!r} may ever hold",
                reason="REQUEST_TOO_LARGE",
                needed_bytes=str(num_bytes),
            )
        if len(lane.queue) >= limits.max_queued:
            raise OverloadedError(
                f"{len(lane.queue)} calls of engine {request.engine!r} are waiting already",
                retry_after_s=self._drain_estimate_s(lane),
                engine=request.engine,
            )
        return lane.queue.push(request)

    def schedule(self, now_s: float) -> tuple[Batch | None, list[Finished]]:
        """Decide the next step.

        Args:
            now_s: monotonic time.

        Returns:
            The batch to run, None when there is no work, and the requests whose deadline passed.
        """
        expired = self._expire(now_s)
        for engine in self._lanes:
            self._admit(engine)
        ready = [name for name, lane in self._lanes.items() if lane.running]
        if not ready:
            return None, expired
        engine = min(ready, key=lambda name: self._lanes[name].device_ms)
        return self._build_batch(engine), expired

    def update(
        self, batch: Batch, *, step_ms: float, new_tokens: Mapping[str, Sequence[int]]
    ) -> None:
        """Book a finished step.

        Args:
            batch: as `schedule` returned it.
            step_ms: measured duration, in milliseconds.
            new_tokens: per request id, tokens to append; requests that were aborted meanwhile
                may be missing from the scheduler.
        """
        lane = self._lanes[batch.engine]
        lane.device_ms += step_ms
        lane.step_ms += _EWMA_WEIGHT * (step_ms - lane.step_ms) if lane.step_ms else step_ms
        rows = {row.request_id: row for row in batch.rows}
        for request in lane.running:
            row = rows.get(request.request_id)
            if row is None:
                continue
            request.num_computed_tokens += len(row.token_ids)
            request.tokens += new_tokens.get(request.request_id, ())

    def finish(self, request: Request) -> None:
        """End a running request and free what it holds."""
        self._lanes[request.engine].running.remove(request)
        self._free(request)

    def abort(self, request: Request) -> bool:
        """End a request in whatever state; False when it had ended already."""
        lane = self._lanes[request.engine]
        if request in lane.running:
            self.finish(request)
            return True
        waiting = len(lane.queue)
        lane.queue.remove(request)
        return len(lane.queue) < waiting

    @property
    def has_work(self) -> bool:
        """Whether anything runs or waits."""
        return any(lane.running or len(lane.queue) for lane in self._lanes.values())

    def num_running(self, engine: str) -> int:
        """Requests of the engine that hold cache."""
        return len(self._lanes[engine].running)

    def num_waiting(self, engine: str) -> int:
        """Requests of the engine in its queue."""
        return len(self._lanes[engine].queue)

    def step_ms(self, engine: str) -> float:
        """Recent average step time of the engine; 0 before the first."""
        return self._lanes[engine].step_ms

    def check(self) -> None:
        """Prove that pools, ledger and requests tell the same story."""
        self.ledger.check()
        for engine, lane in self._lanes.items():
            lane.blocks.check()
            lane.states.check()
            held = [b for request in lane.running for b in request.block_ids]
            assert len(held) == len(set(held)) == lane.blocks.num_taken, f"{engine}: blocks"
            states = [b for request in lane.running for b in request.state_block_ids]
            assert len(states) == len(set(states)) == lane.states.num_taken, f"{engine}: states"
            account = self.ledger.accounts[engine]
            assert account.used_bytes == (
                len(held) * lane.limits.block_bytes + len(states) * lane.limits.state_block_bytes
            ), f"{engine}: used bytes"
            assert account.reserved_bytes == sum(
                lane.limits.reservation_bytes(request) for request in lane.running
            ), f"{engine}: reserved bytes"

    def _expire(self, now_s: float) -> list[Finished]:
        expired = []
        for lane in self._lanes.values():
            for request in [*lane.queue, *lane.running]:
                if request.deadline_s is None or request.deadline_s > now_s:
                    continue
                where = "while running" if request in lane.running else "in the queue"
                error = DeadlineError(
                    f"the deadline passed {where}, {now_s - request.arrival_s:.3f} s after arrival",
                    where=where,
                )
                self.abort(request)
                expired.append(Finished(request, FinishReason.DEADLINE, error))
        return expired

    def _admit(self, engine: str) -> None:
        lane = self._lanes[engine]
        while len(lane.running) < lane.limits.max_num_seqs:
            request = lane.queue.peek()
            if request is None:
                return
            if not self.ledger.reserve(engine, lane.limits.reservation_bytes(request)):
                return
            lane.queue.remove(request)
            if not lane.running:
                # An engine that was idle must not spend its saved-up time in one go.
                busy = [other.device_ms for other in self._lanes.values() if other.running]
                lane.device_ms = max(lane.device_ms, min(busy, default=lane.device_ms))
            request.state_block_ids = lane.states.take(lane.limits.state_blocks_per_sequence)
            self.ledger.take(engine, len(request.state_block_ids) * lane.limits.state_block_bytes)
            lane.running.append(request)

    def _build_batch(self, engine: str) -> Batch:
        lane = self._lanes[engine]
        budget = lane.limits.max_num_batched_tokens
        # Decodes and forced tokens first: they are short, and somebody waits for each of them.
        order = [r for r in lane.running if r.num_computed_tokens >= len(r.prompt)]
        if len(order) < len(lane.running):
            order += [r for r in lane.running if r.num_computed_tokens < len(r.prompt)]
        rows = []
        for request in order:
            past_len = request.num_computed_tokens
            count = min(len(request.tokens) - past_len, budget)
            if count == 0:
                continue
            budget -= count
            self._take_blocks(lane, request, past_len + count)
            rows.append(
                Row(
                    request_id=request.request_id,
                    token_ids=request.tokens[past_len : past_len + count],
                    past_len=past_len,
                    block_ids=request.block_ids,
                    state_block_ids=request.state_block_ids,
                    num_logits=1 if past_len + count == len(request.tokens) else 0,
                )
            )
        return Batch(engine, rows)

    def _take_blocks(self, lane: _Lane, request: Request, num_tokens: int) -> None:
        missing = lane.limits.blocks_for(num_tokens) - len(request.block_ids)
        if missing > 0:
            self.ledger.take(request.engine, missing * lane.limits.block_bytes)
            request.block_ids += lane.blocks.take(missing)

    def _free(self, request: Request) -> None:
        lane = self._lanes[request.engine]
        self.ledger.release(
            request.engine,
            reserved_bytes=lane.limits.reservation_bytes(request),
            used_bytes=len(request.block_ids) * lane.limits.block_bytes
            + len(request.state_block_ids) * lane.limits.state_block_bytes,
        )
        lane.blocks.give_back(request.block_ids)
        lane.states.give_back(request.state_block_ids)

    def _drain_estimate_s(self, lane: _Lane) -> float:
        """Rough time until a place in the queue is free: one running request's remainder."""
        remaining = min((r.max_tokens - r.num_generated_tokens for r in lane.running), default=1)
        return max(0.05, remaining * max(lane.step_ms, 1.0) / 1000.0)
