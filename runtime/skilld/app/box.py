"""`Box`: a daemon without its transports: engines, memory, scheduler, loop, service."""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import skilld
from skilld.app.calibration import measure_cost
from skilld.app.engine_memory import memory_of
from skilld.app.resident import (
    ResidentEngine,
    configured_engines,
    find_engines,
    lane_of,
    num_threads_of,
    skill_names,
)
from skilld.config import Config, ShareConfig
from skilld.core.errors import ArtefactError, EngineError, NotFoundError
from skilld.core.manifest import EngineManifest, read_manifest
from skilld.engine import Engine, Mode, open_engine
from skilld.kvcache import KvLedger
from skilld.kvcache.engine_need import GUARANTEED_TOKENS
from skilld.loop import EngineLoop
from skilld.scheduler import Policy, Scheduler
from skilld.service import BoxStatus, EngineStatus, RefusedEngine, SkillService
from skilld.skills import Catalog, compile_engine

_log = logging.getLogger("skilld.box")

# A shorter system prompt is not worth a pinned block.
MIN_PINNED_TOKENS = 16
_STOP_TIMEOUT_S = 10.0
_DRAIN_MARGIN_S = 2.0  # past the deadline of the last call

OpenEngine = Callable[[Path, EngineManifest], Engine]


class Box:
    """Engines and all they share; see the module docstring.

    Args:
        config: of the daemon.
        open_engine_fn: how an engine folder is opened; tests pass a fake engine here.
        instead: folders of releases to load in the place of configured engines, by name.

    Attributes:
        lost: releases that could not be loaded, by name, and why; the configured engine serves.

    Raises:
        ArtefactError: not a single engine could be loaded; the first reason.
    """

    def __init__(
        self,
        config: Config,
        *,
        open_engine_fn: OpenEngine | None = None,
        instead: Mapping[str, Path | None] | None = None,
    ) -> None:
        self.config = config
        self.started_s = time.monotonic()
        self.residents: list[ResidentEngine] = []
        self._open_engine = open_engine_fn or self._open_vendor_engine
        self.ledger = KvLedger(config.memory.kv_budget_bytes)
        self._scheduler = Scheduler(
            self.ledger,
            Policy(
                step_bound_ms=config.scheduler.step_bound_ms,
                quantum_ms=config.scheduler.quantum_ms,
                aging_s=config.scheduler.aging_s,
            ),
        )
        self.service = SkillService(
            Catalog(),
            max_concurrent_calls=config.grpc.max_concurrent_calls,
            max_draft=config.engine.max_draft,
        )
        refused: list[RefusedEngine] = []
        self.engine_loop = EngineLoop(self._scheduler, self.service.deliver)
        self.lost: dict[str, str] = {}
        releases = {name: folder for name, folder in (instead or {}).items() if folder}
        for name, folder in releases.items():
            try:
                self.offer(self.load_aside(folder, lane=lane_of(name, folder)))
            except ArtefactError as error:
                _log.error("release refused: %s", error.message, extra={"path": str(folder)})
                self.lost[name] = error.message
        served = {path: name for name, path in configured_engines(config.engines).items()}
        for path in find_engines(config.engines):
            if served.get(path) in releases.keys() - self.lost.keys():
                continue
            try:
                self.load(path)
            except ArtefactError as error:
                _log.error("engine refused: %s", error.message, extra={"path": str(path)})
                refused.append(RefusedEngine(str(path), skill_names(path), error))
        if not self.residents:
            raise refused[0].error
        self.service.offering.refused = tuple(refused)

    def start(self) -> None:
        """Start the engine thread; call from inside the running event loop."""
        self.service.attach(self.engine_loop)
        self.engine_loop.start()

    async def stop(self) -> None:
        """Cut off what still runs, close the engines and end the engine thread."""
        if not await asyncio.to_thread(self.engine_loop.stop, _STOP_TIMEOUT_S):
            _log.error("the engine thread did not end within %.0f s", _STOP_TIMEOUT_S)

    async def status(self) -> BoxStatus:
        """The operator's view."""
        figures = {entry["engine"]: entry for entry in await self.service.snapshot()}
        return BoxStatus(
            version=skilld.__version__,
            pid=os.getpid(),
            uptime_s=time.monotonic() - self.started_s,
            resident_bytes=_process_resident_bytes(),
            kv_budget_bytes=self.ledger.budget_bytes,
            kv_limit_bytes=self.ledger.limit_bytes,
            engines=tuple(
                EngineStatus(
                    manifest=resident.manifest,
                    path=resident.path,
                    skills=tuple(
                        entry.skill.id
                        for entry in self.service.offering.skills()
                        if entry.runs_on == resident.lane
                    ),
                    load_s=resident.load_s,
                    figures=figures[resident.lane],
                )
                for resident in list(self.residents)
                if resident.lane in figures  # it may have come or gone meanwhile
            ),
        )

    def find(self, lane: str) -> ResidentEngine | None:
        """The engine that is called so inside the box, if it is loaded."""
        return next((r for r in list(self.residents) if r.lane == lane), None)

    def load(self, path: Path) -> ResidentEngine:
        """Make one more engine resident and offer its skills, before `start` or while serving.

        Takes seconds; not on the event loop.

        Raises:
            ArtefactError: its folder is damaged, a name or skill is taken, or it does not fit.
        """
        resident = self._load(path, lane=None)
        self.offer(resident)
        return resident

    def load_aside(self, path: Path, *, lane: str) -> ResidentEngine:
        """Make an engine resident of which another version may be, and offer nothing of it.

        Takes seconds; not on the event loop. Until the other version is unloaded, it is guaranteed
        only the cache memory that is left.

        Args:
            path: its folder.
            lane: what it is called inside the box.

        Raises:
            ArtefactError: its folder is damaged, another engine has one of its skills, or it does
                not fit.
        """
        return self._load(path, lane=lane)

    def offer(self, resident: ResidentEngine) -> None:
        """Send new calls of its skills to a loaded engine, and none to others of its name."""
        self.service.run(lambda: self.service.offering.offer(resident.skills))

    def withdraw(self, name: str) -> None:
        """Offer no skill of an engine's any more, in whatever version, nor say they come back."""
        service = self.service

        def act() -> None:
            for resident in self.residents:
                if resident.manifest.name == name:
                    service.offering.withdraw(resident.lane, comes_back=False)
            service.offering.forget(name)

        service.run(act)

    def unload(self, name: str) -> None:
        """Stop offering an engine's skills, end what still runs of it, and give up its memory.

        Raises:
            NotFoundError: no such engine is resident.
        """
        resident = self.find(name)
        if resident is None:
            raise NotFoundError(f"no engine {name!r} is resident", reason="UNKNOWN_ENGINE")
        self.service.run(lambda: self.service.offering.withdraw(name, comes_back=False))
        self._remove(resident)

    def retire(self, resident: ResidentEngine) -> None:
        """Unload an engine after its calls in flight; not on the event loop.

        If its skills are offered, callers are told from now on to come back soon. No call outlives
        its deadline, so this ends.
        """
        service, lane = self.service, resident.lane
        service.run(lambda: service.offering.withdraw(lane, comes_back=True))
        is_empty = service.wait_for(
            service.drain_engine(lane, resident.longest_call_s + _DRAIN_MARGIN_S)
        )
        if not is_empty:
            _log.warning("engine %s is unloaded with calls in flight", lane)
        self._remove(resident)

    def _remove(self, resident: ResidentEngine) -> None:
        def remove() -> None:
            self.engine_loop.remove_engine(resident.lane)
            self.residents.remove(resident)
            for other in self.residents:
                self.ledger.raise_guarantee(other.lane, other.min_bytes)

        self.engine_loop.run(remove)
        _log.info("engine %s unloaded", resident.lane)

    def _load(self, path: Path, *, lane: str | None) -> ResidentEngine:
        started_s = time.monotonic()
        manifest = read_manifest(path)
        if (lane or manifest.name) in self.ledger.accounts:
            raise ArtefactError(
                f"an engine named {lane or manifest.name!r} is already loaded",
                path=path,
                reason="DUPLICATE_ENGINE",
            )
        engine = self._open_engine(path, manifest)
        try:
            resident = self._admit(path, manifest, engine, lane=lane, started_s=started_s)
        except BaseException:
            engine.close()
            raise
        _log.info("engine %s loaded in %.2f s", resident.lane, resident.load_s)
        return resident

    def _admit(
        self,
        path: Path,
        manifest: EngineManifest,
        engine: Engine,
        *,
        lane: str | None,
        started_s: float,
    ) -> ResidentEngine:
        """Give a loaded engine its memory and compile its skills, all of it or nothing."""
        try:
            limits, kv_arena, state_arena = memory_of(engine, manifest, self.config)
            engine.bind({**kv_arena.arrays, **(state_arena.arrays if state_arena else {})})
            cost = measure_cost(engine, manifest, limits)
        except EngineError as error:
            raise ArtefactError(error.message, path=path, reason="BAD_ENGINE") from error
        except OSError as error:  # address space for a budget no machine has
            raise _does_not_fit(path, f"its cache cannot be mapped: {error.strerror}") from error
        for arena in (kv_arena, state_arena):
            if arena is not None:
                arena.give_back_all()
        skills = compile_engine(path, manifest, lane=lane)
        self.service.offering.catalog.check_free(
            skills, path, but_of=None if lane is None else manifest.name
        )
        share = self._share_of(manifest.name)
        min_bytes = share.kv_min_bytes
        if min_bytes is None:
            min_bytes = limits.geometry.sequence_bytes(
                min(manifest.context_limit, GUARANTEED_TOKENS)
            )
        max_bytes = self.ledger.budget_bytes if share.kv_max_bytes is None else share.kv_max_bytes
        resident = ResidentEngine(
            path=path,
            manifest=manifest,
            load_s=time.monotonic() - started_s,
            lane=lane or manifest.name,
            skills=tuple(skills),
            min_bytes=min_bytes,
        )

        def add() -> None:
            # Beside another version, an engine begins with what guarantee is left.
            first_bytes = min_bytes if lane is None else 0
            self.ledger.open_account(resident.lane, min_bytes=first_bytes, max_bytes=max_bytes)
            self.ledger.raise_guarantee(resident.lane, min_bytes)
            self.engine_loop.add_engine(
                resident.lane,
                engine,
                limits=limits,
                cost=cost,
                kv_arena=kv_arena,
                state_arena=state_arena,
                prefixes=[s.prefix for s in skills if len(s.prefix) >= MIN_PINNED_TOKENS],
            )
            self.residents.append(resident)

        if lane is not None:
            self._check_guarantees(path, manifest.name, min_bytes)
        try:
            self.engine_loop.run(add)
        except ValueError as error:
            raise _does_not_fit(path, str(error)) from error
        return resident

    def _check_guarantees(self, path: Path, name: str, min_bytes: int) -> None:
        """Whether a version may be guaranteed what it needs once it is alone."""
        others = sum(r.min_bytes for r in list(self.residents) if r.manifest.name != name)
        if others + min_bytes > self.ledger.budget_bytes:
            raise _does_not_fit(
                path,
                f"engine {name!r} needs {min_bytes} B of cache guaranteed, "
                f"{max(0, self.ledger.budget_bytes - others)} B are left beside other engines",
            )

    def _share_of(self, engine: str) -> ShareConfig:
        return self.config.shares.get(engine, ShareConfig())

    def _open_vendor_engine(self, path: Path, manifest: EngineManifest) -> Engine:
        settings = self.config.engine
        return open_engine(
            path, manifest, num_threads=num_threads_of(settings, manifest), mode=Mode(settings.mode)
        )


def _process_resident_bytes() -> int:
    num_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return num_pages * mmap.PAGESIZE


def _does_not_fit(path: Path, message: str) -> ArtefactError:
    return ArtefactError(
        message,
        path=path,
        hint="change memory.kv_budget_bytes or serve fewer engines",
        reason="DOES_NOT_FIT",
    )
