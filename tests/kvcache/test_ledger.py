"""The ledger keeps every guarantee and never promises the same byte twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.kvcache import KvLedger


def reserve(ledger: KvLedger, engine: str, num_bytes: int, *, firm: bool = True) -> bool:
    """Reserve when nothing has to be given up for it."""
    firm_bytes = num_bytes if firm else 0
    shortfall = ledger.shortfall(engine, num_bytes, firm_bytes=firm_bytes)
    if shortfall is None or not shortfall.is_zero:
        return False
    ledger.reserve(engine, num_bytes, firm=firm)
    ledger.check()
    return True


def test_an_idle_minimum_stays_available_to_its_engine() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=30, max_bytes=100)
    ledger.open_account("b", min_bytes=30, max_bytes=100)
    assert reserve(ledger, "a", 70)
    assert not reserve(ledger, "a", 1)
    assert reserve(ledger, "b", 30)


def test_an_idle_minimum_is_lent_to_work_that_can_be_revoked() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=30, max_bytes=100)
    ledger.open_account("b", min_bytes=30, max_bytes=100)
    assert reserve(ledger, "a", 100, firm=False)
    shortfall = ledger.shortfall("b", 20, firm_bytes=20)
    assert shortfall is not None
    assert (shortfall.own_bytes <= 0, shortfall.any_bytes) == (True, 20)
    ledger.release("a", 20, firm=False)
    assert reserve(ledger, "b", 20)


def test_revocable_work_waits_rather_than_revoke_other_work() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=0, max_bytes=100)
    assert reserve(ledger, "a", 60, firm=False)
    assert ledger.shortfall("a", 41, firm_bytes=0) is None


def test_max_caps_an_engine_even_on_an_idle_box() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=0, max_bytes=40)
    assert not reserve(ledger, "a", 41)
    assert not ledger.could_ever_reserve("a", 41)
    assert reserve(ledger, "a", 40)


def test_an_engine_at_its_cap_gives_up_its_own_revocable_work() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=0, max_bytes=40)
    assert reserve(ledger, "a", 30, firm=False)
    shortfall = ledger.shortfall("a", 20, firm_bytes=20)
    assert shortfall is not None
    assert shortfall.own_bytes == 10


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
    assert "b" not in ledger.accounts
    ledger.check()


def test_a_guarantee_is_raised_as_far_as_others_leave_room() -> None:
    ledger = KvLedger(100)
    ledger.open_account("old", min_bytes=60, max_bytes=100)
    ledger.open_account("new", min_bytes=0, max_bytes=50)
    assert not ledger.raise_guarantee("new", 60)
    assert ledger.accounts["new"].min_bytes == 40
    ledger.check()
    ledger.close_account("old")
    assert ledger.raise_guarantee("new", 60)
    assert ledger.accounts["new"].min_bytes == 50  # its cap
    ledger.check()


def test_a_minimum_above_the_maximum_is_refused() -> None:
    with pytest.raises(ValueError, match="above max"):
        KvLedger(100).open_account("a", min_bytes=2, max_bytes=1)


def test_raising_a_minimum_is_refused_while_others_hold_the_memory_firmly() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=0, max_bytes=100)
    ledger.open_account("b", min_bytes=10, max_bytes=100)
    assert reserve(ledger, "a", 70)
    with pytest.raises(ValueError, match="30 B of 100 B are left"):
        ledger.resize("b", min_bytes=31, max_bytes=100)
    ledger.resize("b", min_bytes=30, max_bytes=100)
    ledger.check()


def test_lowering_a_maximum_revokes_nothing_and_holds_for_what_comes() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=0, max_bytes=100)
    assert reserve(ledger, "a", 70)
    ledger.resize("a", min_bytes=0, max_bytes=50)
    ledger.check()
    assert not reserve(ledger, "a", 1)
    ledger.release("a", 30, firm=True)
    assert reserve(ledger, "a", 10)


def test_a_lowered_limit_stops_new_grants_and_revokes_nothing() -> None:
    ledger = KvLedger(100)
    ledger.open_account("a", min_bytes=50, max_bytes=100)
    assert reserve(ledger, "a", 60)
    ledger.limit_bytes = 40
    ledger.check()
    assert not reserve(ledger, "a", 1)
    ledger.limit_bytes = 100
    assert reserve(ledger, "a", 1)


@given(
    minima=st.lists(st.integers(0, 30), min_size=2, max_size=4),
    operations=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 40), st.booleans(), st.booleans())
    ),
)
def test_a_firm_reservation_inside_a_minimum_is_always_granted(
    minima: list[int], operations: list[tuple[int, int, bool, bool]]
) -> None:
    ledger = KvLedger(120)
    names = [f"engine-{index}" for index in range(len(minima))]
    for name, minimum in zip(names, minima, strict=True):
        ledger.open_account(name, min_bytes=minimum, max_bytes=120)
    held: list[tuple[str, int, bool]] = []
    for index, num_bytes, is_release, firm in operations:
        if is_release and held:
            name, amount, was_firm = held.pop(index % len(held))
            ledger.release(name, amount, firm=was_firm)
            ledger.check()
            continue
        name = names[index % len(names)]
        account = ledger.accounts[name]
        shortfall = ledger.shortfall(name, num_bytes, firm_bytes=num_bytes if firm else 0)
        if firm and account.firm_bytes + num_bytes <= account.min_bytes:
            assert shortfall is not None
        if shortfall is None:
            continue
        while not shortfall.is_zero:  # give up revocable work, of the engine itself first
            own = [entry for entry in held if not entry[2] and entry[0] == name]
            revocable = own or [entry for entry in held if not entry[2]]
            assert revocable, "the ledger counts on revocable work that is not there"
            held.remove(revocable[-1])
            ledger.release(revocable[-1][0], revocable[-1][1], firm=False)
            shortfall = ledger.shortfall(name, num_bytes, firm_bytes=num_bytes if firm else 0)
            assert shortfall is not None
        ledger.reserve(name, num_bytes, firm=firm)
        held.append((name, num_bytes, firm))
        ledger.check()
    for name, amount, firm in held:
        ledger.release(name, amount, firm=firm)
    assert ledger.reserved_bytes == 0
