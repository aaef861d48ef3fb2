"""`Promises`: what must be so at the end of an update, and of every call meanwhile."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from field.releases import new_bytes

from chaos_updates.scene import LOOK_S, PATIENCE_S, BrokenPromiseError, Order, Scene
from chaos_updates.tally import Tally
from skilld.updates.machine import Outcome, SkillState, Status

_WANTED = {
    "good": (Status.SUCCEEDED, ""),
    "fails its self-test": (Status.FAILED, "SELF_TEST_FAILED"),
    "fails its trial": (Status.FAILED, "TRIAL_FAILED"),
}


class Promises:
    """See the module docstring.

    Args:
        scene: that is looked at.
        tally: takes what is found.
        digests: of what the box is set up with, by name.

    Attributes:
        committed: digest and number of what the box must serve, by name.
    """

    def __init__(self, scene: Scene, tally: Tally, digests: Mapping[str, str]) -> None:
        self.committed: dict[str, tuple[str, int | None]] = {
            name: (digest, None) for name, digest in digests.items()
        }
        self._scene = scene
        self._tally = tally
        self._first_life = 0

    def check(self, order: Order, where: str) -> bool:
        """At the end of an update; returns whether it must be ordered again.

        Raises:
            BrokenPromiseError: nothing is served any more.
        """
        state = self._scene.state(order.name)
        record, seq = state.job, order.published.release.seq
        assert record is not None
        has_crashed = order.may_crash and record.reason == "CRASHED"
        is_right = (record.status, record.reason) == _WANTED[order.kind] or has_crashed
        where = f"{where}, {order.name} {seq} ({order.kind})"
        if not is_right:
            self._tally.fault(
                f"{where}: {record.status} {record.outcome} {record.reason} {record.message}, "
                f"after {order.killed_switching} kills in the switch"
            )
        self._tally.updates[
            f"{order.kind}: {record.outcome}{f' {record.reason}' if record.reason else ''}"
        ] += 1
        is_committed = record.outcome is Outcome.COMMITTED
        if is_committed:
            self.committed[order.name] = order.published.digest, seq
        digest, active = self.committed[order.name]
        if (state.active, state.serving) != (active, active):
            self._tally.fault(f"{where}: the state names {state.active}, not {active}")
        self._check_served(order.name, digest, where)
        self._check_told(order, state, where)
        return has_crashed

    def _check_served(self, name: str, digest: str, where: str) -> None:
        """A call answered now comes from the version that the state names."""
        caller, started_s = self._scene.callers[name], time.monotonic()
        while (last := caller.last_answer) is None or last.began_s < started_s:
            if time.monotonic() - started_s > PATIENCE_S:
                raise BrokenPromiseError(f"{where}: {name} answers no call any more")
            time.sleep(LOOK_S)
        if last.digest != digest:
            self._tally.fault(f"{where}: {last.digest[:12]} answers, not {digest[:12]}")

    def _check_told(self, order: Order, state: SkillState, where: str) -> None:
        """The retained report says what the state file does."""
        started_s = time.monotonic()
        while True:
            report = self._scene.team.report(order.name)
            if report is not None and report.rev >= state.rev:
                break
            if time.monotonic() - started_s > PATIENCE_S:
                self._tally.fault(f"{where}: the report at the broker is {report}")
                return
            time.sleep(LOOK_S)
        assert state.job is not None
        told = (report.job, report.status, report.outcome, report.active)
        if told != (order.job_id, state.job.status, state.job.outcome, state.active):
            self._tally.fault(f"{where}: the report at the broker says {told}")

    def book_calls(self, orders: Sequence[Order]) -> None:
        """What became of the calls since the last time."""
        box = self._scene.box
        offered = {
            order.name: {order.published.digest, order.before[0]}
            - ({order.published.digest} if order.kind == "fails its self-test" else set())
            for order in orders
        }
        lives = box.lives[self._first_life :]
        for name, caller in self._scene.callers.items():
            allowed = offered.get(name, {self.committed[name][0]})
            self._tally.book(caller.take(), lives, allowed)
        self._first_life = len(box.lives) - 1

    def book_bytes(self, orders: Sequence[Order]) -> None:
        """What was sent since the last time."""
        sent, resent = self._scene.team.take_sent_bytes()
        self._tally.sent_bytes += sent
        self._tally.resent_bytes += resent
        for order in orders:
            releases = self._scene.releases
            held = [releases[order.name, seq] for seq in order.held]
            self._tally.new_bytes += new_bytes(order.published.release, held)
