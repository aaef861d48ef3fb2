"""`Scene`: everything a round plays with, and `Order`: one release a box is told to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from field.broker import SiteBroker, Team
from field.caller import Caller
from field.processes import BoxProcess
from field.releases import Published, ReleaseSite

from chaos_updates.moments import SPARED_KILLS
from chaos_updates.proxy import BadLine
from skilld.updates.bundle import Release
from skilld.updates.machine import SkillState

LOOK_S = 0.002
PATIENCE_S = 150.0  # without a kill, for an update to end or a report to come


class BrokenPromiseError(Exception):
    """The run cannot go on: the box is in a state it must never be in."""


@dataclass
class Order:
    """One release that the box is told to run, and how it has gone so far.

    Attributes:
        name: of the engine.
        kind: "good", "fails its self-test" or "fails its trial".
        published: the release.
        before: digest and number of what is committed.
        spared: most kills while the release is switched to or tried.
        held: numbers of the releases on the box before.
        job_id: of the last job for it.
        killed_switching: how often it was killed there, since the last job.
    """

    name: str
    kind: str
    published: Published
    before: tuple[str, int | None]
    spared: int
    held: Collection[int] = ()
    job_id: str = ""
    killed_switching: int = 0

    @property
    def may_crash(self) -> bool:
        """It was started often enough in a switch for the box to give it up."""
        return self.killed_switching > SPARED_KILLS


@dataclass
class Scene:
    """Everything a round plays with.

    Attributes:
        site: makes releases.
        team: orders and listens.
        broker: between them and the box.
        line: between the broker and the box.
        box: that is killed.
        callers: by the name of the engine they call.
        store: of the box.
        configs: of the box, by form.
        releases: those the box may hold, by name and number.
    """

    site: ReleaseSite
    team: Team
    broker: SiteBroker
    line: BadLine
    box: BoxProcess
    callers: Mapping[str, Caller]
    store: Path
    configs: Mapping[str, str]
    releases: dict[tuple[str, int], Release] = field(default_factory=dict)
    _seen: dict[str, tuple[tuple[int, int], SkillState]] = field(default_factory=dict)

    def states(self, orders: Sequence[Order]) -> dict[str, SkillState]:
        """As their files say, which are the only truth; they are replaced as a whole."""
        return {order.name: self.state(order.name) for order in orders}

    def state(self, name: str) -> SkillState:
        """The same, of one engine."""
        path = self.store / "state" / f"{name}.json"
        try:
            found = path.stat()
            mark = (found.st_ino, found.st_mtime_ns)
            seen, state = self._seen.get(name, (None, None))
            if state is None or seen != mark:
                state = SkillState.model_validate_json(path.read_bytes())
                self._seen[name] = mark, state
        except FileNotFoundError:
            state = SkillState(skill=name)
        return state

    def look(self, orders: Sequence[Order], waited_s: float) -> None:
        """Whether there is still something to wait for.

        Raises:
            BrokenPromiseError: there is not.
        """
        box = self.box
        if box.has_died:
            raise BrokenPromiseError(f"the daemon has ended by itself; see {box.log_path}")
        for name, caller in self.callers.items():
            if not caller.is_alive:
                raise BrokenPromiseError(f"the caller of {name} has died")
        if waited_s > PATIENCE_S:
            states = self.states(orders)
            raise BrokenPromiseError(
                f"no end after {waited_s:.0f} s without a kill: "
                + "; ".join(f"{name}: {state.job}" for name, state in states.items())
            )
