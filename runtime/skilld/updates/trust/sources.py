"""`BlobSource`: where metadata and blobs come from. Nothing that comes from it is trusted."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import urllib3

from skilld.core.errors import NotFoundError, UnavailableError

_METADATA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.json")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_READ_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class BlobRange:
    """A part of a blob, which its asker knows the digest of.

    Attributes:
        sha256: of the whole blob.
        offset: where it begins, in bytes.
        num_bytes: its length.
    """

    sha256: str
    offset: int
    num_bytes: int


class BlobSource(Protocol):
    """A repository, however it is reached.

    Both methods raise `NotFoundError` (reason NOT_PUBLISHED) for what the source does not have
    and `UnavailableError` (reason SOURCE_UNAVAILABLE) when it cannot be reached or is too slow.
    """

    def metadata(self, name: str, max_bytes: int) -> bytes:
        """A file of `metadata/`; one byte more than `max_bytes` at most is read of it."""

    def blocks(self, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
        """Parts of blobs, as they arrive: in any order, perhaps wrong, never longer than asked.

        A part that got lost on the way is left out; the caller asks again.
        """


Pace = Callable[[int], None]  # told how many bytes were read; returns when more may be


def _at_full_speed(num_bytes: int) -> None:
    pass


class FolderSource:
    """A repository in a folder: a USB stick, or a network drive.

    Args:
        folder: with `metadata/` and `blobs/`.
        pace: how fast it may be read.
    """

    def __init__(self, folder: Path, *, pace: Pace = _at_full_speed) -> None:
        self._folder = folder
        self._pace = pace

    def metadata(self, name: str, max_bytes: int) -> bytes:
        """See `BlobSource`."""
        check_name(name)
        return self._read(self._folder / "metadata" / name, 0, max_bytes + 1)

    def blocks(self, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
        """See `BlobSource`."""
        for part in wanted:
            check_digest(part.sha256)
            path = self._folder / "blobs" / part.sha256
            data = self._read(path, part.offset, part.num_bytes)
            self._pace(len(data))
            yield part, data

    def _read(self, path: Path, offset: int, num_bytes: int) -> bytes:
        try:
            # Not a link to somewhere else, and not a pipe that would keep us waiting.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise NotFoundError(f"{path} is not a plain file", reason="NOT_PUBLISHED")
                file.seek(offset)
                return file.read(num_bytes)
        except FileNotFoundError as error:
            if not self._folder.is_dir():
                raise UnavailableError(
                    f"{self._folder} is not there: is the medium mounted?",
                    reason="SOURCE_UNAVAILABLE",
                ) from error
            raise NotFoundError(f"{path} does not exist", reason="NOT_PUBLISHED") from error
        except OSError as error:
            raise UnavailableError(
                f"{path} cannot be read: {error.strerror}", reason="SOURCE_UNAVAILABLE"
            ) from error


class HttpSource:
    """A repository behind any web server; one that knows ranges is many times faster.

    Args:
        url: of the folder with `metadata/` and `blobs/`.
        timeout_s: without a byte, before a request is given up.
        block_timeout_s: for a whole block, however steadily it trickles.
        pace: how fast it may be read.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        block_timeout_s: float = 120.0,
        pace: Pace = _at_full_speed,
    ) -> None:
        self._url = url.rstrip("/")
        self._pace = pace
        self._block_timeout_s = block_timeout_s
        self._pool = urllib3.PoolManager(
            timeout=timeout_s, retries=urllib3.Retry(total=2, redirect=0, backoff_factor=0.1)
        )

    def metadata(self, name: str, max_bytes: int) -> bytes:
        """See `BlobSource`."""
        check_name(name)
        with self._get(f"metadata/{name}", {}) as answer:
            return self._take(answer, max_bytes + 1)

    def blocks(self, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
        """See `BlobSource`."""
        for part in wanted:
            check_digest(part.sha256)
            last = part.offset + part.num_bytes - 1
            headers = {"Range": f"bytes={part.offset}-{last}"}
            with self._get(f"blobs/{part.sha256}", headers) as answer:
                if answer.status == 200:  # it does not know ranges and sends all of it
                    self._take(answer, part.offset)
                yield part, self._take(answer, part.num_bytes)

    @contextmanager
    def _get(self, path: str, headers: dict[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        url = f"{self._url}/{path}"
        answer: urllib3.BaseHTTPResponse | None = None
        try:
            answer = self._pool.request(
                "GET",
                url,
                headers={**headers, "Accept-Encoding": "identity"},
                preload_content=False,
                redirect=False,
            )
            if answer.status in (403, 404, 410):
                raise NotFoundError(f"{url}: status {answer.status}", reason="NOT_PUBLISHED")
            if answer.status not in (200, 206):
                raise UnavailableError(
                    f"{url}: status {answer.status}", reason="SOURCE_UNAVAILABLE"
                )
            yield answer
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"{url}: {error}", reason="SOURCE_UNAVAILABLE") from error
        finally:
            if answer is not None:
                if answer.length_remaining == 0:
                    answer.release_conn()
                else:
                    answer.close()  # whatever is still on its way is not wanted

    def _take(self, answer: urllib3.BaseHTTPResponse, num_bytes: int) -> bytes:
        """At most so many bytes."""
        until_s = time.monotonic() + self._block_timeout_s
        data = bytearray()
        while len(data) < num_bytes:
            piece = answer.read1(min(_READ_BYTES, num_bytes - len(data)))
            if not piece:
                break
            data += piece
            if (read_s := time.monotonic()) > until_s:
                raise UnavailableError(
                    f"{self._url} sends too slowly: {len(data)} bytes in "
                    f"{self._block_timeout_s:.0f} s",
                    reason="SOURCE_UNAVAILABLE",
                )
            self._pace(len(piece))
            until_s += time.monotonic() - read_s  # we were slow then, not the server
        return bytes(data)


def open_source(where: str, *, pace: Pace = _at_full_speed) -> BlobSource:
    """A source by its address: `http://...`, `https://...`, or a folder."""
    if where.startswith(("http://", "https://")):
        return HttpSource(where, pace=pace)
    return FolderSource(Path(where), pace=pace)


def check_name(name: str) -> None:
    """Let nothing but a plain file name pass.

    Raises:
        NotFoundError: reason NOT_PUBLISHED.
    """
    if _METADATA_NAME.fullmatch(name) is None:
        raise NotFoundError(f"{name[:80]!r} is no name of metadata", reason="NOT_PUBLISHED")


def check_digest(sha256: str) -> None:
    """Let nothing but a SHA-256 in hex pass.

    Raises:
        NotFoundError: reason NOT_PUBLISHED.
    """
    if _DIGEST.fullmatch(sha256) is None:
        raise NotFoundError(f"{sha256[:80]!r} is no digest", reason="NOT_PUBLISHED")
