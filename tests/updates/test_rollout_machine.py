"""Whatever boxes do, a rollout keeps its bounds and comes to an end."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.updates.test_rollout import FORMER, JOB, STUCK_S, plan, report

from skilld.updates.fleet import Report
from skilld.updates.fleet.rollout import Ending, Rollout, Stage
from skilld.updates.machine import Status


class Machine(RuleBasedStateMachine):
    """Boxes that do as they like, and a rollout that is asked what to do at any time."""

    @initialize(
        num_boxes=st.integers(1, 7),
        num_canaries=st.integers(0, 3),
        wave_size=st.none() | st.integers(1, 3),
        max_failures=st.integers(0, 3),
        was_done=st.lists(st.booleans(), max_size=7),
    )
    def begin(
        self,
        num_boxes: int,
        num_canaries: int,
        wave_size: int | None,
        max_failures: int,
        was_done: list[bool],
    ) -> None:
        names = tuple(f"box{number}" for number in range(num_boxes))
        self.plan = plan(
            *names, num_canaries=num_canaries, wave_size=wave_size, max_failures=max_failures
        )
        self.rollout = Rollout(self.plan)
        self.now_s = 0.0
        self.rev = 0
        self.asked: set[str] = set()
        self.truth: dict[str, Status] = {}  # what each box really made of this job
        self.cancelled: list[str] = []
        self.ending: Ending | None = None
        self.kept: dict[str, Report] = {}  # by the broker
        # A former rollout of the same release: its retained reports are still there.
        for name, done in zip(names, was_done, strict=False):
            self.say(name, Status.SUCCEEDED if done else Status.FAILED, FORMER)

    def say(self, box: str, status: Status, job: str = JOB) -> None:
        self.rev += 1
        self.kept[box] = report(box, status, job=job, rev=self.rev)
        self.rollout.hear(self.kept[box], self.now_s)

    @precondition(lambda self: self.ending is None and not self.cancelled)
    @rule()
    def somebody_starts_it_again(self) -> None:
        """Knowing only what the broker keeps: jobs and reports."""
        self.rollout = Rollout(self.plan)
        for box in sorted(self.asked):
            self.rollout.was_asked(box, self.now_s)
        for told in self.kept.values():
            self.rollout.hear(told, self.now_s)

    @precondition(lambda self: self.ending is None)
    @rule()
    def advance(self) -> None:
        orders = self.rollout.advance(self.now_s)
        assert not set(orders.asks) & self.asked, "asked twice"
        assert not set(orders.cancels) & set(self.cancelled), "cancelled twice"
        assert set(orders.cancels) <= self.asked, "cancelled, but never asked"
        if orders.asks:
            after = {box.box: box for box in self.rollout.boxes}
            still_open = {n for n, b in after.items() if b.stage in (Stage.ASKED, Stage.UNDER_WAY)}
            assert still_open == set(orders.asks), "asked before the others had ended"
            assert len({after[box].wave for box in orders.asks}) == 1
            assert not self.cancelled
        self.asked |= set(orders.asks)
        self.cancelled += orders.cancels
        self.ending = orders.ending
        if self.ending is Ending.COMMITTED:
            assert self.truth == dict.fromkeys(self.plan.boxes, Status.SUCCEEDED)

    @rule(
        data=st.data(),
        status=st.sampled_from(
            [Status.QUEUED, Status.IN_PROGRESS, Status.SUCCEEDED, Status.FAILED, Status.REJECTED]
        ),
    )
    def a_box_gets_on(self, data: st.DataObject, status: Status) -> None:
        """Only one that was asked has the job, and it ends once."""
        able = sorted(box for box in self.asked if box not in self.truth)
        if able:
            box = data.draw(st.sampled_from(able))
            if status not in (Status.QUEUED, Status.IN_PROGRESS):
                self.truth[box] = status
            self.say(box, status)

    @rule(data=st.data())
    def a_cancelled_box_obeys(self, data: st.DataObject) -> None:
        able = [box for box in self.cancelled if box not in self.truth]
        if able:
            box = data.draw(st.sampled_from(able))
            self.truth[box] = Status.CANCELED
            self.say(box, Status.CANCELED)

    @rule(number=st.integers(0, 6), status=st.sampled_from(Status))
    def a_box_speaks_of_another_job(self, number: int, status: Status) -> None:
        box = self.plan.boxes[number % len(self.plan.boxes)]
        before = self.rollout.boxes
        if box in self.asked:  # late; what it said last is kept
            self.rollout.hear(report(box, status, job=FORMER), self.now_s)
        else:
            self.say(box, status, job=FORMER)
        assert self.rollout.boxes == before

    @rule(seconds=st.sampled_from([1.0, 30.0, STUCK_S]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def nobody_but_the_canary_before_it_committed(self) -> None:
        if not hasattr(self, "plan"):
            return
        canary = set(self.plan.boxes[: self.plan.num_canaries])
        if self.asked - canary:
            assert all(self.truth.get(box) is Status.SUCCEEDED for box in canary)

    @invariant()
    def no_more_failures_than_allowed_and_a_wave(self) -> None:
        if not hasattr(self, "plan"):
            return
        failed = [b for b, s in self.truth.items() if s in (Status.FAILED, Status.REJECTED)]
        largest = max(map(len, self.plan.waves))
        assert len(failed) <= self.plan.max_failures + largest
        counted = {box.box for box in self.rollout.boxes if box.stage is Stage.COMMITTED}
        assert counted == {b for b, s in self.truth.items() if s is Status.SUCCEEDED}

    def teardown(self) -> None:
        """Whatever happened: when all boxes fall silent it comes to an end."""
        if not hasattr(self, "plan"):
            return
        for _ in range(2 * len(self.plan.boxes) + 4):
            if self.ending is None:
                self.now_s += STUCK_S
                self.advance()
        assert self.ending is not None


TestRollout = Machine.TestCase
TestRollout.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
