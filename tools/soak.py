"""The soak: a daemon with real engines under everything that callers and operators do to it.

Service, scheduler, engines and the gRPC server run in this process, so that their accounts can be
read; callers reach them through the socket. Callers make calls of all classes, cancel them, hang
up, send too much or nonsense, and set deadlines nobody could meet, while engines are loaded and
unloaded and the memory limit goes down and up. Every few seconds all calls are let end, and then

- the accounts are proven, and nothing but pinned beginnings may be held;
- threads, open files and resident memory of the process are noted.

The run fails on an answer that nobody should get, an account that is not exact, and on threads,
files or memory that still grow in the second half of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import ctypes
import gc
import importlib.util
import json
import mmap
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from rich.console import Console

from skilld.app import Box, find_engines
from skilld.app.box_plan import plan_box
from skilld.config import Config, EngineConfig, GrpcConfig, MemoryConfig
from skilld.transports.grpc_server import GrpcServer
from skilld.v1 import skill_service_pb2 as v1
from skilld.v1.skill_service_pb2_grpc import SkillServiceStub

ROOT = Path(__file__).resolve().parent.parent
# Ten calls a second are what a box with a few cameras, panels and robots makes at a busy hour.
CALLS_PER_HOUR = 36_000
NUM_CALLERS = 12
CALLS_PER_ROUND = 600
# Beyond what the engines are guaranteed together; little, so that they get into each other's way.
KV_EXTRA_BYTES = 3 << 20
_MAX_LINE_CHARS = 200
# The vendor runtime keeps layers prepared for sizes of steps it has seen, and anew for every engine
# that is loaded again, so memory climbs for the first ten thousand calls and swings later (between
# 425 and 467 MiB in a run of an hour's calls). Over the second half of a run a fitted line may rise
# by this much; in an hour's calls that finds a leak of 2 KiB per call.
MEMORY_TOLERANCE_BYTES = 32 << 20

LAWFUL = {
    *("CALLER_CANCELLED", "CANCELLED", "DEADLINE_EXCEEDED", "CANNOT_FINISH"),
    *("PROMPT_TOO_LONG", "REQUEST_TOO_LARGE", "RESOURCE_EXHAUSTED"),
    *("QUEUE_FULL", "CLIENT_QUEUE_FULL", "TOO_MANY_CALLS"),
    *("UNKNOWN_SKILL", "ENGINE_UNLOADED", "INPUT_NOT_JSON", "INVALID_INPUT"),
    "OUTPUT_TRUNCATED",  # the caller asked for fewer tokens than the answer needs
}

console = Console()


@dataclass
class Sample:
    """What one pause found."""

    num_calls: int
    resident_bytes: int
    num_threads: int
    num_files: int


@dataclass
class Report:
    """What the run met so far."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    faults: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def num_calls(self) -> int:
        """Calls begun."""
        return self.counts["calls"]


def main() -> int:
    """Soak and judge; the exit code is 1 when something leaked or broke."""
    parser = argparse.ArgumentParser(description="soak a daemon with real engines")
    parser.add_argument("--minutes", type=float, help="as long as this")
    parser.add_argument("--operations", type=int, default=CALLS_PER_HOUR, help="calls to make")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-reloads", action="store_true", help="leave the engines loaded")
    parser.add_argument("--build", type=Path, metavar="DIR", help="only build the tiny engines")
    options = parser.parse_args()
    if options.build is not None:
        build_tiny_engines(options.build)
        return 0
    with tempfile.TemporaryDirectory(prefix="skilld-soak-") as folder:
        # In a process of its own: the tools that build an engine take more memory than the daemon.
        subprocess.run([sys.executable, __file__, "--build", folder], check=True)
        engines = find_engines([ROOT / "engines", Path(folder)])
        report = asyncio.run(
            soak(
                engines,
                Path(folder) / "skilld.sock",
                minutes=options.minutes,
                num_calls=options.operations,
                seed=options.seed,
                reloads=not options.no_reloads,
            )
        )
    return verdict(report)


