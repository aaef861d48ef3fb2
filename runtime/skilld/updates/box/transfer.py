"""`Transfer`: what is missing of one release, fetched chunk by chunk and checked on arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from skilld.core.errors import NotFoundError, UnavailableError, UpdateError
from skilld.updates.bundle.release import Release, ReleaseFile
from skilld.updates.store.blobs import BlobStore, Partial
from skilld.updates.store.files import Files
from skilld.updates.trust.sources import BlobRange, BlobSource

# A bad line loses and damages some; a source that sends this many wrong ones is broken or hostile.
MAX_WRONG_CHUNKS = 64


class Transfer:
    """See the module docstring. Owned by the updater's thread.

    Args:
        files: of the store.
        release: what is fetched.
        local: chunks that lie here already, by digest.

    Raises:
        OSError: of the store.
    """

    def __init__(
        self, files: Files, release: Release, local: Mapping[str, Callable[[], bytes]]
    ) -> None:
        self.release = release
        self._local = local
        self._num_wrong = 0
        blobs = BlobStore(files)
        missing = blobs.missing(release)
        self._whole_bytes = release.num_bytes - sum(file.num_bytes for file in missing)
        self._partials = [(file, blobs.partial(file)) for file in missing]

    @property
    def held_bytes(self) -> int:
        """Of the release, on the disk."""
        return self._whole_bytes + sum(partial.held_bytes for _, partial in self._partials)

    def advance(
        self,
        source: BlobSource,
        *,
        should_pause: Callable[[], bool],
        on_progress: Callable[[int], None],
    ) -> bool:
        """Go on until nothing is missing, or `should_pause` says so; True for the former.

        Raises:
            UpdateError: reason DIGEST_MISMATCH.
            UnavailableError: reason SOURCE_UNAVAILABLE.
            OSError: of the store.
        """
        while self._partials:
            file, partial = self._partials[0]
            for number in partial.missing:
                if read := self._local.get(file.chunks[number].sha256):
                    partial.put(number, read())
            if partial.missing:
                try:
                    self._fetch(file, partial, source, should_pause, on_progress)
                finally:
                    partial.checkpoint()
            if partial.missing:
                return False
            partial.finish()
            del self._partials[0]
            self._whole_bytes += file.num_bytes
            on_progress(self.held_bytes)
        return True

    def _fetch(
        self,
        file: ReleaseFile,
        partial: Partial,
        source: BlobSource,
        should_pause: Callable[[], bool],
        on_progress: Callable[[int], None],
    ) -> None:
        """Ask for all missing chunks of a file once; what got lost is asked for again later."""
        wanted = {
            BlobRange(file.sha256, partial.offset(n), file.chunks[n].num_bytes): n
            for n in partial.missing
        }
        came = 0
        for part, data in _blocks(source, wanted):
            number = wanted.get(part)
            if number is None or not partial.put(number, data):
                self._num_wrong += 1
                if self._num_wrong > MAX_WRONG_CHUNKS:
                    raise UpdateError(
                        f"the source keeps sending wrong bytes for {file.path}",
                        reason="DIGEST_MISMATCH",
                    )
                continue
            came += 1
            on_progress(self.held_bytes)
            if should_pause():
                return
        if not came and not should_pause():
            raise UnavailableError(
                f"nothing usable of {file.path} arrived", reason="SOURCE_UNAVAILABLE"
            )


def _blocks(source: BlobSource, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
    """Of a source; one that lacks a blob is as good as away: it may be on its way there."""
    try:
        yield from source.blocks(wanted)
    except NotFoundError as error:
        raise UnavailableError(error.message, reason="SOURCE_UNAVAILABLE") from error
