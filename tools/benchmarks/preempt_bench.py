"""`tools/bench preempt`: what preemption by recompute does to answers, in both modes.

Batch calls of a shipped engine run in a cache that holds only a few of them, while interactive
calls keep taking their blocks. Every batch answer is compared with the one the same engine gives
when nothing disturbs it. In parity mode they must be equal; in the fast mode logits depend a
little on what else is in a batch, so this reports how often they are.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from benchmarks.report import Grid, circumstances, new_console, progress, write_markdown
from skilld.app import Box, find_engines
from skilld.config import Config, EngineConfig, MemoryConfig, ShareConfig
from skilld.core.manifest import read_manifest
from skilld.core.request import RequestClass
from skilld.service import Call, Outcome

_NUM_BATCH_CALLERS = 12
_NUM_INTERACTIVE_CALLERS = 3
# Room for a few calls of the engine that ships; the cache is wider in parity mode.
_KV_BUDGET_BYTES = {"parity": 6 << 20, "fast": 3 << 19}

Mode = Literal["parity", "fast"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--engine", type=Path, default=Path("engines/plc-triage"), metavar="DIR")
    parser.add_argument("--repeats", type=int, default=3, help="how often every input is asked")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Run the bench; 1 when an answer changed in parity mode."""
    console = new_console()
    figures: dict[str, dict[str, Any]] = {}
    with progress(console, total=2) as (say, done):
        modes: tuple[Mode, ...] = ("parity", "fast")
        for mode in modes:
            say(mode)
            figures[mode] = asyncio.run(_measure(options.engine, mode, repeats=options.repeats))
            done()
    grid = Grid(
        "Answers of preempted batch work against undisturbed ones",
        ["mode", "answers", "preemptions", "tokens computed again", "equal"],
        [
            [
                mode,
                str(f["answers"]),
                str(f["preemptions"]),
                str(f["recomputed_tokens"]),
                f"{f['equal']} ({100 * f['equal'] / f['answers']:.1f} %)",
            ]
            for mode, f in figures.items()
        ],
    )
    grid.show(console)
    write_markdown(
        options.out / "preempt.md",
        title="Preemption bench",
        notes=[
            f"{_NUM_BATCH_CALLERS} callers of class batch ask the golden and hand-written inputs "
            f"of `{options.engine.name}` while {_NUM_INTERACTIVE_CALLERS} interactive callers "
            "share a cache with them that holds a few calls. Undisturbed answers were given one at "
            "a time by the same engine before. In parity mode anything but 100 % is an error."
        ],
        grids=[grid],
        facts=circumstances(sys.argv[1:]),
    )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(figures["parity"]["equal"] < figures["parity"]["answers"])


async def _measure(engine: Path, mode: Mode, *, repeats: int) -> dict[str, Any]:
    inputs = [
        json.loads(line)["input"]
        for name in ("golden.jsonl", "handmade.jsonl")
        for line in (engine / name).read_text(encoding="utf-8").splitlines()
    ]
    box = Box(
        Config(
            engines=(engine,),
            memory=MemoryConfig(kv_budget_bytes=_KV_BUDGET_BYTES[mode]),
            shares={read_manifest(find_engines([engine])[0]).name: ShareConfig(kv_min_bytes=0)},
            engine=EngineConfig(mode=mode),
        )
    )
    skill = box.service.offering.skills()[0].skill.id
    box.start()

    async def ask(value: dict[str, Any], request_class: RequestClass) -> Any:
        outcome = await box.service.invoke(
            Call(skill, value, request_class=request_class, timeout_s=60.0)
        )
        return _said(outcome)

    try:
        alone = [await ask(value, RequestClass.BATCH) for value in inputs]
        before = (await box.service.snapshot())[0]
        todo = iter(range(len(inputs) * repeats))
        equal: list[bool] = []

        async def batch_caller() -> None:
            for number in todo:
                index = number % len(inputs)
                equal.append(await ask(inputs[index], RequestClass.BATCH) == alone[index])

        async def interactive_caller(number: int) -> None:
            for value in _endless(inputs[number:]):
                await ask(value, RequestClass.INTERACTIVE)

        disturbers = [
            asyncio.ensure_future(interactive_caller(number * 7))
            for number in range(_NUM_INTERACTIVE_CALLERS)
        ]
        await asyncio.gather(*(batch_caller() for _ in range(_NUM_BATCH_CALLERS)))
        for disturber in disturbers:
            disturber.cancel()
        await asyncio.gather(*disturbers, return_exceptions=True)
        after = (await box.service.snapshot())[0]
    finally:
        await box.stop()
    return {
        "answers": len(equal),
        "equal": sum(equal),
        "preemptions": after["num_preemptions"] - before["num_preemptions"],
        "recomputed_tokens": after["num_recomputed_tokens"] - before["num_recomputed_tokens"],
    }


def _said(outcome: Outcome) -> Any:
    """The answer, or why there was none."""
    return outcome.output if outcome.abstain_reason is None else outcome.abstain_reason


def _endless(values: list[Any]) -> Iterator[Any]:
    while True:
        yield from values
