"""`Updater`: carries out what the state machine decides, for every name on one box.

The life of an update:

1. `submit` checks a job's signatures and hands it to the machine.
2. Whatever the machine decides is written durably, told to the listener, and only then done.
3. `work` does one action at a time (a download in slices) and hands its result to the machine.
4. A source that is away is asked again later; every other error is an event like any other.
5. In a trial, `observe` hands in how the candidate does, until the machine commits or rolls back.
6. `start`, after a restart, says what to serve, and 3 goes on where it was.

It is driven by one thread, which owns it; others put orders into `inbox`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from skilld.core.errors import SkilldError, UnavailableError
from skilld.updates.box.activation import Activation
from skilld.updates.box.execution import NO_SPACE, Execution
from skilld.updates.box.intake import Intake, Trust
from skilld.updates.box.requirements import BoxFacts
from skilld.updates.box.states import StateStore
from skilld.updates.box.wait_notes import WaitNotes
from skilld.updates.machine import events as e
from skilld.updates.machine.machine import Decision, decide
from skilld.updates.machine.state import SkillState, Status, Step
from skilld.updates.store.files import Files
from skilld.updates.store.releases import ReleaseStore
from skilld.updates.trust.order import Command, Order
from skilld.updates.trust.sources import BlobSource

_log = logging.getLogger("skilld.updates")

_SLICE_S = 2.0  # of a download, before orders are taken and progress is shown
_FIRST_RETRY_S = 1.0
_MAX_RETRY_S = 60.0
_GATE_LOOK_S = 10.0


class Listener(Protocol):
    """Who is told how updates go; called by the updater's thread."""

    def on_state(self, state: SkillState) -> None:
        """A name has a new state, which is durable."""

    def on_progress(self, skill: str, held_bytes: int, total_bytes: int) -> None:
        """More of a release is here."""

    def on_wait(self, skill: str, reason: str, message: str) -> None:
        """Its update cannot go on now; it will be tried again by itself."""

    def on_answer(self, skill: str, job_id: str, status: Status, reason: str) -> None:
        """What became of a job that is not the current one of its name."""