def build_tiny_engines(folder: Path) -> None:
    """Make the random engines the tests use: one with attention only, one with recurrent state."""
    tests: Any = load_module(ROOT / "tests" / "conftest.py")
    pick, count = tests.PICK, tests.COUNT
    shapes: dict[str, tuple[str, dict[str, Any]]] = {
        "tiny": ("LlamaConfig", {"num_hidden_layers": 2}),
        "hybrid": (
            "Lfm2Config",
            {
                "num_hidden_layers": 3,
                "layer_types": ["conv", "full_attention", "conv"],
                "conv_L_cache": 3,
                "block_auto_adjust_ff_dim": False,
            },
        ),
    }
    for name, (config_class, shape) in shapes.items():
        console.print(f"building {name} ...")
        tests.PICK = pick.replace('id = "pick"', f'id = "{name}-pick"')
        tests.COUNT = count.replace('id = "count"', f'id = "{name}-count"')
        recipe_dir = folder / name
        recipe_dir.mkdir()
        shape = {**tests._SHAPE, **shape}  # noqa: SLF001 -- the tests' own recipe
        tests._build_random(recipe_dir, name, config_class, shape)  # noqa: SLF001


async def soak(
    engines: Sequence[Path],
    socket_path: Path,
    *,
    minutes: float | None,
    num_calls: int,
    seed: int,
    reloads: bool = True,
) -> Report:
    """Rounds of calls with a pause after each, until the time or the calls are over."""
    kv_min_bytes = plan_box(Config(engines=tuple(engines)), total_bytes=1 << 40).kv_min_bytes
    config = Config(
        engines=tuple(engines),
        memory=MemoryConfig(kv_budget_bytes=kv_min_bytes + KV_EXTRA_BYTES),
        engine=EngineConfig(max_num_seqs=8, max_num_batched_tokens=128),
        grpc=GrpcConfig(socket_path=socket_path),
    )
    box = Box(config)
    server = GrpcServer(box.service, config.grpc, status=box.status)
    box.start()
    await server.start()
    report, dice = Report(), random.Random(seed)
    address = f"unix:{socket_path}"
    callers = [Caller(address, random.Random(dice.random())) for _ in range(NUM_CALLERS)]
    reloaded = {path: name_of(path) for path in engines if reloads}
    kv_budget_bytes = config.memory.kv_budget_bytes
    operator = Operator(box, reloaded, dice, kv_budget_bytes=kv_budget_bytes)
    started_s = time.monotonic()
    try:
        while not report.faults:
            elapsed_s = time.monotonic() - started_s
            if elapsed_s >= minutes * 60.0 if minutes else report.num_calls >= num_calls:
                break
            stop = asyncio.Event()
            at_work = asyncio.create_task(operator.work(stop, report))
            per_caller = CALLS_PER_ROUND // NUM_CALLERS
            await asyncio.gather(*(caller.work(per_caller, report) for caller in callers))
            stop.set()
            await at_work
            await pause(box, report, kv_budget_bytes=kv_budget_bytes)
            show(report, time.monotonic() - started_s)
    finally:
        for caller in callers:
            await caller.close()
        await server.stop(0.5)
        await box.stop()
    return report


