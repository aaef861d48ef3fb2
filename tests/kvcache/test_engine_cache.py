"""Sequences of one engine share what they have in common, and only that."""

from __future__ import annotations

import pytest

from skilld.kvcache import CacheGeometry, EngineCache, Holding, KvLedger, KvMemory

BLOCK_BYTES = 100
A, B, C = [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]


def memory_of(num_blocks: int = 10, *engines: str, min_bytes: int = 0) -> KvMemory:
    budget_bytes = num_blocks * BLOCK_BYTES
    memory = KvMemory(KvLedger(budget_bytes))
    for name in engines or ("a",):
        memory.ledger.open_account(name, min_bytes=min_bytes, max_bytes=budget_bytes)
        memory.open(name, CacheGeometry(4, BLOCK_BYTES, num_blocks))
    return memory


def admit(
    cache: EngineCache, tokens: list[int], room: int = 1, *, firm: bool = True
) -> tuple[Holding, int]:
    return cache.admit(cache.quote(tokens, len(tokens) + room, firm=firm), firm=firm)


def compute(cache: EngineCache, tokens: list[int], *, firm: bool = True) -> Holding:
    """Admit a sequence and compute all its tokens."""
    holding, _ = admit(cache, tokens, firm=firm)
    cache.extend(holding, len(tokens))
    cache.commit(holding, tokens, len(tokens))
    return holding


def test_equal_beginnings_share_whole_blocks() -> None:
    memory = memory_of()
    cache = memory.caches["a"]
    first = compute(cache, A + B)
    second, num_computed = admit(cache, A + B + C)
    assert num_computed == 8
    assert second.block_ids == first.block_ids[:2]
    assert memory.ledger.used_bytes == 2 * BLOCK_BYTES
    memory.check()


def test_the_same_tokens_after_another_beginning_are_another_block() -> None:
    memory = memory_of()
    cache = memory.caches["a"]
    compute(cache, A + B)
    _, num_computed = admit(cache, C + B + A)
    assert num_computed == 0
    memory.check()


def test_the_last_token_is_always_computed() -> None:
    memory = memory_of()
    cache = memory.caches["a"]
    compute(cache, A + B)
    _, num_computed = admit(cache, A + B)
    assert num_computed < 8
    memory.check()


def test_a_block_stays_while_one_of_its_sharers_lives() -> None:
    memory = memory_of()
    cache = memory.caches["a"]
    first = compute(cache, A + B)
    sharers = [admit(cache, A + B + C)[0] for _ in range(2)]
    shared = first.block_ids[0]
    assert cache.blocks.refs[shared] == 3
    cache.release(first)
    cache.release(sharers[0])
    assert (cache.blocks.refs[shared], memory.ledger.cached_bytes) == (1, 0)
    cache.release(sharers[1])
    assert memory.ledger.cached_bytes == 2 * BLOCK_BYTES
    assert memory.ledger.reserved_bytes == 0
    memory.check()


def test_a_shared_block_is_firm_while_anybody_firm_holds_it() -> None:
    memory = memory_of()
    cache, account = memory.caches["a"], memory.ledger.accounts["a"]
    revocable = compute(cache, A + B, firm=False)
    credit = BLOCK_BYTES
    assert (account.firm_bytes, account.revocable_bytes) == (0, 2 * BLOCK_BYTES + credit)
    firm, _ = admit(cache, A + B + C)
    assert (account.firm_bytes, account.revocable_bytes) == (4 * BLOCK_BYTES, credit)
    cache.release(firm)
    assert (account.firm_bytes, account.revocable_bytes) == (0, 2 * BLOCK_BYTES + credit)
    cache.release(revocable)
    memory.check()


def test_a_partial_block_is_copied_and_never_shared() -> None:
    memory = KvMemory(KvLedger(1000))
    memory.ledger.open_account("a", min_bytes=0, max_bytes=1000)
    cache = memory.open("a", CacheGeometry(8, BLOCK_BYTES, 10))
    first = compute(cache, [1] * 8 + [2, 2, 2, 2, 2, 2, 3, 3])
    second, num_computed = admit(cache, [1] * 8 + [2, 2, 2, 2, 2, 2, 9, 9])
    assert num_computed == 8 + 6
    assert second.block_ids[0] == first.block_ids[0]
    assert second.block_ids[1] != first.block_ids[1]
    assert cache.copies == [(first.block_ids[1], second.block_ids[1])]
    memory.check()


def test_two_who_computed_the_same_come_to_hold_one_block() -> None:
    memory = memory_of()
    cache = memory.caches["a"]
    tokens = A + B
    pair = [admit(cache, tokens)[0] for _ in range(2)]
    for holding in pair:
        cache.extend(holding, 8)
    assert memory.ledger.used_bytes == 4 * BLOCK_BYTES
    for holding in pair:
        cache.commit(holding, tokens, 8)
    assert pair[0].block_ids == pair[1].block_ids
    assert memory.ledger.used_bytes == 2 * BLOCK_BYTES
    memory.check()


