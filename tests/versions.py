"""Versions of a shipped engine with fewer golden cases: a self-test is as real, and shorter."""

from __future__ import annotations

import shutil
from pathlib import Path

from skilld.builder.golden import GOLDEN_NAME
from skilld.core.manifest import FileEntry, file_sha256, read_manifest, write_manifest

NUM_CASES = 8


def make_version(engine: Path, folder: Path, version: str, *, golden: str | None = None) -> str:
    """Copy an engine under another version number; returns its digest.

    Args:
        engine: folder of the engine.
        folder: of the copy.
        version: of the copy.
        golden: text of its golden cases; the first few of the engine's own when left out.
    """
    shutil.copytree(engine, folder)
    path = folder / GOLDEN_NAME
    if golden is None:
        golden = "\n".join(path.read_text(encoding="utf-8").splitlines()[:NUM_CASES]) + "\n"
    path.write_text(golden, encoding="utf-8")
    manifest = read_manifest(folder)
    entry = FileEntry(sha256=file_sha256(path), num_bytes=path.stat().st_size)
    files = {**manifest.files, GOLDEN_NAME: entry}
    changed = manifest.model_copy(update={"version": version, "files": files})
    write_manifest(folder, changed)
    return changed.digest
