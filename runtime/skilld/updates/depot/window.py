"""`Window`: what a box has asked a depot for, and when it asks again. Pure; time is an argument.

Parts of files are cut into blocks, which are asked for in order, a bounded number at once. A block
counts when it was asked for and is as long as asked; everything else that arrives is ignored. What
is wanted may change at any time: what was asked for and is still wanted goes on.

A depot answers in order. So what is late on a line that delivers is behind other blocks, not lost:
every answer sets the clocks of the others back, as an acknowledgement does in TCP. A block that
three answers to later askings have overtaken is lost, and is asked for again at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from skilld.updates.depot.round_trip import RoundTrip
from skilld.updates.trust.sources import BlobRange

_OVERTAKEN = 3  # so often, and a block is lost: one or two may have changed places


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a part.

    Attributes:
        what: digest, or name of metadata.
        offset: where it begins in the file, in bytes.
        num_bytes: its length.
    """

    what: str
    offset: int
    num_bytes: int


@dataclass(slots=True)
class _Asked:
    block: Block
    again_s: float
    times_s: list[float]  # of every asking
    numbers: list[int]  # of every asking, among all of them
    overtaken: int = 0  # answers to askings that came after the last one for this block


@dataclass(slots=True)
class _Assembly:
    part: BlobRange
    missing: int
    data: bytearray
    has: set[int] = field(default_factory=set)  # offsets of blocks that are here


class Window:
    """See the module docstring.

    Args:
        max_in_flight: blocks that are asked for and not yet here.
        may_be_short: an answer that is shorter than asked is the end of its file.
    """

    def __init__(self, *, max_in_flight: int, may_be_short: bool = False) -> None:
        self._max_in_flight = max_in_flight
        self._may_be_short = may_be_short
        self._block_bytes = 0
        self._assemblies: dict[BlobRange, _Assembly] = {}
        self._to_ask: deque[Block] = deque()
        self._asked: dict[tuple[str, int], _Asked] = {}
        self._part_of: dict[tuple[str, int], BlobRange] = {}
        self._complete: deque[tuple[BlobRange, bytes]] = deque()
        self._num_askings = 0
        self.round_trip = RoundTrip()

    @property
    def is_done(self) -> bool:
        """Nothing is wanted that was not handed out."""
        return not self._assemblies and not self._complete

    @property
    def num_in_flight(self) -> int:
        """Blocks that are asked for and not yet here."""
        return len(self._asked)

    @property
    def held_bytes(self) -> int:
        """Of parts that are not handed out."""
        return sum(len(a.data) for a in self._assemblies.values()) + sum(
            len(data) for _, data in self._complete
        )

    def want(self, parts: Iterable[BlobRange], *, block_bytes: int) -> None:
        """Say what is wanted, in order; nothing else is wanted any more.

        Args:
            parts: no two of one file overlap.
            block_bytes: largest block.
        """
        old = self._assemblies if block_bytes == self._block_bytes else {}
        kept = dict(self._complete)
        asked = self._asked if old else {}
        self._block_bytes = block_bytes
        self._assemblies, self._asked, self._part_of = {}, {}, {}
        self._to_ask.clear()
        self._complete.clear()
        for part in dict.fromkeys(parts):
            if part in kept or not part.num_bytes:
                self._complete.append((part, kept.get(part, b"")))
                continue
            blocks = _cut(part, block_bytes)
            assembly = old.get(part) or _Assembly(part, len(blocks), bytearray())
            self._assemblies[part] = assembly
            for block in blocks:
                key = (block.what, block.offset)
                if block.offset in assembly.has:
                    continue
                self._part_of[key] = part
                if key in asked:
                    self._asked[key] = asked[key]
                else:
                    self._to_ask.append(block)

    def ask(self, now_s: float) -> tuple[Block, int] | None:
        """Take what to ask for now, again or for the first time; None for nothing.

        Returns:
            The block, and how often it was asked for before.
        """
        if self._asked:
            late = min(self._asked.values(), key=lambda asked: asked.again_s)
            if late.again_s <= now_s:
                return self._ask(late, now_s)
        if self._to_ask and len(self._asked) < self._max_in_flight:
            block = self._to_ask.popleft()
            asked = self._asked[block.what, block.offset] = _Asked(block, now_s, [], [])
            return self._ask(asked, now_s)
        return None

    def _ask(self, asked: _Asked, now_s: float) -> tuple[Block, int]:
        asked.times_s.append(now_s)
        asked.numbers.append(self._num_askings)
        asked.overtaken = 0
        self._num_askings += 1
        asked.again_s = now_s + self.round_trip.timeout_of(len(asked.times_s))
        return asked.block, len(asked.times_s) - 1

    def next_s(self) -> float | None:
        """When there is something to ask again, if nothing arrives; None if nothing is asked."""
        return min((asked.again_s for asked in self._asked.values()), default=None)

    def wants(self, what: str, offset: int) -> bool:
        """Whether a block was asked for and is not here."""
        return (what, offset) in self._asked

    def arrived(
        self, what: str, offset: int, data: bytes, *, asking: int | None, now_s: float
    ) -> bool:
        """Take a block.

        Args:
            what: digest, or name of metadata.
            offset: where it begins in the file, in bytes.
            data: its bytes, as far as anybody can tell.
            asking: which asking for it this answers, from 0; None if unknown.
            now_s: time.

        Returns:
            Whether it was wanted.
        """
        key = (what, offset)
        asked = self._asked.get(key)
        if asked is None:
            return False
        is_short = self._may_be_short and len(data) < asked.block.num_bytes
        if len(data) != asked.block.num_bytes and not is_short:
            return False
        del self._asked[key]
        if asking is not None and 0 <= asking < len(asked.times_s):
            self.round_trip.took(max(0.0, now_s - asked.times_s[asking]))
            self._overtake(asked.numbers[asking], now_s)
        part = self._part_of.pop(key)
        assembly = self._assemblies[part]
        if not assembly.data:
            assembly.data = bytearray(part.num_bytes)
        start = offset - part.offset
        assembly.data[start : start + asked.block.num_bytes] = data
        assembly.has.add(offset)
        assembly.missing -= 1
        if not assembly.missing:
            del self._assemblies[part]
            self._complete.append((part, bytes(assembly.data)))
        return True

    def _overtake(self, number: int, now_s: float) -> None:
        """An asking was answered: what waits behind it has time, what was before it is late."""
        for asked in self._asked.values():
            if not asked.numbers:
                continue  # its connection is gone, and it is due
            asked.overtaken += asked.numbers[-1] < number
            if asked.overtaken >= _OVERTAKEN:
                asked.again_s = now_s
            else:
                asked.again_s = max(asked.again_s, now_s + self.round_trip.timeout_s)

    def take(self) -> tuple[BlobRange, bytes] | None:
        """Take a part that is complete; None if there is none."""
        return self._complete.popleft() if self._complete else None

    def reconnected(self) -> None:
        """What was on its way is lost: all of it is to be asked for again, now."""
        for asked in self._asked.values():
            asked.again_s = float("-inf")
            asked.times_s.clear()
            asked.numbers.clear()
            asked.overtaken = 0


def _cut(part: BlobRange, block_bytes: int) -> list[Block]:
    end = part.offset + part.num_bytes
    return [
        Block(part.sha256, offset, min(block_bytes, end - offset))
        for offset in range(part.offset, end, block_bytes)
    ]
