"""`Box`: a daemon without its transports: engines, memory, scheduler, loop, service."""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import skilld
from skilld.app.calibration import measure_cost
from skilld.config import Config, EngineConfig, ShareConfig
from skilld.core.errors import ArtefactError, EngineError, NotFoundError
from skilld.core.manifest import MANIFEST_NAME, EngineManifest, read_manifest
from skilld.engine import Engine, Mode, open_engine
from skilld.kvcache import Arena, CacheGeometry, CacheTensor, KvLedger
from skilld.kvcache.engine_need import GUARANTEED_TOKENS
from skilld.loop import EngineLoop
from skilld.scheduler import EngineLimits, Policy, Scheduler
from skilld.service import BoxStatus, EngineStatus, RefusedEngine, SkillService
from skilld.skills import Catalog
from skilld.skills.catalog import SKILLS_DIR

_log = logging.getLogger("skilld.box")

# A shorter system prompt is not worth a pinned block.
MIN_PINNED_TOKENS = 16
_STOP_TIMEOUT_S = 10.0
_SMALL_ENGINE_PARAMETERS = 30_000_000

OpenEngine = Callable[[Path, EngineManifest], Engine]


@dataclass(frozen=True, slots=True)
class ResidentEngine:
    """An engine that is loaded.

    Attributes:
        path: its folder.
        manifest: as read.
        load_s: from reading the manifest to compiled.
    """

    path: Path
    manifest: EngineManifest
    load_s: float


def find_engines(paths: Iterable[Path]) -> list[Path]:
    """Engine folders among `paths` and up to two levels below them.

    Hidden folders below are passed over: a build in progress is one.

    Raises:
        ArtefactError: a path holds no engine at all.
    """
    found: list[Path] = []
    levels = (MANIFEST_NAME, f"*/{MANIFEST_NAME}", f"*/*/{MANIFEST_NAME}")
    for path in paths:
        manifests = (manifest for level in levels for manifest in path.glob(level))
        here = {
            manifest.parent
            for manifest in manifests
            if not any(part.startswith(".") for part in manifest.relative_to(path).parts)
        }
        if not here:
            raise ArtefactError(
                "holds no engine",
                path=path,
                hint=f"an engine is a folder with {MANIFEST_NAME}; `skilld build` makes one",
                reason="NO_ENGINE",
            )
        found += sorted(here)
    return found


def num_threads_of(config: EngineConfig, manifest: EngineManifest) -> int:
    """CPU threads of a step: as configured, or what suits the size of the engine.

    A large engine gets every core this process may use. A step of a small one is too short for
    a second thread to pay when callers keep the cores busy (see runtime/DECISIONS.md).
    """
    if config.num_threads:
        return config.num_threads
    if manifest.geometry.num_parameters < _SMALL_ENGINE_PARAMETERS:
        return 1
    return len(os.sched_getaffinity(0))


