"""`Link`: when bytes that are sent arrive, over a line with a delay and with losses. Pure.

What an application sees of packet loss under TCP is time, never a missing byte, so that is what is
modelled. Bytes travel in segments of 1,460:

- each arrives `delay_s` after it was sent;
- each is lost with the probability `loss`. It is then sent again after 200 ms, the least a Linux
  sender waits; a segment lost again waits twice as long, and so on up to 3.2 s;
- TCP hands over in order: all that was sent behind a lost segment waits for it;
- no more than `window_segments` are under way. The next one leaves when the oldest is acknowledged,
  `delay_s` after it arrived. So losses cost throughput as well as time.

Harder than a real line: senders mostly notice a loss within one round trip, by duplicate
acknowledgements, and need not wait 200 ms. Kinder: the window does not shrink, and nothing else
shares the line.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

SEGMENT_BYTES = 1460
_FIRST_TIMEOUT_S = 0.2
_MAX_TIMEOUT_S = 3.2


@dataclass(frozen=True, slots=True)
class LinkRule:
    """How bad a line is.

    Attributes:
        delay_s: of every byte, in one direction.
        loss: probability that a segment is lost, 0..1.
        window_segments: most segments under way.
        cut_every_s: mean time after which a connection is cut; 0 for never.
    """

    delay_s: float = 0.05
    loss: float = 0.05
    window_segments: int = 64
    cut_every_s: float = 0.0


class Link:
    """One direction of one connection; see the module docstring.

    Args:
        rule: how bad it is.
        dice: decides about each segment.
    """

    def __init__(self, rule: LinkRule, dice: random.Random) -> None:
        self._rule = rule
        self._dice = dice
        self._acknowledged_s: deque[float] = deque(maxlen=rule.window_segments)
        self._last_s = 0.0
        self.num_lost = 0

    def send(self, now_s: float, num_bytes: int) -> list[tuple[float, int]]:
        """Send bytes; says how many of them arrive when, in order and ascending.

        Args:
            now_s: when they are handed to the sender; never before the last time.
            num_bytes: at least one.
        """
        arrivals: list[tuple[float, int]] = []
        for begin in range(0, num_bytes, SEGMENT_BYTES):
            size = min(SEGMENT_BYTES, num_bytes - begin)
            is_full = len(self._acknowledged_s) == self._rule.window_segments
            sent_s = max(now_s, self._acknowledged_s[0]) if is_full else now_s
            self._last_s = max(self._last_s, sent_s + self._rule.delay_s + self._wait_s())
            self._acknowledged_s.append(self._last_s + self._rule.delay_s)
            if arrivals and arrivals[-1][0] == self._last_s:
                size += arrivals.pop()[1]
            arrivals.append((self._last_s, size))
        return arrivals

    def _wait_s(self) -> float:
        """For the timeouts of one segment."""
        wait_s, timeout_s = 0.0, _FIRST_TIMEOUT_S
        while self._dice.random() < self._rule.loss:
            self.num_lost += 1
            wait_s += timeout_s
            timeout_s = min(2 * timeout_s, _MAX_TIMEOUT_S)
        return wait_s
