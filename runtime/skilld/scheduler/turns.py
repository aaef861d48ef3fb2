"""`Turns`: whose step is next, and how long it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skilld.scheduler.deadlines import Deadlines
from skilld.scheduler.lane import Lane
from skilld.scheduler.policy import Policy


class Turns:
    """Deals out device time between engines. Part of the scheduler.

    The engine that used the least device time for its weight goes next, among those with the best
    class of work, and keeps the device for a quantum. Deadlines change that only when they must: a
    step that is not the next one of their plan may take no longer than the plan has to spare.

    Args:
        lanes: of all engines, as the scheduler keeps them.
        policy: how device time is dealt out.
        deadlines: the plan.

    Attributes:
        virtual_ms: device time for its weight of the engine that ran last.
        in_lockstep: the kind of plan followed.
    """

    def __init__(self, lanes: Mapping[str, Lane], policy: Policy, deadlines: Deadlines) -> None:
        self.virtual_ms = 0.0
        self.in_lockstep = True
        self._lanes = lanes
        self._policy = policy
        self._deadlines = deadlines
        self._lane: Lane | None = None
        self._left_ms = 0.0

    def book(self, step_ms: float) -> None:
        """The engine whose turn it is ran a step."""
        self._left_ms -= step_ms

    def forget(self, lane: Lane) -> None:
        """An engine goes."""
        if self._lane is lane:
            self._lane = None

    def choose(self, ready: Sequence[Lane], now_s: float) -> tuple[Lane, float]:
        """Whose step is next, and how long it may be."""
        lane = self._fair_choice(ready, now_s)
        bound_ms = lane.bound_ms(self._policy.step_bound_ms)
        self.in_lockstep = True
        if self._deadlines.num_running:
            plan = self._deadlines.plan(now_s)
            urgent = self._lanes[plan.demands[0].engine]
            if lane is not urgent and lane.least_ms() > plan.spare_ms:
                lane = urgent
                bound_ms = lane.bound_ms(self._policy.step_bound_ms)
            if lane is urgent:
                planned_ms = lane.deadline_step_ms(
                    self._policy.step_bound_ms, in_lockstep=plan.in_lockstep
                )
                bound_ms = min(bound_ms, planned_ms + max(plan.spare_ms, 0.0))
            else:
                bound_ms = min(bound_ms, plan.spare_ms)
            self.in_lockstep = plan.in_lockstep
        if lane is not self._lane:
            self._lane = lane
            self._left_ms = self._policy.quantum_ms
        self.virtual_ms = lane.virtual_ms
        return lane, bound_ms

    def _fair_choice(self, ready: Sequence[Lane], now_s: float) -> Lane:
        if len(ready) == 1:
            return ready[0]
        standings = [lane.standing(now_s, self._policy.aging_s) for lane in ready]
        best = min(standings)
        eligible = [
            lane for lane, standing in zip(ready, standings, strict=True) if standing is best
        ]
        current = self._lane
        if current in eligible and self._left_ms > 0.0:
            return current
        chosen = min(eligible, key=lambda lane: lane.virtual_ms)
        for lane, standing in zip(ready, standings, strict=True):
            if standing is not best:  # time given up to better work is not owed later
                lane.virtual_ms = max(lane.virtual_ms, chosen.virtual_ms)
        return chosen
