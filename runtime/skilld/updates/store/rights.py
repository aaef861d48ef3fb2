"""`check_rights`: whether a store is ours alone. What others can write, they can have us run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from skilld.core.errors import ArtefactError

# Of python-tuf, which makes links there; what is read from it is signed.
_METADATA_CACHE = "tuf"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_rights(root: Path) -> None:
    """Look at everything in a store: owner, rights, links. One that does not exist is fine.

    Args:
        root: of the store; may itself be a link.

    Raises:
        ArtefactError: reason UNSAFE_STORE; names the first thing somebody else may change.
    """
    for path in _entries(root.resolve()):
        try:
            status = path.lstat()
        except OSError:
            continue  # gone, or hidden from us as well
        if stat.S_ISLNK(status.st_mode):
            raise _unsafe(path, "is a symbolic link, and nothing here is", "delete it")
        if status.st_uid not in (os.geteuid(), 0):
            raise _unsafe(
                path,
                f"belongs to user {status.st_uid}, this is user {os.geteuid()}",
                f"chown -R {os.geteuid()} {root}",
            )
        if status.st_mode & _OTHERS_WRITE:
            raise _unsafe(path, "can be written by other users", f"chmod -R go-w {root}")


def _entries(root: Path) -> Iterator[Path]:
    if not root.exists():
        return
    yield root
    for where, folders, files in os.walk(root):
        folder = Path(where)
        yield from (folder / name for name in (*folders, *files))
        if folder == root and _METADATA_CACHE in folders:
            folders.remove(_METADATA_CACHE)


def _unsafe(path: Path, message: str, hint: str) -> ArtefactError:
    return ArtefactError(
        f"{message}; whoever can change a store can have this box run anything",
        path=path,
        hint=hint,
        reason="UNSAFE_STORE",
    )
