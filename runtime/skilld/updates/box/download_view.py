"""`DownloadView`: how far downloads are, read from a store that a daemon writes to meanwhile.

It changes nothing there and needs no daemon: what counts is what lies on the disk.
"""

from __future__ import annotations

import functools
import hashlib

from skilld.core.errors import UpdateError
from skilld.updates.box.intake import INCOMING
from skilld.updates.bundle.release import Release, ReleaseFile, parse_release
from skilld.updates.machine.state import SkillState, Step
from skilld.updates.store.blobs import blob_path, part_path
from skilld.updates.store.files import Files


class DownloadView:
    """See the module docstring. What it has found once it does not read again."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._found: set[tuple[str, int]] = set()  # chunks, by digest of the file and offset

    def figures(self, state: SkillState) -> tuple[int, int]:
        """Bytes of the release that are here, and all of them; zeros unless it is downloading."""
        record = state.job
        if record is None or record.step is not Step.DOWNLOADING:
            return 0, 0
        try:
            release = parse_release(self._files.read(f"{INCOMING}/{state.skill}.json"))
        except (OSError, UpdateError):  # it has come to its end this moment
            return 0, 0
        return release.num_bytes - self._missing_bytes(release), release.num_bytes

    def _missing_bytes(self, release: Release) -> int:
        files = {file.sha256: file for file in release.files}.values()
        return sum(file.num_bytes - self._held_bytes(file) for file in files)

    def _held_bytes(self, file: ReleaseFile) -> int:
        # A whole file first: it may take the place of the unfinished one while we look.
        if self._files.size(blob_path(file.sha256)) == file.num_bytes:
            return file.num_bytes
        held_bytes = offset = 0
        for chunk in file.chunks:
            key = file.sha256, offset
            if key in self._found or self._is_right(file, offset, chunk.num_bytes, chunk.sha256):
                self._found.add(key)
                held_bytes += chunk.num_bytes
            offset += chunk.num_bytes
        return held_bytes

    def _is_right(self, file: ReleaseFile, offset: int, num_bytes: int, sha256: str) -> bool:
        try:
            data = self._files.read_at(part_path(file.sha256), offset, num_bytes)
        except OSError:
            return False
        # Most of what is missing is zeros, which are compared many times faster than hashed.
        if data == bytes(num_bytes):
            return sha256 == _digest_of_zeros(num_bytes)
        return hashlib.sha256(data).hexdigest() == sha256


@functools.lru_cache(maxsize=1024)
def _digest_of_zeros(num_bytes: int) -> str:
    return hashlib.sha256(bytes(num_bytes)).hexdigest()
