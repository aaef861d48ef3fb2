"""`SkillService`: what any transport may ask. Async, and blind to how the question came in.

Lives on one asyncio event loop, which never computes; the engine loop does that on its thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from skilld.core.errors import (
    EngineError,
    OverloadedError,
    SkilldError,
    UnavailableError,
)
from skilld.kvcache import Arena
from skilld.loop import Accepted, Ended, EngineLoop, Event, Tokens
from skilld.service.answer_history import AnswerHistory
from skilld.service.call import Call, Delta, Outcome
from skilld.service.offering import Offering
from skilld.service.translation import outcome_of, prepare_input, request_of, validate_input
from skilld.skills import Catalog, RegisteredSkill

_log = logging.getLogger("skilld.service")

ResultT = TypeVar("ResultT")
OnEnded = Callable[[RegisteredSkill, float, bool], None]


class SkillService:
    """See the module docstring.

    Args:
        catalog: the skills served.
        max_concurrent_calls: calls in flight on this box before new ones are turned away.
        max_draft: most guessed tokens of a row.

    Attributes:
        offering: which skills callers reach; change it through `run`.
        on_ended: told of every call that was answered, or failed by our fault: its skill, its time
            in milliseconds, and whether it failed.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        max_concurrent_calls: int = 256,
        max_draft: int = 8,
    ) -> None:
        self.offering = Offering(catalog)
        self.on_ended: OnEnded | None = None
        self._max_concurrent_calls = max_concurrent_calls
        self._max_draft = max_draft
        self._inboxes: dict[str, asyncio.Queue[Event]] = {}
        self._ids = itertools.count(1)
        self._histories: dict[str, AnswerHistory] = {}
        self._num_calls: Counter[str] = Counter()  # in flight, by the engine that runs them
        self._emptied: dict[str, asyncio.Event] = {}
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._engine_loop: EngineLoop | None = None
        self._event_loop: asyncio.AbstractEventLoop | None = None

    def attach(self, engine_loop: EngineLoop) -> None:
        """Bind to the engine loop, from inside the running event loop."""
        self._engine_loop = engine_loop
        self._event_loop = asyncio.get_running_loop()

    def deliver(self, events: list[Event]) -> None:
        """Entry point of the engine thread: thread border 2."""
        assert self._event_loop is not None
        self._event_loop.call_soon_threadsafe(self._dispatch, events)

    def run(self, function: Callable[[], ResultT]) -> ResultT:
        """Run a function between two events of the event loop, from another thread, and wait.

        Whoever changes what is offered does it here: a call looks its skill up, is counted and is
        described in one go, so all of that is of one version.
        """
        if self._event_loop is None:  # nobody can call yet
            return function()

        async def act() -> ResultT:
            return function()

        return self._future_of(act()).result()

    def wait_for(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine on the event loop, from another thread, and wait for its end."""
        return self._future_of(coroutine).result()

    def _future_of(self, coroutine: Coroutine[Any, Any, ResultT]) -> Future[ResultT]:
        assert self._event_loop is not None
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._event_loop)
        except RuntimeError as error:  # the loop is closed
            coroutine.close()
            raise UnavailableError("the daemon is shutting down") from error

    # --- versions ----------------------------------------------------------------------------

    async def drain_engine(self, engine: str, timeout_s: float) -> bool:
        """Wait for the calls in flight of an engine nobody is sent to; False when some are left."""
        if not self._num_calls[engine]:
            return True
        emptied = self._emptied.setdefault(engine, asyncio.Event())
        try:
            async with asyncio.timeout(timeout_s):
                await emptied.wait()
        except TimeoutError:
            return False
        return True

    async def ask(self, entry: RegisteredSkill, call: Call) -> Outcome:
        """Run a call on a skill whether it is offered or not, for self-tests.

        The call's own time limit counts, not the skill's.

        Raises:
            SkilldError: as `invoke`.
        """
        return await _last_of(self._run(call, streams=False, entry=entry))

    # --- questions ---------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Whether new calls are turned away because the daemon is going down."""
        return self._draining

    async def snapshot(self) -> list[dict[str, Any]]:
        """Figures of every engine, cache residency as the operating system sees it included."""
        assert self._engine_loop is not None
        engine_loop = self._engine_loop
        answer: asyncio.Future[tuple[list[dict[str, Any]], Mapping[str, tuple[Arena, ...]]]]
        answer = asyncio.get_running_loop().create_future()

        def read() -> None:
            assert self._event_loop is not None
            state = engine_loop.snapshot(), engine_loop.arenas()
            self._event_loop.call_soon_threadsafe(answer.set_result, state)

        engine_loop.call(read)
        figures, arenas = await answer
        for entry in figures:
            entry["kv_resident_bytes"] = await asyncio.to_thread(
                _resident_bytes, arenas[entry["engine"]]
            )
        return figures

    # --- calls -------------------------------------------------------------------------------

    async def invoke(self, call: Call) -> Outcome:
        """Run a call to its end.

        Raises:
            SkilldError: any of the tree; see `skilld.core.errors`.
        """
        return await _last_of(self._run(call, streams=False))

    def stream(self, call: Call) -> AsyncGenerator[Accepted | Delta | Outcome, None]:
        """Run a call: `Accepted`, then `Delta`s, then one `Outcome`.

        Close it (`contextlib.aclosing`) when leaving early: that is what cancels the call.

        Raises:
            SkilldError: while iterating.
        """
        return self._run(call, streams=True)

    async def drain(self, timeout_s: float) -> bool:
        """Turn new calls away and wait for those in flight; False when some are left."""
        self._draining = True
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def _run(
        self, call: Call, *, streams: bool, entry: RegisteredSkill | None = None
    ) -> AsyncGenerator[Accepted | Delta | Outcome, None]:
        assert self._engine_loop is not None
        arrival_s = time.monotonic()
        is_asked = entry is not None
        if entry is None:
            entry = self.offering.get(call.skill)
            self._check_room()
        engine = entry.runs_on
        self._num_calls[engine] += 1  # before anything is awaited; see `run`
        request_id = str(next(self._ids))
        inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._inboxes[request_id] = inbox
        self._idle.clear()
        is_submitted = ended = False
        try:
            values = dict(call.input)
            validate_input(entry, values)
            prepared = await prepare_input(entry, values)
            decoding = entry.decoding(
                prepared,
                seed=call.seed,
                max_tokens=call.max_tokens,
                jump_forward=call.jump_forward,
                max_draft=self._max_draft,
            )
            request = request_of(
                call,
                entry,
                prepared.prompt,
                request_id,
                arrival_s=arrival_s,
                is_asked=is_asked,
            )
            history = self._histories.setdefault(call.skill, AnswerHistory())
            request.expected_tokens, request.expected_steps = history.expect(request.max_tokens)
            # Marks mean nothing to callers, and the end of a phrase is known last.
            shows_text = streams and prepared.marked is None
            detokenizer = entry.tokenizer.stream() if shows_text else None
            self._engine_loop.submit(request, decoding, streams=streams)
            is_submitted = True
            while not ended:
                match await inbox.get():
                    case Accepted() as accepted:
                        yield accepted
                    case Tokens(token_ids=token_ids):
                        if detokenizer is not None and (text := detokenizer.push(token_ids)):
                            yield Delta(text)
                    case Ended() as event:
                        ended = True
                        if event.error is None:
                            history.book(len(event.token_ids), event.num_steps)
                        with self._telling(entry, event, is_asked=is_asked):
                            outcome = outcome_of(entry, prepared, decoding, request, event)
                        yield outcome
        finally:
            # The caller left, or took no interest in the rest: its blocks go back at once.
            if is_submitted and not ended:
                self._engine_loop.abort(request_id)
            del self._inboxes[request_id]
            if not self._inboxes:
                self._idle.set()
            self._num_calls[engine] -= 1
            if not self._num_calls[engine]:
                del self._num_calls[engine]
                if emptied := self._emptied.pop(engine, None):
                    emptied.set()

    @contextlib.contextmanager
    def _telling(
        self, entry: RegisteredSkill, event: Ended, *, is_asked: bool
    ) -> Generator[None, None, None]:
        is_error = False
        try:
            yield
        except EngineError:
            is_error = True
            raise
        except SkilldError:
            is_asked = True  # the caller left, or gave it too little time
            raise
        finally:
            if self.on_ended is not None and not is_asked:
                self.on_ended(entry, event.total_ms, is_error)

    def _check_room(self) -> None:
        if self._draining:
            raise UnavailableError("the daemon is shutting down", reason="DRAINING")
        if len(self._inboxes) >= self._max_concurrent_calls:
            raise OverloadedError(
                f"{len(self._inboxes)} calls are in flight, the limit of this box",
                retry_after_s=0.1,
                reason="TOO_MANY_CALLS",
            )

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            inbox = self._inboxes.get(event.request_id)
            if inbox is not None:  # the caller may have left meanwhile
                inbox.put_nowait(event)


async def _last_of(call: AsyncGenerator[Accepted | Delta | Outcome, None]) -> Outcome:
    async with contextlib.aclosing(call) as events:
        async for event in events:
            if isinstance(event, Outcome):
                return event
    raise AssertionError("a call ended without an outcome")


def _resident_bytes(arenas: Sequence[Arena]) -> int:
    return sum(arena.resident_bytes() for arena in arenas)


def error_of(error: BaseException) -> SkilldError:
    """Any exception as one of the tree; a surprise is logged and keeps its details to itself."""
    if isinstance(error, SkilldError):
        return error
    _log.error("unexpected error", exc_info=error)
    return EngineError("internal error; the daemon's log says more", reason="INTERNAL")
