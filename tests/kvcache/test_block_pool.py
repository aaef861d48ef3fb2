"""A block is always in exactly one place."""

import pytest

from skilld.kvcache.block_pool import BlockPool


def free(pool: BlockPool, block_id: int) -> None:
    pool.drop(block_id, firm=True)
    pool.free(block_id)


def test_the_lowest_free_block_goes_out_first() -> None:
    pool = BlockPool(8)
    pool.take(4, firm=True)
    for block_id in (1, 3, 2):
        free(pool, block_id)
    assert pool.take(4, firm=True) == [1, 2, 3, 4]
    pool.check()


def test_taking_more_than_there_is_fails() -> None:
    pool = BlockPool(4)
    pool.take(3, firm=True)
    with pytest.raises(RuntimeError, match="2 blocks wanted of 4"):
        pool.take(2, firm=True)


def test_giving_up_a_reference_twice_is_caught() -> None:
    pool = BlockPool(4)
    (block,) = pool.take(1, firm=True)
    free(pool, block)
    with pytest.raises(RuntimeError, match="not held"):
        pool.drop(block, firm=True)


def test_firm_and_revocable_references_are_counted_apart() -> None:
    pool = BlockPool(4)
    (block,) = pool.take(1, firm=False)
    pool.refer(block, firm=True)
    pool.drop(block, firm=True)
    with pytest.raises(RuntimeError, match="not held"):
        pool.drop(block, firm=True)
    pool.drop(block, firm=False)
    pool.cache(block)
    assert (pool.num_active, pool.num_cached) == (0, 1)
    pool.check()


def test_a_block_freed_and_taken_again_is_reported_as_taken_only() -> None:
    pool = BlockPool(4)
    pool.drain()
    (block,) = pool.take(1, firm=True)
    free(pool, block)
    pool.take(1, firm=True)
    fresh, returned = pool.drain()
    assert (set(fresh), set(returned)) == ({block}, set())
    assert not pool.is_dirty
