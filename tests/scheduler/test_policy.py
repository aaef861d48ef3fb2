"""What the scheduler promises about time, on a virtual clock where a step takes what it costs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from skilld.core.batch import Batch, Row
from skilld.core.errors import DeadlineError, InvalidRequestError, OverloadedError, SkilldError
from skilld.core.request import FinishReason, Request, RequestClass
from skilld.kvcache import CacheGeometry, KvLedger
from skilld.scheduler import CostModel, EngineLimits, Policy, Scheduler

DEADLINE, INTERACTIVE, BATCH = RequestClass

Coefficients = tuple[float, float, float, float]
CHEAP: Coefficients = (1.0, 0.1, 0.05, 0.0)
IDS = itertools.count()
TOKENS = itertools.count(1000)  # no two prompts begin alike unless told so


@dataclass(frozen=True)
class Step:
    """One step that ran.

    Attributes:
        engine: whose.
        start_s: on the virtual clock.
        step_ms: its true cost, which is the predicted one.
        num_rows: sequences in it.
        num_new: tokens in it.
    """

    engine: str
    start_s: float
    step_ms: float
    num_rows: int
    num_new: int


@dataclass(frozen=True)
class End:
    """How a request ended."""

    reason: FinishReason
    time_s: float
    error: SkilldError | None


def limits(
    *,
    block_bytes: int = 100,
    max_num_seqs: int = 8,
    max_num_batched_tokens: int = 256,
    max_queued: int = 10_000,
    max_queued_per_client: int = 10_000,
    weight: float = 1.0,
) -> EngineLimits:
    geometry = CacheGeometry(block_tokens=8, block_bytes=block_bytes, num_blocks=10_000)
    return EngineLimits(
        geometry,
        context_limit=4096,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        max_queued=max_queued,
        max_queued_per_client=max_queued_per_client,
        weight=weight,
    )


def request(
    prompt_len: int = 8,
    max_tokens: int = 8,
    *,
    engine: str = "a",
    request_class: RequestClass = INTERACTIVE,
    arrival_s: float = 0.0,
    patience_s: float | None = None,
    client: str = "",
) -> Request:
    return Request(
        f"r{next(IDS)}",
        engine,
        [next(TOKENS) for _ in range(prompt_len)],
        max_tokens,
        request_class=request_class,
        arrival_s=arrival_s,
        deadline_s=None if patience_s is None else arrival_s + patience_s,
        client=client,
    )


@dataclass
class Simulation:
    """A scheduler on a device whose steps take exactly what the cost model says.

    Every answer is a row of sevens. With `guesses`, some tokens are guessed, not all rightly.
    """

    scheduler: Scheduler
    costs: dict[str, CostModel]
    guesses: random.Random | None = None
    now_s: float = 0.0
    steps: list[Step] = field(default_factory=list)
    ends: dict[str, End] = field(default_factory=dict)
    admitted: set[str] = field(default_factory=set)
    refused: dict[str, SkilldError] = field(default_factory=dict)
    live: dict[str, Request] = field(default_factory=dict)

    def submit(self, fresh: Request) -> None:
        try:
            self.scheduler.add(fresh)
        except (InvalidRequestError, OverloadedError) as error:
            self.refused[fresh.request_id] = error
        else:
            self.live[fresh.request_id] = fresh

    def step(self) -> Batch | None:
        """Schedule, let the time pass, give every row that wants one a token."""
        batch, finished = self.scheduler.schedule(self.now_s)
        for end in finished:
            self._end(end.request, end.reason, end.error)
        if batch is None:
            return None
        cost = self.costs[batch.engine]
        num_cached = sum(row.past_len for row in batch.rows)
        step_ms = cost.predict_ms(len(batch.rows), batch.num_new_tokens, num_cached)
        self.steps.append(
            Step(batch.engine, self.now_s, step_ms, len(batch.rows), batch.num_new_tokens)
        )
        self.admitted.update(row.request_id for row in batch.rows)
        self.now_s += step_ms / 1000.0
        chosen = {row.request_id: self._answer(row) for row in batch.rows if row.num_logits}
        drafts = {}
        if self.guesses is not None:
            for request_id in chosen:
                if self.guesses.random() < 0.5:
                    drafts[request_id] = self.guesses.choices(
                        [7, 7, 8], k=self.guesses.randint(1, 6)
                    )
        self.scheduler.update(
            batch, step_ms=step_ms, new_tokens=chosen, drafts=drafts, now_s=self.now_s
        )
        for request_id in chosen:
            done = self.live[request_id]
            if done.num_generated_tokens >= done.max_tokens:
                self.scheduler.finish(done)
                self._end(done, FinishReason.LENGTH, None)
        return batch

    def run(self, arrivals: Sequence[Request] = (), *, until_s: float = 1e9) -> None:
        """Run until everything ended, or the clock says `until_s`."""
        waiting = sorted(arrivals, key=lambda r: r.arrival_s, reverse=True)
        while self.now_s < until_s:
            while waiting and waiting[-1].arrival_s <= self.now_s:
                self.submit(waiting.pop())
            if self.step() is not None:
                continue
            assert not self.live, "work waits and nothing runs"
            if not waiting:
                return
            self.now_s = max(self.now_s, waiting[-1].arrival_s)

    def device_ms(self, engine: str) -> float:
        return sum(step.step_ms for step in self.steps if step.engine == engine)

    def _answer(self, row: Row) -> list[int]:
        num_right = len(list(itertools.takewhile(lambda guess: guess == 7, row.draft)))
        asked = self.live[row.request_id]
        return [7] * min(num_right + 1, asked.max_tokens - asked.num_generated_tokens)

    def _end(self, ended: Request, reason: FinishReason, error: SkilldError | None) -> None:
        assert ended.request_id not in self.ends, "ended twice"
        del self.live[ended.request_id]
        self.ends[ended.request_id] = End(reason, self.now_s, error)


def simulation(
    engines: dict[str, tuple[EngineLimits, Coefficients]] | None = None,
    *,
    budget_bytes: int = 1_000_000,
    policy: Policy | None = None,
    min_bytes: dict[str, int] | None = None,
    max_bytes: dict[str, int] | None = None,
) -> Simulation:
    engines = engines or {"a": (limits(), CHEAP)}
    ledger = KvLedger(budget_bytes)
    scheduler = Scheduler(ledger, policy or Policy())
    costs = {}
    for name, (engine_limits, coefficients) in engines.items():
        ledger.open_account(
            name,
            min_bytes=(min_bytes or {}).get(name, 0),
            max_bytes=(max_bytes or {}).get(name, budget_bytes),
        )
        costs[name] = CostModel(coefficients, is_fixed=True)
        scheduler.add_engine(name, engine_limits, costs[name])
    return Simulation(scheduler, costs)


def random_world(dice: random.Random) -> tuple[Simulation, list[Request]]:
    """Up to three engines of any speed, and calls of all classes, some of them hopeless."""
    engines = {
        name: (
            limits(
                block_bytes=dice.choice([50, 100, 300]),
                max_num_seqs=dice.choice([1, 2, 4, 16]),
                max_num_batched_tokens=dice.choice([32, 128, 512]),
                weight=dice.choice([0.5, 1.0, 3.0]),
            ),
            (
                dice.choice([0.2, 2.0, 8.0, 30.0]),
                dice.choice([0.0, 0.3, 3.0]),
                dice.choice([0.0, 0.02, 0.2, 1.0]),
                dice.choice([0.0, 0.0, 0.0002, 0.004]),
            ),
        )
        for name in ("a", "b", "c")[: dice.randint(1, 3)]
    }
    sim = simulation(
        engines,
        budget_bytes=dice.choice([8_000, 30_000, 1_000_000]),
        policy=Policy(
            step_bound_ms=dice.choice([10.0, 50.0, 200.0]),
            quantum_ms=dice.choice([0.0, 20.0]),
            aging_s=dice.choice([0.1, 5.0]),
        ),
    )
    if dice.random() < 0.5:
        sim.guesses = random.Random(dice.random())
    beginnings = [[next(TOKENS) for _ in range(100)] for _ in range(2)]
    now_s, calls = 0.0, []
    spread_s = dice.choice([0.001, 0.02, 0.2])
    patience_s = dice.choice([0.1, 1.0, 5.0])
    for _ in range(dice.randint(1, 40)):
        now_s += dice.expovariate(1.0 / spread_s)
        request_class = dice.choice([DEADLINE, DEADLINE, INTERACTIVE, BATCH])
        has_deadline = request_class is DEADLINE or dice.random() < 0.1
        call = request(
            dice.choice([1, 7, 40, 200, 400]),
            dice.choice([1, 5, 30, 100]),
            engine=dice.choice(sorted(engines)),
            request_class=request_class,
            arrival_s=now_s,
            patience_s=dice.expovariate(1.0 / patience_s) if has_deadline else None,
            client=dice.choice("xyz"),
        )
        if dice.random() < 0.5:
            call.prompt[:100] = dice.choice(beginnings)[: len(call.prompt)]
            call.tokens = list(call.prompt)
        calls.append(call)
    return sim, calls


@pytest.mark.parametrize("seed", range(150))
def test_no_admitted_deadline_is_missed_when_steps_cost_what_they_should(seed: int) -> None:
    sim, calls = random_world(random.Random(seed))
    sim.run(calls)
    for call in calls:
        if call.request_class is not DEADLINE or call.request_id not in sim.admitted:
            continue
        end = sim.ends[call.request_id]
        assert call.deadline_s is not None
        assert end.reason is FinishReason.LENGTH, (end, call.deadline_s)
        assert end.time_s <= call.deadline_s + 1e-6


@pytest.mark.parametrize("seed", range(60))
def test_no_step_is_planned_above_the_bound_but_a_single_token(seed: int) -> None:
    sim, calls = random_world(random.Random(seed))
    sim.run(calls)
    for step in sim.steps:
        bound_ms = max(
            sim.scheduler.policy.step_bound_ms, 4 * sim.costs[step.engine].bound_ms(1, 1, 0)
        )
        assert step.step_ms <= bound_ms + 1e-5 or (step.num_rows, step.num_new) == (1, 1)


@pytest.mark.parametrize("seed", range(60))
def test_every_call_ends_exactly_once_and_leaves_nothing(seed: int) -> None:
    sim, calls = random_world(random.Random(seed))
    sim.run(calls)  # fails by itself on a second end, and when work waits beside an idle device
    assert {call.request_id for call in calls} == sim.ends.keys() | sim.refused.keys()
    assert not sim.ends.keys() & sim.refused.keys()
    assert sim.scheduler.ledger.reserved_bytes == 0
    sim.scheduler.check()


@pytest.mark.parametrize("seed", range(10))
def test_the_same_calls_give_the_same_schedule(seed: int) -> None:
    first, calls = random_world(random.Random(seed))
    first.run(calls)
    second, same_calls = random_world(random.Random(seed))
    second.run(same_calls)
    assert first.steps == second.steps
    ends = [
        [sim.ends.get(c.request_id) for c in cs]
        for sim, cs in ((first, calls), (second, same_calls))
    ]
    assert [end and (end.reason, end.time_s) for end in ends[0]] == [
        end and (end.reason, end.time_s) for end in ends[1]
    ]


def test_what_cannot_finish_is_refused_at_once_with_both_times() -> None:
    # 10 ms a step: twenty tokens take 200 ms.
    sim = simulation({"a": (limits(), (10.0, 0.0, 0.0, 0.0))})
    hopeless = request(max_tokens=20, request_class=DEADLINE, patience_s=0.15)
    sim.run([hopeless])
    end = sim.ends[hopeless.request_id]
    assert (end.reason, end.time_s) == (FinishReason.DEADLINE, 0.0)
    assert isinstance(end.error, DeadlineError)
    assert end.error.message == "cannot finish before its deadline: needs 200 ms, has 150"
    assert end.error.reason == "CANNOT_FINISH"
    assert end.error.metadata == {"needed_ms": "200.0", "available_ms": "150.0"}
    assert not sim.steps
    assert sim.scheduler.figures("a")["num_deadline_refusals"] == 1


def test_a_call_that_would_make_an_admitted_one_late_is_refused() -> None:
    sim = simulation({name: (limits(), (10.0, 0.0, 0.0, 0.0)) for name in ("a", "b")})
    admitted = request(max_tokens=20, request_class=DEADLINE, patience_s=0.25)
    sim.submit(admitted)
    sim.step()
    # Urgent enough to go first, and 150 ms long: the other one would end after 350 ms.
    pushy = request(
        max_tokens=15, engine="b", request_class=DEADLINE, arrival_s=0.01, patience_s=0.2
    )
    sim.run([pushy])
    assert sim.ends[admitted.request_id].reason is FinishReason.LENGTH
    error = sim.ends[pushy.request_id].error
    assert error is not None
    assert error.message == "cannot be done without making a call late that was admitted before"


def test_calls_that_share_steps_are_admitted_where_one_after_the_other_would_be_late() -> None:
    sim = simulation({"a": (limits(), (10.0, 0.1, 0.0, 0.0))})
    calls = [request(max_tokens=20, request_class=DEADLINE, patience_s=0.3) for _ in range(8)]
    sim.run(calls)
    assert all(sim.ends[call.request_id].reason is FinishReason.LENGTH for call in calls)


@pytest.mark.parametrize("weight", [1.0, 3.0])
@pytest.mark.parametrize("quantum_ms", [0.0, 20.0, 100.0])
def test_two_busy_engines_never_drift_apart(weight: float, quantum_ms: float) -> None:
    sim = simulation(
        {
            "slow": (limits(weight=weight), (9.0, 0.5, 0.1, 0.0)),
            "fast": (limits(), (0.7, 0.1, 0.01, 0.0)),
        },
        policy=Policy(step_bound_ms=50.0, quantum_ms=quantum_ms),
    )
    for name in ("slow", "fast"):
        for _ in range(4):
            sim.submit(request(600, 1500, engine=name))
    used = {"slow": 0.0, "fast": 0.0}
    for _ in range(1200):
        sim.step()
        used[sim.steps[-1].engine] += sim.steps[-1].step_ms
        assert abs(used["slow"] / weight - used["fast"]) <= 2 * max(quantum_ms, 50.0)


def test_an_engine_with_lesser_work_is_owed_nothing_for_the_time_it_waited() -> None:
    sim = simulation({name: (limits(), CHEAP) for name in ("a", "b")})
    sim.submit(request(max_tokens=3000, engine="b", request_class=BATCH))
    sim.submit(request(max_tokens=3000, engine="a"))
    for _ in range(2000):  # seconds in which only `a` runs
        sim.step()
    sim.submit(request(max_tokens=3000, engine="b"))
    start = {name: sim.device_ms(name) for name in ("a", "b")}
    for _ in range(400):
        sim.step()
        gap_ms = sum(sign * (sim.device_ms(n) - start[n]) for n, sign in (("a", 1), ("b", -1)))
        assert abs(gap_ms) <= 100.0


def test_interactive_work_goes_before_batch_work_of_any_engine() -> None:
    sim = simulation({name: (limits(), CHEAP) for name in ("a", "b")})
    sim.submit(request(max_tokens=3000, engine="b", request_class=BATCH))
    sim.step()
    called = request(max_tokens=50, engine="a")
    sim.submit(called)
    while called.request_id in sim.live:
        sim.step()
        assert sim.steps[-1].engine == "a"


def test_batch_work_gets_a_step_now_and_then_beside_endless_interactive_work() -> None:
    sim = simulation({name: (limits(), CHEAP) for name in ("a", "b")}, policy=Policy(aging_s=0.5))
    sim.submit(request(max_tokens=3000, engine="b", request_class=BATCH))
    sim.step()
    for _ in range(3):
        sim.submit(request(max_tokens=3000, engine="a"))
    last_s = sim.now_s
    while sim.now_s < 3.0:
        sim.step()
        if sim.steps[-1].engine == "b":
            assert sim.now_s - last_s <= 0.5 + 2 * 0.05
            last_s = sim.now_s
    assert last_s > 2.4


def test_batch_work_gets_a_row_now_and_then_beside_endless_interactive_rows() -> None:
    # A row costs 10 ms of the 60: five of them fit a step.
    sim = simulation(
        {"a": (limits(), (5.0, 10.0, 0.0, 0.0))}, policy=Policy(step_bound_ms=60.0, aging_s=0.5)
    )
    patient = request(max_tokens=4, request_class=BATCH)
    sim.submit(patient)
    sim.step()
    for _ in range(7):
        sim.submit(request(max_tokens=3000))
    sim.run(until_s=3.0)
    assert patient.request_id in sim.ends


def test_batch_work_that_waited_long_is_admitted_and_never_revoked() -> None:
    # Room for one request of 2 blocks.
    sim = simulation(budget_bytes=200, policy=Policy(aging_s=1.0))
    patient = request(8, 8, request_class=BATCH)
    calls = [request(8, 8, arrival_s=0.005 * n) for n in range(1000)]
    sim.run([patient, *calls], until_s=2.0)
    assert sim.ends[patient.request_id].reason is FinishReason.LENGTH


def test_old_batch_work_of_one_client_does_not_pass_the_calls_of_others() -> None:
    sim = simulation({"a": (limits(max_num_seqs=1), CHEAP)}, policy=Policy(aging_s=0.1))
    for _ in range(200):
        sim.submit(request(client="flood", request_class=BATCH))
    sim.run(until_s=0.2)
    called = request(client="human", arrival_s=sim.now_s)
    sim.submit(called)
    sim.run(until_s=0.3)
    assert called.request_id in sim.ends


def test_a_flood_of_one_client_delays_anothers_call_by_one_turn() -> None:
    sim = simulation({"a": (limits(max_num_seqs=1), CHEAP)})
    for _ in range(500):
        sim.submit(request(client="flood"))
    sim.step()
    called = request(client="human")
    sim.submit(called)
    while called.request_id in sim.live:
        sim.step()
    assert len(sim.ends) <= 3


def test_a_client_beyond_its_bound_is_refused_and_others_are_not() -> None:
    sim = simulation({"a": (limits(max_queued_per_client=3), CHEAP)})
    for _ in range(4):
        sim.submit(request(client="flood"))
    (error,) = sim.refused.values()
    assert isinstance(error, OverloadedError)
    assert error.reason == "CLIENT_QUEUE_FULL"
    assert error.retry_after_s > 0
    sim.submit(request(client="human"))
    assert len(sim.refused) == 1


def test_a_large_call_gets_its_memory_although_other_engines_keep_asking() -> None:
    # `big` needs 10 blocks of 100 bytes, the budget; `small` takes 2 at a time, without end.
    sim = simulation(
        {"big": (limits(), CHEAP), "small": (limits(), CHEAP)},
        budget_bytes=1000,
        policy=Policy(aging_s=0.5),
    )
    large = request(40, 40, engine="big", arrival_s=0.01)
    small = [request(8, 8, engine="small", arrival_s=0.002 * n) for n in range(2000)]
    sim.run([large, *small], until_s=3.0)
    assert sim.ends[large.request_id].reason is FinishReason.LENGTH
    assert sim.ends[large.request_id].time_s < 1.0


def test_an_engine_at_its_own_cap_keeps_no_memory_from_others() -> None:
    sim = simulation(
        {"capped": (limits(), CHEAP), "other": (limits(), CHEAP)},
        budget_bytes=2000,
        max_bytes={"capped": 400, "other": 2000},
        policy=Policy(aging_s=0.01),
    )
    for _ in range(60):  # one is always waiting that is older than the aging time
        sim.submit(request(8, 24, engine="capped"))
    sim.run(until_s=0.1)
    sim.submit(request(8, 24, engine="other", arrival_s=sim.now_s))
    sim.step()
    assert sim.scheduler.num_waiting("capped") > 0
    assert sim.scheduler.num_running("other") == 1


def test_a_call_that_became_impossible_is_ended_and_blocks_nobody() -> None:
    sim = simulation(budget_bytes=1000, policy=Policy(aging_s=0.1))
    sim.submit(request(40, 30))
    sim.step()
    doomed = request(40, 40)  # all of the 1,000 bytes, which the engine then may not hold
    sim.submit(doomed)
    sim.submit(request(8, 8))
    sim.scheduler.ledger.resize("a", min_bytes=0, max_bytes=900)
    sim.run(until_s=2.0)
    end = sim.ends[doomed.request_id]
    assert end.reason is FinishReason.ERROR
    assert isinstance(end.error, InvalidRequestError)
    assert end.error.reason == "REQUEST_TOO_LARGE"
    assert not sim.live


def test_batch_work_gives_up_its_place_in_a_full_batch() -> None:
    sim = simulation({"a": (limits(max_num_seqs=2), CHEAP)})
    patient = [request(max_tokens=400, request_class=BATCH) for _ in range(2)]
    for call in patient:
        sim.submit(call)
    sim.step()
    called = request(max_tokens=10)
    sim.submit(called)
    sim.step()
    assert called.request_id in sim.admitted
    assert sim.scheduler.figures("a")["num_preemptions"] == 1
    sim.run()
    assert all(sim.ends[call.request_id].reason is FinishReason.LENGTH for call in patient)


def test_a_long_queue_of_deadline_calls_is_not_refused_while_there_is_time() -> None:
    # Two at a time, ten steps of 1 ms each: a hundred calls take half a second.
    sim = simulation({"a": (limits(max_num_seqs=2), (1.0, 0.0, 0.0, 0.0))})
    calls = [request(max_tokens=10, request_class=DEADLINE, patience_s=1.0) for _ in range(100)]
    sim.run(calls)
    assert all(sim.ends[call.request_id].reason is FinishReason.LENGTH for call in calls)
