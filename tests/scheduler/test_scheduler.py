"""What the scheduler does, one step at a time."""

from __future__ import annotations

import itertools

import pytest

from skilld.core.batch import Batch
from skilld.core.errors import InvalidRequestError, OverloadedError
from skilld.core.request import FinishReason, Request, RequestClass
from skilld.kvcache import CacheGeometry, KvLedger
from skilld.scheduler import CostModel, EngineLimits, Policy, Scheduler

IDS = itertools.count()
TOKENS = itertools.count()  # no two prompts begin alike


def limits(**changes: int) -> EngineLimits:
    geometry = {"block_tokens": 4, "block_bytes": 100, "num_blocks": 1000}
    others = {
        "context_limit": 64,
        "max_num_seqs": 4,
        "max_num_batched_tokens": 16,
        "max_queued": 8,
    }
    for name, value in changes.items():
        (others if name in others else geometry)[name] = value
    return EngineLimits(CacheGeometry(**geometry), **others)


def scheduler_of(budget_bytes: int = 10_000, **engines: EngineLimits) -> Scheduler:
    ledger = KvLedger(budget_bytes)
    # Free steps: what these tests look at is not how long a step is.
    scheduler = Scheduler(ledger, Policy(quantum_ms=0.0))
    for name, engine_limits in (engines or {"a": limits()}).items():
        ledger.open_account(name, min_bytes=0, max_bytes=budget_bytes)
        scheduler.add_engine(name, engine_limits, CostModel((0.0, 0.0, 0.0, 0.0), is_fixed=True))
    return scheduler


def request(
    prompt_len: int = 8,
    max_tokens: int = 4,
    *,
    engine: str = "a",
    request_class: RequestClass = RequestClass.INTERACTIVE,
    deadline_s: float | None = None,
) -> Request:
    return Request(
        request_id=f"r{next(IDS)}",
        engine=engine,
        prompt=[next(TOKENS) for _ in range(prompt_len)],
        max_tokens=max_tokens,
        request_class=request_class,
        deadline_s=deadline_s,
    )


def step(scheduler: Scheduler, now_s: float = 0.0) -> Batch:
    """Run one step in which every row that asks for logits gets token 7."""
    batch, _ = scheduler.schedule(now_s)
    assert batch is not None
    chosen = {row.request_id: [7] for row in batch.rows if row.num_logits}
    scheduler.update(batch, step_ms=1.0, new_tokens=chosen, now_s=now_s)
    scheduler.check()
    return batch


def test_a_prompt_is_prefilled_then_decoded_one_token_at_a_time() -> None:
    scheduler = scheduler_of()
    scheduler.add(request(prompt_len=8))
    first, second = step(scheduler), step(scheduler)
    assert (first.num_new_tokens, first.rows[0].num_logits) == (8, 1)
    assert (second.num_new_tokens, second.rows[0].past_len) == (1, 8)


def test_a_long_prompt_is_cut_into_chunks_and_only_the_last_asks_for_logits() -> None:
    scheduler = scheduler_of()
    scheduler.add(request(prompt_len=40))
    steps = [step(scheduler) for _ in range(3)]
    assert [batch.num_new_tokens for batch in steps] == [16, 16, 8]
    assert [batch.rows[0].num_logits for batch in steps] == [0, 0, 1]


def test_decodes_go_before_prefill_chunks_in_a_full_step() -> None:
    scheduler = scheduler_of()
    early = request(prompt_len=4)
    scheduler.add(early)
    step(scheduler)
    scheduler.add(request(prompt_len=40))
    batch = step(scheduler)
    assert batch.rows[0].request_id == early.request_id
    assert [len(row.token_ids) for row in batch.rows] == [1, 15]


def test_requests_join_between_steps() -> None:
    scheduler = scheduler_of()
    scheduler.add(request())
    assert len(step(scheduler).rows) == 1
    scheduler.add(request())
    assert len(step(scheduler).rows) == 2


def test_forced_tokens_are_fed_as_one_row() -> None:
    scheduler = scheduler_of()
    scheduler.add(request(prompt_len=4, max_tokens=10))
    batch, _ = scheduler.schedule(0.0)
    assert batch is not None
    scheduler.update(
        batch, step_ms=1.0, new_tokens={batch.rows[0].request_id: [7, 8, 9]}, now_s=0.0
    )
    after = step(scheduler)
    assert list(after.rows[0].token_ids) == [7, 8, 9]


def test_admission_waits_for_memory_and_goes_on_when_it_returns() -> None:
    # Two blocks of 100 bytes each per request of 8 + 0 tokens; the budget holds one request.
    scheduler = scheduler_of(budget_bytes=300)
    first, second = request(max_tokens=4), request(max_tokens=4)
    scheduler.add(first)
    scheduler.add(second)
    assert len(step(scheduler).rows) == 1
    scheduler.finish(first)
    assert step(scheduler).rows[0].request_id == second.request_id


