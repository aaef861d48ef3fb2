"""`Rounds`: one update after the other, kills in between, and what must be so at the end of each.

A round releases the next version of one engine, or of both at once, and orders it. While the box
updates it is killed at drawn moments and started again, each time with memory for both versions or
for one only; now and then the broker is restarted or all lines are cut instead. Some releases are
bad: one kind fails its self-test, another its trial.

At the end of a round, for every engine:

- a good release is COMMITTED, a bad one FAILED and never committed; but a release that was killed
  three times while it was switched to or tried may be FAILED with CRASHED instead. Most rounds
  spare it that by killing twice at most there; some do not, and order the release once more, with
  `force`, which must then go well;
- the box answers with the version that its state file names;
- the field team has been told the same, in the retained report.

During a round every answer is right and comes from a version that the box may serve, and no call
fails but for the reasons in `tally.judge`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from field.box_config import BESIDE, SWAP

from chaos_updates.moments import (
    ENDED,
    SPARED_KILLS,
    STEPS,
    SWITCHING,
    Moment,
    draw_moments,
    place_of,
)
from chaos_updates.promises import Promises
from chaos_updates.scene import LOOK_S, Order, Scene
from chaos_updates.tally import Tally
from skilld.updates.bundle.release import CommitRule

_GOOD = CommitRule(min_requests=10, min_seconds=0.3)
_TOO_SLOW = CommitRule(min_requests=25, min_seconds=0.3, max_p95_ms=0.001)
_OUTAGE_S = 1.0


class Rounds:
    """See the module docstring.

    Args:
        scene: what it plays with; the box runs.
        dice: decide everything that is not left to time.
        num_kills: to come.
        digests: of what is committed, by name.
        on_progress: told a line about what is going on.
    """

    def __init__(
        self,
        scene: Scene,
        dice: random.Random,
        *,
        num_kills: int,
        digests: Mapping[str, str],
        on_progress: Callable[[str], None],
    ) -> None:
        self.tally = Tally()
        self._scene = scene
        self._dice = dice
        self._num_kills = num_kills
        self._promises = Promises(scene, self.tally, digests)
        self._on_progress = on_progress
        self._num_rounds = 0
        self._saying = ""

    @property
    def kills_left(self) -> int:
        """To come."""
        return self._num_kills - sum(self.tally.kills.values())

    def play(self) -> None:
        """One round.

        Raises:
            BrokenPromiseError: the box is in a state it must never be in.
        """
        self._num_rounds += 1
        where = f"round {self._num_rounds}"
        orders = self._draw_orders()
        releases = [f"{order.name} {order.published.release.seq}" for order in orders]
        self._saying = f"{where}: {', '.join(releases)}"
        for order in orders:
            self._send(order, force=False)
        moments = draw_moments(
            self._dice,
            min(self.kills_left, self._dice.randint(3, 4 * len(orders) + 3)),
            spared=max(order.spared for order in orders),
            goes_back=any(order.kind != "good" for order in orders),
        )
        for moment in moments:
            blow = self._dice.choices(["kill", "broker", "cut"], [0.92, 0.04, 0.04])[0]
            if not self._wait_for(moment, orders):
                continue
            if blow == "kill":
                self._kill(orders)
            else:
                self._hit_line(blow)
        self._finish(orders)
        crashed = [order for order in orders if self._promises.check(order, where)]
        for order in crashed:
            self._send(order, force=True)
        if crashed:
            self._finish(crashed)
            for order in crashed:
                self._promises.check(order, where)
        self._promises.book_calls(orders)
        self._promises.book_bytes(orders)

    def _draw_orders(self) -> list[Order]:
        names = sorted(self._scene.callers)
        if self._dice.random() < 0.7:
            names = [self._dice.choice(names)]
        orders = []
        for name in names:
            (kind,) = self._dice.choices(
                ["good", "fails its self-test", "fails its trial"], [0.7, 0.15, 0.15]
            )
            published = self._scene.site.publish(
                name,
                share=self._dice.uniform(0.2, 0.6),
                commit=_TOO_SLOW if kind == "fails its trial" else _GOOD,
                is_broken=kind == "fails its self-test",
            )
            self._scene.releases[name, published.release.seq] = published.release
            spared = SPARED_KILLS + (kind == "good" and self._dice.random() < 0.15)
            orders.append(Order(name, kind, published, self._promises.committed[name], spared))
        states = self._scene.states(orders)
        for order in orders:
            order.held = states[order.name].kept
        return orders

    def _send(self, order: Order, *, force: bool) -> None:
        order.job_id, job = self._scene.site.job(order.published.release, force=force)
        order.killed_switching = 0
        self._scene.team.publish_job(order.name, job)

    def _wait_for(self, moment: Moment, orders: Sequence[Order]) -> bool:
        """Wait for it; False when it does not come any more."""
        reached_s = self._scene.box.lives[-1].born_s if moment.place is None else None
        started_s = time.monotonic()
        while True:
            now_s = time.monotonic()
            self._look(orders, now_s - started_s)
            states = self._scene.states(orders)
            places = [place_of(states[order.name], order.job_id) for order in orders]
            if reached_s is None and self._is_reached(moment, places):
                reached_s = now_s
            is_due = reached_s is not None and now_s >= reached_s + moment.after_s
            if is_due and not any(
                places[number] in map(STEPS.index, SWITCHING)
                and order.killed_switching >= order.spared
                for number, order in enumerate(orders)
            ):
                return True
            if min(places) == ENDED and reached_s is None:
                return False
            time.sleep(LOOK_S)

    def _is_reached(self, moment: Moment, places: Sequence[int]) -> bool:
        assert moment.place is not None
        if moment.place == ENDED:
            return min(places) == ENDED
        return max(place for place in places) >= moment.place

    def _kill(self, orders: Sequence[Order]) -> None:
        box = self._scene.box
        was_ready = box.is_ready
        box.kill()
        states = self._scene.states(orders)
        found = set()
        for order in orders:
            place = place_of(states[order.name], order.job_id)
            if 0 <= place < ENDED:
                found.add(STEPS[place].value)
                order.killed_switching += STEPS[place] in SWITCHING
            else:
                found.add("job not taken yet" if place < 0 else "after the end")
        where = " + ".join(sorted(found))
        self.tally.kills[where if was_ready else f"{where}, at start"] += 1
        self._start()

    def _start(self) -> None:
        form = self._dice.choice([BESIDE, SWAP])
        self._scene.box.start(self._scene.configs[form], form=form)

    def _hit_line(self, blow: str) -> None:
        self.tally.blows[blow] += 1
        if blow == "cut":
            self._scene.line.cut()
            return
        self._scene.broker.stop()
        time.sleep(_OUTAGE_S)
        self._scene.broker.start()

    def _finish(self, orders: Sequence[Order]) -> None:
        """Until every update has ended, and the box is ready."""
        started_s = time.monotonic()
        while True:
            states = self._scene.states(orders)
            if all(place_of(states[order.name], order.job_id) == ENDED for order in orders):
                break
            self._look(orders, time.monotonic() - started_s)
            time.sleep(LOOK_S)
        self._scene.box.wait_ready()

    def _look(self, orders: Sequence[Order], waited_s: float) -> None:
        self._on_progress(self._saying)
        self._scene.look(orders, waited_s)
