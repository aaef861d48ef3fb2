"""Names of files in a release: relative, plain, and the same file on every file system."""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_PATH_CHARS = 128
MAX_DEPTH = 3

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
# Windows opens a device under these, whatever the suffix; a USB stick may pass through one.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))]
)


def check_path(path: str) -> str:
    """Refuse a name that could leave the release's folder or mean two files.

    Args:
        path: as a release manifest writes it, with "/" between folders.

    Returns:
        The same path.

    Raises:
        ValueError: says what is wrong with it.
    """
    if len(path) > MAX_PATH_CHARS:
        raise ValueError(f"{path[:40]!r}... is longer than {MAX_PATH_CHARS} characters")
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"{path!r} is deeper than {MAX_DEPTH} levels")
    for part in parts:
        if _PART.fullmatch(part) is None or part.endswith("."):
            raise ValueError(
                f"{path!r} is not a plain relative path: letters, digits, '_', '-' and '.', "
                "no part that begins or ends with a dot"
            )
        if part.split(".")[0].lower() in _DEVICES:
            raise ValueError(f"{path!r} names a device on some systems")
    return path


def check_no_clash(paths: Iterable[str]) -> None:
    """Refuse names that are one file, or a file and a folder, where letter case is ignored.

    Raises:
        ValueError: names the two.
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        parts = path.lower().split("/")
        key = "/".join(parts)
        other = files.get(key) or folders.get(key)
        if other is not None:
            raise ValueError(f"{path!r} and {other!r} are the same name on some file systems")
        files[key] = path
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            spelled = "/".join(path.split("/")[:depth])
            if parent in files:
                raise ValueError(f"{path!r} lies in {files[parent]!r}, which is a file")
            if folders.setdefault(parent, spelled) != spelled:
                raise ValueError(
                    f"{spelled!r} and {folders[parent]!r} are the same folder on some file systems"
                )
