"""Memory is committed by writing and given back by page, never while a block on it is in use."""

import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skilld.kvcache import Arena, CacheTensor

PAGE = mmap.PAGESIZE


def arena_of(block_bytes: int, num_blocks: int) -> Arena:
    return Arena([CacheTensor("k", np.dtype(np.uint8), (block_bytes,))], num_blocks)


def write(arena: Arena, block_ids: list[int], value: int = 1) -> None:
    arena.mark_taken(block_ids)
    for array in arena.arrays.values():
        array[block_ids] = value


def test_reserving_gigabytes_commits_nothing() -> None:
    arena = arena_of(1 << 20, 8192)
    assert arena.reserved_bytes == 8 << 30
    assert arena.resident_bytes() == 0


def test_exactly_the_written_blocks_are_resident() -> None:
    arena = arena_of(2 * PAGE, 100)
    write(arena, [3, 50, 51])
    assert arena.resident_bytes() == 3 * 2 * PAGE


def test_given_back_blocks_leave_memory_and_read_as_zero() -> None:
    arena = arena_of(2 * PAGE, 100)
    write(arena, list(range(10)))
    arena.give_back(range(10))
    assert arena.resident_bytes() == 0
    assert not arena.arrays["k"][:10].any()


def test_all_of_it_goes_back_at_once_and_can_be_taken_again() -> None:
    arena = arena_of(PAGE // 2, 100)
    write(arena, list(range(10)))
    arena.give_back_all()
    assert arena.resident_bytes() == 0
    write(arena, [0, 1])
    arena.give_back([1])  # block 0 is on the same page
    assert arena.resident_bytes() == PAGE
    assert not arena.arrays["k"][2:].any()


def test_two_arenas_side_by_side_count_their_own_pages_only() -> None:
    first, second = arena_of(PAGE, 64), arena_of(PAGE, 64)
    write(first, [0, 1, 2])
    write(second, [0])
    assert first.resident_bytes() == 3 * PAGE
    assert second.resident_bytes() == PAGE


@pytest.mark.parametrize("block_bytes", [96, 1280, PAGE - 8, PAGE, PAGE + 8, 5 * PAGE // 2])
def test_everything_goes_back_whatever_the_block_size(block_bytes: int) -> None:
    arena = arena_of(block_bytes, 300)
    write(arena, list(range(300)))
    arena.give_back(range(0, 300, 2))
    arena.give_back(range(1, 300, 2))
    assert arena.resident_bytes() == 0


@settings(max_examples=60, deadline=None)
@given(
    block_bytes=st.integers(64, 3 * PAGE),
    steps=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 39), min_size=1)), max_size=12),
)
def test_a_block_in_use_never_loses_a_byte(
    block_bytes: int, steps: list[tuple[bool, set[int]]]
) -> None:
    arena = Arena(
        [
            CacheTensor("k", np.dtype(np.uint8), (block_bytes,)),
            CacheTensor("v", np.dtype(np.float32), (3, block_bytes // 16)),
        ],
        40,
    )
    in_use: set[int] = set()
    for is_take, ids in steps:
        if is_take:
            fresh = sorted(ids - in_use)
            arena.mark_taken(fresh)
            for array in arena.arrays.values():
                for block_id in fresh:
                    array[block_id] = block_id + 1
            in_use |= ids
        else:
            arena.give_back(ids & in_use)
            in_use -= ids
        for array in arena.arrays.values():
            for block_id in in_use:
                assert (array[block_id] == block_id + 1).all()
    arena.give_back(in_use)
    assert arena.resident_bytes() == 0