def test_what_a_living_sequence_continues_can_be_evicted_as_soon_as_it_is_cached() -> None:
    memory = memory_of()
    cache = memory.caches["a"]
    pair = [admit(cache, tokens)[0] for tokens in (A + B, A + C)]
    for holding, tokens in zip(pair, (A + B, A + C), strict=True):
        cache.extend(holding, 8)
        cache.commit(holding, tokens, 8)
    cache.release(pair[0])
    # Only the block of B is cached: that of A is the second one's beginning too.
    memory.ledger.limit_bytes = 0
    memory.shrink_to_limit()
    assert memory.ledger.cached_bytes == 0
    assert cache.blocks.num_active == 2
    memory.check()


def test_a_leaf_goes_before_its_parent_although_it_is_worth_more() -> None:
    memory = memory_of()
    cache = memory.caches["a"]
    compute_and_release(cache, A)
    cache.recompute_ms = 50.0
    compute_and_release(cache, A + B)
    for holding in [admit(cache, A + B + C)[0] for _ in range(3)]:
        cache.release(holding)
    left = [len(cache._tree)]
    while cache.lowest_priority() is not None:
        cache.evict()
        memory.check()
        left.append(len(cache._tree))
    assert left == [2, 1, 0]


def compute_and_release(cache: EngineCache, tokens: list[int]) -> None:
    cache.release(compute(cache, tokens))


def test_pinned_blocks_are_never_evicted_and_always_shared() -> None:
    memory = memory_of(4)
    cache = memory.caches["a"]
    cache.pin(compute(cache, A), A)
    for n in range(10, 20):
        compute_and_release(cache, [n] * 8)
    _, num_computed = admit(cache, A + B)
    assert num_computed == 4
    assert memory.ledger.pinned_bytes == BLOCK_BYTES
    memory.check()


def test_the_partial_end_of_a_pinned_beginning_is_copied() -> None:
    memory = KvMemory(KvLedger(1000))
    memory.ledger.open_account("a", min_bytes=0, max_bytes=1000)
    cache = memory.open("a", CacheGeometry(8, BLOCK_BYTES, 10))
    pinned = compute(cache, [1] * 13)
    cache.pin(pinned, [1] * 13)
    holding, num_computed = admit(cache, [1] * 13 + [2] * 4)
    assert num_computed == 13
    assert cache.copies == [(pinned.block_ids[1], holding.block_ids[1])]
    memory.check()


def test_pins_take_a_fifth_of_the_budget_at_most() -> None:
    memory = memory_of(10)
    assert memory.may_pin(2 * BLOCK_BYTES)
    assert not memory.may_pin(3 * BLOCK_BYTES)
    cache = memory.caches["a"]
    cache.pin(compute(cache, A), A)
    assert not memory.may_pin(2 * BLOCK_BYTES)


def test_what_is_cheap_to_compute_again_is_evicted_first_whoever_has_it() -> None:
    memory = memory_of(4, "slow", "quick")
    slow, quick = memory.caches["slow"], memory.caches["quick"]
    slow.recompute_ms, quick.recompute_ms = 30.0, 1.0
    compute_and_release(slow, A + B)
    compute_and_release(quick, A)
    compute(quick, C + B)  # needs one block more than is free
    assert memory.ledger.accounts["slow"].cached_bytes == 2 * BLOCK_BYTES
    assert memory.ledger.accounts["quick"].cached_bytes == 0
    memory.check()


def test_an_engine_above_its_minimum_gives_way_before_one_within_it() -> None:
    memory = memory_of(4, "poor", "rich", min_bytes=200)
    poor, rich = memory.caches["poor"], memory.caches["rich"]
    poor.recompute_ms, rich.recompute_ms = 1.0, 30.0
    compute_and_release(poor, A)
    compute_and_release(rich, A + B + C)
    compute(poor, B)
    # `rich` holds 300 of its 200 bytes, so it gives one up although that is worth more.
    assert memory.ledger.accounts["poor"].cached_bytes == BLOCK_BYTES
    assert memory.ledger.accounts["rich"].cached_bytes == 2 * BLOCK_BYTES
    memory.check()


def test_what_was_wanted_often_outlives_what_was_wanted_once() -> None:
    memory = memory_of(3)
    cache = memory.caches["a"]
    compute_and_release(cache, A)
    for _ in range(3):
        cache.release(admit(cache, A + B)[0])
    compute_and_release(cache, B)
    compute_and_release(cache, C)
    compute_and_release(cache, [9] * 4)
    _, num_computed = admit(cache, A + B, room=0)
    assert num_computed == 4
    memory.check()


def test_an_engine_with_recurrent_state_shares_nothing() -> None:
    memory = KvMemory(KvLedger(1000))
    memory.ledger.open_account("a", min_bytes=0, max_bytes=1000)
    cache = memory.open(
        "a",
        CacheGeometry(
            4,
            BLOCK_BYTES,
            10,
            state_block_bytes=50,
            state_blocks_per_sequence=1,
            num_state_blocks=2,
        ),
    )
    first = compute(cache, A + B)
    second, num_computed = admit(cache, A + B + C)
    assert num_computed == 0
    assert first.state_block_ids != second.state_block_ids
    for holding in (first, second):
        cache.release(holding)
    assert memory.ledger.used_bytes == memory.ledger.cached_bytes == 0
    memory.check()


def test_taking_more_than_was_reserved_is_caught() -> None:
    cache = memory_of().caches["a"]
    holding, _ = admit(cache, A)
    with pytest.raises(AssertionError, match="more than it reserved"):
        cache.extend(holding, 100)
