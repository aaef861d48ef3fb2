"""Memory of the machine: how much there is, and a task that gives cache back when it runs short.

Reads `/proc/meminfo`, `/proc/pressure/memory` and the control group (v2) this process is in. Each
may be missing: what the kernel does not tell is not considered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from skilld.kvcache.pressure import HostReading, PressureGauge

_log = logging.getLogger("skilld.memory")

_PERIOD_S = 0.5


class HostMemory:
    """What the kernel says of memory.

    Args:
        proc: where procfs is mounted.
        cgroup: where the control groups (v2) are mounted.
    """

    def __init__(
        self, proc: Path = Path("/proc"), *, cgroup: Path = Path("/sys/fs/cgroup")
    ) -> None:
        self._proc = proc
        self._groups = list(_groups(proc, cgroup))

    @property
    def limit_bytes(self) -> int | None:
        """Of the machine or of the control group, whichever is less; None if neither tells."""
        known = [self._meminfo("MemTotal"), *(_number(g / "memory.max") for g in self._groups)]
        return min((limit for limit in known if limit is not None), default=None)

    def read(self) -> HostReading:
        """How things stand now. Takes some 50 microseconds."""
        used_bytes, group_limit_bytes = self._tightest_group()
        return HostReading(
            available_bytes=self._meminfo("MemAvailable"),
            group_used_bytes=used_bytes,
            group_limit_bytes=group_limit_bytes,
            stalled_percent=self._stalled_percent(),
        )

    def _meminfo(self, field: str) -> int | None:
        for line in _lines(self._proc / "meminfo"):
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
        return None

    def _tightest_group(self) -> tuple[int | None, int | None]:
        """Use and limit of our group or the one above it that has least room."""
        found: list[tuple[int, int, int]] = []
        for group in self._groups:
            limit_bytes, used_bytes = (
                _number(group / "memory.max"),
                _number(group / "memory.current"),
            )
            if limit_bytes is not None and used_bytes is not None:
                used_bytes = max(0, used_bytes - _droppable_bytes(group))
                found.append((limit_bytes - used_bytes, used_bytes, limit_bytes))
        if not found:
            return None, None
        _, used_bytes, limit_bytes = min(found)
        return used_bytes, limit_bytes

    def _stalled_percent(self) -> float | None:
        shares = [_stalled_percent(group / "memory.pressure") for group in self._groups[:1]]
        shares.append(_stalled_percent(self._proc / "pressure/memory"))
        return max((share for share in shares if share is not None), default=None)


async def watch_memory(
    gauge: PressureGauge,
    host: HostMemory,
    *,
    cache_bytes: Callable[[], int],
    floor_bytes: Callable[[], int],
    set_limit: Callable[[int], None],
) -> None:
    """Tell `set_limit` whenever the limit changes; runs until cancelled.

    Args:
        gauge: decides.
        host: is read twice a second.
        cache_bytes: cache memory held now.
        floor_bytes: what the engines are guaranteed.
        set_limit: takes the new limit in bytes.
    """
    while True:
        before_bytes = gauge.limit_bytes
        limit_bytes = gauge.decide(
            host.read(),
            cache_bytes=cache_bytes(),
            floor_bytes=floor_bytes(),
            now_s=time.monotonic(),
        )
        if limit_bytes != before_bytes:
            _log.warning(
                "memory of the machine: cache may hold %d MiB of %d MiB",
                limit_bytes >> 20,
                gauge.budget_bytes >> 20,
                extra={"limit_bytes": limit_bytes, "budget_bytes": gauge.budget_bytes},
            )
            set_limit(limit_bytes)
        await asyncio.sleep(_PERIOD_S)


def _groups(proc: Path, cgroup: Path) -> Iterator[Path]:
    """Our control group and those above it, ours first."""
    for line in _lines(proc / "self/cgroup"):
        if line.startswith("0::/"):
            group = cgroup / line[len("0::/") :].strip()
            while group != cgroup.parent:
                yield group
                group = group.parent


def _droppable_bytes(group: Path) -> int:
    """File pages the kernel drops before it refuses memory."""
    for line in _lines(group / "memory.stat"):
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _stalled_percent(path: Path) -> float | None:
    for line in _lines(path):
        if found := re.match(r"some avg10=(\d+\.\d+)", line):
            return float(found[1])
    return None


def _number(path: Path) -> int | None:
    """The number in a file; None for no file, or for "max", which means no limit."""
    for line in _lines(path):
        return int(line) if line.strip().isdigit() else None
    return None


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").splitlines()
    return []