def test_an_engine_whose_only_call_is_refused_does_not_keep_another_from_admission() -> None:
    ledger = KvLedger(10_000)
    scheduler = Scheduler(ledger)
    for name in ("a", "b"):
        ledger.open_account(name, min_bytes=0, max_bytes=10_000)
        scheduler.add_engine(name, limits(), CostModel((1.0, 0.0, 0.0, 0.0), is_fixed=True))
    hopeless = request(request_class=RequestClass.DEADLINE, deadline_s=0.001)
    feasible = request(engine="b", request_class=RequestClass.DEADLINE, deadline_s=9.0)
    scheduler.add(hopeless)
    scheduler.add(feasible)
    batch, ended = scheduler.schedule(0.0)
    assert [finished.request for finished in ended] == [hopeless]
    assert batch is not None
    assert [row.request_id for row in batch.rows] == [feasible.request_id]


def test_a_class_goes_before_arrival_and_a_deadline_before_both_inside_it() -> None:
    scheduler = scheduler_of(a=limits(max_num_seqs=1))
    batch_work = request(request_class=RequestClass.BATCH)
    late = request(request_class=RequestClass.DEADLINE, deadline_s=9.0)
    soon = request(request_class=RequestClass.DEADLINE, deadline_s=5.0)
    positions = [scheduler.add(r) for r in (batch_work, late, soon)]
    assert positions == [0, 0, 0]
    order = []
    for _ in range(3):
        order.append(step(scheduler).rows[0].request_id)
        scheduler.finish(next(r for r in (batch_work, late, soon) if r.request_id == order[-1]))
    assert order == [soon.request_id, late.request_id, batch_work.request_id]


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    scheduler = scheduler_of(a=limits(max_queued=2))
    scheduler.add(request())
    scheduler.add(request())
    with pytest.raises(OverloadedError) as refused:
        scheduler.add(request())
    assert refused.value.reason == "QUEUE_FULL"
    assert refused.value.retry_after_s > 0


def test_a_prompt_beyond_the_context_is_refused_with_both_figures() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        scheduler_of().add(request(prompt_len=61, max_tokens=4))
    assert refused.value.reason == "PROMPT_TOO_LONG"
    assert refused.value.metadata == {"prompt_tokens": "61", "context_limit": "64"}


def test_a_request_that_could_never_fit_is_refused_at_once() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        scheduler_of(budget_bytes=200).add(request(prompt_len=40))
    assert refused.value.reason == "REQUEST_TOO_LARGE"


@pytest.mark.parametrize("is_running", [False, True])
def test_a_passed_deadline_ends_the_request_and_frees_it(is_running: bool) -> None:
    scheduler = scheduler_of()
    doomed = request(deadline_s=1.0)
    scheduler.add(doomed)
    if is_running:
        step(scheduler)
    batch, expired = scheduler.schedule(1.0)
    assert batch is None
    assert [(f.request, f.reason) for f in expired] == [(doomed, FinishReason.DEADLINE)]
    assert scheduler.ledger.reserved_bytes == 0
    scheduler.check()


def test_abort_returns_every_block_and_tells_whether_it_did_something() -> None:
    scheduler = scheduler_of()
    running, waiting = request(), request()
    scheduler.add(running)
    step(scheduler)
    scheduler.add(waiting)
    assert scheduler.abort(waiting)
    assert scheduler.abort(running)
    assert not scheduler.abort(running)
    assert scheduler.ledger.reserved_bytes == 0
    assert not scheduler.has_work
    scheduler.check()


def test_engines_share_device_time_evenly_whatever_their_step_costs() -> None:
    scheduler = scheduler_of(slow=limits(), fast=limits())
    for name in ("slow", "fast"):
        scheduler.add(request(engine=name, max_tokens=50))
    spent = {"slow": 0.0, "fast": 0.0}
    for _ in range(40):
        batch, _ = scheduler.schedule(0.0)
        assert batch is not None
        cost = 4.0 if batch.engine == "slow" else 1.0
        spent[batch.engine] += cost
        scheduler.update(batch, step_ms=cost, new_tokens={batch.rows[0].request_id: [7]}, now_s=0.0)
        assert abs(spent["slow"] - spent["fast"]) <= 4.0


def test_an_engine_that_was_idle_does_not_take_over() -> None:
    scheduler = scheduler_of(a=limits(), b=limits())
    scheduler.add(request(engine="a", max_tokens=50))
    for _ in range(20):
        step(scheduler)
    scheduler.add(request(engine="b", max_tokens=50))
    engines = [step(scheduler).engine for _ in range(10)]
    assert engines.count("a") >= 4


def test_recurrent_state_blocks_are_held_from_admission_to_the_end() -> None:
    hybrid = limits(
        state_block_bytes=50, state_blocks_per_sequence=1, num_state_blocks=2, max_num_seqs=2
    )
    scheduler = scheduler_of(a=hybrid)
    first = request()
    scheduler.add(first)
    assert len(step(scheduler).rows[0].state_block_ids) == 1
    assert scheduler.ledger.used_bytes == 2 * 100 + 50
    scheduler.finish(first)
    assert scheduler.ledger.used_bytes == 0
