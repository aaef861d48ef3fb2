"""The ledger keeps every guarantee and never promises the same byte twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.kvcache import KvLedger


def test_an_idle_minimum_stays_available_to_its_engine() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=30, max_bytes=100)
    ledger.open_account("b", min_bytes=30, max_bytes=100)
    assert ledger.reserve("a", 70)
    assert not ledger.reserve("a", 1)
    assert ledger.reserve("b", 30)
    ledger.check()


def test_max_caps_an_engine_even_on_an_idle_box() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=0, max_bytes=40)
    assert not ledger.reserve("a", 41)
    assert not ledger.could_ever_reserve("a", 41)
    assert ledger.reserve("a", 40)


def test_could_ever_reserve_subtracts_what_others_are_guaranteed() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=0, max_bytes=100)
    ledger.open_account("b", min_bytes=30, max_bytes=100)
    assert ledger.could_ever_reserve("a", 70)
    assert not ledger.could_ever_reserve("a", 71)


def test_guarantees_beyond_the_budget_are_refused_with_the_figures() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=60, max_bytes=100)
    with pytest.raises(ValueError, match=r"'b' needs 50 B .* 40 B of 100 B are left"):
        ledger.open_account("b", min_bytes=50, max_bytes=100)
    ledger.check()


def test_a_minimum_above_the_maximum_is_refused() -> None:
    with pytest.raises(ValueError, match="above max"):
        KvLedger(100).open_account("a", min_bytes=2, max_bytes=1)


@given(
    minima=st.lists(st.integers(0, 30), min_size=2, max_size=4),
    operations=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40), st.booleans())),
)
def test_reservations_inside_a_minimum_are_always_granted(
    minima: list[int], operations: list[tuple[int, int, bool]]
) -> None:
    ledger = KvLedger(120)
    names = [f"engine-{index}" for index in range(len(minima))]
    for name, minimum in zip(names, minima, strict=True):
        ledger.open_account(name, min_bytes=minimum, max_bytes=120)
    held: list[tuple[str, int]] = []
    for index, num_bytes, is_release in operations:
        if is_release and held:
            name, amount = held.pop(index % len(held))
            ledger.release(name, reserved_bytes=amount, used_bytes=amount)
        else:
            name = names[index % len(names)]
            account = ledger.accounts[name]
            is_inside_minimum = account.reserved_bytes + num_bytes <= account.min_bytes
            granted = ledger.reserve(name, num_bytes)
            assert granted or not is_inside_minimum
            if granted:
                ledger.take(name, num_bytes)
                held.append((name, num_bytes))
        ledger.check()
    for name, amount in held:
        ledger.release(name, reserved_bytes=amount, used_bytes=amount)
    assert ledger.reserved_bytes == ledger.used_bytes == 0