class Updater:
    """See the module docstring.

    Args:
        files: of the store.
        store_dir: where these files are, for whoever loads an engine from there.
        trust: in releases and jobs.
        source: of metadata and blobs.
        activation: the running box.
        facts: about it.
        listener: told of everything.
        why_no_download: why nothing may be downloaded now; "" if it may.
        clock: a monotonic one, in seconds.
    """

    def __init__(
        self,
        files: Files,
        store_dir: Path,
        *,
        trust: Trust,
        source: BlobSource,
        activation: Activation,
        facts: BoxFacts,
        listener: Listener,
        why_no_download: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inbox: SimpleQueue[Callable[[Updater], None]] = SimpleQueue()
        self._trust = trust
        self._source = source
        self._listener = listener
        self._why_no_download = why_no_download
        self._clock = clock
        self._notes = WaitNotes(files)
        self._state_store = StateStore(files, ReleaseStore(files))
        self._intake = Intake(files, trust, facts, on_progress=listener.on_progress)
        self._execution = Execution(
            files, store_dir, intake=self._intake, source=source, activation=activation
        )
        self._downloading = ""  # the name whose release was fetched last
        self._until_s = float("inf")  # end of the slice of a download
        self._states: dict[str, SkillState] = {}
        self._pending: dict[str, deque[e.Action]] = {}
        self._retries: dict[str, tuple[float, float]] = {}  # when, and the wait before it
        # Names whose state cannot be written, and what to decide again when it can.
        self._halted: dict[str, e.Event | None] = {}

    def start(self) -> dict[str, Path | None]:
        """Take up what was left; call once, before anything is loaded.

        Returns:
            The engine folder to load for every name; None for the one the box was set up with.
        """
        self._notes.remove_all()
        for skill in self._state_store.skills():
            state = self._states[skill] = self._state_store.read(skill)
            held = 0
            if state.job is not None and state.job.is_open:
                held = self._intake.held_bytes(skill, state.job.job.seq)
            self._feed(skill, e.Restarted(held))
        return {
            skill: self._execution.folder(skill, self._serving(skill)) for skill in self._states
        }

    def states(self) -> list[SkillState]:
        """Of every name, in order."""
        return [self._states[skill] for skill in sorted(self._states)]

    def submit(self, data: bytes) -> None:
        """Take a signed job.

        Raises:
            UpdateError: it cannot be trusted, or is not for this box.
            UnavailableError: the source cannot be reached, so nobody can tell; try again.
        """
        job = self._intake.job(data, self._source)
        if job.skill not in self._states:
            self._states[job.skill] = self._state_store.read(job.skill)
        self._feed(job.skill, e.JobArrived(job))

    def order(self, data: bytes) -> Order:
        """Take a signed order; nothing happens if it is about no job that is under way.

        Raises:
            UpdateError: it cannot be trusted, or is not for this box.
            UnavailableError: nobody can tell now; try again.
        """
        order = self._intake.order(data, self._source)
        self.obey(order)
        return order

    def obey(self, order: Order) -> None:
        """Do what an order says that was trusted before."""
        if order.command is Command.CANCEL:
            self.cancel(order.job)
        else:
            self.commit(order.job)

    def cancel(self, job_id: str) -> None:
        """Undo a job that is not finished; nothing happens if there is none of that id."""
        for skill in self._states:
            self._feed(skill, e.CancelOrdered(job_id))

    def commit(self, job_id: str) -> None:
        """End a trial well; nothing happens if there is none of that job."""
        for skill in self._states:
            self._feed(skill, e.CommitOrdered(job_id))

    def observe(self, skill: str, report: e.TrialReport) -> None:
        """Hand in how the candidate of a name does; nothing happens if it has none."""
        if skill in self._states:
            self._feed(skill, report)

    def lost(self, skill: str, message: str) -> None:
        """Hand in that the candidate of a name could not be loaded at start, or died for good."""
        assert skill in self._states
        self._feed(skill, e.Failed("LOAD_FAILED", message, is_bad=True))

    def tick(self) -> None:
        """Let deadlines pass, and try again what a full or read-only disk has stopped."""
        for skill in list(self._states):
            if skill in self._halted:
                self._resume(skill)
            self._feed(skill, e.Tick())

    def has_other_work(self) -> bool:
        """Whether this thread is wanted elsewhere; who waits for a source should not wait on."""
        return not self.inbox.empty() or self._clock() >= self._until_s

    def work(self) -> bool:
        """Do one action; returns whether there is another to do at once."""
        while not self.inbox.empty():
            self.inbox.get()(self)
        due = self._due()
        if due:
            skill = due[0]
            self._do(skill, self._pending[skill])
            self._pending[skill] = self._pending.pop(skill)  # the others come first now
        return bool(self._due())

    def _due(self) -> list[str]:
        """Names with something to do now; of equal rank, who has waited longest first."""
        now_s = self._clock()
        due = [
            skill
            for skill, actions in self._pending.items()
            if actions and now_s >= self._retries.get(skill, (0.0, 0.0))[0]
        ]
        return sorted(due, key=self._rank)

    def _rank(self, skill: str) -> int:
        """Callers first: those of a name whose old release has ended, or whose new one has failed.

        Downloads last, and one after the other: what is under way for one is lost to the other, so
        two that take turns on a slow line would keep it from ever getting on.
        """
        match self._pending[skill][0]:
            case e.Activate() | e.RollBack():
                return 0
            case e.Download():
                return 2 if skill == self._downloading else 3
            case _:
                return 1

    def _do(self, skill: str, actions: deque[e.Action]) -> None:
        action = actions[0]
        if isinstance(action, e.Collect):
            actions.popleft()
            try:
                self._execution.collect(skill, self._states.values())
            except OSError as error:  # garbage is taken out another time
                _log.warning("%s: old releases cannot be deleted: %s", skill, error)
            return
        if isinstance(action, e.Download) and (why := self._why_no_download()):
            self._put_off(skill, _GATE_LOOK_S, "OUTSIDE_DOWNLOAD_HOURS", why)
            return
        if isinstance(action, e.Download):
            self._downloading = skill
            self._until_s = self._clock() + _SLICE_S
        try:
            event = self._execution.carry_out(
                skill,
                action,
                should_pause=self.has_other_work,
            )
        except UnavailableError as error:
            if not self.inbox.empty():
                return  # it was interrupted, and is not to blame
            last_s = self._retries.get(skill, (0.0, _FIRST_RETRY_S / 2))[1]
            wait_s = min(_MAX_RETRY_S, 2 * last_s)
            _log.warning("%s: %s; again in %.0f s", skill, error.message, wait_s)
            self._put_off(skill, wait_s, error.reason, error.message)
            return
        finally:
            self._until_s = float("inf")
        self._go_on(skill)
        if event is not None:
            actions.popleft()
            self._feed(skill, event)

    def _put_off(self, skill: str, wait_s: float, reason: str, message: str) -> None:
        self._retries[skill] = (self._clock() + wait_s, wait_s)
        self._notes.leave(skill, reason, message)
        self._listener.on_wait(skill, reason, message)

    def _go_on(self, skill: str) -> None:
        self._retries.pop(skill, None)
        self._notes.remove(skill)

    def _feed(self, skill: str, event: e.Event) -> None:
        state = self._states[skill]
        decision = decide(state, event, self._trust.now_s())
        pending = self._pending.setdefault(skill, deque())
        actions = [a for a in decision.actions if not isinstance(a, e.Answer)]
        if decision.state != state:
            try:
                self._write(skill, decision.state)
            except OSError as error:
                self._stop(skill, event, decision, error)
                return
            pending.clear()  # they were of a state that is no more
            self._go_on(skill)
            self._listener.on_state(decision.state)
        pending.extend(actions)
        for action in decision.actions:
            if isinstance(action, e.Answer):
                self._listener.on_answer(skill, action.job_id, action.status, action.reason)

    def _write(self, skill: str, state: SkillState) -> None:
        try:
            self._state_store.write(state)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            self._execution.collect(
                skill, self._states.values()
            )  # it may be our own garbage that fills the disk
            self._state_store.write(state)
        self._states[skill] = state
        self._halted.pop(skill, None)

    def _stop(self, skill: str, event: e.Event, decision: Decision, error: OSError) -> None:
        """What is decided cannot be written, so it must not happen; but a rollback must.

        The box then serves what the file names, which is what a restart would serve.
        """
        state, record = self._states[skill], decision.state.job
        if record is None:
            return
        if isinstance(event, e.JobArrived):
            self._listener.on_answer(skill, event.job.id, Status.FAILED, "STORE_FAILED")
        elif skill not in self._halted:
            _log.error("%s: the state cannot be written: %s", skill, error)
            self._listener.on_answer(skill, record.job.id, Status.FAILED, "STORE_FAILED")
        self._pending[skill].clear()
        goes_back = any(isinstance(action, e.RollBack) for action in decision.actions)
        again = event if goes_back else self._halted.get(skill)
        if isinstance(event, e.Restarted):  # `start` has the old release loaded
            again = e.Failed("STORE_FAILED", "the disk could not be written at start")
        self._halted[skill] = again
        was_touched = state.job is not None and state.job.step in (Step.DRAINING, Step.ACTIVATING)
        if was_touched or goes_back:
            try:
                self._execution.roll_back(skill, state.active, record.job.seq)
            except (SkilldError, OSError) as failure:
                _log.error("%s: cannot roll back: %s", skill, failure)

    def _resume(self, skill: str) -> None:
        """Go on as soon as the disk can be written again."""
        state, again = self._states[skill], self._halted[skill]
        try:
            self._write(skill, state)
        except OSError:
            return
        if state.job is None or state.job.step is not Step.TRIAL:
            # The old release serves, as after a restart.
            self._feed(skill, e.Restarted(0))
        elif again is not None:
            self._feed(skill, again)  # it went back, and no file says so yet

    def _serving(self, skill: str) -> int | None:
        state = self._states[skill]
        # A trial whose starts cannot be counted would never end.
        return state.active if skill in self._halted else state.serving
