"""`UpdaterThread`: drives an updater, and takes orders for it from other threads."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

from skilld.core.errors import UnavailableError
from skilld.updates.box.updater import Updater
from skilld.updates.machine.events import TrialReport

_log = logging.getLogger("skilld.updates")

ResultT = TypeVar("ResultT")
Reports = Callable[[], Mapping[str, TrialReport]]


class UpdaterThread:
    """See the module docstring.

    The updater must have been started, and what it said to serve be loaded, before `start`.

    Args:
        updater: driven from here on by this thread alone.
        reports: how candidates do, by name; asked every `tick_s`, in this thread.
        on_dead: told of an error nobody expected, after which the thread has ended.
        interrupt: ends a wait for the source, so that an order is taken at once.
        tick_s: seconds between two looks at deadlines and trials.
    """

    def __init__(
        self,
        updater: Updater,
        *,
        reports: Reports,
        on_dead: Callable[[BaseException], None],
        interrupt: Callable[[], None] = lambda: None,
        tick_s: float = 1.0,
    ) -> None:
        self._updater = updater
        self._reports = reports
        self._on_dead = on_dead
        self._interrupt = interrupt
        self._tick_s = tick_s
        self._wake = threading.Event()
        self._is_stopping = False
        self._open: set[Future[Any]] = set()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="skilld-updates", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def order(self, what: Callable[[Updater], ResultT]) -> Future[ResultT]:
        """Let the thread do something with the updater; its result or error is in the future.

        That is an `UnavailableError` (reason UPDATER_FAILED) once the thread has died.
        """
        future: Future[ResultT] = Future()
        self._open.add(future)
        future.add_done_callback(self._open.discard)

        def carry_out(updater: Updater) -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(what(updater))
            except Exception as error:
                future.set_exception(error)

        self._put(carry_out)
        if self._error is not None:
            self._fail_open()
        return future

    def stop(self, timeout_s: float) -> bool:
        """End after the action at hand; returns whether it has ended in time."""
        self._is_stopping = True
        # A download notices an order between two chunks.
        self._put(lambda updater: None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _put(self, what: Callable[[Updater], None]) -> None:
        self._updater.inbox.put(what)
        self._wake.set()
        self._interrupt()

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._wake.clear()
                has_more = self._updater.work()
                if not has_more and not self._is_stopping:
                    # Ticks come when there is nothing else to do, at least every so often.
                    self._wake.wait(self._tick_s)
                self._look()
        except BaseException as error:
            _log.exception("the updater has died")
            self._error = error
            self._fail_open()
            self._on_dead(error)

    def _fail_open(self) -> None:
        failure = UnavailableError(
            f"the updater has died of {self._error!r}; a restart of the daemon makes a new one",
            reason="UPDATER_FAILED",
        )
        for future in list(self._open):
            with contextlib.suppress(InvalidStateError):  # it has ended this moment
                future.set_exception(failure)

    def _look(self) -> None:
        for skill, report in self._reports().items():
            self._updater.observe(skill, report)
        self._updater.tick()