class Box:
    """Engines and all they share; see the module docstring.

    Args:
        config: of the daemon.
        open_engine_fn: how an engine folder is opened; tests pass a fake engine here.

    Raises:
        ArtefactError: not a single engine could be loaded; the first reason.
    """

    def __init__(self, config: Config, *, open_engine_fn: OpenEngine | None = None) -> None:
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
        catalog = Catalog()
        refused: list[RefusedEngine] = []
        self.engine_loop = EngineLoop(self._scheduler, lambda events: self.service.deliver(events))
        for path in find_engines(config.engines):
            try:
                self._load(path, catalog)
            except ArtefactError as error:
                _log.error("engine refused: %s", error.message, extra={"path": str(path)})
                refused.append(RefusedEngine(str(path), _skill_names(path), error))
        if not self.residents:
            raise refused[0].error
        self.service = SkillService(
            catalog,
            refused=tuple(refused),
            max_concurrent_calls=config.grpc.max_concurrent_calls,
            max_draft=config.engine.max_draft,
        )

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
                        for entry in self.service.skills()
                        if entry.manifest.name == resident.manifest.name
                    ),
                    load_s=resident.load_s,
                    figures=figures[resident.manifest.name],
                )
                for resident in self.residents
                if resident.manifest.name in figures  # it may have come or gone meanwhile
            ),
        )

    def load(self, path: Path) -> ResidentEngine:
        """Make one more engine resident, before `start` or while serving; takes seconds.

        Raises:
            ArtefactError: its folder is damaged, a name or skill is taken, or it does not fit.
        """
        return self._load(path, self.service.catalog)

    def unload(self, name: str) -> None:
        """Stop offering an engine's skills, end what still runs of it, and give up its memory.

        Raises:
            NotFoundError: no such engine is resident.
        """
        resident = next((r for r in self.residents if r.manifest.name == name), None)
        if resident is None:
            raise NotFoundError(f"no engine {name!r} is resident", reason="UNKNOWN_ENGINE")
        self.residents.remove(resident)
        self.service.catalog.remove_engine(name)
        self.engine_loop.run(lambda: self.engine_loop.remove_engine(name))
        _log.info("engine %s unloaded", name)

    def _load(self, path: Path, catalog: Catalog) -> ResidentEngine:
        started_s = time.monotonic()
        manifest = read_manifest(path)
        if manifest.name in self.ledger.accounts:
            raise ArtefactError(
                f"an engine named {manifest.name!r} is already loaded",
                path=path,
                reason="DUPLICATE_ENGINE",
            )
        engine = self._open_engine(path, manifest)
        try:
            self._admit(path, manifest, engine, catalog)
        except BaseException:
            engine.close()
            raise
        resident = ResidentEngine(path, manifest, time.monotonic() - started_s)
        self.residents.append(resident)
        _log.info("engine %s loaded in %.2f s", manifest.name, resident.load_s)
        return resident

    def _admit(
        self, path: Path, manifest: EngineManifest, engine: Engine, catalog: Catalog
    ) -> None:
        """Give a loaded engine its memory and skills, all of it or nothing."""
        try:
            limits, kv_arena, state_arena = self._memory_of(engine, manifest)
            engine.bind({**kv_arena.arrays, **(state_arena.arrays if state_arena else {})})
            cost = measure_cost(engine, manifest, limits)
        except EngineError as error:
            raise ArtefactError(error.message, path=path, reason="BAD_ENGINE") from error
        except OSError as error:  # address space for a budget no machine has
            raise _does_not_fit(path, f"its cache cannot be mapped: {error.strerror}") from error
        kv_arena.give_back(range(limits.geometry.num_blocks))
        if state_arena is not None:
            state_arena.give_back(range(limits.geometry.num_state_blocks))
        share = self._share_of(manifest.name)
        min_bytes, max_bytes = share.kv_min_bytes, share.kv_max_bytes
        if min_bytes is None:
            min_bytes = limits.geometry.sequence_bytes(
                min(manifest.context_limit, GUARANTEED_TOKENS)
            )
        if max_bytes is None:
            max_bytes = self.ledger.budget_bytes
        skills = catalog.register_engine(path, manifest)

        def add() -> None:
            self.ledger.open_account(manifest.name, min_bytes=min_bytes, max_bytes=max_bytes)
            self.engine_loop.add_engine(
                manifest.name,
                engine,
                limits=limits,
                cost=cost,
                kv_arena=kv_arena,
                state_arena=state_arena,
                prefixes=[s.prefix for s in skills if len(s.prefix) >= MIN_PINNED_TOKENS],
            )

        try:
            self.engine_loop.run(add)
        except ValueError as error:
            catalog.remove_engine(manifest.name)
            raise _does_not_fit(path, str(error)) from error

    def _share_of(self, engine: str) -> ShareConfig:
        return self.config.shares.get(engine, ShareConfig())

    def _memory_of(
        self, engine: Engine, manifest: EngineManifest
    ) -> tuple[EngineLimits, Arena, Arena | None]:
        kv_tensors = _tensors(engine, "kv")
        state_tensors = _tensors(engine, "state")
        settings = self.config.engine
        kv_block_bytes = sum(tensor.block_bytes for tensor in kv_tensors)
        geometry = CacheGeometry(
            block_tokens=engine.block_tokens,
            block_bytes=kv_block_bytes,
            # Address space for the whole budget: it costs nothing until it is written.
            num_blocks=max(1, self.ledger.budget_bytes // kv_block_bytes),
            state_block_bytes=sum(tensor.block_bytes for tensor in state_tensors),
            state_blocks_per_sequence=1 if state_tensors else 0,
            num_state_blocks=settings.max_num_seqs if state_tensors else 0,
        )
        limits = EngineLimits(
            geometry=geometry,
            context_limit=manifest.context_limit,
            max_num_seqs=settings.max_num_seqs,
            max_num_batched_tokens=settings.max_num_batched_tokens,
            max_queued=self.config.scheduler.max_queued,
            max_queued_per_client=self.config.scheduler.max_queued_per_client,
            weight=self._share_of(manifest.name).weight,
        )
        kv_arena = Arena(kv_tensors, geometry.num_blocks)
        state_arena = Arena(state_tensors, geometry.num_state_blocks) if state_tensors else None
        return limits, kv_arena, state_arena

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


def _tensors(engine: Engine, kind: str) -> Sequence[CacheTensor]:
    return [
        CacheTensor(spec.name, spec.dtype, spec.block_shape)
        for spec in engine.cache_specs
        if spec.kind == kind
    ]


def _skill_names(engine_dir: Path) -> tuple[str, ...]:
    """Ids of the skills a refused engine would have offered, going by file names alone."""
    return tuple(sorted(path.stem for path in (engine_dir / SKILLS_DIR).glob("*.toml")))
