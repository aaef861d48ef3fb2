"""Engine folders: finding them, and what is known of one that is loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from skilld.config import EngineConfig
from skilld.core.errors import ArtefactError
from skilld.core.manifest import MANIFEST_NAME, EngineManifest, read_manifest
from skilld.skills import RegisteredSkill
from skilld.skills.compilation import SKILLS_DIR

_SMALL_ENGINE_PARAMETERS = 30_000_000


@dataclass(frozen=True, slots=True)
class ResidentEngine:
    """An engine that is loaded.

    Attributes:
        path: its folder.
        manifest: as read.
        load_s: from reading the manifest to compiled.
        lane: what it is called inside the box: its name, unless two versions of it are loaded.
        skills: compiled, whether they are offered or not.
        min_bytes: cache memory it is to be guaranteed.
    """

    path: Path
    manifest: EngineManifest
    load_s: float
    lane: str
    skills: tuple[RegisteredSkill, ...]
    min_bytes: int

    @property
    def longest_call_s(self) -> float:
        """After which the deadline of any of its calls has passed."""
        return max(entry.skill.timeout_s for entry in self.skills)


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


def configured_engines(paths: Iterable[Path]) -> dict[str, Path]:
    """Folders of the engines a box is set up with, by name; those that cannot be read left out.

    Raises:
        ArtefactError: a path holds no engine at all.
    """
    found: dict[str, Path] = {}
    for path in find_engines(paths):
        with contextlib.suppress(ArtefactError):
            found.setdefault(read_manifest(path).name, path)
    return found


def lane_of(name: str, folder: Path | None) -> str:
    """What an engine is called inside the box: a release by its folder, which is its number.

    No engine's own name has an @.
    """
    return name if folder is None else f"{name}@{folder.name}"


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


def skill_names(engine_dir: Path) -> tuple[str, ...]:
    """Ids of the skills a refused engine would have offered, going by file names alone."""
    return tuple(sorted(path.stem for path in (engine_dir / SKILLS_DIR).glob("*.toml")))
