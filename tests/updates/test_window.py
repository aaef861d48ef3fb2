"""What a box waits for: pure, against a line that loses, doubles, delays and reorders."""

from __future__ import annotations

import heapq
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from skilld.core.errors import OverloadedError
from skilld.updates.depot.protocol import BlockRequest
from skilld.updates.depot.request_queue import RequestQueue, Waiting
from skilld.updates.depot.round_trip import RoundTrip
from skilld.updates.depot.token_bucket import TokenBucket
from skilld.updates.depot.window import Window
from skilld.updates.trust import BlobRange

SHA = "a" * 64
DATA = random.Random(1).randbytes(5000)

sizes = st.lists(st.integers(0, 700), min_size=1, max_size=6)


def ranges(lengths: list[int]) -> list[BlobRange]:
    parts, offset = [], 0
    for length in lengths:
        parts.append(BlobRange(SHA, offset, length))
        offset += length
    return parts


def content(part: BlobRange) -> bytes:
    return DATA[part.offset : part.offset + part.num_bytes]


@settings(max_examples=150, deadline=None)
@given(
    lengths=sizes,
    block_bytes=st.integers(1, 300),
    max_in_flight=st.integers(1, 16),
    loss=st.sampled_from([0.0, 0.1, 0.5]),
    delay_s=st.sampled_from([0.001, 0.3, 3.0]),
    seed=st.integers(0, 1000),
)
def test_every_part_comes_whole_over_any_line(
    lengths: list[int],
    block_bytes: int,
    max_in_flight: int,
    loss: float,
    delay_s: float,
    seed: int,
) -> None:
    dice = random.Random(seed)
    block_bytes = max(block_bytes, sum(lengths) // 60)
    window = Window(max_in_flight=max_in_flight)
    parts = ranges(lengths)
    window.want(parts, block_bytes=block_bytes)
    on_its_way: list[tuple[float, int, int, int, int]] = []
    came: dict[BlobRange, bytes] = {}
    now_s, count = 0.0, 0
    while True:
        while complete := window.take():
            assert complete[0] not in came
            came[complete[0]] = complete[1]
        if window.is_done:
            break
        while asked := window.ask(now_s):
            block, asking = asked
            assert block.num_bytes <= block_bytes
            for _ in range(dice.choice([1, 1, 1, 2])):
                if dice.random() >= loss:
                    count += 1
                    arrival_s = now_s + delay_s * dice.uniform(0.5, 2.0)
                    answer = (arrival_s, count, block.offset, block.num_bytes, asking)
                    heapq.heappush(on_its_way, answer)
        assert window.num_in_flight <= max_in_flight
        again_s = window.next_s()
        assert again_s is not None
        if on_its_way and on_its_way[0][0] <= again_s:
            now_s, _, offset, num_bytes, asking = heapq.heappop(on_its_way)
            data = DATA[offset : offset + num_bytes]
            window.arrived(SHA, offset, data, asking=asking, now_s=now_s)
        else:
            now_s = again_s
        assert now_s < 100_000
    assert came == {part: content(part) for part in parts}


@settings(max_examples=150, deadline=None)
@given(
    lengths=sizes,
    steps=st.lists(
        st.tuples(st.sampled_from(["ask", "answer", "want", "junk", "reconnect"]), st.randoms()),
        max_size=60,
    ),
)
def test_whatever_is_wanted_next_nothing_wrong_is_handed_out(
    lengths: list[int], steps: list[tuple[str, random.Random]]
) -> None:
    window = Window(max_in_flight=4)
    parts = ranges(lengths)
    window.want(parts, block_bytes=100)
    asked: list[tuple[int, int]] = []
    for number, (step, dice) in enumerate(steps):
        if step == "ask" and (due := window.ask(float(number))):
            asked.append((due[0].offset, due[0].num_bytes))
        elif step == "answer" and asked:
            offset, num_bytes = dice.choice(asked)
            data = DATA[offset : offset + num_bytes]
            window.arrived(SHA, offset, data, asking=None, now_s=float(number))
        elif step == "want":
            held = window.held_bytes
            window.want(parts, block_bytes=100)
            assert window.held_bytes == held  # wanted as before: nothing is lost
            wanted = dice.sample(parts, k=dice.randint(0, len(parts)))
            window.want(wanted, block_bytes=100)
            parts_now = set(wanted)
            while complete := window.take():
                assert complete[0] in parts_now
                assert complete[1] == content(complete[0])
            window.want(parts, block_bytes=100)
        elif step == "junk":
            assert not window.arrived("b" * 64, 0, b"x", asking=0, now_s=0.0)
            assert not window.arrived(SHA, 99_999, b"x", asking=0, now_s=0.0)
            assert not window.arrived(SHA, 0, bytes(5000), asking=0, now_s=0.0)
        elif step == "reconnect":
            window.reconnected()
        assert window.num_in_flight <= 4


def test_what_was_not_asked_for_is_not_taken() -> None:
    window = Window(max_in_flight=1)
    window.want(ranges([10, 10]), block_bytes=10)
    assert not window.arrived(SHA, 0, DATA[:10], asking=None, now_s=0.0)
    assert window.ask(0.0) is not None
    assert not window.arrived(SHA, 10, DATA[10:20], asking=None, now_s=0.0)
    assert not window.arrived(SHA, 0, DATA[:9], asking=None, now_s=0.0)
    assert window.arrived(SHA, 0, DATA[:10], asking=None, now_s=0.0)
    assert not window.arrived(SHA, 0, DATA[:10], asking=None, now_s=0.0)


def test_after_a_new_connection_all_is_asked_for_again_at_once() -> None:
    window = Window(max_in_flight=2)
    window.want(ranges([10, 10, 10]), block_bytes=10)
    first = {window.ask(0.0), window.ask(0.0)}
    assert window.ask(0.0) is None
    window.reconnected()
    assert {window.ask(0.1), window.ask(0.1)} == first
    assert window.ask(0.1) is None


def test_on_a_line_that_delivers_slowly_nothing_is_asked_for_twice() -> None:
    window = Window(max_in_flight=16)
    window.want(ranges([10] * 100), block_bytes=10)
    waiting, now_s, count = [], 0.0, 0
    while not window.is_done:
        while due := window.ask(now_s):
            waiting.append(due)
            count += 1
        now_s += 0.7  # one after the other: the last of the first 16 takes eleven seconds
        block, asking = waiting.pop(0)
        data = DATA[block.offset : block.offset + 10]
        assert window.arrived(SHA, block.offset, data, asking=asking, now_s=now_s)
        window.take()
    assert count == 100


def test_what_later_answers_have_overtaken_is_asked_for_again_at_once() -> None:
    window = Window(max_in_flight=6)
    window.want(ranges([10] * 6), block_bytes=10)
    for _ in range(6):
        assert window.ask(0.0) is not None
    for offset in (10, 20):
        assert window.arrived(SHA, offset, DATA[offset : offset + 10], asking=0, now_s=0.1)
        assert window.ask(0.1) is None
    assert window.arrived(SHA, 30, DATA[30:40], asking=0, now_s=0.1)
    again = window.ask(0.1)
    assert again is not None
    assert (again[0].offset, again[1]) == (0, 1)
    assert window.ask(0.1) is None


@given(st.lists(st.floats(0.0, 60.0), min_size=1, max_size=50))
def test_the_wait_follows_what_answers_take(times_s: list[float]) -> None:
    line = RoundTrip()
    for time_s in times_s:
        line.took(time_s)
        assert 0.2 <= line.timeout_s <= 30.0
    for _ in range(100):
        line.took(2.0)
    assert 2.0 <= line.timeout_s < 2.5
    assert line.timeout_of(1) == line.timeout_s < line.timeout_of(2) <= line.timeout_of(9) <= 5.0


@given(rate=st.floats(1e3, 1e6), takes=st.lists(st.integers(1, 100_000), min_size=1, max_size=50))
def test_no_more_goes_through_than_the_rate_and_one_block(rate: float, takes: list[int]) -> None:
    bucket, now_s = TokenBucket(rate), 0.0
    for take in takes:
        now_s += bucket.delay_s(now_s)
        assert bucket.delay_s(now_s) < 1e-6
        bucket.take(take, now_s)
    assert sum(takes[:-1]) <= rate * (now_s + 0.25) * (1 + 1e-6)


def request(number: int) -> BlockRequest:
    return BlockRequest(digest=SHA, offset=number, length=1)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), max_size=80),
    st.integers(1, 6),
)
def test_boxes_take_turns_and_nobody_waits_with_more_than_allowed(
    asked: list[tuple[str, int]], max_per_box: int
) -> None:
    queue = RequestQueue(max_per_box=max_per_box, max_boxes=3)
    waiting: dict[str, list[int]] = {}
    for box, number in asked:
        own = waiting.get(box, [])
        is_full = number not in own and len(own) >= max_per_box
        is_crowded = not own and len(waiting) >= 3
        try:
            queue.put(Waiting(box, request(number), None))
            assert not is_full
            assert not is_crowded
            if number not in own:
                waiting.setdefault(box, []).append(number)
        except OverloadedError:
            assert is_full or is_crowded
    turns = [queue.next() for _ in range(len(queue))]
    assert queue.next() is None
    order = [turn.box for turn in turns if turn]
    for box, own in waiting.items():
        assert [t.request.offset for t in turns if t and t.box == box] == own
    # In every round each who still waits comes once.
    most = max((len(own) for own in waiting.values()), default=0)
    for round_number in range(most):
        still = [box for box, own in waiting.items() if len(own) > round_number]
        assert sorted(order[: len(still)]) == sorted(still)
        order = order[len(still) :]
