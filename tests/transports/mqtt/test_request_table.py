from __future__ import annotations

import collections
import contextlib
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from skilld.core.errors import InvalidRequestError, OverloadedError
from skilld.mqtt.backoff import Backoff
from skilld.mqtt.message import Delivery, Message
from skilld.transports.mqtt.answer_memory import AnswerMemory
from skilld.transports.mqtt.envelope import ReplyAddress, SkillRequest, _Fields
from skilld.transports.mqtt.reply import Body
from skilld.transports.mqtt.request_table import Entry, Joined, Limits, RequestTable, Waiter

LIMITS = Limits(max_running=4, max_running_per_client=2, max_waiting=6, max_waiting_per_client=3)
FAR_S = 1e9


def request(client: str, request_id: str = "", *, payload: str = "p") -> SkillRequest:
    return SkillRequest(
        client=client,
        skill="echo",
        request_id=request_id,
        address=ReplyAddress(f"skilld/client/{client}/resp"),
        timeout_s=None,
        streams=False,
        digest=payload.encode(),
        _fields=_Fields(),
        _input=b"{}",
    )


def waiter(client: str, place: str = "") -> Waiter:
    address = ReplyAddress(f"skilld/client/{client}/resp{place}")
    return Waiter(address, Delivery(Message("t"), 1, 1, 0.0))


def body(text: str = "answer") -> Body:
    return Body(text.encode(), ())


def memory(
    *, max_answers: int = 8, max_bytes: int = 1 << 20, max_age_s: float = 60.0
) -> AnswerMemory:
    return AnswerMemory(max_answers=max_answers, max_bytes=max_bytes, max_age_s=max_age_s)


def table(limits: Limits = LIMITS) -> RequestTable:
    return RequestTable(limits, memory())


def offer(
    of: RequestTable, client: str, request_id: str = "", *, now_s: float = 0.0, **rest: str
) -> Entry | Body | Joined:
    place = rest.pop("place", "")
    return of.offer(
        request(client, request_id, **rest), waiter(client, place), deadline_s=FAR_S, now_s=now_s
    )


def entry_of(taken: Entry | Body | Joined) -> Entry:
    assert isinstance(taken, Entry)
    return taken


def test_a_repeat_while_it_runs_waits_for_the_same_answer() -> None:
    known = table()
    first = entry_of(offer(known, "a", "1"))
    assert list(known.turns()) == [first]
    assert offer(known, "a", "1") is Joined.SAME
    assert offer(known, "a", "1", place="/2") is Joined.WAITS
    waiters = known.end(first, body=body(), is_remembered=True, now_s=1.0)
    assert [one.address.topic[-2:] for one in waiters] == ["sp", "/2"]
    assert offer(known, "a", "1", now_s=2.0) == body()
    assert isinstance(offer(known, "b", "1"), Entry)  # somebody else's 1


def test_an_id_cannot_stand_for_two_requests() -> None:
    known = table()
    first = entry_of(offer(known, "a", "1"))
    with pytest.raises(InvalidRequestError, match="used for another request"):
        offer(known, "a", "1", payload="other")
    list(known.turns())
    known.end(first, body=body(), is_remembered=True, now_s=0.0)
    with pytest.raises(InvalidRequestError) as raised:
        offer(known, "a", "1", payload="other")
    assert raised.value.reason == "REQUEST_ID_REUSED"


def test_what_is_not_remembered_is_tried_anew() -> None:
    known = table()
    first = entry_of(offer(known, "a", "1"))
    list(known.turns())
    known.end(first, body=body("later"), is_remembered=False, now_s=0.0)
    assert isinstance(offer(known, "a", "1"), Entry)


def test_a_flood_is_refused_and_others_get_their_turns() -> None:
    known = table()
    taken = [entry_of(offer(known, "flood")) for _ in range(3)]
    assert [entry.client for entry in known.turns()] == ["flood"] * 2
    taken += [entry_of(offer(known, "flood")) for _ in range(2)]
    with pytest.raises(OverloadedError) as raised:
        offer(known, "flood")
    assert raised.value.reason == "CLIENT_QUEUE_FULL"
    offer(known, "quiet")
    assert [entry.client for entry in known.turns()] == ["quiet"]
    known.end(taken[0], body=body(), is_remembered=False, now_s=0.0)
    offer(known, "quiet")
    assert {entry.client for entry in known.turns()} == {"flood", "quiet"}
    known.check()


def test_turns_go_round() -> None:
    known = table(Limits(1, 1, 100, 100))
    for _ in range(3):
        for client in "abc":
            offer(known, client)
    order = []
    for _ in range(9):
        (entry,) = known.turns()
        order.append(entry.client)
        known.end(entry, body=body(), is_remembered=False, now_s=0.0)
    assert order == list("abc" * 3)


