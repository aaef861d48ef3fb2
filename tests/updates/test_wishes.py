"""Documents that the broker keeps for a box: each is judged once, unless nobody can tell yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skilld.updates.box.wishes import MAX_RELEASES, Wishes
from skilld.updates.trust.envelope import MAX_ENVELOPE_BYTES


def test_what_was_judged_is_not_judged_again_at_the_next_connection() -> None:
    wishes = Wishes()
    assert wishes.arrived("toy", b"job", 0.0)
    wish = wishes.next(0.0)
    assert wish is not None
    wishes.judged(wish)
    assert not wishes.arrived("toy", b"job", 1.0)
    assert wishes.next(100.0) is None
    assert wishes.arrived("toy", b"another", 2.0)
    assert wishes.next(2.0) is not None


def test_what_was_taken_away_and_comes_again_is_judged_again() -> None:
    wishes = Wishes()
    wishes.arrived("toy", b"job", 0.0)
    wish = wishes.next(0.0)
    assert wish is not None
    wishes.judged(wish)
    assert wishes.arrived("toy", b"", 1.0)
    assert not wishes.holds(wish)
    assert wishes.next_s() is None
    assert wishes.arrived("toy", b"job", 2.0)
    assert wishes.next(2.0) is not None


def test_pauses_double_up_to_a_minute_and_a_reconnect_does_not_shorten_them() -> None:
    wishes, now_s, pauses = Wishes(), 0.0, []
    wishes.arrived("toy", b"job", now_s)
    for _ in range(12):
        wish = wishes.next(now_s)
        assert wish is not None
        wishes.put_off(wish, now_s)
        assert not wishes.arrived("toy", b"job", now_s)
        due_s = wishes.next_s()
        assert due_s is not None
        assert wishes.next(due_s - 0.001) is None
        pauses.append(due_s - now_s)
        now_s = due_s
    assert 0.5 <= pauses[0] <= 1.0
    assert all(30.0 <= pause <= 60.0 for pause in pauses[-3:])


def test_a_newer_one_takes_the_place_of_one_that_is_being_judged() -> None:
    wishes = Wishes()
    wishes.arrived("toy", b"old", 0.0)
    old = wishes.next(0.0)
    assert old is not None
    wishes.arrived("toy", b"new", 0.5)
    wishes.judged(old)
    new = wishes.next(1.0)
    assert new is not None
    assert (new.data, wishes.holds(old), wishes.holds(new)) == (b"new", False, True)


def test_nobody_fills_the_memory_of_a_box_with_documents() -> None:
    wishes = Wishes()
    for number in range(2 * MAX_RELEASES):
        wishes.arrived(f"toy{number}", b"x" * (1 << 20), 0.0)
    wish = wishes.next(0.0)
    assert wish is not None
    assert len(wish.data) == MAX_ENVELOPE_BYTES + 1
    assert not wishes.arrived("one-more", b"job", 0.0)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc"), st.binary(max_size=2))))
def test_the_newest_of_every_name_is_judged_in_the_end(
    events: list[tuple[int, str, bytes]],
) -> None:
    wishes, now_s = Wishes(), 0.0
    newest: dict[str, bytes] = {}
    judged: dict[str, bytes] = {}
    for kind, release, data in events:
        now_s += 1.0
        if kind == 0:
            wishes.arrived(release, data, now_s)
            newest[release] = data
            if not data:
                judged.pop(release, None)
        elif wish := wishes.next(now_s):
            if kind == 1:
                wishes.judged(wish)
                judged[wish.release] = wish.data
            else:
                wishes.put_off(wish, now_s)
    now_s += 100.0
    while wish := wishes.next(now_s):
        wishes.judged(wish)
        judged[wish.release] = wish.data
    assert judged == {release: data for release, data in newest.items() if data}
