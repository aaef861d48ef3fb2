"""`Scheduler`: admission, batches, and the blocks that go with them, for all engines.

Each call decides one thing and returns it; the engine loop acts. Owned by the engine thread.

1. `add` bounds the queues and refuses what can never fit.
2. `schedule` ends what is past its deadline; refuses deadline work that cannot be done in time
   beside what was admitted; admits in order, once the ledger grants a request's whole
   reservation; picks an engine and builds one ragged batch of it.
3. `update` books the step and appends the chosen tokens.
4. `finish` and `abort` end a request; its blocks are free or cached from that moment.

Which engine: the one that used the least device time for its weight, among those with the best
class of work, for a quantum at a time. Deadlines change that only when they must: a step that is
not the next one of the plan in `feasibility` may take no longer than the plan has to spare.
"""

from __future__ import annotations

import bisect
import collections
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skilld.core.batch import Batch
from skilld.core.errors import DeadlineError, InvalidRequestError, OverloadedError, SkilldError
from skilld.core.request import FinishReason, Request, RequestClass
from skilld.kvcache import KvLedger, KvMemory
from skilld.scheduler.cost_model import CostModel
from skilld.scheduler.feasibility import Demand, finish_times_s, slack_ms
from skilld.scheduler.lane import EngineLimits, Lane, Running
from skilld.scheduler.request_queue import RequestQueue

# How long a look at the waiting deadline work stays good while none arrives.
_SCREEN_EVERY_S = 0.01
_CANDIDATES_PER_PAUSE = 32  # a longer queue is looked at less often, as that takes longer


@dataclass(frozen=True, slots=True)
class Policy:
    """How device time is dealt out.

    Attributes:
        step_bound_ms: no step is planned longer, so that nobody waits longer for the next one;
            engines whose smallest step takes more than a quarter of it get four such steps.
        quantum_ms: an engine keeps the device this long before another one of its class gets it.
        aging_s: work that waited this long counts as interactive, and nothing younger may take
            cache memory before it.
    """

    step_bound_ms: float = 50.0
    quantum_ms: float = 20.0
    aging_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Finished:
    """A request the scheduler ended by itself."""

    request: Request
    reason: FinishReason
    error: SkilldError


@dataclass(slots=True)
class _Deadlines:
    """When there is something to look at again."""

    next_expiry_s: float = math.inf
    next_screen_s: float = 0.0
    num_running: int = 0


@dataclass(slots=True)
class _Plan:
    """How admitted deadline work would go."""

    demands: Sequence[Demand]
    finish_s: Sequence[float]
    spare_ms: float
    in_lockstep: bool


