"""`Arena`: the memory behind one engine's blocks.

Address space is reserved once (an anonymous `mmap` with MAP_NORESERVE). The operating system
commits a page when it is first written, and `give_back` returns pages with
`madvise(MADV_DONTNEED)`, so engines share physical memory without moving anything.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PAGE_BYTES = mmap.PAGESIZE
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


@dataclass(frozen=True, slots=True)
class CacheTensor:
    """One cache input of an engine.

    Attributes:
        name: of the graph input.
        dtype: numpy dtype of the elements.
        block_shape: shape of one block; the tensor is `[num_blocks, *block_shape]`.
    """

    name: str
    dtype: np.dtype[np.generic]
    block_shape: tuple[int, ...]

    @property
    def block_bytes(self) -> int:
        """Bytes of one block of this tensor."""
        return math.prod(self.block_shape) * self.dtype.itemsize


class Arena:
    """Cache tensors of one engine over pages that exist only once written.

    Args:
        tensors: what the engine asked for.
        num_blocks: blocks of address space per tensor.
    """

    def __init__(self, tensors: Sequence[CacheTensor], num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.block_bytes = sum(tensor.block_bytes for tensor in tensors)
        self._spans: list[tuple[int, int]] = []  # (offset, bytes per block) of each tensor
        offset = 0
        for tensor in tensors:
            self._spans.append((offset, tensor.block_bytes))
            offset += _round_up(tensor.block_bytes * num_blocks)
        self.reserved_bytes = offset
        self._memory = mmap.mmap(
            -1,
            max(offset, _PAGE_BYTES),
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE,
        )
        # A huge page would stay resident for the sake of one small block in it.
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.arrays: dict[str, NDArray[np.generic]] = {
            tensor.name: np.frombuffer(
                self._memory,
                dtype=tensor.dtype,
                count=math.prod(tensor.block_shape) * num_blocks,
                offset=start,
            ).reshape(num_blocks, *tensor.block_shape)
            for tensor, (start, _) in zip(tensors, self._spans, strict=True)
        }
        self._in_use = bytearray(num_blocks)  # 1 or 0 for each block

    def mark_taken(self, block_ids: Iterable[int]) -> None:
        """Say that these blocks will be written; their pages must survive `give_back`."""
        for block_id in block_ids:
            self._in_use[block_id] = 1

    def copy_block(self, source: int, target: int) -> None:
        """Copy one block of every tensor; the target was taken."""
        for array in self.arrays.values():
            array[target] = array[source]

    def give_back(self, block_ids: Iterable[int]) -> None:
        """Return the pages of these blocks that no block in use shares."""
        ids = sorted(block_ids)
        for block_id in ids:
            self._in_use[block_id] = 0
        for first, last in _runs(ids):
            for offset, block_bytes in self._spans:
                self._drop_pages(offset, block_bytes, first, last)

    def give_back_all(self) -> None:
        """Return every page; no block is in use."""
        self._in_use = bytearray(self.num_blocks)
        self._memory.madvise(mmap.MADV_DONTNEED)

    def resident_bytes(self) -> int:
        """Bytes of this arena that are physical memory now, from /proc/self/pagemap.

        Takes milliseconds; for gauges and tests, not for the step loop. Format: one 64-bit word
        per page, bit 63 says present (Documentation/admin-guide/mm/pagemap.rst of the kernel).
        """
        start = np.frombuffer(self._memory, dtype=np.uint8, count=1).ctypes.data
        num_pages = self.reserved_bytes // _PAGE_BYTES
        with Path("/proc/self/pagemap").open("rb", buffering=0) as pagemap:
            pagemap.seek(start // _PAGE_BYTES * 8)
            words = np.frombuffer(pagemap.read(num_pages * 8), dtype=np.uint64)
        return int(np.count_nonzero(words >> np.uint64(63))) * _PAGE_BYTES

    def _drop_pages(self, offset: int, block_bytes: int, first: int, last: int) -> None:
        # Blocks may be smaller than a page: a page goes once every block on it is free, so the
        # freed run is widened over its free neighbours, one page's worth at most.
        reach = -(-_PAGE_BYTES // block_bytes)
        low, high = first, last
        while low > 0 and first - low < reach and not self._in_use[low - 1]:
            low -= 1
        while high + 1 < self.num_blocks and high - last < reach and not self._in_use[high + 1]:
            high += 1
        start = _round_up(offset + low * block_bytes)
        if high + 1 == self.num_blocks:  # what follows the last block is padding
            end = _round_up(offset + self.num_blocks * block_bytes)
        else:
            end = (offset + (high + 1) * block_bytes) // _PAGE_BYTES * _PAGE_BYTES
        if end > start:
            self._memory.madvise(mmap.MADV_DONTNEED, start, end - start)


def _round_up(num_bytes: int) -> int:
    return -(-num_bytes // _PAGE_BYTES) * _PAGE_BYTES


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Consecutive ids of a sorted sequence as (first, last) pairs."""
    begin = 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or ids[end] != ids[end - 1] + 1:
            yield ids[begin], ids[end - 1]
            begin = end
