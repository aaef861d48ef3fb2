"""`RequestQueue`: whose request is answered next. Pure.

Boxes take turns, one block each, however much one of them asks. What a box repeats while it waits
is answered once.
"""

from __future__ import annotations

from dataclasses import dataclass

from skilld.core.errors import OverloadedError
from skilld.updates.depot.protocol import BlockRequest


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that waits.

    Attributes:
        box: who asks.
        request: what for.
        correlation: comes back with the answer.
    """

    box: str
    request: BlockRequest
    correlation: bytes | None


class RequestQueue:
    """See the module docstring.

    Args:
        max_per_box: requests of one box that wait.
        max_boxes: boxes with requests that wait.
    """

    def __init__(self, *, max_per_box: int, max_boxes: int) -> None:
        self._max_per_box = max_per_box
        self._max_boxes = max_boxes
        self._boxes: dict[str, dict[object, Waiting]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._boxes.values()))

    def put(self, waiting: Waiting) -> None:
        """Let a request wait for its turn.

        Raises:
            OverloadedError: reason TOO_MANY_REQUESTS.
        """
        if waiting.box not in self._boxes and len(self._boxes) >= self._max_boxes:
            raise _too_many(f"requests of {self._max_boxes} boxes wait")
        own = self._boxes.get(waiting.box, {})
        # Metadata is asked for by what is true now, so each asking gets an answer of its own.
        is_blob = waiting.request.digest is not None
        key = waiting.request if is_blob else (waiting.request, waiting.correlation)
        if key not in own:
            if len(own) >= self._max_per_box:
                raise _too_many(f"{self._max_per_box} requests of {waiting.box} wait")
            own[key] = waiting
        self._boxes[waiting.box] = own

    def next(self) -> Waiting | None:
        """Take the request whose turn it is; None if nobody waits."""
        for box, own in self._boxes.items():
            waiting = own.pop(next(iter(own)))
            del self._boxes[box]
            if own:
                self._boxes[box] = own  # the others come first now
            return waiting
        return None

    def clear(self) -> None:
        """Forget all: nobody could be answered."""
        self._boxes.clear()


def _too_many(message: str) -> OverloadedError:
    return OverloadedError(message, retry_after_s=1.0, reason="TOO_MANY_REQUESTS")
