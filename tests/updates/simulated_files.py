"""`SimulatedFiles`: a disk in memory that keeps no more than was synced, and fails on request.

The second implementation of `Files`. A power cut may keep any part of what was not synced; `Loss`
names the three kinds that break careless code. A write that fails, or in which the power goes, has
written half of its bytes: no disk promises more. Blobs are read-only, folders are nobody else's and
nothing is a link, as on a real disk (`DiskFiles`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Container
from dataclasses import dataclass, field
from enum import Enum, auto


class PowerCut(BaseException):
    """The machine stops here: not an error that anybody may catch and survive."""


class Loss(Enum):
    """What a power cut leaves of what was not synced."""

    ALL = auto()  # nothing: neither names nor bytes
    BYTES = auto()  # names are kept and their bytes lost: the file is there and full of zeros
    NONE = auto()  # everything is kept: the process was killed, not the machine


@dataclass(slots=True)
class _File:
    data: bytearray
    durable: bytes = b""
    is_protected: bool = False


@dataclass(slots=True)
class _Folder:
    names: dict[str, _File | _Folder] = field(default_factory=dict)
    durable: dict[str, _File | _Folder] = field(default_factory=dict)


class SimulatedFiles:
    """See the module docstring.

    Attributes:
        num_changes: operations that changed something, so far.
        cut_after: `PowerCut` is raised instead of the next change when this many are done; None
            never.
        capacity_bytes: of the disk; a write beyond it raises ENOSPC.
        is_read_only: every change raises EROFS.
        failing: numbers of the changes, as `num_changes` counts them, that fail with `error`.
        error: a number of `errno`.
    """

    def __init__(self, *, capacity_bytes: int = 1 << 30) -> None:
        self._root = _Folder()
        self.num_changes = 0
        self.cut_after: int | None = None
        self.capacity_bytes = capacity_bytes
        self.is_read_only = False
        self.failing: Container[int] = ()
        self.error = errno.EIO

    def restart(self, loss: Loss) -> None:
        """The power comes back."""
        self.cut_after = None
        if loss is not Loss.NONE:
            _forget(self._root, names=loss is Loss.ALL, seen=set())

    def read(self, path: str) -> bytes:
        """See `Files`."""
        return bytes(self._file(path).data)

    def read_at(self, path: str, offset: int, num_bytes: int) -> bytes:
        """See `Files`."""
        return bytes(self._file(path).data[offset : offset + num_bytes])

    def size(self, path: str) -> int | None:
        """See `Files`."""
        node = self._find(path)
        return len(node.data) if isinstance(node, _File) else None

    def list(self, folder: str) -> list[str]:
        """See `Files`."""
        node = self._find(folder)
        return sorted(node.names) if isinstance(node, _Folder) else []

    def is_folder(self, path: str) -> bool:
        """See `Files`."""
        return isinstance(self._find(path), _Folder)

    def make_folder(self, path: str) -> None:
        """See `Files`."""
        self._change()
        folder, name = self._parent(path)
        if name in folder.names:
            raise _error(errno.EEXIST, path)
        folder.names[name] = _Folder()

    def write(self, path: str, data: bytes) -> None:
        """See `Files`."""
        folder, name = self._parent(path)
        _check_writable(folder.names.get(name), path)
        half = data[: len(data) // 2]
        try:
            self._change(len(data))
        except (OSError, PowerCut):
            if not self.is_read_only:
                _put(folder, name, half)
            raise
        _put(folder, name, data)

    def allocate(self, path: str, num_bytes: int) -> None:
        """See `Files`."""
        self.write(path, bytes(num_bytes))

    def write_at(self, path: str, offset: int, data: bytes) -> None:
        """See `Files`."""
        file = self._file(path)
        _check_writable(file, path)
        try:
            self._change()
        except (OSError, PowerCut):
            half = len(data) // 2
            if not self.is_read_only:
                file.data[offset : offset + half] = data[:half]
            raise
        file.data[offset : offset + len(data)] = data

    def sync(self, path: str) -> None:
        """See `Files`."""
        self._change()
        match self._find(path):
            case _File() as file:
                file.durable = bytes(file.data)
            case _Folder() as folder:
                folder.durable = dict(folder.names)
            case None:
                raise _error(errno.ENOENT, path)

    def rename(self, old: str, new: str) -> None:
        """See `Files`."""
        self._change()
        source, old_name = self._parent(old)
        target, new_name = self._parent(new)
        if old_name not in source.names:
            raise _error(errno.ENOENT, old)
        existing = target.names.get(new_name)
        if isinstance(existing, _Folder) and existing.names:
            raise _error(errno.ENOTEMPTY, new)
        target.names[new_name] = source.names.pop(old_name)

    def link(self, old: str, new: str) -> None:
        """See `Files`."""
        self._change()
        file = self._file(old)
        folder, name = self._parent(new)
        if name in folder.names:
            raise _error(errno.EEXIST, new)
        folder.names[name] = file

    def protect(self, path: str) -> None:
        """See `Files`."""
        self._change()
        self._file(path).is_protected = True

    def rot(self, path: str, offset: int, data: bytes) -> None:
        """The disk itself changes some bytes, whoever may write the file."""
        self._file(path).data[offset : offset + len(data)] = data

    def delete(self, path: str) -> None:
        """See `Files`."""
        self._change()
        folder, name = self._parent(path)
        node = folder.names.get(name)
        if node is None:
            raise _error(errno.ENOENT, path)
        if isinstance(node, _Folder) and node.names:
            raise _error(errno.ENOTEMPTY, path)
        del folder.names[name]

    def free_bytes(self) -> int:
        """See `Files`."""
        return max(0, self.capacity_bytes - _used(self._root, set()))

    def _change(self, num_bytes: int = 0) -> None:
        if self.cut_after is not None and self.num_changes >= self.cut_after:
            raise PowerCut
        self.num_changes += 1
        if self.num_changes - 1 in self.failing:
            raise _error(self.error, "")
        if self.is_read_only:
            raise _error(errno.EROFS, "")
        if num_bytes > self.free_bytes():
            raise _error(errno.ENOSPC, "")

    def _find(self, path: str) -> _File | _Folder | None:
        node: _File | _Folder | None = self._root
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if not isinstance(node, _Folder):
                return None
            node = node.names.get(part)
        return node

    def _file(self, path: str) -> _File:
        node = self._find(path)
        if not isinstance(node, _File):
            raise _error(errno.ENOENT, path)
        return node

    def _parent(self, path: str) -> tuple[_Folder, str]:
        folder, _, name = path.rpartition("/")
        node = self._find(folder)
        if not isinstance(node, _Folder):
            raise _error(errno.ENOENT, path)
        return node, name


def _check_writable(node: _File | _Folder | None, path: str) -> None:
    if isinstance(node, _File) and node.is_protected:
        raise _error(errno.EACCES, path)


def _put(folder: _Folder, name: str, data: bytes) -> None:
    node = folder.names.get(name)
    if isinstance(node, _File):
        node.data[:] = data
    else:
        folder.names[name] = _File(bytearray(data))


def _forget(folder: _Folder, *, names: bool, seen: set[int]) -> None:
    if names:
        folder.names = dict(folder.durable)
    for node in folder.names.values():
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, _Folder):
            _forget(node, names=names, seen=seen)
        else:
            lost = len(node.data) - len(node.durable)
            node.data = bytearray(node.durable + bytes(max(0, lost)))


def _used(folder: _Folder, seen: set[int]) -> int:
    total = 0
    for node in folder.names.values():
        if id(node) in seen:
            continue
        seen.add(id(node))
        total += len(node.data) if isinstance(node, _File) else _used(node, seen)
    return total


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
