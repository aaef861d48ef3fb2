"""The machine a build or a measurement ran on."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
# Instructions that decide how fast a quantized model runs; the rest of the list is noise.
_TELLING: Final = re.compile(r"avx.*|amx.*|fma|f16c|asimd.*|sve.*|sme|sme2|i8mm|bf16")


def cpu_name() -> str:
    """The processor's name, as the kernel gives it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_features() -> tuple[str, ...]:
    """Vector and matrix extensions of this processor, sorted."""
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    return tuple(sorted({flag for flag in flags if _TELLING.fullmatch(flag)}))


def _cpuinfo(key: str) -> str:
    if not _CPUINFO.is_file():
        return ""
    for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
