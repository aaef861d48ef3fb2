"""`Outbox`: what is told of the requests of the engine loop, those of one step together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from skilld.core.errors import SkilldError
from skilld.core.request import FinishReason, Request
from skilld.loop.events import Accepted, Deliver, Ended, Event, TokenChooser, Tokens
from skilld.telemetry import EngineCounters


@dataclass(slots=True)
class Running:
    """A request between `submit` and its end.

    Attributes:
        request: as the scheduler knows it.
        chooser: of its tokens.
        streams: whether events before the end are wanted.
        first_step_s: when the first step with it began; 0 before.
        first_token_s: when its first token was chosen; 0 before.
        num_steps: that it took part in.
    """

    request: Request
    chooser: TokenChooser
    streams: bool
    first_step_s: float = 0.0
    first_token_s: float = 0.0
    num_steps: int = 0


class Outbox:
    """See the module docstring. On the engine thread.

    Args:
        deliver: takes the events; must not block.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._events: list[Event] = []

    def accepted(self, entry: Running, queue_position: int) -> None:
        """The scheduler took it."""
        if entry.streams:
            self._events.append(Accepted(entry.request.request_id, queue_position))

    def tokens(self, entry: Running, token_ids: Sequence[int]) -> None:
        """More of its answer is known."""
        if entry.streams and token_ids:
            self._events.append(Tokens(entry.request.request_id, token_ids))

    def ended(
        self,
        entry: Running,
        reason: FinishReason,
        error: SkilldError | None,
        *,
        last_tokens: Sequence[int],
        kv_bytes: int,
        counters: EngineCounters | None,
    ) -> None:
        """It ended, and how.

        Args:
            entry: the request.
            reason: why it ended.
            error: for the caller.
            last_tokens: that are not among `request.tokens` yet.
            kv_bytes: cache bytes it held.
            counters: of its engine, where it is booked.
        """
        request, now_s = entry.request, time.monotonic()
        ended = Ended(
            request_id=request.request_id,
            reason=reason,
            token_ids=[*request.tokens[len(request.prompt) :], *last_tokens],
            error=error,
            queue_ms=_since_ms(request.arrival_s, entry.first_step_s or now_s),
            first_token_ms=_since_ms(request.arrival_s, entry.first_token_s),
            total_ms=_since_ms(request.arrival_s, now_s),
            num_steps=entry.num_steps,
            kv_bytes=kv_bytes,
        )
        if counters is not None:
            counters.book_end(
                reason,
                queue_ms=ended.queue_ms,
                first_token_ms=ended.first_token_ms,
                total_ms=ended.total_ms,
            )
        self._events.append(ended)

    def flush(self) -> None:
        """Deliver what there is."""
        if self._events:
            events, self._events = self._events, []
            self._deliver(events)


def _since_ms(start_s: float, end_s: float) -> float:
    return max(0.0, end_s - start_s) * 1000.0