class Caller:
    """One client with a connection of its own and no manners.

    Args:
        address: of the daemon.
        dice: decides what it does.
    """

    def __init__(self, address: str, dice: random.Random) -> None:
        self._address = address
        self._dice = dice
        self._channel = grpc.aio.insecure_channel(address)
        self._stub = SkillServiceStub(self._channel)
        self._golden = golden_inputs()

    async def work(self, num_calls: int, report: Report) -> None:
        """Make calls one after the other."""
        ways = {
            self._ask: 50,
            self._watch: 10,
            self._ask_in_a_hurry: 10,
            self._cancel: 10,
            self._hang_up: 4,
            self._send_too_much: 6,
            self._send_nonsense: 10,
        }
        for _ in range(num_calls):
            (way,) = self._dice.choices(list(ways), list(ways.values()))
            report.counts["calls"] += 1
            report.counts[way.__name__.strip("_").replace("_", " ")] += 1
            try:
                await way()
                report.counts["answers"] += 1
            except grpc.aio.AioRpcError as error:
                reason = reason_of(error)
                report.counts[reason] += 1
                if reason not in LAWFUL:
                    report.faults.append(f"{way.__name__}: {error.code()} {error.details()}")
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is not None and current.cancelling():
                    raise
                report.counts["CALLER_CANCELLED"] += 1

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def _ask(self) -> None:
        response = await self._stub.Invoke(self._request(), timeout=30.0)
        assert response.WhichOneof("outcome") is not None

    async def _watch(self) -> None:
        call = v1.InvokeStreamRequest(call=self._request())
        async for _ in self._stub.InvokeStream(call, timeout=30.0):
            pass

    async def _ask_in_a_hurry(self) -> None:
        request = self._request()
        request.request_class = v1.REQUEST_CLASS_DEADLINE
        await self._stub.Invoke(request, timeout=self._dice.choice([0.001, 0.02, 0.1, 0.5]))

    async def _cancel(self) -> None:
        stream = self._stub.InvokeStream(v1.InvokeStreamRequest(call=self._request(is_long=True)))
        patience = self._dice.randint(0, 30)
        async for _ in stream:
            patience -= 1
            if patience < 0:
                stream.cancel()

    async def _hang_up(self) -> None:
        async with grpc.aio.insecure_channel(
            self._address, options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            call = v1.InvokeStreamRequest(call=self._request(is_long=True))
            stream = SkillServiceStub(channel).InvokeStream(call)
            await stream.read()

    async def _send_too_much(self) -> None:
        text = "x;" * self._dice.choice([3_000, 30_000, 1_000_000])
        await self._stub.Invoke(self._request(value={"lines": [text]}), timeout=30.0)

    async def _send_nonsense(self) -> None:
        request = self._request()
        match self._dice.randrange(4):
            case 0:
                request.skill = "no-such-skill"
            case 1:
                request.input_json = "{"
            case 2:
                request.input_json = '{"lines": 7}'
            case 3:
                request.input_json = "[]"
        await self._stub.Invoke(request, timeout=30.0)

    def _request(
        self, *, is_long: bool = False, value: dict[str, object] | None = None
    ) -> v1.InvokeRequest:
        dice = self._dice
        skill, golden = dice.choice(self._golden)
        if dice.random() < 0.5:
            skill = dice.choice(["tiny-pick", "hybrid-pick"])
            golden = {"lines": [json.dumps(golden, ensure_ascii=False)[:_MAX_LINE_CHARS]]}
        if is_long or dice.random() < 0.1:
            skill = dice.choice(["tiny-count", "hybrid-count"])
            value = golden = {"text": f"go {dice.randrange(9)}"}
        if value is None:
            value = golden
        return v1.InvokeRequest(
            skill=skill,
            input_json=json.dumps(value, ensure_ascii=False),
            request_class=dice.choice(
                [
                    v1.REQUEST_CLASS_UNSPECIFIED,
                    v1.REQUEST_CLASS_DEADLINE,
                    v1.REQUEST_CLASS_INTERACTIVE,
                    v1.REQUEST_CLASS_BATCH,
                ]
            ),
            max_tokens=dice.choice([0, 0, 0, 200]),
        )


class Operator:
    """Loads and unloads engines and moves the memory limit; afterwards all is as it was.

    Args:
        box: that serves.
        engines: folder and name of each that is to be reloaded.
        dice: decides what is next.
        kv_budget_bytes: of the cache, as configured.
    """

    def __init__(
        self, box: Box, engines: dict[Path, str], dice: random.Random, *, kv_budget_bytes: int
    ) -> None:
        self._box = box
        self._kv_budget_bytes = kv_budget_bytes
        self._engines = engines
        self._dice = dice

    async def work(self, stop: asyncio.Event, report: Report) -> None:
        """One thing after the other until told to stop."""
        while not stop.is_set():
            await self._rest(stop, self._dice.uniform(0.2, 2.0))
            match self._dice.choice(["limit", "limit", "unload"] if self._engines else ["limit"]):
                case "limit":
                    share = self._dice.choice([0.0, 0.2, 0.5, 0.8])
                    self._box.engine_loop.set_memory_limit(int(share * self._kv_budget_bytes))
                    report.counts["limits moved"] += 1
                    await self._rest(stop, self._dice.uniform(0.0, 0.5))
                    self._box.engine_loop.set_memory_limit(self._kv_budget_bytes)
                case "unload":
                    path = self._dice.choice(list(self._engines))
                    await asyncio.to_thread(self._box.unload, self._engines[path])
                    await self._rest(stop, self._dice.uniform(0.0, 0.2))
                    await asyncio.to_thread(self._box.load, path)
                    report.counts["engines reloaded"] += 1

    async def _rest(self, stop: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


async def pause(box: Box, report: Report, *, kv_budget_bytes: int) -> None:
    """Wait until nothing runs, prove the accounts, and note what the process holds."""
    deadline_s = time.monotonic() + 90.0
    while True:
        figures = await box.service.snapshot()
        if not any(entry["running"] or entry["waiting"] for entry in figures):
            break
        if time.monotonic() > deadline_s:
            report.faults.append(f"calls are left 90 s after the last caller: {figures}")
            return
        await asyncio.sleep(0.05)
    try:
        await asyncio.to_thread(box.engine_loop.run, box.engine_loop.check)
    except AssertionError as error:
        report.faults.append(f"accounts: {error}")
    total = 0
    for entry in figures:
        if entry["kv_reserved_bytes"] != entry["kv_pinned_bytes"]:
            report.faults.append(f"{entry['engine']}: {entry['kv_reserved_bytes']} B reserved")
        total += entry["kv_used_bytes"] + entry["kv_cached_bytes"]
    if total > kv_budget_bytes:
        report.faults.append(f"{total} B of cache held, {kv_budget_bytes} B configured")
    report.counts["pauses"] += 1
    report.samples.append(take_sample(report.num_calls))


def take_sample(num_calls: int) -> Sample:
    """What the process holds now; what the allocator only keeps in hand goes back first."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    process = Path("/proc/self")
    num_pages = int((process / "statm").read_text(encoding="ascii").split()[1])
    return Sample(
        num_calls,
        num_pages * mmap.PAGESIZE,
        len(list((process / "task").iterdir())),
        len(list((process / "fd").iterdir())),
    )


def verdict(report: Report) -> int:
    """Say what was met and whether anything leaked."""
    for name, count in sorted(report.counts.items()):
        console.print(f"  {name:<20}{count:>9,}")
    samples = report.samples[len(report.samples) // 2 :]
    if len(samples) < 4:
        report.faults.append("the run was too short to judge memory; let it run longer")
    else:
        half = len(samples) // 2
        for what in ("num_threads", "num_files"):
            early = max(getattr(sample, what) for sample in samples[:half])
            late = min(getattr(sample, what) for sample in samples[half:])
            console.print(f"{what}: at most {early} early, at least {late} late")
            if late > early:
                report.faults.append(f"{what} grew from {early} to {late}")
        calls = [sample.num_calls for sample in samples]
        line = statistics.linear_regression(calls, [s.resident_bytes for s in samples])
        rise_bytes = line.slope * (calls[-1] - calls[0])
        console.print(
            f"resident memory: {samples[-1].resident_bytes / 2**20:.0f} MiB, fitted line rises "
            f"{rise_bytes / 2**20:+.1f} MiB over {calls[-1] - calls[0]:,} calls "
            f"(tolerance {MEMORY_TOLERANCE_BYTES >> 20} MiB)"
        )
        if rise_bytes > MEMORY_TOLERANCE_BYTES:
            report.faults.append(f"resident memory rose by {rise_bytes / 2**20:.1f} MiB")
    for fault in report.faults[:20]:
        console.print(f"[bold red]fault:[/] {fault}")
    if not report.faults:
        console.print("[bold green]nothing leaked, every account was exact[/]")
    return 1 if report.faults else 0


def show(report: Report, elapsed_s: float) -> None:
    """One line per pause."""
    last = report.samples[-1] if report.samples else Sample(0, 0, 0, 0)
    console.print(
        f"{elapsed_s:6.0f} s  {report.num_calls:>7,} calls  "
        f"{report.counts['answers']:>7,} answers  "
        f"{last.resident_bytes / 2**20:5.0f} MiB  {last.num_threads} threads  "
        f"{last.num_files} files  {len(report.faults)} faults"
    )


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The daemon's own reason, or the status code's name."""
    status = rpc_status.from_call(cast("grpc.Call", error))  # the stubs know the other API only
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.reason:
            return str(info.reason)
    return str(error.code().name)


def golden_inputs() -> list[tuple[str, dict[str, object]]]:
    """Skills and inputs of the shipped engines."""
    cases = [
        json.loads(line)
        for path in sorted(ROOT.glob("engines/*/engine/golden.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return [(case["skill"], case["input"]) for case in cases]


def name_of(engine_dir: Path) -> str:
    """As its manifest says."""
    manifest = json.loads((engine_dir / "manifest.json").read_text(encoding="utf-8"))
    return str(manifest["name"])


def load_module(path: Path) -> ModuleType:
    """Import a module of the tests by its path; they are no package."""
    spec = importlib.util.spec_from_file_location(f"tests_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
