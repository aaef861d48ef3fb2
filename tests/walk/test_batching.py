"""Whole calls through service, loop, scheduler and a real engine, many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from skilld.app import Box
from skilld.config import Config, EngineConfig, MemoryConfig
from skilld.core.errors import DeadlineError, InvalidRequestError
from skilld.loop import Accepted
from skilld.service import Call, Delta, Outcome

INPUTS = [{"lines": [f"E{n} " + "drive fault " * (n % 7)] * (1 + n % 3)} for n in range(24)]


@contextlib.asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Box]:
    """A box that proves its accounts when it is left."""
    box = Box(config)
    box.start()
    try:
        yield box
        for entry in await box.service.snapshot():
            assert entry["running"] == entry["waiting"] == 0
            assert entry["kv_reserved_bytes"] == entry["kv_used_bytes"] == 0
            # Blocks of the tiny model are smaller than a page, and each may keep one.
            assert (entry["kv_resident_bytes"] > 0) == (entry["kv_cached_bytes"] > 0)
        box.engine_loop.call(box.engine_loop.check)
        await box.service.snapshot()
    finally:
        await box.stop()


def parity(*engines: Path, **engine: int) -> Config:
    return Config(
        engines=engines,
        memory=MemoryConfig(kv_budget_bytes=64 << 20),
        engine=EngineConfig(mode="parity", **engine),
    )


async def test_batched_answers_are_those_given_alone(tiny_engine: Path) -> None:
    async with serving(parity(tiny_engine, max_num_seqs=8, max_num_batched_tokens=48)) as box:
        alone = [(await box.service.invoke(Call("pick", value))).output for value in INPUTS]
        together = await asyncio.gather(
            *(box.service.invoke(Call("pick", value)) for value in INPUTS)
        )
        figures = await box.service.snapshot()
    assert [outcome.output for outcome in together] == alone
    assert len({str(output) for output in alone}) > 1, "the model says the same to everything"
    assert figures[0]["mean_batch"] > 1.2, "nothing was batched"


async def test_recurrent_state_is_booked_and_batched_like_any_block(tiny_hybrid: Path) -> None:
    async with serving(parity(tiny_hybrid, max_num_seqs=4, max_num_batched_tokens=20)) as box:
        alone = [(await box.service.invoke(Call("pick", value))).output for value in INPUTS[:10]]
        together = await asyncio.gather(
            *(box.service.invoke(Call("pick", value)) for value in INPUTS[:10])
        )
    assert [outcome.output for outcome in together] == alone
    cache = box.residents[0].manifest.cache
    assert cache.state_bytes_per_sequence > 0
    # In parity mode the cache is wider than the manifest's, which is of the fast mode.
    assert together[0].usage.kv_bytes > cache.state_bytes_per_sequence


async def test_jump_forward_changes_no_answer_and_saves_steps(tiny_engine: Path) -> None:
    async with serving(parity(tiny_engine, max_draft=0)) as box:
        for value in INPUTS[:8]:
            jumped = await box.service.invoke(Call("pick", value))
            walked = await box.service.invoke(Call("pick", value, jump_forward=False))
            assert jumped.output == walked.output
            assert jumped.usage.output_tokens == walked.usage.output_tokens
            assert jumped.usage.num_steps < walked.usage.num_steps


async def test_a_stream_is_the_answer_in_pieces(tiny_engine: Path) -> None:
    async with serving(Config(engines=(tiny_engine,))) as box:
        events = [event async for event in box.service.stream(Call("count", {"text": "go"}))]
    assert isinstance(events[0], Accepted)
    assert isinstance(events[-1], Outcome)
    text = "".join(event.text for event in events if isinstance(event, Delta))
    assert text == "[" + ",".join(map(str, events[-1].output)) + "]"
    assert len(events) > 100


async def test_callers_who_leave_give_everything_back(tiny_engine: Path) -> None:
    dice = random.Random(5)
    async with serving(parity(tiny_engine, max_num_seqs=4)) as box:
        undisturbed = (await box.service.invoke(Call("pick", INPUTS[3]))).output

        async def leave_early() -> None:
            stream = box.service.stream(Call("count", {"text": "go"}))
            async with contextlib.aclosing(stream) as events:
                stay = dice.randint(1, 40)
                async for _ in events:
                    stay -= 1
                    if stay == 0:
                        return

        async def stay() -> object:
            return (await box.service.invoke(Call("pick", INPUTS[3]))).output

        leavers = [asyncio.create_task(leave_early()) for _ in range(12)]
        answers = await asyncio.gather(*(stay() for _ in range(6)))
        await asyncio.gather(*leavers)
    assert answers == [undisturbed] * 6


async def test_a_deadline_while_running_frees_the_call(tiny_engine: Path) -> None:
    async with serving(Config(engines=(tiny_engine,))) as box:
        with pytest.raises(DeadlineError):
            await box.service.invoke(Call("count", {"text": "go"}, timeout_s=0.05))


async def test_a_prompt_beyond_the_context_is_refused(tiny_engine: Path) -> None:
    async with serving(Config(engines=(tiny_engine,))) as box:
        with pytest.raises(InvalidRequestError) as refused:
            await box.service.invoke(Call("pick", {"lines": ["x;" * 3000]}))
    assert refused.value.reason == "PROMPT_TOO_LONG"


async def test_two_engines_share_one_budget_and_neither_starves(
    tmp_path: Path, copy_engine: Callable[[Path, str], Path]
) -> None:
    engines = (copy_engine(tmp_path, "first"), copy_engine(tmp_path, "second"))
    async with serving(parity(*engines, max_num_seqs=4)) as box:
        calls = [
            box.service.invoke(Call(f"{name}-pick", value))
            for value in INPUTS
            for name in ("first", "second")
        ]
        outcomes = await asyncio.gather(*calls)
    # The same weights under two names: the same answers.
    assert [o.output for o in outcomes[::2]] == [o.output for o in outcomes[1::2]]
