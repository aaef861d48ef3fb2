"""Memory of the machine, read from files as the kernel writes them, and from this machine."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from skilld.app.host_memory import HostMemory, watch_memory
from skilld.kvcache.pressure import HostReading, PressureGauge

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BUDGET = 512 * MIB


class FakeKernel:
    """A procfs and a control group tree of one's own."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.cgroup = root / "cgroup"
        self.group = self.cgroup / "system.slice" / "skilld.service"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "pressure").mkdir()
        self.group.mkdir(parents=True)

    def machine(self, *, total_bytes: int, available_bytes: int) -> None:
        (self.proc / "meminfo").write_text(
            f"MemTotal:       {total_bytes // KIB} kB\nMemFree:        1000 kB\n"
            f"MemAvailable:   {available_bytes // KIB} kB\n"
        )

    def stalls(self, percent: float) -> None:
        (self.proc / "pressure/memory").write_text(
            f"some avg10={percent:.2f} avg60=0.00 avg300=0.00 total=17\n"
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n"
        )

    def joined(self) -> None:
        (self.proc / "self/cgroup").write_text(
            "4:memory:/elsewhere\n0::/system.slice/skilld.service\n"
        )

    def limit(self, group: Path, *, limit: int | str, used: int, inactive_file: int = 0) -> None:
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{used}\n")
        (group / "memory.stat").write_text(
            f"anon 1\nfile 2\ninactive_file {inactive_file}\nactive_file 3\n"
        )

    def host(self) -> HostMemory:
        return HostMemory(self.proc, cgroup=self.cgroup)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path)


def test_a_bare_machine_is_limited_by_its_memory(kernel: FakeKernel) -> None:
    kernel.machine(total_bytes=8 * GIB, available_bytes=5 * GIB)
    kernel.stalls(12.5)
    host = kernel.host()
    assert host.limit_bytes == 8 * GIB
    assert host.read() == HostReading(available_bytes=5 * GIB, stalled_percent=12.5)


def test_a_control_group_limits_what_is_in_it(kernel: FakeKernel) -> None:
    kernel.machine(total_bytes=8 * GIB, available_bytes=5 * GIB)
    kernel.joined()
    kernel.limit(kernel.group, limit=2 * GIB, used=GIB, inactive_file=100 * MIB)
    host = kernel.host()
    assert host.limit_bytes == 2 * GIB
    # File pages it can drop are not held against it.
    assert host.read().group_used_bytes == GIB - 100 * MIB
    assert host.read().group_limit_bytes == 2 * GIB


def test_the_group_with_least_room_counts_also_when_it_is_above(kernel: FakeKernel) -> None:
    kernel.machine(total_bytes=8 * GIB, available_bytes=5 * GIB)
    kernel.joined()
    kernel.limit(kernel.group, limit=2 * GIB, used=GIB)
    kernel.limit(kernel.group.parent, limit=3 * GIB, used=3 * GIB - 50 * MIB)
    host = kernel.host()
    assert host.limit_bytes == 2 * GIB
    reading = host.read()
    assert reading.group_limit_bytes is not None
    assert reading.group_used_bytes is not None
    assert reading.group_limit_bytes - reading.group_used_bytes == 50 * MIB


def test_max_is_no_limit(kernel: FakeKernel) -> None:
    kernel.machine(total_bytes=8 * GIB, available_bytes=5 * GIB)
    kernel.joined()
    kernel.limit(kernel.group, limit="max", used=GIB)
    assert kernel.host().limit_bytes == 8 * GIB
    assert kernel.host().read().group_limit_bytes is None


def test_a_kernel_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    host = HostMemory(tmp_path / "proc", cgroup=tmp_path / "cgroup")
    assert host.limit_bytes is None
    assert host.read() == HostReading()


def test_what_is_not_understood_is_not_known(kernel: FakeKernel) -> None:
    (kernel.proc / "pressure/memory").write_bytes(b"some avg10=\xff\xfe")
    (kernel.proc / "meminfo").write_text("")
    kernel.joined()
    kernel.limit(kernel.group, limit="", used=0)
    assert kernel.host().read() == HostReading()


async def watched(gauge: PressureGauge, host: HostMemory, *, cache_bytes: int) -> int | None:
    """What the task says about the machine as it is now; None when it says nothing."""
    told: list[int] = []
    task = asyncio.create_task(
        watch_memory(
            gauge,
            host,
            cache_bytes=lambda: cache_bytes,
            floor_bytes=lambda: 0,
            set_limit=told.append,
        )
    )
    await asyncio.sleep(0)  # it decides before it first waits
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return told[-1] if told else None


async def test_the_task_tells_a_new_limit_once(kernel: FakeKernel) -> None:
    gauge = PressureGauge(BUDGET, reserve_bytes=256 * MIB)
    kernel.machine(total_bytes=8 * GIB, available_bytes=5 * GIB)
    host = kernel.host()
    assert await watched(gauge, host, cache_bytes=400 * MIB) is None
    kernel.machine(total_bytes=8 * GIB, available_bytes=56 * MIB)
    assert await watched(gauge, host, cache_bytes=400 * MIB) == 200 * MIB
    assert await watched(gauge, host, cache_bytes=400 * MIB) is None


_EATER = """
import sys
eaten = bytearray(int(sys.argv[1]))
eaten[::4096] = b"x" * len(eaten[::4096])
print("full", flush=True)
sys.stdin.read()
"""


def test_another_process_that_eats_memory_lowers_the_limit() -> None:
    """On this machine, with a reserve so high that a GiB more or less decides."""
    host = HostMemory()
    available_bytes = host.read().available_bytes
    if available_bytes is None or available_bytes < 3 * GIB:
        pytest.skip("needs 3 GiB of memory to spare")
    gauge = PressureGauge(BUDGET, reserve_bytes=available_bytes - GIB)
    assert asyncio.run(watched(gauge, host, cache_bytes=0)) is None
    with subprocess.Popen(
        [sys.executable, "-c", _EATER, str(GIB)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as eater:
        assert eater.stdout is not None
        assert eater.stdout.readline() == b"full\n"
        limit_bytes = asyncio.run(watched(gauge, host, cache_bytes=0))
        eater.kill()
    assert limit_bytes is not None
    assert limit_bytes < BUDGET * 3 // 4