@dataclass(slots=True)
class _Turn:
    """Who has the device."""

    lane: Lane | None = None
    left_ms: float = 0.0
    virtual_ms: float = 0.0  # of the engine that ran last
    in_lockstep: bool = True  # the kind of plan followed


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
        self._deadlines = _Deadlines()
        self._turn = _Turn()
        self._num_admitted = 0
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
        if self._turn.lane is lane:
            self._turn.lane = None

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
            f"pin of {engine}, {len(tokens)} tokens, {self._num_admitted}",
            engine,
            list(tokens),
            0,
            arrival_s=now_s,
            pins=True,
        )
        self._num_admitted += 1
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
                raise _too_large(request, num_bytes)
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
            self._deadlines.next_expiry_s = min(self._deadlines.next_expiry_s, request.deadline_s)
            # In a long queue it has time until the next look, if one is due at all.
            if len(lane.queue) < limits.max_num_seqs or math.isinf(self._deadlines.next_screen_s):
                self._deadlines.next_screen_s = 0.0
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
        if now_s >= self._deadlines.next_expiry_s:
            self._expire(now_s, ended)
        waiting = [lane for lane in self._lanes.values() if len(lane.queue)]
        if waiting:
            self._screen(waiting, now_s, ended)
            self._admit_in_order([lane for lane in waiting if len(lane.queue)], now_s, ended)
        if self.ledger.limit_bytes < self.ledger.budget_bytes:
            self._keep_to_limit()
        ready = [lane for lane in self._lanes.values() if lane.running]
        if not ready:
            return None, ended
        lane, limit_ms = self._choose(ready, now_s)
        batch = lane.compose(
            limit_ms,
            aged_since_s=now_s - self.policy.aging_s,
            in_lockstep=self._turn.in_lockstep,
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
        self._turn.left_ms -= step_ms
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
        self._free(lane, run)

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

    # --- deadlines ---------------------------------------------------------------------------

    def _expire(self, now_s: float, ended: list[Finished]) -> None:
        next_expiry_s = math.inf
        for lane in self._lanes.values():
            everyone = [*lane.queue, *(run.request for run in lane.running.values())]
            for request in everyone:
                if request.deadline_s is None:
                    continue
                if request.deadline_s > now_s:
                    next_expiry_s = min(next_expiry_s, request.deadline_s)
                    continue
                where = "while running" if request.request_id in lane.running else "in the queue"
                error = DeadlineError(
                    f"the deadline passed {where}, {now_s - request.arrival_s:.3f} s after arrival",
                    where=where,
                )
                self.abort(request)
                ended.append(Finished(request, FinishReason.DEADLINE, error))
        self._deadlines.next_expiry_s = next_expiry_s

    def _screen(self, waiting: Sequence[Lane], now_s: float, ended: list[Finished]) -> None:
        """Refuse waiting deadline work that cannot be done in time beside what was admitted."""
        if now_s < self._deadlines.next_screen_s:
            return
        candidates = [
            request
            for lane in waiting
            for request in lane.queue
            if request.request_class is RequestClass.DEADLINE
        ]
        if not candidates:
            self._deadlines.next_screen_s = math.inf  # until one arrives
            return
        pause_s = _SCREEN_EVERY_S * (1 + len(candidates) / _CANDIDATES_PER_PAUSE)
        self._deadlines.next_screen_s = now_s + pause_s
        running = self._running_demands()
        num_of_lane = collections.Counter(demand.engine for demand in running)
        near: list[tuple[Request, Demand]] = []  # those that could be admitted next
        for request in sorted(candidates, key=_deadline_s):
            demand = self._waiting_demand(request)
            num_of_lane[request.engine] += 1
            if num_of_lane[request.engine] <= self._lanes[request.engine].limits.max_num_seqs:
                near.append((request, demand))
                continue
            plan = self._plan([demand], now_s)  # not before others end: is there time at all?
            if plan.spare_ms < 0.0:
                self._refuse(request, demand, plan, now_s, ended)
        everything = sorted([*running, *(demand for _, demand in near)], key=_demand_deadline_s)
        if self._plan(everything, now_s).spare_ms >= 0.0:
            return
        accepted: Sequence[Demand] = running
        for request, demand in near:
            plan = self._plan(_with(accepted, demand), now_s)
            if plan.spare_ms >= 0.0:
                accepted = plan.demands
            else:
                self._refuse(request, demand, plan, now_s, ended)

    def _refuse(
        self,
        request: Request,
        demand: Demand,
        plan: _Plan,
        now_s: float,
        ended: list[Finished],
    ) -> None:
        lane = self._lanes[request.engine]
        lane.queue.remove(request)
        lane.figures.num_deadline_refusals += 1
        finish_s = next(f for d, f in zip(plan.demands, plan.finish_s, strict=True) if d is demand)
        error = _cannot_finish(demand, finish_s, now_s)
        ended.append(Finished(request, FinishReason.DEADLINE, error))

    def _waiting_demand(self, request: Request) -> Demand:
        lane = self._lanes[request.engine]
        quote = lane.cache.quote(request.tokens, request.max_total_tokens, firm=True)
        # The copy of a partial block is not counted on: making room may evict its source.
        known_tokens = len(quote.match.path) * lane.limits.geometry.block_tokens
        return lane.demand_of(request, num_steps=0, known_tokens=known_tokens)

    def _running_demands(self) -> list[Demand]:
        """Of admitted deadline work, in order of deadlines."""
        if not self._deadlines.num_running:
            return []
        demands = [
            lane.demand_of(
                run.request,
                num_steps=run.num_steps,
                known_tokens=run.request.num_computed_tokens,
            )
            for lane in self._lanes.values()
            for run in lane.running.values()
            if run.request_class is RequestClass.DEADLINE
        ]
        demands.sort(key=_demand_deadline_s)
        return demands

    def _plan(self, demands: Sequence[Demand], now_s: float) -> _Plan:
        """In lockstep if that meets all deadlines, else whichever kind of plan does better."""
        paces = {
            name: self._lanes[name].pace(self.policy.step_bound_ms)
            for name in {demand.engine for demand in demands}
        }
        best: _Plan | None = None
        for in_lockstep in (True, False):
            finish_s = finish_times_s(demands, paces, now_s=now_s, in_lockstep=in_lockstep)
            plan = _Plan(demands, finish_s, slack_ms(demands, finish_s), in_lockstep)
            if plan.spare_ms >= 0.0:
                return plan
            if best is None or plan.spare_ms > best.spare_ms:
                best = plan
        assert best is not None
        return best

    # --- admission ---------------------------------------------------------------------------

    def _admit_in_order(self, waiting: list[Lane], now_s: float, ended: list[Finished]) -> None:
        """Admit what fits, most urgent heads first; see `Policy.aging_s` for who must wait."""
        for lane in waiting:
            lane.queue.lift(now_s)
        if len(waiting) > 1:
            waiting.sort(key=_head_urgency)
        is_claimed = False
        for lane in waiting:
            while (request := lane.queue.peek()) is not None:
                request_class = lane.queue.head_class()
                if not lane.has_seat(request_class):
                    break
                if request_class is RequestClass.DEADLINE:
                    # Time may have passed since it was screened, which others used.
                    demand = self._waiting_demand(request)
                    plan = self._plan(_with(self._running_demands(), demand), now_s)
                    if plan.spare_ms < 0.0:
                        self._refuse(request, demand, plan, now_s, ended)
                        continue
                if self._admit(lane, request, request_class, now_s, only_in_min=is_claimed):
                    continue
                num_bytes = lane.cache.least_bytes(request.tokens, request.max_total_tokens)
                if not self.ledger.could_ever_reserve(lane.engine, num_bytes):
                    # What others are guaranteed grew since it came, or what it may hold shrank.
                    lane.queue.remove(request)
                    if not request.pins:
                        error = _too_large(request, num_bytes)
                        ended.append(Finished(request, FinishReason.ERROR, error))
                    continue
                waited_s = now_s - request.arrival_s
                if request_class is RequestClass.DEADLINE or waited_s >= self.policy.aging_s:
                    is_claimed = is_claimed or self._may_claim(lane, request, num_bytes)
                break

    def _may_claim(self, lane: Lane, request: Request, least_bytes: int) -> bool:
        """Whether others must leave memory for a request: its own cap is not what stops it."""
        account = self.ledger.accounts[lane.engine]
        quote = lane.cache.quote(request.tokens, request.max_total_tokens, firm=True)
        if account.firm_bytes + quote.firm_bytes > account.max_bytes:
            return False
        return self.ledger.could_ever_reserve(
            lane.engine, least_bytes, limit_bytes=self.ledger.limit_bytes
        )

    def _admit(
        self,
        lane: Lane,
        request: Request,
        request_class: RequestClass,
        now_s: float,
        *,
        only_in_min: bool,
    ) -> bool:
        firm = request_class is not RequestClass.BATCH
        account = self.ledger.accounts[lane.engine]
        while True:
            quote = lane.cache.quote(request.tokens, request.max_total_tokens, firm=firm)
            added_bytes = max(quote.num_bytes, quote.firm_bytes)
            if only_in_min and account.firm_bytes + added_bytes > account.min_bytes:
                return False
            shortfall = self.ledger.shortfall(
                lane.engine, quote.num_bytes, firm_bytes=quote.firm_bytes
            )
            if shortfall is None:
                return False
            is_full = len(lane.running) >= lane.limits.max_num_seqs
            if shortfall.is_zero and not is_full:
                break
            self._preempt(self._victim(lane if is_full or shortfall.own_bytes > 0 else None))
        lane.queue.pop()
        if not lane.running:
            # An engine that was idle must not spend its saved-up time in one go.
            busy = [other.virtual_ms for other in self._lanes.values() if other.running]
            lane.virtual_ms = max(lane.virtual_ms, min(busy, default=self._turn.virtual_ms))
        holding, num_computed = lane.cache.admit(quote, firm=firm)
        if request.kv_bytes == 0:  # it held none before: not one that was preempted
            lane.figures.num_prompt_tokens += len(request.prompt)
            lane.figures.num_prefix_tokens += num_computed
        request.num_computed_tokens = num_computed
        self._num_admitted += 1
        lane.running[request.request_id] = Running(
            request, holding, self._num_admitted, request_class, now_s
        )
        self._deadlines.num_running += request_class is RequestClass.DEADLINE
        return True

    def _victim(self, lane: Lane | None) -> tuple[Lane, Running]:
        """The revocable request to give up: of the engine most above its minimum, the newest."""
        lanes = self._lanes.values() if lane is None else (lane,)
        revocable = [
            (self.ledger.accounts[other.engine].above_min_bytes, run.order, other, run)
            for other in lanes
            for run in other.running.values()
            if not run.holding.firm
        ]
        assert revocable, "the ledger promised revocable work and there is none"
        _, _, owner, run = max(revocable, key=lambda entry: entry[:2])
        return owner, run

    def _preempt(self, victim: tuple[Lane, Running]) -> None:
        """Send a batch request back to its queue; it keeps its tokens and loses its blocks."""
        lane, run = victim
        request = run.request
        del lane.running[request.request_id]
        lane.figures.num_preemptions += 1
        lane.figures.num_recomputed_tokens += request.num_computed_tokens
        self._free(lane, run)
        request.num_computed_tokens = 0
        lane.queue.push_back(request)

    def _keep_to_limit(self) -> None:
        """Preempt batch work while more is held than the host can spare."""
        accounts = self.ledger.accounts.values()
        while sum(a.used_bytes for a in accounts) > self.ledger.limit_bytes and any(
            a.revocable_bytes for a in accounts
        ):
            self._preempt(self._victim(None))
            self.memory.shrink_to_limit()

    def _free(self, lane: Lane, run: Running) -> None:
        geometry = lane.limits.geometry
        run.request.kv_bytes = (
            len(run.holding.block_ids) * geometry.block_bytes
            + len(run.holding.state_block_ids) * geometry.state_block_bytes
        )
        lane.cache.release(run.holding)
        if self.ledger.limit_bytes < self.ledger.budget_bytes:
            self.memory.shrink_to_limit()  # what stayed cached may be too much

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

    # --- the next step -----------------------------------------------------------------------

    def _choose(self, ready: Sequence[Lane], now_s: float) -> tuple[Lane, float]:
        """Whose step is next, and how long it may be."""
        lane = self._fair_choice(ready, now_s)
        bound_ms = lane.bound_ms(self.policy.step_bound_ms)
        self._turn.in_lockstep = True
        if self._deadlines.num_running:
            plan = self._plan(self._running_demands(), now_s)
            urgent = self._lanes[plan.demands[0].engine]
            if lane is not urgent and lane.least_ms() > plan.spare_ms:
                lane = urgent
                bound_ms = lane.bound_ms(self.policy.step_bound_ms)
            if lane is urgent:
                planned_ms = lane.deadline_step_ms(
                    self.policy.step_bound_ms, in_lockstep=plan.in_lockstep
                )
                bound_ms = min(bound_ms, planned_ms + max(plan.spare_ms, 0.0))
            else:
                bound_ms = min(bound_ms, plan.spare_ms)
            self._turn.in_lockstep = plan.in_lockstep
        if lane is not self._turn.lane:
            self._turn.lane = lane
            self._turn.left_ms = self.policy.quantum_ms
        self._turn.virtual_ms = lane.virtual_ms
        return lane, bound_ms

    def _fair_choice(self, ready: Sequence[Lane], now_s: float) -> Lane:
        if len(ready) == 1:
            return ready[0]
        standings = [lane.standing(now_s, self.policy.aging_s) for lane in ready]
        best = min(standings)
        eligible = [
            lane for lane, standing in zip(ready, standings, strict=True) if standing is best
        ]
        current = self._turn.lane
        if current in eligible and self._turn.left_ms > 0.0:
            return current
        chosen = min(eligible, key=lambda lane: lane.virtual_ms)
        for lane, standing in zip(ready, standings, strict=True):
            if standing is not best:  # time given up to better work is not owed later
                lane.virtual_ms = max(lane.virtual_ms, chosen.virtual_ms)
        return chosen


def _deadline_s(request: Request) -> float:
    return math.inf if request.deadline_s is None else request.deadline_s


def _demand_deadline_s(demand: Demand) -> float:
    return demand.deadline_s


def _with(demands: Sequence[Demand], demand: Demand) -> Sequence[Demand]:
    """The demands and one more, in order of deadlines."""
    position = bisect.bisect(demands, demand.deadline_s, key=_demand_deadline_s)
    return [*demands[:position], demand, *demands[position:]]


def _too_large(request: Request, num_bytes: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"needs {num_bytes} B of cache, more than engine {request.engine!r} may hold",
        reason="REQUEST_TOO_LARGE",
        needed_bytes=str(num_bytes),
    )


def _head_urgency(lane: Lane) -> tuple[int, float]:
    request = lane.queue.peek()
    assert request is not None
    request_class = lane.queue.head_class()
    if request_class is RequestClass.DEADLINE:
        return request_class, _deadline_s(request)
    return request_class, request.arrival_s


def _cannot_finish(demand: Demand, finish_s: float, now_s: float) -> DeadlineError:
    needed_ms = max(0.0, (finish_s - now_s) * 1000.0)
    available_ms = max(0.0, (demand.deadline_s - now_s) * 1000.0)
    if needed_ms > available_ms:
        message = (
            f"cannot finish before its deadline: needs {needed_ms:.0f} ms, has {available_ms:.0f}"
        )
    else:
        message = "cannot be done without making a call late that was admitted before"
    return DeadlineError(
        message,
        reason="CANNOT_FINISH",
        needed_ms=f"{needed_ms:.1f}",
        available_ms=f"{available_ms:.1f}",
    )
