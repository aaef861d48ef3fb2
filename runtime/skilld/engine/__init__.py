"""Engines: vendor runtimes that compute one batch at a time, each a leaf one can replace."""

from __future__ import annotations

from pathlib import Path

from skilld.core.manifest import EngineManifest
from skilld.engine.base import CacheSpec, Engine, Mode, StepOutput

__all__ = ["CacheSpec", "Engine", "Mode", "StepOutput", "open_engine"]


def open_engine(
    engine_dir: Path, manifest: EngineManifest, *, num_threads: int, mode: Mode = Mode.FAST
) -> Engine:
    """Load an engine folder with the runtime its manifest names.

    The runtime is imported here and not before: one that no engine needs costs nothing.

    Args:
        engine_dir: as `skilld build` wrote it.
        manifest: of that folder.
        num_threads: CPU threads of a step.
        mode: fast (serving) or parity (exact).

    Raises:
        ArtefactError: the folder is damaged, or the runtime cannot compile it.
    """
    match manifest.runtime:
        case "openvino":
            from skilld.engine.openvino import OpenVINOEngine

            return OpenVINOEngine(engine_dir, num_threads=num_threads, mode=mode)
