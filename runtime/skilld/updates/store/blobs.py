"""`BlobStore`: files by their SHA-256, whole and immutable, or on their way (`Partial`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

from skilld.core.errors import UpdateError
from skilld.updates.bundle.release import Chunk, Release, ReleaseFile
from skilld.updates.store.files import Files, delete_tree, folder_of, make_folders

BLOBS = "blobs/sha256"
PARTIAL = "partial"
# A power cut costs at most this much of a download, and the fsync of it 10-20 ms.
SYNC_EVERY_BYTES = 16 << 20
_HASH_BYTES = 1 << 20


def blob_path(sha256: str) -> str:
    """Where a blob lies in the store."""
    return f"{BLOBS}/{sha256[:2]}/{sha256}"


def part_path(sha256: str) -> str:
    """Where a blob lies while it is on its way."""
    return f"{PARTIAL}/{sha256}.part"


def sha256_of(files: Files, path: str) -> str:
    """Of a file's content, in hex."""
    digest = hashlib.sha256()
    offset = 0
    while data := files.read_at(path, offset, _HASH_BYTES):
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()


class BlobStore:
    """See the module docstring. Owned by the updater's thread."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def missing(self, release: Release) -> list[ReleaseFile]:
        """Files of a release that are not here, each content once; a damaged blob is removed."""
        absent = []
        for file in {file.sha256: file for file in release.files}.values():
            path = blob_path(file.sha256)
            if self._files.size(path) is None:
                absent.append(file)
            elif (
                self._files.size(path) != file.num_bytes
                or sha256_of(self._files, path) != file.sha256
            ):
                self._files.delete(path)
                absent.append(file)
        return absent

    def partial(self, file: ReleaseFile) -> Partial:
        """Go on with a file, or begin it.

        Raises:
            OSError: no space for all of it, or the store cannot be written.
        """
        return Partial(self._files, file)

    def collect(self, kept: Iterable[Release], *, keep_partial: bool) -> int:
        """Delete what no kept release needs.

        Returns:
            How many blobs went.
        """
        wanted = {file.sha256 for release in kept for file in release.files}
        count = 0
        for prefix in self._files.list(BLOBS):
            for name in self._files.list(f"{BLOBS}/{prefix}"):
                if name not in wanted:
                    self._files.delete(f"{BLOBS}/{prefix}/{name}")
                    count += 1
        if not keep_partial:
            for name in self._files.list(PARTIAL):
                delete_tree(self._files, f"{PARTIAL}/{name}")
        return count


class Partial:
    """A file on its way: a `.part` of its full length, filled chunk by chunk in any order.

    Which chunks it has is not written down: after a restart all of them are hashed, which is read
    speed, finds more than any list could vouch for, and believes nothing a disk claims.

    Attributes:
        held_bytes: of the chunks that are here.
    """

    def __init__(self, files: Files, file: ReleaseFile) -> None:
        self._files = files
        self._file = file
        self._part = part_path(file.sha256)
        self._offsets = _offsets(file.chunks)
        self._unsynced_bytes = 0
        self._has: set[int] = set()
        self.held_bytes = 0
        make_folders(files, PARTIAL)
        if files.size(self._part) == file.num_bytes:
            self._has = {n for n in range(len(file.chunks)) if self._is_right(n)}
            self.held_bytes = sum(file.chunks[number].num_bytes for number in self._has)
        else:
            delete_tree(files, self._part)
            files.allocate(self._part, file.num_bytes)
            files.sync(PARTIAL)

    @property
    def missing(self) -> list[int]:
        """Numbers of the chunks that are still to come."""
        return [number for number in range(len(self._file.chunks)) if number not in self._has]

    def offset(self, number: int) -> int:
        """Where a chunk begins in the file, in bytes."""
        return self._offsets[number]

    def put(self, number: int, data: bytes) -> bool:
        """Take a chunk as it arrives; any order, and twice does no harm.

        Returns:
            False if these are not its bytes; nothing is written then.
        """
        chunk = self._file.chunks[number]
        if len(data) != chunk.num_bytes or hashlib.sha256(data).hexdigest() != chunk.sha256:
            return False
        if number in self._has:
            return True
        self._files.write_at(self._part, self._offsets[number], data)
        self._has.add(number)
        self.held_bytes += len(data)
        self._unsynced_bytes += len(data)
        if self._unsynced_bytes >= SYNC_EVERY_BYTES:
            self.checkpoint()
        return True

    def checkpoint(self) -> None:
        """Make what has arrived outlast a power cut."""
        if self._unsynced_bytes:
            self._files.sync(self._part)
            self._unsynced_bytes = 0

    def finish(self) -> None:
        """Make the complete file a blob, durably.

        Raises:
            UpdateError: reason BAD_CONTENTS: the chunks are right and the whole is not, which
                only a wrong description can be the cause of.
        """
        assert not self.missing
        if sha256_of(self._files, self._part) != self._file.sha256:
            delete_tree(self._files, self._part)
            raise UpdateError(
                f"{self._file.path} does not have the digest its release names, though all its "
                "chunks do: the release is made wrongly",
                reason="BAD_CONTENTS",
            )
        self._files.sync(self._part)
        target = blob_path(self._file.sha256)
        make_folders(self._files, folder_of(target))
        self._files.rename(self._part, target)
        # Only now: a part that went bad at a power cut could not be mended if it were protected.
        self._files.protect(target)
        self._files.sync(folder_of(target))

    def _is_right(self, number: int) -> bool:
        chunk = self._file.chunks[number]
        data = self._files.read_at(self._part, self._offsets[number], chunk.num_bytes)
        return hashlib.sha256(data).hexdigest() == chunk.sha256


def local_chunks(files: Files, releases: Iterable[Release]) -> Mapping[str, Callable[[], bytes]]:
    """Chunks that lie in blobs of releases already here, by digest; each is read when called."""
    found: dict[str, Callable[[], bytes]] = {}
    for release in releases:
        for file in release.files:
            path = blob_path(file.sha256)
            if files.size(path) != file.num_bytes:
                continue
            for offset, chunk in zip(_offsets(file.chunks), file.chunks, strict=True):
                found[chunk.sha256] = _reader(files, path, offset, chunk.num_bytes)
    return found


def _reader(files: Files, path: str, offset: int, num_bytes: int) -> Callable[[], bytes]:
    return lambda: files.read_at(path, offset, num_bytes)


def _offsets(chunks: Iterable[Chunk]) -> list[int]:
    offsets, offset = [], 0
    for chunk in chunks:
        offsets.append(offset)
        offset += chunk.num_bytes
    return offsets
