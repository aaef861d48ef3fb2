"""`Files`: everything the updater does to a disk, and `DiskFiles`, which does it to a real one.

Paths are relative to the store, with "/" between folders. Nothing is durable before `sync`: the
bytes of a file after `sync(file)`, its name after `sync(folder)`. Whoever writes relies on no more
than that, and a simulated disk that keeps exactly that much shows whether it suffices.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, Protocol


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

    def protect(self, path: str) -> None:
        """Let nobody write a file any more, under any of its names."""

    def delete(self, path: str) -> None:
        """Remove a name: of a file, or of an empty folder."""

    def free_bytes(self) -> int:
        """Space that is left on the disk."""


class DiskFiles:
    """The real one: what it makes is nobody else's to change, and it follows no symbolic link.

    Our own releases are linked hard. A symbolic link in the store is somebody else's: it is not a
    file, not a folder, can be deleted, and anything else with it is an error of the system, ELOOP.

    Args:
        root: of the store; made if it does not exist, for this user alone. It may be a link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # A store that cannot be made is found out by the first write, which has an outcome.
        with contextlib.suppress(OSError):
            root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, path: str) -> bytes:
        """See `Files`."""
        with self._open(path, os.O_RDONLY, "rb") as file:
            return file.read()

    def read_at(self, path: str, offset: int, num_bytes: int) -> bytes:
        """See `Files`."""
        with self._open(path, os.O_RDONLY, "rb") as file:
            file.seek(offset)
            return file.read(num_bytes)

    def size(self, path: str) -> int | None:
        """See `Files`."""
        status = self._status(path)
        return status.st_size if status and stat.S_ISREG(status.st_mode) else None

    def list(self, folder: str) -> list[str]:
        """See `Files`."""
        if not self.is_folder(folder):
            return []
        return sorted(path.name for path in self._path(folder).iterdir())

    def is_folder(self, path: str) -> bool:
        """See `Files`."""
        status = self._status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def make_folder(self, path: str) -> None:
        """See `Files`."""
        self._path(path).mkdir(mode=0o755)

    def write(self, path: str, data: bytes) -> None:
        """See `Files`."""
        with self._open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "wb") as file:
            file.write(data)

    def allocate(self, path: str, num_bytes: int) -> None:
        """See `Files`."""
        with self._open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "wb") as file:
            if num_bytes:
                os.posix_fallocate(file.fileno(), 0, num_bytes)

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """See `Files`."""
        with self._open(path, os.O_WRONLY, "wb") as file:
            file.seek(offset)
            file.write(data)

    def sync(self, path: str) -> None:
        """See `Files`."""
        descriptor = os.open(self._path(path), os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """See `Files`."""
        self._path(old).replace(self._path(new))

    def link(self, old: str, new: str) -> None:
        """See `Files`."""
        os.link(self._path(old), self._path(new), follow_symlinks=False)

    def protect(self, path: str) -> None:
        """See `Files`."""
        with self._open(path, os.O_RDONLY, "rb") as file:
            os.fchmod(file.fileno(), 0o444)

    def delete(self, path: str) -> None:
        """See `Files`."""
        if self.is_folder(path):
            self._path(path).rmdir()
        else:
            self._path(path).unlink()

    def free_bytes(self) -> int:
        """See `Files`."""
        return shutil.disk_usage(self.root).free

    def _open(self, path: str, flags: int, mode: Literal["rb", "wb"]) -> BinaryIO:
        # Nobody but us writes it, whatever the umask; and a pipe must not keep us waiting.
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.fdopen(os.open(self._path(path), flags, 0o644), mode)

    def _status(self, path: str) -> os.stat_result | None:
        try:
            return self._path(path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _path(self, path: str) -> Path:
        """Where a path is, if no folder on the way there is a link."""
        full = self.root
        *folders, name = PurePosixPath(path).parts or (".",)
        for folder in folders:
            full /= folder
            if full.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(full))
        return full / name


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
    """Remove a folder with what is in it, a file, or whatever else has this name, if any."""
    if files.is_folder(path):
        for name in files.list(path):
            delete_tree(files, f"{path}/{name}")
        files.delete(path)
    elif PurePosixPath(path).name in files.list(folder_of(path)):
        files.delete(path)


def folder_of(path: str) -> str:
    """The folder a path lies in, "." for the store itself."""
    return str(PurePosixPath(path).parent)
