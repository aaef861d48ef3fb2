"""`Deadlines`: which deadline work can be done in time, and what no longer can."""

from __future__ import annotations

import bisect
import collections
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from skilld.core.errors import DeadlineError
from skilld.core.request import FinishReason, Request, RequestClass
from skilld.scheduler.feasibility import Demand, finish_times_s, slack_ms
from skilld.scheduler.lane import Lane
from skilld.scheduler.policy import Finished, Policy

# How long a look at the waiting deadline work stays good while none arrives.
_SCREEN_EVERY_S = 0.01
_CANDIDATES_PER_PAUSE = 32  # a longer queue is looked at less often, as that takes longer


@dataclass(slots=True)
class Plan:
    """How deadline work would go.

    Attributes:
        demands: in order of deadlines.
        finish_s: when each would be done.
        spare_ms: before the first deadline would be missed; negative when one is.
        in_lockstep: which kind of plan it is, see `feasibility`.
    """

    demands: Sequence[Demand]
    finish_s: Sequence[float]
    spare_ms: float
    in_lockstep: bool


class Deadlines:
    """See the module docstring. Part of the scheduler, which keeps `num_running`.

    Args:
        lanes: of all engines, as the scheduler keeps them.
        policy: how device time is dealt out.
        abort: ends a request in whatever state.

    Attributes:
        num_running: admitted requests of class deadline.
    """

    def __init__(
        self, lanes: Mapping[str, Lane], policy: Policy, abort: Callable[[Request], object]
    ) -> None:
        self.num_running = 0
        self._lanes = lanes
        self._policy = policy
        self._abort = abort
        self._next_expiry_s = math.inf
        self._next_screen_s = 0.0

    def expect(self, request: Request) -> None:
        """A request with a deadline is about to be queued."""
        assert request.deadline_s is not None
        lane = self._lanes[request.engine]
        self._next_expiry_s = min(self._next_expiry_s, request.deadline_s)
        # In a long queue it has time until the next look, if one is due at all.
        if len(lane.queue) < lane.limits.max_num_seqs or math.isinf(self._next_screen_s):
            self._next_screen_s = 0.0

    def expire(self, now_s: float, ended: list[Finished]) -> None:
        """End what is past its deadline."""
        if now_s < self._next_expiry_s:
            return
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
                self._abort(request)
                ended.append(Finished(request, FinishReason.DEADLINE, error))
        self._next_expiry_s = next_expiry_s

    def screen(self, waiting: Sequence[Lane], now_s: float, ended: list[Finished]) -> None:
        """Refuse waiting deadline work that cannot be done in time beside what was admitted."""
        if now_s < self._next_screen_s:
            return
        candidates = [
            request
            for lane in waiting
            for request in lane.queue
            if request.request_class is RequestClass.DEADLINE
        ]
        if not candidates:
            self._next_screen_s = math.inf  # until one arrives
            return
        pause_s = _SCREEN_EVERY_S * (1 + len(candidates) / _CANDIDATES_PER_PAUSE)
        self._next_screen_s = now_s + pause_s
        running = self._running()
        num_of_lane = collections.Counter(demand.engine for demand in running)
        near: list[tuple[Request, Demand]] = []  # those that could be admitted next
        for request in sorted(candidates, key=deadline_s_of):
            demand = self._waiting(request)
            num_of_lane[request.engine] += 1
            if num_of_lane[request.engine] <= self._lanes[request.engine].limits.max_num_seqs:
                near.append((request, demand))
                continue
            plan = self._plan_of([demand], now_s)  # not before others end: is there time at all?
            if plan.spare_ms < 0.0:
                self._refuse(request, demand, plan, now_s, ended)
        everything = sorted([*running, *(demand for _, demand in near)], key=_demand_deadline_s)
        if self._plan_of(everything, now_s).spare_ms >= 0.0:
            return
        accepted: Sequence[Demand] = running
        for request, demand in near:
            plan = self._plan_of(_with(accepted, demand), now_s)
            if plan.spare_ms >= 0.0:
                accepted = plan.demands
            else:
                self._refuse(request, demand, plan, now_s, ended)

    def still_fits(self, request: Request, now_s: float, ended: list[Finished]) -> bool:
        """Whether a waiting request can still be admitted; it is refused if not."""
        demand = self._waiting(request)
        plan = self._plan_of(_with(self._running(), demand), now_s)
        if plan.spare_ms >= 0.0:
            return True
        self._refuse(request, demand, plan, now_s, ended)
        return False

    def plan(self, now_s: float) -> Plan:
        """How the admitted deadline work would go; there is some."""
        return self._plan_of(self._running(), now_s)

    def _refuse(
        self,
        request: Request,
        demand: Demand,
        plan: Plan,
        now_s: float,
        ended: list[Finished],
    ) -> None:
        lane = self._lanes[request.engine]
        lane.queue.remove(request)
        lane.figures.num_deadline_refusals += 1
        finish_s = next(f for d, f in zip(plan.demands, plan.finish_s, strict=True) if d is demand)
        error = _cannot_finish(demand, finish_s, now_s)
        ended.append(Finished(request, FinishReason.DEADLINE, error))

    def _waiting(self, request: Request) -> Demand:
        lane = self._lanes[request.engine]
        quote = lane.cache.quote(request.tokens, request.max_total_tokens, firm=True)
        # The copy of a partial block is not counted on: making room may evict its source.
        known_tokens = len(quote.match.path) * lane.limits.geometry.block_tokens
        return lane.demand_of(request, num_steps=0, known_tokens=known_tokens)

    def _running(self) -> list[Demand]:
        """Of admitted deadline work, in order of deadlines."""
        if not self.num_running:
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

    def _plan_of(self, demands: Sequence[Demand], now_s: float) -> Plan:
        """In lockstep if that meets all deadlines, else whichever kind of plan does better."""
        paces = {
            name: self._lanes[name].pace(self._policy.step_bound_ms)
            for name in {demand.engine for demand in demands}
        }
        best: Plan | None = None
        for in_lockstep in (True, False):
            finish_s = finish_times_s(demands, paces, now_s=now_s, in_lockstep=in_lockstep)
            plan = Plan(demands, finish_s, slack_ms(demands, finish_s), in_lockstep)
            if plan.spare_ms >= 0.0:
                return plan
            if best is None or plan.spare_ms > best.spare_ms:
                best = plan
        assert best is not None
        return best


def deadline_s_of(request: Request) -> float:
    """Its deadline, infinite without one."""
    return math.inf if request.deadline_s is None else request.deadline_s


def _demand_deadline_s(demand: Demand) -> float:
    return demand.deadline_s


def _with(demands: Sequence[Demand], demand: Demand) -> Sequence[Demand]:
    """The demands and one more, in order of deadlines."""
    position = bisect.bisect(demands, demand.deadline_s, key=_demand_deadline_s)
    return [*demands[:position], demand, *demands[position:]]


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
