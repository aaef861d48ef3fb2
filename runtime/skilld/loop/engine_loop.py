"""`EngineLoop`: see `skilld.loop`, where the life of a request is told."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from skilld.core.batch import Batch
from skilld.core.errors import CancelledError, EngineError, SkilldError, UnavailableError
from skilld.core.request import FinishReason, Request
from skilld.engine.base import Engine
from skilld.kvcache import Arena
from skilld.loop.events import Deliver, TokenChooser
from skilld.loop.outbox import Outbox, Running
from skilld.scheduler import CostModel, EngineLimits, Scheduler
from skilld.telemetry import EngineCounters

T = TypeVar("T")

_log = logging.getLogger("skilld.loop")

# The next call often takes the blocks that the last one left: then their pages may as well stay. To
# give them back takes long enough to be felt, most of all by the reply of the one call, which waits
# for this thread to let go of the interpreter.
_IDLE_BEFORE_SETTLING_S = 0.02
# A check reads every block ever used. Between two calls of a busy box it would only delay both:
# the reply of the one and the other.
_IDLE_BEFORE_CHECK_S = 0.25
# Requests wait and nothing can run: only when the host is short of memory. Look again this often.
_BLOCKED_WAIT_S = 0.02


@dataclass(frozen=True, slots=True)
class _Resident:
    engine: Engine
    kv_arena: Arena
    state_arena: Arena | None
    counters: EngineCounters


class EngineLoop:
    """The thread that owns scheduler, ledger, arenas and engines.

    Args:
        scheduler: handed over; nobody else may touch it afterwards.
        deliver: called on the engine thread with the events of one step; must not block.
    """

    def __init__(self, scheduler: Scheduler, deliver: Deliver) -> None:
        self._scheduler = scheduler
        self._outbox = Outbox(deliver)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._residents: dict[str, _Resident] = {}
        self._running: dict[str, Running] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="skilld-engine", daemon=True)

    def add_engine(
        self,
        name: str,
        engine: Engine,
        *,
        limits: EngineLimits,
        cost: CostModel,
        kv_arena: Arena,
        state_arena: Arena | None = None,
        prefixes: Iterable[Sequence[int]] = (),
    ) -> None:
        """Make an engine resident, bound to its arenas; before `start`, or through `run`.

        Args:
            name: of the engine, whose ledger account is open.
            engine: handed over.
            limits: for the scheduler.
            cost: what its steps cost, as far as known.
            kv_arena: behind its KV blocks.
            state_arena: behind its recurrent state.
            prefixes: beginnings shared by many prompts, to be computed and pinned.
        """
        self._scheduler.add_engine(name, limits, cost)
        self._residents[name] = _Resident(engine, kv_arena, state_arena, EngineCounters(name))
        for tokens in prefixes:
            if not self._scheduler.pin(name, tokens, now_s=time.monotonic()):
                _log.warning("a system prompt of %d tokens is not pinned", len(tokens))

    def remove_engine(self, name: str) -> None:
        """End what an engine still runs, and close it; through `run`."""
        for request in self._scheduler.requests(name):
            self._scheduler.abort(request)
            self._end(
                self._running[request.request_id],
                FinishReason.ERROR,
                _unloaded(name),
            )
        self._scheduler.remove_engine(name)
        self._residents.pop(name).engine.close()

    def start(self) -> None:
        """Start the engine thread."""
        self._thread.start()

    def submit(self, request: Request, chooser: TokenChooser, *, streams: bool) -> None:
        """Hand a request over. Its events, `Ended` last, come through `deliver`.

        Args:
            request: `arrival_s` and `deadline_s` are on `time.monotonic`.
            chooser: used on the engine thread only from now on.
            streams: whether events before `Ended` are wanted.
        """
        self._inbox.put(lambda: self._add(Running(request, chooser, streams)))

    def abort(self, request_id: str) -> None:
        """End a request at the next step border; unknown or ended ids are ignored."""
        self._inbox.put(lambda: self._abort(request_id))

    def call(self, function: Callable[[], None]) -> None:
        """Run a function on the engine thread at the next step border, all memory settled."""

        def act() -> None:
            self._settle_pages()
            function()

        self._inbox.put(act)

    def run(self, function: Callable[[], T]) -> T:
        """Run a function as `call` does, and wait for it."""
        if not self._thread.is_alive():
            return function()
        answer: Future[T] = Future()

        def act() -> None:
            try:
                self._settle_pages()
                answer.set_result(function())
            except Exception as error:
                answer.set_exception(error)

        self._inbox.put(act)
        return answer.result()

    def set_memory_limit(self, limit_bytes: int) -> None:
        """Keep cache memory below this from the next step border on; see `Scheduler`."""
        self._inbox.put(lambda: self._scheduler.limit_memory(limit_bytes))

    def stop(self, timeout_s: float) -> bool:
        """Abort what is left, close the engines, end the thread; False if it did not in time."""
        self._inbox.put(self._begin_stop)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def snapshot(self) -> list[dict[str, Any]]:
        """Figures of every engine, for `ps`; on the engine thread, through `call`."""
        now_s = time.monotonic()
        return [
            {
                "engine": name,
                **self._scheduler.figures(name),
                **resident.counters.snapshot(now_s),
            }
            for name, resident in self._residents.items()
        ]

    def arenas(self) -> Mapping[str, tuple[Arena, ...]]:
        """The arenas of every engine; reading their residency needs no thread."""
        return {
            name: tuple(a for a in (r.kv_arena, r.state_arena) if a is not None)
            for name, r in self._residents.items()
        }

    def check(self) -> None:
        """Prove the accounts; on the engine thread, through `call`."""
        self._scheduler.check()

    # --- engine thread ---------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._drain_inbox()
                start_s = time.monotonic()
                batch = self._plan(start_s)
                self._settle_pages()
                self._outbox.flush()  # who was accepted or came too late need not wait for the step
                if batch is not None:
                    self._step(batch, start_s)
                    self._outbox.flush()
                elif self._scheduler.has_work:
                    self._wait_blocked()
        except BaseException:
            # Scheduler and engines may disagree now; nothing can be served. The service manager
            # restarts the process, which comes up clean because it keeps nothing on disk.
            _log.critical("engine thread failed, the process ends", exc_info=True)
            os._exit(70)
        for resident in self._residents.values():
            resident.engine.close()

    def _drain_inbox(self) -> None:
        if not self._scheduler.has_work and not self._stopping:
            self._wait_for_message()()
        while True:
            try:
                message = self._inbox.get_nowait()
            except queue.Empty:
                return
            message()

    def _wait_for_message(self) -> Callable[[], None]:
        """Block until there is something to do; meanwhile, do what need not be done during calls.

        Memory goes back, and when it takes longer the accounts are proven.
        """
        with contextlib.suppress(queue.Empty):
            return self._inbox.get(timeout=_IDLE_BEFORE_SETTLING_S)
        self._settle_pages()
        try:
            return self._inbox.get(timeout=_IDLE_BEFORE_CHECK_S)
        except queue.Empty:
            self._scheduler.check()
            return self._inbox.get()

    def _wait_blocked(self) -> None:
        try:
            self._inbox.get(timeout=_BLOCKED_WAIT_S)()
        except queue.Empty:
            return

    def _plan(self, now_s: float) -> Batch | None:
        batch, ended = self._scheduler.schedule(now_s)
        for finished in ended:
            self._end(self._running[finished.request.request_id], finished.reason, finished.error)
        return batch

    def _settle_pages(self) -> None:
        """Let memory follow the accounts: what was taken, copied and freed since the last time."""
        for name, cache in self._scheduler.memory.caches.items():
            if not (cache.is_dirty or cache.copies):
                continue
            resident = self._residents[name]
            fresh, returned = cache.blocks.drain()
            resident.kv_arena.mark_taken(fresh)
            # A source may be free by now; its pages are still there, and copies go in order.
            for source, target in cache.copies:
                resident.kv_arena.copy_block(source, target)
            cache.copies.clear()
            resident.kv_arena.give_back(returned)
            if resident.state_arena is not None:
                fresh, returned = cache.states.drain()
                resident.state_arena.mark_taken(fresh)
                resident.state_arena.give_back(returned)

    def _step(self, batch: Batch, start_s: float) -> None:
        resident = self._residents[batch.engine]
        try:
            output = resident.engine.step(batch)
        except Exception as error:
            self._fail_step(batch, error)
            return
        new_tokens: dict[str, Sequence[int]] = {}
        drafts: dict[str, Sequence[int]] = {}
        failed: dict[str, SkilldError] = {}
        line = num_chosen = 0
        for row in batch.rows:
            entry = self._running.get(row.request_id)
            if entry is None:
                continue  # a pinned beginning in the making; it wants no logits
            entry.num_steps += 1
            entry.first_step_s = entry.first_step_s or start_s
            if row.num_logits == 0:
                continue
            chooser = entry.chooser
            tokens: Sequence[int] = ()
            try:
                tokens = chooser.advance(output, line, row.draft)
            except SkilldError as error:
                failed[row.request_id] = error
            new_tokens[row.request_id] = tokens
            num_chosen += len(tokens)
            if chooser.finish_reason is None and (draft := chooser.draft):
                drafts[row.request_id] = draft
            line += row.num_logits
        now_s = time.monotonic()
        ended: list[Request] = []
        for request_id, tokens in new_tokens.items():
            entry = self._running[request_id]
            if self._hand_out(entry, tokens, failed.get(request_id)):
                ended.append(entry.request)
        self._outbox.flush()  # the event loop wakes up while the rest is done
        self._scheduler.update(
            batch,
            step_ms=(now_s - start_s) * 1000.0,
            new_tokens=new_tokens,
            drafts=drafts,
            now_s=now_s,
        )
        resident.counters.book_step(
            rows=len(batch.rows),
            chosen_tokens=num_chosen,
            step_ms=output.step_ms,
            now_s=now_s,
        )
        for request in ended:
            self._scheduler.finish(request)

    def _hand_out(self, entry: Running, tokens: Sequence[int], error: SkilldError | None) -> bool:
        """Report what a step chose for a request; returns whether that is its end."""
        if error is not None:
            self._end(entry, FinishReason.ERROR, error)
            return True
        entry.first_token_s = entry.first_token_s or time.monotonic()
        self._outbox.tokens(entry, tokens)
        if entry.chooser.finish_reason is None:
            return False
        self._end(entry, entry.chooser.finish_reason, None, tokens)
        return True

    def _fail_step(self, batch: Batch, error: Exception) -> None:
        _log.error("step failed", exc_info=error, extra={"engine": batch.engine})
        failure = (
            error
            if isinstance(error, SkilldError)
            else EngineError(f"engine {batch.engine!r} failed a step; the log says more")
        )
        self._scheduler.drop(batch)
        for row in batch.rows:
            if entry := self._running.get(row.request_id):
                self._end(entry, FinishReason.ERROR, failure)

    def _add(self, entry: Running) -> None:
        request = entry.request
        self._running[request.request_id] = entry
        try:
            if request.engine not in self._residents:
                raise _unloaded(request.engine)
            forced = entry.chooser.start()
            if entry.chooser.finish_reason is not None:  # the schema admits one answer only
                request.tokens += forced
                self._outbox.accepted(entry, 0)
                self._outbox.tokens(entry, forced)
                self._end(entry, entry.chooser.finish_reason, None)
                return
            position = self._scheduler.add(request)
        except SkilldError as error:
            self._end(entry, FinishReason.ERROR, error)
            return
        request.tokens += forced
        room = request.max_total_tokens - len(request.tokens)
        request.draft = entry.chooser.draft[:room]
        self._outbox.accepted(entry, position)
        self._outbox.tokens(entry, forced)

    def _abort(self, request_id: str) -> None:
        entry = self._running.get(request_id)
        if entry is not None and self._scheduler.abort(entry.request):
            self._end(entry, FinishReason.ABORT, CancelledError("the caller cancelled the call"))

    def _end(
        self,
        entry: Running,
        reason: FinishReason,
        error: SkilldError | None,
        last_tokens: Sequence[int] = (),
    ) -> None:
        """A request ended; its last tokens are those that the scheduler has not booked yet."""
        request = entry.request
        del self._running[request.request_id]
        resident = self._residents.get(request.engine)
        self._outbox.ended(
            entry,
            reason,
            error,
            last_tokens=last_tokens,
            kv_bytes=self._scheduler.held_bytes(request),
            counters=None if resident is None else resident.counters,
        )

    def _begin_stop(self) -> None:
        self._stopping = True
        for request_id in list(self._running):
            self._abort(request_id)
        self._outbox.flush()


def _unloaded(engine: str) -> UnavailableError:
    return UnavailableError(f"engine {engine!r} was unloaded", reason="ENGINE_UNLOADED")
