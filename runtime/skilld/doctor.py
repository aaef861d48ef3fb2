"""`doctor`: what an operator should know about this machine before trusting a box to it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from skilld.app import find_engines
from skilld.app.box_plan import explain, plan_served
from skilld.app.host_memory import HostMemory
from skilld.config import Config, MqttConfig, UpdatesConfig, default_socket_path, read_config
from skilld.core.errors import SkilldError
from skilld.core.manifest import read_manifest, verify_files

_FAST_INT8 = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        is_ok: False when the daemon will not work, or not as promised.
        found: the finding, and what to do where it is not well.
    """

    name: str
    is_ok: bool
    found: str


def examine(
    engines: Iterable[Path], *, config_path: Path | None = None, broker: str | None = None
) -> list[Check]:
    """Examine this machine, engine folders and a broker; changes nothing.

    Args:
        engines: folders to look at, beside those of the configuration.
        config_path: of the daemon; None for none.
        broker: address of one to time instead of the configured one; None for that.
    """
    checks = [_guarded(check) for check in (_python, _cpu, _memory, _openvino, _socket)]
    config = Config()
    if config_path is not None:
        try:
            config = read_config(config_path)
        except SkilldError as error:
            return [*checks, Check("config", is_ok=False, found=error.message)]
        checks.append(Check("config", is_ok=True, found=f"{config_path} can be read"))
    engines = [*engines, *config.engines]
    paths: list[Path] = []
    for path in engines:
        try:
            paths += find_engines([path])
        except SkilldError as error:
            checks.append(Check(str(path), is_ok=False, found=error.message))
    checks += [_engine(path) for path in paths]
    if paths:
        checks.append(_fit(paths))
    mqtt = config.mqtt if broker is None else config.mqtt.model_copy(update={"broker": broker})
    if mqtt.broker is not None:
        checks.append(_broker(mqtt))
    if config.updates.source is not None:
        checks.append(_store(config.updates))
    return checks


def _guarded(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except (OSError, ImportError, ValueError) as error:
        return Check(check.__name__.strip("_"), is_ok=False, found=f"cannot be examined: {error}")


def _python() -> Check:
    return Check("python", sys.version_info >= (3, 11), f"{platform.python_version()}, >= 3.11")


def _cpu() -> Check:
    flags: set[str] = set()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith(("flags", "Features")):
            flags = set(line.partition(":")[2].split())
            break
    fast = [flag for flag in _FAST_INT8 if flag in flags]
    found = f"{platform.machine()}, {len(os.sched_getaffinity(0))} usable cores, " + (
        f"int8 dot products: {', '.join(fast)}"
        if fast
        else "no int8 dot products: engines work, several times slower"
    )
    return Check("cpu", is_ok=True, found=found)


def _memory() -> Check:
    host = HostMemory()
    available, limit = host.read().available_bytes, host.limit_bytes
    if available is None or limit is None:
        return Check("memory", is_ok=True, found="this kernel does not tell")
    budget = Config().memory.kv_budget_bytes
    return Check(
        "memory",
        is_ok=available > budget,
        found=f"{limit >> 20} MiB for this process, {available >> 20} MiB available; the default "
        f"KV budget is {budget >> 20} MiB",
    )


def _fit(engines: Iterable[Path]) -> Check:
    plan = plan_served(Config(engines=tuple(engines)), HostMemory())
    if plan is None:
        return Check("fit", is_ok=True, found="this kernel does not tell how much memory there is")
    found = (
        f"all of them together need {plan.needed_bytes >> 20} MiB of "
        f"{plan.total_bytes >> 20} MiB; `skilld plan` says more"
    )
    return Check("fit", is_ok=plan.fits, found=found if plan.fits else explain(plan))


def _openvino() -> Check:
    from skilld.engine.no_egress import openvino

    installed = importlib.metadata.version("openvino")
    telemetry = sys.modules.get("openvino_telemetry")
    return Check(
        "openvino",
        is_ok=telemetry is None and "CPU" in openvino.Core().available_devices,
        found=f"{installed}, CPU device present, its usage reports are off",
    )


def _socket() -> Check:
    path = default_socket_path()
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    return Check(
        "socket",
        is_ok=os.access(folder, os.W_OK),
        found=f"{path}"
        if os.access(folder, os.W_OK)
        else f"{folder} cannot be written; give --socket, or set SKILLD_SOCKET",
    )


def _broker(config: MqttConfig) -> Check:
    from skilld.mqtt.topics import Topics
    from skilld.transports.mqtt.loop_time import SLOW_MS, measure_loop_time

    try:
        topics = Topics(config.prefix, config.box or socket.gethostname())
        loop = asyncio.run(measure_loop_time(config, topics))
    except SkilldError as error:
        return Check("broker", is_ok=False, found=f"{error.reason}: {error.message}")
    found = (
        f"{config.broker}: a question to ourselves and its answer take {loop.p50_ms:.2f} ms at the "
        f"median of {loop.num_rounds}, {loop.p99_ms:.2f} ms at the 99th percentile"
    )
    if loop.is_held_back:
        found += (
            "; the broker holds small packets back: write `set_tcp_nodelay true` into "
            "mosquitto.conf, as `skilld broker-config` does"
        )
    elif loop.is_slow:
        what = (
            f"the way to the broker and back takes {loop.way_ms:.1f} ms, and is gone twice: "
            "the network is slow, or the broker is far away"
            if 4 * loop.way_ms > loop.p50_ms
            else "the way there is short: is the broker, or this machine, overloaded?"
        )
        found += f"; more than {SLOW_MS:.0f} ms is slow; {what}"
    return Check("broker", is_ok=not loop.is_slow, found=found)


def _store(config: UpdatesConfig) -> Check:
    from skilld.updates.store import check_rights

    folder = config.store
    try:
        check_rights(folder)
    except SkilldError as error:
        return Check("store", is_ok=False, found=f"{error.reason}: {error.message}")
    while not folder.exists():
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    found = f"{config.store}: {free_bytes >> 20} MiB free, {config.reserve_bytes >> 20} MiB of them"
    found += " are left to everything else"
    if not os.access(folder, os.W_OK):
        return Check("store", is_ok=False, found=f"{folder} cannot be written: no updates")
    if free_bytes <= config.reserve_bytes:
        found += ": no release fits; make room, or lower updates.reserve_bytes"
    return Check("store", is_ok=free_bytes > config.reserve_bytes, found=found)


def _engine(path: Path) -> Check:
    try:
        manifest = read_manifest(path)
        verify_files(path, manifest)
    except SkilldError as error:
        return Check(f"engine {path}", is_ok=False, found=f"{error.reason}: {error.message}")
    passed = sum(golden.num_passed for golden in manifest.golden)
    total = sum(golden.num_cases for golden in manifest.golden)
    found = f"{manifest.name} {manifest.version} {manifest.precision}, files match their digests"
    if total:
        found += f", {passed} of {total} golden cases passed when last verified"
    return Check(f"engine {path}", is_ok=True, found=found)
