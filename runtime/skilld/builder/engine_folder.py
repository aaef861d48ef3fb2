"""Building an engine folder so that at every moment there is a whole one, or none.

Life of a build:
1. Read the recipe and the checkpoint; refuse here, before anything is loaded or written.
2. Lock the target's parent, remove what a killed build left, make a new folder aside.
3. Export, compress, copy skills and golden cases, measure in a fresh process.
4. Write the manifest last, flush everything to disk.
5. Exchange the new folder with the old one in one rename; remove the old.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from skilld.builder.checkpoint import Checkpoint, read_checkpoint
from skilld.builder.host import cpu_features, cpu_name
from skilld.builder.measurement import measure
from skilld.builder.openvino import export_model
from skilld.builder.recipe import RECIPE_NAME, Recipe, read_recipe
from skilld.builder.toolchain import TOOLS
from skilld.core.errors import ArtefactError, UnavailableError
from skilld.core.manifest import (
    MANIFEST_NAME,
    BuildHost,
    CacheLayout,
    EngineManifest,
    FileEntry,
    Source,
    file_sha256,
    write_manifest,
)

_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2


def build(
    recipe_dir: Path,
    *,
    out_dir: Path | None = None,
    progress: Callable[[str, float], None],
    num_threads: int | None = None,
) -> Path:
    """Build the engine a recipe describes.

    Args:
        recipe_dir: folder with `recipe.toml`, and perhaps `skills/` and `golden.jsonl`.
        out_dir: the engine folder to make; `<recipe_dir>/engine` when absent. One that exists
            is replaced as a whole, at the very end.
        progress: called with what is being done and the fraction done, 0 to 1.
        num_threads: used for measuring; all CPUs this process may use when absent.

    Returns:
        The engine folder.

    Raises:
        ArtefactError: the recipe, the checkpoint or the calibration file is refused.
        UnavailableError: the build tools are missing, or another build of it is running.
        EngineError: the built engine does not run.
    """
    progress("reading recipe and checkpoint", 0.0)
    recipe = read_recipe(recipe_dir)
    checkpoint = read_checkpoint((recipe_dir / recipe.checkpoint).resolve())
    context_limit = _context_limit(recipe_dir, recipe, checkpoint)
    target = (out_dir or recipe_dir / "engine").resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _aside(target) as aside:
        export_model(
            checkpoint,
            aside,
            precision=recipe.precision,
            calibration=recipe_dir / recipe.calibration if recipe.calibration else None,
            progress=progress,
        )
        _copy_contracts(recipe_dir, aside)
        progress("digesting", 0.8)
        manifest = EngineManifest(
            name=recipe.name,
            version=recipe.version,
            runtime=recipe.runtime,
            family=checkpoint.family,
            precision=recipe.precision,
            context_limit=context_limit,
            source=Source(
                name=recipe.checkpoint.name,
                sha256=checkpoint.sha256(),
                licence=recipe.licence,
            ),
            geometry=checkpoint.geometry,
            # Known once the graph is compiled, which needs a manifest: filled in below.
            cache=CacheLayout(block_tokens=1, kv_bytes_per_token=0),
            vocabulary=checkpoint.vocabulary,
            build_host=_build_host(),
            files=_file_entries(aside),
        )
        write_manifest(aside, manifest)
        progress("measuring", 0.85)
        cache, measurements = measure(
            aside, num_threads=num_threads or len(os.sched_getaffinity(0))
        )
        write_manifest(
            aside, manifest.model_copy(update={"cache": cache, "measurements": measurements})
        )
        progress("moving into place", 0.98)
        _sync(aside)
        _put_in_place(aside, target)
    progress("done", 1.0)
    return target


def _context_limit(recipe_dir: Path, recipe: Recipe, checkpoint: Checkpoint) -> int:
    if recipe.context_limit is None:
        return checkpoint.context_limit
    if recipe.context_limit > checkpoint.context_limit:
        raise ArtefactError(
            f"{recipe.context_limit} is more than the {checkpoint.context_limit} positions of "
            "the checkpoint",
            path=recipe_dir / RECIPE_NAME,
            key="context_limit",
            reason="BAD_RECIPE",
        )
    return recipe.context_limit


def _copy_contracts(recipe_dir: Path, aside: Path) -> None:
    for skill in sorted((recipe_dir / "skills").glob("*.toml")):
        (aside / "skills").mkdir(exist_ok=True)
        shutil.copyfile(skill, aside / "skills" / skill.name)
    golden = recipe_dir / "golden.jsonl"
    if golden.is_file():
        shutil.copyfile(golden, aside / golden.name)


def _build_host() -> BuildHost:
    return BuildHost(
        cpu=cpu_name(),
        cpu_features=cpu_features(),
        num_threads=len(os.sched_getaffinity(0)),
        tool_versions={tool: importlib.metadata.version(tool) for tool in TOOLS},
    )


def _file_entries(folder: Path) -> dict[str, FileEntry]:
    return {
        path.relative_to(folder).as_posix(): FileEntry(
            sha256=file_sha256(path), num_bytes=path.stat().st_size
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    }


@contextlib.contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, on the same file system; gone when the block ends.

    The lock is on the parent folder itself and dies with the process, so whatever carries the
    aside name when we hold it was left by a killed build.
    """
    aside = target.with_name(f".{target.name}.building")
    parent = os.open(target.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(parent, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnavailableError(
                f"another build is writing beside {target}: wait for it, or give another --out",
                reason="BUILD_RUNNING",
            ) from error
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    finally:
        os.close(parent)


def _put_in_place(aside: Path, target: Path) -> None:
    """Make `aside` the target. What was there before is then at `aside`, to be removed."""
    if target.exists():
        _exchange(aside, target)
    else:
        aside.rename(target)
    _sync_one(target.parent)


def _exchange(aside: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.renameat2(
        _AT_FDCWD, os.fsencode(aside), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE
    )
    code = ctypes.get_errno() if failed else 0
    if code in (errno.EINVAL, errno.ENOSYS):
        # A file system that cannot exchange (some network mounts): two renames, old one first.
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        aside.rename(target)
        old.rename(aside)
    elif code:
        raise OSError(code, os.strerror(code), str(target))


def _sync(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        _sync_one(path)
    _sync_one(folder)


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
