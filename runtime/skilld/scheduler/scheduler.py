"""`Scheduler`: admission, batches, and the blocks that go with them, for all engines.

Each call decides one thing and returns it; the engine loop acts. Owned by the engine thread.

1. `add` bounds the queues and refuses what can never fit.
2. `schedule` ends what is past its deadline; refuses deadline work that cannot be done in time
   beside what was admitted; admits in order, once the ledger grants a request's whole
   reservation; picks an engine and builds one ragged batch of it.
3. `update` books the step and appends the chosen tokens.
4. `finish` and `abort` end a request; its blocks are free or cached from that moment.

Who may start is decided in `admission`, what can be done in time in `deadlines`, whose step is
next in `turns`, and what goes into it in `lane`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skilld.core.batch import Batch
from skilld.core.errors import InvalidRequestError, OverloadedError
from skilld.core.request import Request, RequestClass
from skilld.kvcache import KvLedger, KvMemory
from skilld.scheduler.admission import Admission, too_large
from skilld.scheduler.cost_model import CostModel
from skilld.scheduler.deadlines import Deadlines
from skilld.scheduler.lane import EngineLimits, Lane
from skilld.scheduler.policy import Finished, Policy
from skilld.scheduler.request_queue import RequestQueue
from skilld.scheduler.turns import Turns


class Scheduler:
    """See the module docstring.

    Args:
        ledger: with an account for every engine that will be added.
        policy: how device time is dealt out.
    """

    def __init__(self, ledger: KvLedger, policy: Policy | None = None) -> None:
        self.ledger = ledger
        self.memory = KvMemory(ledger)
        self.policy = policy or Policy()
        self._lanes: dict[str, Lane] = {}
        self._deadlines = Deadlines(self._lanes, self.policy, self.abort)
        self._turns = Turns(self._lanes, self.policy, self._deadlines)
        self._admission = Admission(
            self._lanes,
            self.memory,
            self.policy,
            deadlines=self._deadlines,
            virtual_ms=lambda: self._turns.virtual_ms,
        )
        self._num_pins = 0
        self._now_s = 0.0

    # --- engines -----------------------------------------------------------------------------

    def add_engine(self, engine: str, limits: EngineLimits, cost: CostModel | None = None) -> None:
        """Start scheduling an engine whose ledger account is open."""
        assert engine in self.ledger.accounts, f"{engine} has no ledger account"
        self._lanes[engine] = Lane(
            engine,
            limits,
            self.memory.open(engine, limits.geometry),
            cost or CostModel(),
            RequestQueue(aging_s=self.policy.aging_s),
        )

    def remove_engine(self, engine: str) -> None:
        """Stop scheduling an engine none of whose requests are left, and close its account."""
        lane = self._lanes[engine]
        for request in [*lane.queue, *(run.request for run in lane.running.values())]:
            if request.pins:
                self.abort(request)
        assert not lane.running, f"{engine} still runs requests"
        assert len(lane.queue) == 0, f"{engine} still has requests waiting"
        self.memory.close(engine)
        self.ledger.close_account(engine)
        del self._lanes[engine]
        self._turns.forget(lane)

    def pin(self, engine: str, tokens: Sequence[int], *, now_s: float) -> bool:
        """Compute the beginning of many prompts once and keep it for all of them.

        Returns:
            False when it would take pinned beginnings beyond their share of the budget, or the
            engine cannot share beginnings.
        """
        lane = self._lanes[engine]
        geometry = lane.limits.geometry
        if geometry.state_blocks_per_sequence or not tokens:
            return False
        waiting = sum(
            other.limits.geometry.sequence_bytes(len(request.prompt))
            for other in self._lanes.values()
            for request in [*other.queue, *(run.request for run in other.running.values())]
            if request.pins
        )
        num_bytes = geometry.sequence_bytes(len(tokens))
        if not self.memory.may_pin(waiting + num_bytes):
            return False
        if not self.ledger.could_ever_reserve(engine, num_bytes):
            return False
        request = Request(
            f"pin of {engine}, {len(tokens)} tokens, {self._num_pins}",
            engine,
            list(tokens),
            0,
            arrival_s=now_s,
            pins=True,
        )
        self._num_pins += 1
        lane.queue.push(request)
        return True

    def limit_memory(self, limit_bytes: int) -> None:
        """Keep cache memory below a limit that may be lower than the budget.

        Cached blocks go at once, batch work at the next `schedule`, firm work when it ends.
        """
        self.ledger.limit_bytes = min(limit_bytes, self.ledger.budget_bytes)
        self.memory.shrink_to_limit()

    # --- requests ----------------------------------------------------------------------------

    def add(self, request: Request) -> int:
        """Queue a request.

        Returns:
            How many requests of the engine go before it, running ones not counted.

        Raises:
            InvalidRequestError: reason PROMPT_TOO_LONG or REQUEST_TOO_LARGE; can never run.
            OverloadedError: reason QUEUE_FULL or CLIENT_QUEUE_FULL.
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
        num_bytes = limits.geometry.sequence_bytes(request.max_total_tokens)
        if not self.ledger.could_ever_reserve(request.engine, num_bytes):
            num_bytes = lane.cache.least_bytes(request.tokens, request.max_total_tokens)
            if not self.ledger.could_ever_reserve(request.engine, num_bytes):
                raise too_large(request, num_bytes)
        if len(lane.queue) >= limits.max_queued:
            raise OverloadedError(
                f"{len(lane.queue)} calls of engine {request.engine!r} are waiting already",
                retry_after_s=self._drain_estimate_s(lane),
                engine=request.engine,
            )
        num_of_client = lane.queue.num_of_client(request.client)
        if num_of_client >= limits.max_queued_per_client:
            raise OverloadedError(
                f"{num_of_client} calls of this client are waiting for engine "
                f"{request.engine!r} already",
                retry_after_s=self._drain_estimate_s(lane),
                reason="CLIENT_QUEUE_FULL",
                engine=request.engine,
            )
        if request.deadline_s is None:
            if request.request_class is RequestClass.DEADLINE:
                request.request_class = RequestClass.INTERACTIVE
        else:
            self._deadlines.expect(request)
        return lane.queue.push(request)

    def schedule(self, now_s: float) -> tuple[Batch | None, list[Finished]]:
        """Decide the next step.

        Args:
            now_s: monotonic time.

        Returns:
            The batch to run, None when there is nothing to compute now, and the requests that
            ended because of their deadlines.
        """
        self._now_s = now_s
        ended: list[Finished] = []
        self._deadlines.expire(now_s, ended)
        waiting = [lane for lane in self._lanes.values() if len(lane.queue)]
        if waiting:
            self._deadlines.screen(waiting, now_s, ended)
            self._admission.admit_in_order(
                [lane for lane in waiting if len(lane.queue)], now_s, ended
            )
        if self.ledger.limit_bytes < self.ledger.budget_bytes:
            self._admission.keep_to_limit()
        ready = [lane for lane in self._lanes.values() if lane.running]
        if not ready:
            return None, ended
        lane, limit_ms = self._turns.choose(ready, now_s)
        batch = lane.compose(
            limit_ms,
            aged_since_s=now_s - self.policy.aging_s,
            in_lockstep=self._turns.in_lockstep,
        )
        return batch, ended

    def update(
        self,
        batch: Batch,
        *,
        step_ms: float,
        new_tokens: Mapping[str, Sequence[int]],
        now_s: float,
        drafts: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Book a finished step.

        Args:
            batch: as `schedule` returned it.
            step_ms: how long it kept the device from others, in milliseconds.
            new_tokens: per request id, tokens to append.
            now_s: monotonic time at its end.
            drafts: per request id, guesses of what follows those, for the next step to verify.
        """
        self._now_s = now_s
        lane = self._lanes[batch.engine]
        lane.book_step(step_ms)
        self._turns.book(step_ms)
        for row in batch.rows:
            run = lane.running.get(row.request_id)
            if run is None:
                continue
            request = run.request
            run.num_steps += row.num_logits > 0
            run.last_step_s = now_s
            if row.num_logits:
                request.draft = ()
            tokens = new_tokens.get(row.request_id, ())
            guessed = row.draft
            num_right = 0
            if guessed:
                for guess, token in zip(guessed, tokens, strict=False):
                    if guess != token:
                        break
                    num_right += 1
                lane.book_draft(len(guessed), num_right)
            request.num_computed_tokens += len(row.token_ids) - len(guessed) + num_right
            request.tokens += tokens
            lane.cache.commit(run.holding, request.tokens, request.num_computed_tokens)
            if drafts is not None and (draft := drafts.get(row.request_id)):
                request.draft = draft[: request.max_total_tokens - len(request.tokens)]
            if request.pins and request.num_computed_tokens == len(request.tokens):
                del lane.running[row.request_id]
                lane.cache.pin(run.holding, request.tokens)

    def finish(self, request: Request) -> None:
        """End a running request and free what it holds."""
        lane = self._lanes[request.engine]
        run = lane.running.pop(request.request_id)
        if run.request_class is RequestClass.DEADLINE:
            self._deadlines.num_running -= 1
            assert request.deadline_s is not None
            lane.figures.num_deadline_misses += self._now_s > request.deadline_s
        self._admission.free(lane, run)

    def drop(self, batch: Batch) -> None:
        """End every request of a batch that could not be computed; its blocks hold nothing."""
        for row in batch.rows:
            self.finish(self._lanes[batch.engine].running[row.request_id].request)

    def abort(self, request: Request) -> bool:
        """End a request in whatever state; False when it had ended already."""
        lane = self._lanes[request.engine]
        if request.request_id in lane.running:
            self.finish(request)
            return True
        return lane.queue.remove(request)

    # --- figures -----------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether anything runs or waits."""
        return any(lane.running or len(lane.queue) for lane in self._lanes.values())

    def requests(self, engine: str) -> list[Request]:
        """Requests of an engine that run or wait, pinned beginnings in the making left out."""
        lane = self._lanes[engine]
        everyone = [*(run.request for run in lane.running.values()), *lane.queue]
        return [request for request in everyone if not request.pins]

    def held_bytes(self, request: Request) -> int:
        """Cache bytes that a request holds, or held when it ended."""
        lane = self._lanes.get(request.engine)
        run = None if lane is None else lane.running.get(request.request_id)
        return request.kv_bytes if lane is None or run is None else lane.held_bytes(run)

    def cost(self, engine: str) -> CostModel:
        """What steps of the engine cost."""
        return self._lanes[engine].cost

    def num_running(self, engine: str) -> int:
        """Requests of the engine that hold cache."""
        return len(self._lanes[engine].running)

    def num_waiting(self, engine: str) -> int:
        """Requests of the engine in its queue."""
        return len(self._lanes[engine].queue)

    def figures(self, engine: str) -> dict[str, Any]:
        """What an operator may want to see of an engine, as plain JSON values."""
        lane = self._lanes[engine]
        account = self.ledger.accounts[engine]
        return {
            "weight": lane.limits.weight,
            "kv_min_bytes": account.min_bytes,
            "kv_max_bytes": account.max_bytes,
            "kv_firm_bytes": account.firm_bytes,
            "kv_revocable_bytes": account.revocable_bytes,
            "kv_reserved_bytes": account.reserved_bytes,
            "kv_used_bytes": account.used_bytes,
            "kv_cached_bytes": account.cached_bytes,
            "kv_pinned_bytes": account.pinned_bytes,
            "running": len(lane.running),
            "waiting": len(lane.queue),
            "step_ms": lane.step_ms,
            "device_ms": lane.device_ms,
            **{name: getattr(lane.figures, name) for name in lane.figures.__slots__},
        }

    def check(self) -> None:
        """Prove that pools, ledger and requests tell the same story."""
        self.memory.check()
        num_deadline = 0
        for engine, lane in self._lanes.items():
            num_deadline += lane.num_of_class(RequestClass.DEADLINE)
            geometry = lane.limits.geometry
            for request_id, run in lane.running.items():
                request, holding = run.request, run.holding
                assert request.request_id == request_id, f"{engine}: {request_id}"
                num_blocks = len(holding.block_ids)
                assert num_blocks + holding.num_credits == geometry.blocks_for(
                    request.max_total_tokens
                ), f"{engine}: {request_id} holds another amount than it reserved"
                assert request.num_computed_tokens <= num_blocks * geometry.block_tokens, (
                    f"{engine}: {request_id} has tokens without blocks"
                )
        assert num_deadline == self._deadlines.num_running, "deadline work is miscounted"

    def _drain_estimate_s(self, lane: Lane) -> float:
        """Rough time until a place in the queue is free: one running request's remainder."""
        remaining = min(
            (
                run.request.max_tokens - run.request.num_generated_tokens
                for run in lane.running.values()
            ),
            default=1,
        )
        return max(0.05, remaining * max(lane.step_ms, 1.0) / 1000.0)
