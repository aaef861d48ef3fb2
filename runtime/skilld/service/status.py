"""`BoxStatus`: what an operator wants to know of a running daemon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skilld.core.errors import ArtefactError
from skilld.core.manifest import EngineManifest


@dataclass(frozen=True, slots=True)
class RefusedEngine:
    """An engine folder that was not loaded, and the skills that are missing because of it."""

    path: str
    skills: tuple[str, ...]
    error: ArtefactError


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """An engine that serves.

    Attributes:
        manifest: as read.
        path: the folder it was loaded from.
        skills: ids of its skills; none while another version of it is offered.
        load_s: how long loading took.
        figures: its entry of `SkillService.snapshot`.
    """

    manifest: EngineManifest
    path: Path
    skills: tuple[str, ...]
    load_s: float
    figures: Mapping[str, Any]  # plain JSON values, named in `EngineLoop.snapshot`


@dataclass(frozen=True, slots=True)
class BoxStatus:
    """What an operator wants to know and the service alone cannot say.

    Attributes:
        version: of skilld.
        pid: of the daemon.
        uptime_s: since it started.
        resident_bytes: physical memory of the process.
        kv_budget_bytes: cache memory of all engines together.
        kv_limit_bytes: the part of it that may be used now; less while the machine is short of
            memory.
        engines: those that serve.
    """

    version: str
    pid: int
    uptime_s: float
    resident_bytes: int
    kv_budget_bytes: int
    kv_limit_bytes: int
    engines: tuple[EngineStatus, ...]
