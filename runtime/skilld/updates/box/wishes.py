"""`Wishes`: signed documents the broker keeps for this box, and which one is to be judged next.

One per release, the newest; pure, time is an argument. The broker hands all of them over at every
connection; one that was judged is not judged again. One that cannot be judged now is tried again,
after pauses that double.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from skilld.mqtt.backoff import Backoff
from skilld.updates.trust.envelope import MAX_ENVELOPE_BYTES

MAX_RELEASES = 256
_FIRST_PAUSE_S = 1.0
_MAX_PAUSE_S = 60.0


@dataclass(eq=False, slots=True)
class Wish:
    """A document as it arrived.

    Attributes:
        release: the last level of its topic.
        data: as much of it as can be a document.
        due_s: when to judge it; None once that was done.
    """

    release: str
    data: bytes
    due_s: float | None
    backoff: Backoff = field(
        default_factory=lambda: Backoff(
            first_s=_FIRST_PAUSE_S, max_s=_MAX_PAUSE_S, dice=random.Random()
        )
    )


class Wishes:
    """See the module docstring."""

    def __init__(self) -> None:
        self._wishes: dict[str, Wish] = {}

    def arrived(self, release: str, payload: bytes, now_s: float) -> bool:
        """Take a document; an empty one says that there is none any more.

        Returns:
            Whether it is another than before.
        """
        if not payload:
            return self._wishes.pop(release, None) is not None
        data = payload[: MAX_ENVELOPE_BYTES + 1]
        held = self._wishes.get(release)
        if held is not None and held.data == data:
            return False
        if held is None and len(self._wishes) >= MAX_RELEASES:
            return False
        self._wishes[release] = Wish(release, data, now_s)
        return True

    def next(self, now_s: float) -> Wish | None:
        """The one that has been due longest; None if there is none."""
        due_s = self.next_s()
        if due_s is None or due_s > now_s:
            return None
        return next(wish for wish in self._wishes.values() if wish.due_s == due_s)

    def next_s(self) -> float | None:
        """When there is one; None for never."""
        times = [wish.due_s for wish in self._wishes.values() if wish.due_s is not None]
        return min(times, default=None)

    def judged(self, wish: Wish) -> None:
        """It is done with."""
        wish.due_s = None

    def put_off(self, wish: Wish, now_s: float) -> None:
        """Nobody can tell now."""
        wish.due_s = now_s + wish.backoff.delay_s()

    def holds(self, wish: Wish) -> bool:
        """Whether no other has taken its place."""
        return self._wishes.get(wish.release) is wish
