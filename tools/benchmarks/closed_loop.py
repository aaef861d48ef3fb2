"""`run_streams`: clients that ask again once answered, and what a window saw of them.

A request takes seconds here, so a window of some seconds cuts many at its ends. A request
therefore counts by the share of its time that lies within the window; nothing is lost or won at
the ends, and the load is kept up until the last request that began within the window is answered,
or patience ends.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request brought.

    Attributes:
        prompt_tokens: computed or found in a cache.
        output_tokens: of the answer.
        output_chars: of the answer; 0 where nobody counts them.
        forced_tokens: of the output tokens, those that the schema left no choice about.
        num_steps: engine steps the answer took.
    """

    prompt_tokens: int
    output_tokens: int
    output_chars: int = 0
    forced_tokens: int = 0
    num_steps: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """One request of one stream; times of the monotonic clock.

    Attributes:
        model: it asked.
        started_s: when it was sent.
        ended_s: when it was answered, or given up.
        answer: what came back; a likely one if it was given up.
        is_answered: it was not given up.
    """

    model: str
    started_s: float
    ended_s: float
    answer: Answer
    is_answered: bool = True


@dataclass(frozen=True, slots=True)
class Stream:
    """One client.

    Attributes:
        model: it asks.
        call: makes one request and waits for the answer.
    """

    model: str
    call: Callable[[], Answer]


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to look.

    Attributes:
        window_s: measured.
        patience_s: the window opens when every stream was answered once, or after this; and
            requests open at its end are waited for this long.
    """

    window_s: float
    patience_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """What was measured.

    Attributes:
        started_s: of the monotonic clock.
        ended_s: likewise.
        served: requests that had a share in it.
    """

    started_s: float
    ended_s: float
    served: list[Served]

    def share(self, request: Served) -> float:
        """How much of a request lies within, 0 to 1."""
        inside_s = min(request.ended_s, self.ended_s) - max(request.started_s, self.started_s)
        return max(0.0, inside_s) / (request.ended_s - request.started_s)

    def per_s(
        self, amount: Callable[[Served], float] = lambda _: 1.0, *, model: str | None = None
    ) -> float:
        """Requests per second, or what each of them amounts to, of one model or of all."""
        return sum(
            self.share(request) * amount(request)
            for request in self.served
            if model in (None, request.model)
        ) / (self.ended_s - self.started_s)

    @property
    def num_given_up(self) -> int:
        """Requests that were not answered in time."""
        return sum(not request.is_answered for request in self.served)

    def latencies_ms(self, *, model: str | None = None) -> list[float]:
        """Of all requests with a share in the window, of one model or of all.

        One that was given up counts with the time it was waited for.
        """
        return [
            (request.ended_s - request.started_s) * 1e3
            for request in self.served
            if model in (None, request.model)
        ]

    def to_json(self) -> dict[str, Any]:
        """For a file, or another process."""
        return asdict(self)

    @classmethod
    def joined(cls, windows: Sequence[dict[str, Any]]) -> Window:
        """One window from what several processes saw of it through `to_json`."""
        served = [
            Served(**{**request, "answer": Answer(**request["answer"])})
            for window in windows
            for request in window["served"]
        ]
        return cls(
            max(window["started_s"] for window in windows),
            min(window["ended_s"] for window in windows),
            served,
        )


class Watch:
    """Sees requests begin and end, from any thread, and measures them for a while.

    Args:
        typical: what an answer is like, for a model that gives none in time.
    """

    def __init__(self, typical: Answer) -> None:
        self._typical = typical
        self._changed = threading.Condition()
        self._open: dict[int, tuple[str, float]] = {}
        self._answered: set[int] = set()
        self._served: list[Served] = []
        self._failure: BaseException | None = None
        self.is_over = False

    def began(self, stream: int, model: str) -> None:
        """A stream asked a model."""
        with self._changed:
            self._open[stream] = (model, time.monotonic())

    def ended(self, stream: int, answer: Answer) -> None:
        """It was answered."""
        with self._changed:
            model, started_s = self._open.pop(stream)
            self._served.append(Served(model, started_s, time.monotonic(), answer))
            self._answered.add(stream)
            self._changed.notify_all()

    def failed(self, error: BaseException) -> None:
        """A stream cannot go on; `observe` raises this. Once all is over it does not matter."""
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def observe(
        self, streams: Collection[int], pace: Pace, *, opens_s: float | None = None
    ) -> Window:
        """Wait for the window to open, to close, and for what is open then.

        Args:
            streams: numbers of all.
            pace: how long.
            opens_s: when it opens, instead of when all streams were answered once; so several
                processes look at the same time.
        """
        if opens_s is None:
            self._wait(lambda: self._answered.issuperset(streams), pace.patience_s)
            opens_s = time.monotonic()
        else:
            self._wait(lambda: False, opens_s - time.monotonic())
        closes_s = opens_s + pace.window_s
        self._wait(lambda: False, closes_s - time.monotonic())
        self._wait(
            lambda: all(started_s > closes_s for _, started_s in self._open.values()),
            pace.patience_s,
        )
        with self._changed:
            self.is_over = True
            now_s = time.monotonic()
            # What is still open counts as if it were answered now, like the last one of its model,
            # which flatters the slow.
            last = {request.model: request.answer for request in self._served}
            waiting = [
                Served(model, started_s, now_s, last.get(model, self._typical), is_answered=False)
                for model, started_s in self._open.values()
            ]
            return Window(
                opens_s,
                closes_s,
                [
                    request
                    for request in self._served + waiting
                    if request.ended_s > opens_s and request.started_s < closes_s
                ],
            )

    def _wait(self, until: Callable[[], bool], timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure is not None or until(), max(0.0, timeout_s)
            )
            if self._failure is not None:
                self.is_over = True
                raise self._failure


def run_streams(streams: Sequence[Stream], pace: Pace, *, typical: Answer) -> Window:
    """Run all streams at once. What is still open at the end is left to fail in its thread.

    Args:
        streams: the clients.
        pace: how long to look.
        typical: what an answer is like, for a model that gives none in time.
    """
    watch = Watch(typical)

    def keep_asking(number: int, stream: Stream) -> None:
        try:
            while not watch.is_over:
                watch.began(number, stream.model)
                watch.ended(number, stream.call())
        except Exception as error:  # whatever it is, the bench cannot go on without this stream
            watch.failed(error)

    for item in enumerate(streams):
        threading.Thread(target=keep_asking, args=item, daemon=True).start()
    return watch.observe(range(len(streams)), pace)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that this share of them stays within; nan for none."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
