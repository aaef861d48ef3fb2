"""`BlockPool`: which blocks of one engine are free, and who refers to the others. Ids only."""

from __future__ import annotations

import heapq
from collections.abc import Iterable


class BlockPool:
    """Hands out block ids `0 .. num_blocks - 1` of one engine and counts references to them.

    A block is *free*, *active* (somebody refers to it) or *cached* (nobody does, its content is
    kept). References are firm or revocable, as the reservations they belong to. The lowest free
    block goes out first: blocks may be smaller than a page, and a page costs memory whole.

    Args:
        num_blocks: size of the id space, which is address space and not memory.

    Attributes:
        firm_refs: per block, references of firm work and pins.
        refs: per block, all references.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.firm_refs: list[int] = []  # as long as the largest id handed out so far
        self.refs: list[int] = []
        self._free: list[int] = []  # a heap
        self._cached: set[int] = set()
        self._fresh: set[int] = set()  # taken, and not yet reported by `drain`
        self._returned: set[int] = set()  # freed, and not yet reported by `drain`

    @property
    def num_active(self) -> int:
        """Blocks somebody refers to."""
        return len(self.refs) - len(self._free) - len(self._cached)

    @property
    def num_cached(self) -> int:
        """Blocks nobody refers to whose content is kept."""
        return len(self._cached)

    def take(self, count: int, *, firm: bool) -> list[int]:
        """Take `count` free blocks, with one reference each.

        Raises:
            RuntimeError: fewer are free; the ledger makes sure this never happens.
        """
        block_ids = []
        for _ in range(count):
            if self._free:
                block_id = heapq.heappop(self._free)
            elif len(self.refs) < self.num_blocks:
                block_id = len(self.refs)
                self.refs.append(0)
                self.firm_refs.append(0)
            else:
                raise RuntimeError(f"{count} blocks wanted of {self.num_blocks}, none is free")
            self.refs[block_id] = 1
            self.firm_refs[block_id] = int(firm)
            block_ids.append(block_id)
        self._fresh.update(block_ids)
        self._returned.difference_update(block_ids)
        return block_ids

    def refer(self, block_id: int, *, firm: bool) -> None:
        """Add a reference to an active or cached block."""
        self._cached.discard(block_id)
        self.refs[block_id] += 1
        self.firm_refs[block_id] += firm

    def drop(self, block_id: int, *, firm: bool) -> None:
        """Remove a reference; with the last one the block must go to `cache` or `free`.

        Raises:
            RuntimeError: there is no such reference.
        """
        if self.refs[block_id] <= 0 or self.firm_refs[block_id] < firm:
            raise RuntimeError(f"block {block_id} was given back and is not held")
        self.refs[block_id] -= 1
        self.firm_refs[block_id] -= firm

    def cache(self, block_id: int) -> None:
        """Keep the content of a block nobody refers to."""
        assert self.refs[block_id] == 0, f"block {block_id} is cached and referred to"
        self._cached.add(block_id)

    def free(self, block_id: int) -> None:
        """Give up the content of a block nobody refers to."""
        assert self.refs[block_id] == 0, f"block {block_id} is freed and referred to"
        self._cached.discard(block_id)
        heapq.heappush(self._free, block_id)
        self._fresh.discard(block_id)
        self._returned.add(block_id)

    def drain(self) -> tuple[Iterable[int], Iterable[int]]:
        """Blocks taken and blocks freed since the last call, those that were both left out.

        A block that was freed and taken again is reported as taken only: its pages may still be
        there, which does no harm.
        """
        fresh, self._fresh = self._fresh, set()
        returned, self._returned = self._returned, set()
        return fresh, returned

    @property
    def is_dirty(self) -> bool:
        """Whether `drain` has anything to say."""
        return bool(self._fresh or self._returned)

    def check(self) -> None:
        """Prove that every block is in exactly one place."""
        free = set(self._free)
        assert len(free) == len(self._free), "a block is free twice"
        assert not free & self._cached, "a block is free and cached"
        for block_id, (refs, firm_refs) in enumerate(zip(self.refs, self.firm_refs, strict=True)):
            assert 0 <= firm_refs <= refs, f"block {block_id}: {firm_refs} firm of {refs}"
            unreferred = block_id in free or block_id in self._cached
            assert (refs == 0) == unreferred, f"block {block_id} is lost or held twice"
        assert len(self.refs) <= self.num_blocks, "a block beyond the pool was handed out"
