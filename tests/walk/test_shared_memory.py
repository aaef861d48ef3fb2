"""Several real engines over one budget: pages move, and nobody's answer changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from skilld.app import Box
from skilld.config import Config, EngineConfig, MemoryConfig
from skilld.core.batch import Batch
from skilld.core.manifest import EngineManifest
from skilld.core.request import RequestClass
from skilld.engine import Engine, Mode, open_engine
from skilld.engine.base import StepOutput
from skilld.service import Call, Delta

CopyEngine = Callable[[Path, str], Path]
# In parity mode one block of one cache tensor of the tiny engine, 2 heads * 32 tokens * 16 numbers
# * 4 bytes, is exactly one page. So no page is shared by two blocks, and what is resident is
# never more than the blocks in use: the slack is zero.
PAGE_BYTES = 4096
SLACK_BYTES = 0


@contextlib.asynccontextmanager
async def serving(
    budget_bytes: int, *engines: Path, on_step: Callable[[], None] | None = None, **engine: int
) -> AsyncIterator[Box]:
    """A box in parity mode that proves its accounts when it is left.

    Args:
        budget_bytes: of cache memory.
        engines: their folders.
        on_step: called on the engine thread before every step.
        engine: settings.
    """
    config = Config(
        engines=engines,
        memory=MemoryConfig(kv_budget_bytes=budget_bytes),
        engine=EngineConfig(mode="parity", **engine),
    )

    def open_watched(path: Path, manifest: EngineManifest) -> Engine:
        opened = open_engine(path, manifest, num_threads=1, mode=Mode.PARITY)
        step = opened.step

        def watched_step(batch: Batch) -> StepOutput:
            if on_step is not None:
                on_step()
            return step(batch)

        setattr(opened, "step", watched_step)  # noqa: B010 - a method, to the type checker
        return opened

    box = Box(config, open_engine_fn=open_watched)
    box.start()
    try:
        yield box
        await asyncio.to_thread(box.engine_loop.run, box.engine_loop.check)
        for figures in await box.service.snapshot():
            assert figures["running"] == figures["waiting"] == figures["kv_reserved_bytes"] == 0
    finally:
        await box.stop()


async def figures_of(box: Box, engine: str) -> dict[str, Any]:
    return next(f for f in await box.service.snapshot() if f["engine"] == engine)


async def test_load_moves_from_engine_to_engine_and_pages_follow(
    tmp_path: Path, copy_engine: CopyEngine
) -> None:
    names = ("a", "b", "c")
    budget_bytes = 4 << 20
    engines = [copy_engine(tmp_path, name) for name in names]
    most: dict[str, int] = {}
    busy = ""

    def look() -> None:
        """Residency at a step border, as the operating system says it; most by the busy one."""
        nonlocal most
        if not busy:
            return  # still loading
        now = {
            name: sum(arena.resident_bytes() for arena in arenas)
            for name, arenas in box.engine_loop.arenas().items()
        }
        if sum(now.values()) > budget_bytes + SLACK_BYTES:
            raise AssertionError(f"{now} is more than {budget_bytes}")
        if now[busy] >= most.get(busy, 0):
            most = now

    peaks: dict[str, dict[str, int]] = {}
    async with serving(budget_bytes, *engines, on_step=look, max_num_seqs=16) as box:
        for arenas in box.engine_loop.arenas().values():
            for arena in arenas:
                assert all(array[0].nbytes == PAGE_BYTES for array in arena.arrays.values())
        for name in names:
            most, busy = {}, name
            calls = (
                Call(f"{name}-count", {"text": f"go {n}"}, request_class=RequestClass.BATCH)
                for n in range(12)
            )
            await asyncio.gather(*map(box.service.invoke, calls))
            peaks[name] = most
    # Each of them had the better part of the budget in its turn, and gave it up to the next. How
    # much the others keep follows from what their steps are measured to cost.
    for name in names:
        assert peaks[name][name] >= 0.5 * budget_bytes, peaks
        for other in names:
            if other != name:
                assert peaks[name][other] <= 0.4 * budget_bytes, peaks


async def test_a_preempted_answer_is_the_one_of_an_undisturbed_run(tiny_engine: Path) -> None:
    texts = ("one", "two", "three")
    # A call holds 29 blocks of 16 KiB at most: two fit.
    async with serving(1 << 20, tiny_engine) as box:
        alone = [(await box.service.invoke(Call("count", {"text": text}))).output for text in texts]
    async with serving(1 << 20, tiny_engine) as box:

        async def run_batch(text: str, begun: asyncio.Event) -> object:
            call = Call("count", {"text": text}, request_class=RequestClass.BATCH)
            async for event in box.service.stream(call):
                if isinstance(event, Delta):
                    begun.set()
                last = event
            return getattr(last, "output", None)

        begun = [asyncio.Event(), asyncio.Event()]
        batch = [
            asyncio.create_task(run_batch(text, event))
            for text, event in zip(texts, begun, strict=False)
        ]
        for event in begun:
            await event.wait()
        urgent = (await box.service.invoke(Call("count", {"text": texts[2]}))).output
        disturbed = [await task for task in batch]
        figures = await figures_of(box, "tiny")
    assert [*disturbed, urgent] == alone
    assert figures["num_preemptions"] >= 1
    assert figures["num_recomputed_tokens"] > 0


async def test_shared_beginnings_change_no_answer(tiny_engine: Path) -> None:
    beginning = "drive fault in section four, " * 12
    inputs = [{"lines": [beginning + f"E{n} " * (1 + n % 4)]} for n in range(8)]
    async with serving(16 << 20, tiny_engine) as box:
        apart = []
        for value in inputs:
            apart.append((await box.service.invoke(Call("pick", value))).output)
            box.engine_loop.set_memory_limit(0)  # forgets what is cached
            box.engine_loop.set_memory_limit(16 << 20)
        assert (await figures_of(box, "tiny"))["num_prefix_tokens"] == 0
        shared = [(await box.service.invoke(Call("pick", value))).output for value in inputs]
        at_once = await asyncio.gather(*(box.service.invoke(Call("pick", v)) for v in inputs))
        figures = await figures_of(box, "tiny")
    assert shared == apart
    assert [outcome.output for outcome in at_once] == apart
    # Two calls of three could share most of their prompt.
    assert figures["num_prefix_tokens"] > 0.3 * figures["num_prompt_tokens"]