def test_the_box_as_a_whole_has_a_bound() -> None:
    known = table()
    for client in "abcdef":
        offer(known, client)
    with pytest.raises(OverloadedError) as raised:
        offer(known, "g")
    assert raised.value.reason == "QUEUE_FULL"


def test_an_answer_is_waited_for_in_a_bounded_number_of_places() -> None:
    known = table()
    offer(known, "a", "1")
    for number in range(7):
        assert offer(known, "a", "1", place=f"/{number}") is Joined.WAITS
    with pytest.raises(OverloadedError):
        offer(known, "a", "1", place="/8")


def test_memory_forgets_the_oldest_of_whoever_holds_most() -> None:
    kept = memory(max_answers=4)
    kept.keep("quiet", "q", digest=b"p", body=body(), now_s=0.0)
    for number in range(100):
        kept.keep("flood", str(number), digest=b"p", body=body("x" * 100), now_s=1.0)
        kept.check()
    assert kept.find("quiet", "q", digest=b"p", now_s=1.0) == body()
    assert kept.find("flood", "99", digest=b"p", now_s=1.0) is not None
    assert kept.find("flood", "96", digest=b"p", now_s=1.0) is None


def test_memory_is_bounded_in_bytes_and_seconds() -> None:
    kept = memory(max_bytes=3000)
    kept.keep("a", "1", digest=b"p", body=body("x" * 9000), now_s=0.0)
    assert kept.num_answers == 0
    for number in range(20):
        kept.keep("a", str(number), digest=b"p", body=body("x" * 600), now_s=float(number))
    assert (kept.num_answers, kept.num_bytes) == (3, 3000)
    kept.forget_old(79.0)
    assert kept.num_answers == 1
    assert kept.find("a", "19", digest=b"p", now_s=80.0) is None
    kept.check()
    assert kept.num_bytes == 0


def test_delays_grow_to_a_bound_and_chance_spreads_them() -> None:
    backoff = Backoff(first_s=0.2, max_s=30.0, dice=random.Random(1))
    delays = [backoff.delay_s() for _ in range(12)]
    assert all(0.1 <= delay <= 30.0 for delay in delays)
    assert all(15.0 <= delay <= 30.0 for delay in delays[8:])
    assert len(set(delays)) == len(delays)
    backoff.reset()
    assert backoff.delay_s() <= 0.2


class TableMachine(RuleBasedStateMachine):
    """Any requests, turns and ends: the accounts hold, and nobody is starved or forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.table = table()
        self.now_s = 0.0
        self.running: list[Entry] = []
        self.unanswered: collections.Counter[str] = collections.Counter()

    @rule(
        client=st.sampled_from("abcd"),
        request_id=st.sampled_from(["", "1", "2"]),
        payload=st.sampled_from(["p", "p", "other"]),
        timeout_s=st.floats(0.0, 5.0),
    )
    def arrive(self, client: str, request_id: str, payload: str, timeout_s: float) -> None:
        taken: Entry | Body | Joined | None = None
        with contextlib.suppress(OverloadedError, InvalidRequestError):
            taken = self.table.offer(
                request(client, request_id, payload=payload),
                waiter(client),
                deadline_s=self.now_s + timeout_s,
                now_s=self.now_s,
            )
        if isinstance(taken, Entry):
            self.unanswered[client] += 1
        elif isinstance(taken, Body):
            assert taken.payload == f"{client} {request_id} {payload}".encode()

    @rule()
    def give_turns(self) -> None:
        self.running += self.table.turns()
        if self.table.num_waiting:
            shares = collections.Counter(entry.client for entry in self.running)
            blocked = [e for e in self.table.entries() if not e.is_running]
            is_full = len(self.running) == LIMITS.max_running
            assert is_full or all(
                shares[entry.client] == LIMITS.max_running_per_client for entry in blocked
            )

    @precondition(lambda self: self.running)
    @rule(data=st.data(), is_remembered=st.booleans())
    def finish(self, data: st.DataObject, is_remembered: bool) -> None:
        index = data.draw(st.integers(0, len(self.running) - 1))
        self.end(self.running.pop(index), is_remembered=is_remembered)

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        for entry in self.table.overdue(self.now_s):
            assert not entry.is_running
            self.end(entry, is_remembered=False)
        assert not self.table.overdue(self.now_s)

    def end(self, entry: Entry, *, is_remembered: bool) -> None:
        what = entry.request
        answer = body(f"{what.client} {what.request_id} {what.digest.decode()}")
        waiters = self.table.end(entry, body=answer, is_remembered=is_remembered, now_s=self.now_s)
        assert waiters
        self.unanswered[entry.client] -= 1

    @invariant()
    def accounts_hold(self) -> None:
        self.table.check()
        assert len(self.table.entries()) == self.unanswered.total()


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
