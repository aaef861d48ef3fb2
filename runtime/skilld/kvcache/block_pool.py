"""`BlockPool`: which blocks of one engine's cache are free. Ids only; no memory, no bytes."""

from __future__ import annotations

from collections.abc import Iterable


class BlockPool:
    """Hands out block ids `0 .. num_blocks - 1` of one engine. Owned by the engine thread.

    The most recently returned block goes out first: its pages are the likeliest to be resident.

    Args:
        num_blocks: size of the id space, which is address space and not memory.
    """

    def __init__(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self._returned: list[int] = []
        self._next_unused = 0
        self._taken: set[int] = set()

    @property
    def num_taken(self) -> int:
        """Blocks in use."""
        return len(self._taken)

    def take(self, count: int) -> list[int]:
        """Take `count` blocks.

        Raises:
            RuntimeError: fewer are left; the ledger makes sure this never happens.
        """
        if len(self._taken) + count > self.num_blocks:
            raise RuntimeError(f"{count} blocks wanted, {self.num_blocks - len(self._taken)} left")
        block_ids = []
        for _ in range(count):
            if self._returned:
                block_ids.append(self._returned.pop())
            else:
                block_ids.append(self._next_unused)
                self._next_unused += 1
        self._taken.update(block_ids)
        return block_ids

    def give_back(self, block_ids: Iterable[int]) -> None:
        """Return blocks.

        Raises:
            RuntimeError: a block was not taken.
        """
        for block_id in block_ids:
            if block_id not in self._taken:
                raise RuntimeError(f"block {block_id} was given back and is not taken")
            self._taken.remove(block_id)
            self._returned.append(block_id)

    def check(self) -> None:
        """Prove that every block is in exactly one place."""
        returned = set(self._returned)
        assert len(returned) == len(self._returned), "a block is free twice"
        assert not returned & self._taken, "a block is free and taken"
        assert returned | self._taken == set(range(self._next_unused)), "a block is lost"
        assert self._next_unused <= self.num_blocks, "a block beyond the pool was handed out"
