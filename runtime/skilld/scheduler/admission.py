"""`Admission`: who gets cache memory and a seat, and who gives way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from skilld.core.errors import InvalidRequestError
from skilld.core.request import FinishReason, Request, RequestClass
from skilld.kvcache import KvMemory
from skilld.scheduler.deadlines import Deadlines, deadline_s_of
from skilld.scheduler.lane import Lane, Running
from skilld.scheduler.policy import Finished, Policy


class Admission:
    """See the module docstring. Part of the scheduler.

    Args:
        lanes: of all engines, as the scheduler keeps them.
        memory: of the box.
        policy: how device time is dealt out.
        deadlines: says what can still be done in time.
        virtual_ms: of the engine that ran last, to which an engine that was idle is lifted.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        memory: KvMemory,
        policy: Policy,
        *,
        deadlines: Deadlines,
        virtual_ms: Callable[[], float],
    ) -> None:
        self._lanes = lanes
        self._memory = memory
        self._ledger = memory.ledger
        self._policy = policy
        self._deadlines = deadlines
        self._virtual_ms = virtual_ms
        self._num_admitted = 0

    def admit_in_order(self, waiting: list[Lane], now_s: float, ended: list[Finished]) -> None:
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
                # Time may have passed since it was screened, which others used.
                if request_class is RequestClass.DEADLINE and not self._deadlines.still_fits(
                    request, now_s, ended
                ):
                    continue
                if self._admit(lane, request, request_class, now_s, only_in_min=is_claimed):
                    continue
                num_bytes = lane.cache.least_bytes(request.tokens, request.max_total_tokens)
                if not self._ledger.could_ever_reserve(lane.engine, num_bytes):
                    # What others are guaranteed grew since it came, or what it may hold shrank.
                    lane.queue.remove(request)
                    if not request.pins:
                        error = too_large(request, num_bytes)
                        ended.append(Finished(request, FinishReason.ERROR, error))
                    continue
                waited_s = now_s - request.arrival_s
                if request_class is RequestClass.DEADLINE or waited_s >= self._policy.aging_s:
                    is_claimed = is_claimed or self._may_claim(lane, request, num_bytes)
                break

    def keep_to_limit(self) -> None:
        """Preempt batch work while more is held than the host can spare."""
        accounts = self._ledger.accounts.values()
        while sum(a.used_bytes for a in accounts) > self._ledger.limit_bytes and any(
            a.revocable_bytes for a in accounts
        ):
            self._preempt(self._victim(None))
            self._memory.shrink_to_limit()

    def free(self, lane: Lane, run: Running) -> None:
        """Take back what a request held."""
        run.request.kv_bytes = lane.held_bytes(run)
        lane.cache.release(run.holding)
        if self._ledger.limit_bytes < self._ledger.budget_bytes:
            self._memory.shrink_to_limit()  # what stayed cached may be too much

    def _may_claim(self, lane: Lane, request: Request, least_bytes: int) -> bool:
        """Whether others must leave memory for a request: its own cap is not what stops it."""
        account = self._ledger.accounts[lane.engine]
        quote = lane.cache.quote(request.tokens, request.max_total_tokens, firm=True)
        if account.firm_bytes + quote.firm_bytes > account.max_bytes:
            return False
        return self._ledger.could_ever_reserve(
            lane.engine, least_bytes, limit_bytes=self._ledger.limit_bytes
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
        account = self._ledger.accounts[lane.engine]
        while True:
            quote = lane.cache.quote(request.tokens, request.max_total_tokens, firm=firm)
            added_bytes = max(quote.num_bytes, quote.firm_bytes)
            if only_in_min and account.firm_bytes + added_bytes > account.min_bytes:
                return False
            shortfall = self._ledger.shortfall(
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
            lane.virtual_ms = max(lane.virtual_ms, min(busy, default=self._virtual_ms()))
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
            (self._ledger.accounts[other.engine].above_min_bytes, run.order, other, run)
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
        self.free(lane, run)
        request.num_computed_tokens = 0
        lane.queue.push_back(request)


def too_large(request: Request, num_bytes: int) -> InvalidRequestError:
    """The error of a request that can never be admitted."""
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
        return request_class, deadline_s_of(request)
    return request_class, request.arrival_s
