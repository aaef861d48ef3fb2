"""`Files`: everything the updater does to a disk, and `DiskFiles`, which does it to a real one.

Paths are relative to the store, with "/" between folders. Nothing is durable before `sync`: the
bytes of a file after `sync(file)`, its name after `sync(folder)`. Whoever writes relies on no more
than that, and a simulated disk that keeps exactly that much shows whether it suffices.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Protocol


class Files(Protocol):
    """A folder on a disk. Every method may raise OSError: missing, full, read-only, broken."""

    def read(self, path: str) -> bytes:
        """The whole content of a file."""

    def read_at(self, path: str, offset: int, num_bytes: int) -> bytes:
        """A part of a file; shorter at its end."""

    def size(self, path: str) -> int | None:
        """Length of a file in bytes; None if there is no such file."""

    def list(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty if there is no such folder."""

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder of this name."""

    def make_folder(self, path: str) -> None:
        """Make one folder; its parent exists."""

    def write(self, path: str, data: bytes) -> None:
        """Make a file, or replace its content."""

    def allocate(self, path: str, num_bytes: int) -> None:
        """Make a file of this length with undefined content, all of its space taken."""

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """Change a part of a file."""

    def sync(self, path: str) -> None:
        """Make the content of a file, or the names in a folder, outlast a power cut."""

    def rename(self, old: str, new: str) -> None:
        """Give a file or folder another name; a file of the new name is replaced."""

    def link(self, old: str, new: str) -> None:
        """Give a file a second name."""

    def delete(self, path: str) -> None:
        """Remove a name: of a file, or of an empty folder."""

    def free_bytes(self) -> int:
        """Space that is left on the disk."""


class DiskFiles:
    """The real one.

    Args:
        root: of the store; made if it does not exist, for this user alone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # A store that cannot be made is found out by the first write, which has an outcome.
        with contextlib.suppress(OSError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, path: str) -> bytes:
        """See `Files`."""
        return (self.root / path).read_bytes()

    def read_at(self, path: str, offset: int, num_bytes: int) -> bytes:
        """See `Files`."""
        with (self.root / path).open("rb") as file:
            file.seek(offset)
            return file.read(num_bytes)

    def size(self, path: str) -> int | None:
        """See `Files`."""
        full = self.root / path
        return full.stat().st_size if full.is_file() else None

    def list(self, folder: str) -> list[str]:
        """See `Files`."""
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def is_folder(self, path: str) -> bool:
        """See `Files`."""
        return (self.root / path).is_dir()

    def make_folder(self, path: str) -> None:
        """See `Files`."""
        (self.root / path).mkdir(mode=0o755)

    def write(self, path: str, data: bytes) -> None:
        """See `Files`."""
        (self.root / path).write_bytes(data)

    def allocate(self, path: str, num_bytes: int) -> None:
        """See `Files`."""
        with (self.root / path).open("wb") as file:
            if num_bytes:
                os.posix_fallocate(file.fileno(), 0, num_bytes)

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """See `Files`."""
        with (self.root / path).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def sync(self, path: str) -> None:
        """See `Files`."""
        descriptor = os.open(self.root / path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """See `Files`."""
        (self.root / old).replace(self.root / new)

    def link(self, old: str, new: str) -> None:
        """See `Files`."""
        (self.root / new).hardlink_to(self.root / old)

    def delete(self, path: str) -> None:
        """See `Files`."""
        full = self.root / path
        if full.is_dir() and not full.is_symlink():
            full.rmdir()
        else:
            full.unlink()

    def free_bytes(self) -> int:
        """See `Files`."""
        return shutil.disk_usage(self.root).free


def make_folders(files: Files, path: str) -> None:
    """Make a folder and those above it, durably."""
    parts = PurePosixPath(path).parts
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        if not files.is_folder(folder):
            files.make_folder(folder)
            files.sync("/".join(parts[: depth - 1]) or ".")


def write_durably(files: Files, path: str, data: bytes) -> None:
    """Replace a file as a whole: after a power cut it has the old content or the new."""
    aside = f"{path}.new"
    files.write(aside, data)
    files.sync(aside)
    files.rename(aside, path)
    files.sync(folder_of(path))


def delete_tree(files: Files, path: str) -> None:
    """Remove a folder with what is in it, or a file; nothing happens if there is none."""
    if files.is_folder(path):
        for name in files.list(path):
            delete_tree(files, f"{path}/{name}")
        files.delete(path)
    elif files.size(path) is not None:
        files.delete(path)


def folder_of(path: str) -> str:
    """The folder a path lies in, "." for the store itself."""
    return str(PurePosixPath(path).parent)
