"""A block is always in exactly one place."""

import pytest

from skilld.kvcache import BlockPool


def test_the_last_block_returned_goes_out_first() -> None:
    pool = BlockPool(8)
    first = pool.take(3)
    pool.give_back([first[1]])
    assert pool.take(1) == [first[1]]
    pool.check()


def test_taking_more_than_there_is_fails_and_takes_nothing() -> None:
    pool = BlockPool(4)
    pool.take(3)
    with pytest.raises(RuntimeError, match="2 blocks wanted, 1 left"):
        pool.take(2)
    assert pool.num_taken == 3
    pool.check()


def test_giving_a_block_back_twice_is_caught() -> None:
    pool = BlockPool(4)
    (block,) = pool.take(1)
    pool.give_back([block])
    with pytest.raises(RuntimeError, match="not taken"):
        pool.give_back([block])
