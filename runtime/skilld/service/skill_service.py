"""`SkillService`: what any transport may ask. Async, and blind to how the question came in.

Lives on one asyncio event loop, which never computes; the engine loop does that on its thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from skilld.core.errors import (
    EngineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    SkilldError,
    UnavailableError,
)
from skilld.core.request import Request
from skilld.kvcache import Arena
from skilld.loop import Accepted, Ended, EngineLoop, Event, Tokens
from skilld.service.answer_history import AnswerHistory
from skilld.service.call import Call, Delta, Outcome, Usage
from skilld.service.status import RefusedEngine
from skilld.skills.answer import read_answer
from skilld.skills.catalog import Catalog, PreparedCall, RegisteredSkill
from skilld.skills.decoding import Decoding

_log = logging.getLogger("skilld.service")

_LONG_PROMPT_CHARS = 4096


class SkillService:
    """See the module docstring.

    Args:
        catalog: the skills served.
        refused: engines that did not load.
        max_concurrent_calls: calls in flight on this box before new ones are turned away.
        max_draft: most guessed tokens of a row.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        refused: tuple[RefusedEngine, ...] = (),
        max_concurrent_calls: int = 256,
        max_draft: int = 8,
    ) -> None:
        self.catalog = catalog
        self.refused = refused
        self._max_concurrent_calls = max_concurrent_calls
        self._max_draft = max_draft
        self._inboxes: dict[str, asyncio.Queue[Event]] = {}
        self._ids = itertools.count(1)
        self._histories: dict[str, AnswerHistory] = {}
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

    # --- questions ---------------------------------------------------------------------------

    def skills(self) -> list[RegisteredSkill]:
        """All skills served, by id."""
        return sorted(self.catalog, key=lambda entry: entry.skill.id)

    def get(self, skill_id: str) -> RegisteredSkill:
        """One skill.

        Raises:
            NotFoundError: no such skill.
            UnavailableError: reason ENGINE_REFUSED; its engine did not load, and why.
        """
        try:
            return self.catalog.get(skill_id)
        except NotFoundError:
            for engine in self.refused:
                if skill_id in engine.skills:
                    raise UnavailableError(
                        f"the engine of skill {skill_id!r} was refused: {engine.error.message}",
                        reason="ENGINE_REFUSED",
                        cause=engine.error.reason,
                    ) from None
            raise

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
        async with contextlib.aclosing(self._run(call, streams=False)) as events:
            async for event in events:
                if isinstance(event, Outcome):
                    return event
        raise AssertionError("a call ended without an outcome")

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
        self, call: Call, *, streams: bool
    ) -> AsyncGenerator[Accepted | Delta | Outcome, None]:
        assert self._engine_loop is not None
        arrival_s = time.monotonic()
        entry = self.get(call.skill)
        self._check_room()
        request_id = str(next(self._ids))
        inbox: asyncio.Queue[Event] = asyncio.Queue()
        self._inboxes[request_id] = inbox
        self._idle.clear()
        is_submitted = ended = False
        try:
            values = dict(call.input)
            _validate_input(entry, values)
            prepared = await _prepare(entry, values)
            decoding = entry.decoding(
                prepared,
                seed=call.seed,
                max_tokens=call.max_tokens,
                jump_forward=call.jump_forward,
                max_draft=self._max_draft,
            )
            request = _request(call, entry, prepared.prompt, request_id, arrival_s=arrival_s)
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
                        yield _outcome(entry, prepared, decoding, request, event)
        finally:
            # The caller left, or took no interest in the rest: its blocks go back at once.
            if is_submitted and not ended:
                self._engine_loop.abort(request_id)
            del self._inboxes[request_id]
            if not self._inboxes:
                self._idle.set()

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


def _validate_input(entry: RegisteredSkill, values: dict[str, Any]) -> None:
    violations = [
        (error.json_path, error.message)
        for error in itertools.islice(entry.input_validator.iter_errors(values), 8)
    ]
    if violations:
        path, message = violations[0]
        raise InvalidRequestError(
            f"input of skill {entry.skill.id!r}: {path}: {message}",
            violations=violations,
            skill=entry.skill.id,
        )


async def _prepare(entry: RegisteredSkill, values: dict[str, Any]) -> PreparedCall:
    """Mark and tokenize an input; a long one must not hold up every other caller."""
    segments = entry.prompt.render(values)
    if sum(len(segment.text) for segment in segments) < _LONG_PROMPT_CHARS:
        return entry.prepare(values)
    return await asyncio.to_thread(entry.prepare, values)


def _request(
    call: Call, entry: RegisteredSkill, prompt: list[int], request_id: str, *, arrival_s: float
) -> Request:
    skill = entry.skill
    timeout_s = skill.timeout_s
    if call.timeout_s is not None:
        timeout_s = min(timeout_s, call.timeout_s)
    max_tokens = skill.decoding.max_tokens
    if call.max_tokens is not None:
        max_tokens = max(1, min(max_tokens, call.max_tokens))
    return Request(
        request_id=request_id,
        engine=entry.manifest.name,
        prompt=prompt,
        max_tokens=max_tokens,
        request_class=skill.request_class if call.request_class is None else call.request_class,
        arrival_s=arrival_s,
        deadline_s=arrival_s + timeout_s,
        client=call.client,
    )


def _outcome(
    entry: RegisteredSkill,
    prepared: PreparedCall,
    decoding: Decoding,
    request: Request,
    ended: Ended,
) -> Outcome:
    """Turn the last event into a checked answer.

    Raises:
        SkilldError: the request failed, or its text broke the contract.
    """
    if ended.error is not None:
        raise ended.error
    usage = Usage(
        prompt_tokens=len(request.prompt),
        output_tokens=len(ended.token_ids),
        forced_tokens=decoding.num_forced_tokens,
        num_steps=ended.num_steps,
        kv_bytes=ended.kv_bytes,
        queue_ms=ended.queue_ms,
        first_token_ms=ended.first_token_ms,
        total_ms=ended.total_ms,
    )
    answer = read_answer(
        entry,
        ended.token_ids,
        marked=prepared.marked,
        finish_reason=ended.reason,
        min_probability=decoding.min_probability,
    )
    return Outcome(answer.output, answer.abstain_reason, ended.reason, usage)


def _resident_bytes(arenas: Sequence[Arena]) -> int:
    return sum(arena.resident_bytes() for arena in arenas)


def error_of(error: BaseException) -> SkilldError:
    """Any exception as one of the tree; a surprise is logged and keeps its details to itself."""
    if isinstance(error, SkilldError):
        return error
    _log.error("unexpected error", exc_info=error)
    return EngineError("internal error; the daemon's log says more", reason="INTERNAL")
