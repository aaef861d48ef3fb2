"""`TrustedRepository`: a TUF repository seen from a box: what is signed, current and not older.

python-tuf decides; this adds what it leaves open (see `reference` in the design): metadata is
synced to disk, versions ever accepted are remembered outside its cache, and the time is that of
`trusted_time`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from securesystemslib.signer import Signature
from tuf.api import exceptions as tuf
from tuf.api.metadata import Root, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, UpdaterConfig
from tuf.ngclient import Updater as TufUpdater

from skilld.core.errors import NotFoundError, UnavailableError, UpdateError
from skilld.updates.bundle.release import MAX_RELEASE_BYTES, Release, parse_release, target_path
from skilld.updates.store.files import Files, write_durably
from skilld.updates.trust.clock import trusted_time
from skilld.updates.trust.envelope import open_envelope
from skilld.updates.trust.job import Job
from skilld.updates.trust.order import Order
from skilld.updates.trust.sources import BlobRange, BlobSource

ISSUED = "x-issued"  # in the timestamp: when it was signed, in seconds since 1970
JOBS_ROLE = "jobs"
RECORD = "trust.json"

_MAX_METADATA_BYTES = 1 << 20
_URL = "source:///"


class _Seen(BaseModel):
    """The newest version of a role that was accepted, and whose keys it was signed with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    keys: str


class _Record(BaseModel):
    """What must not be forgotten with the cache.

    Attributes:
        latest_issued_s: the largest issue time accepted.
        seen: by role.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latest_issued_s: int = 0
    seen: dict[str, _Seen] = {}


class TrustedRepository:
    """See the module docstring. Owned by the updater's thread.

    Args:
        files: of the store; `trust.json` is kept there.
        cache_dir: for metadata; losing it costs a download.
        root: bytes of a root this box was given by hand.
        clock: seconds since 1970.
    """

    def __init__(
        self, files: Files, cache_dir: Path, root: bytes, *, clock: Callable[[], float]
    ) -> None:
        self._files = files
        self._cache_dir = cache_dir
        self._root = root
        self._clock = clock
        self._client: _Client | None = None
        self._source: BlobSource | None = None

    def now_s(self) -> float:
        """The time expiry is judged by, in seconds since 1970."""
        return trusted_time(self._clock(), latest_issued_s=self._record().latest_issued_s)

    def refresh(self, source: BlobSource) -> None:
        """Fetch and check the newest metadata.

        Raises:
            UpdateError: refused; reasons UNSIGNED, ROLLBACK, EXPIRED, METADATA_MISMATCH,
                METADATA_TOO_LARGE, BAD_METADATA, or STORE_FAILED.
            UnavailableError: the source cannot be reached, or lacks a file.
        """
        self._client = None
        self._client, self._source = self._accepted(_Fetcher(source)), source

    def recall(self) -> None:
        """Trust what was accepted last, without asking anybody.

        Raises:
            UpdateError: it is not valid any more; reasons as by `refresh`.
            UnavailableError: nothing was ever accepted.
        """
        self._client = None
        self._client = self._accepted(_CacheFetcher(self._cache_dir))

    def _accepted(self, fetcher: FetcherInterface) -> _Client:
        now = datetime.fromtimestamp(self.now_s(), UTC)
        try:
            self._cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            client = _Client(self._cache_dir, self._root, fetcher, now=now)
            client.refresh()
            for path in (*self._cache_dir.rglob("*.json"), self._cache_dir):
                _sync(path)
        except OSError as error:
            raise UpdateError(
                f"metadata cannot be kept in {self._cache_dir}: {error.strerror}",
                reason="STORE_FAILED",
            ) from error
        except (tuf.RepositoryError, tuf.DownloadError) as error:
            raise _explained(error) from error
        self._remember(client)
        return client

    def job(self, data: bytes) -> Job:
        """Check a job against the keys that may sign jobs now; after `refresh`.

        Raises:
            UpdateError: reason BAD_JOB or UNSIGNED_JOB.
        """
        job, payload, signatures = open_envelope(data, Job, name="job")
        self._check_signed(payload, signatures, what=f"job {job.id!r}", reason="UNSIGNED_JOB")
        return job

    def order(self, data: bytes) -> Order:
        """Check an order against the same keys; after `refresh` or `recall`.

        Raises:
            UpdateError: reason BAD_ORDER or UNSIGNED_ORDER.
        """
        order, payload, signatures = open_envelope(data, Order, name="order")
        what = f"the order about job {order.job!r}"
        self._check_signed(payload, signatures, what=what, reason="UNSIGNED_ORDER")
        return order

    def release(self, skill: str, seq: int) -> Release:
        """The description of a release, fetched and checked; after `refresh`.

        Raises:
            UpdateError: refused, as by `refresh`; or UNKNOWN_RELEASE, BAD_RELEASE,
                DIGEST_MISMATCH.
            UnavailableError: the source cannot be reached.
        """
        client, source = self._refreshed()
        path = target_path(skill, seq)
        try:
            target = client.get_targetinfo(path)
        except (tuf.RepositoryError, tuf.DownloadError) as error:
            raise _explained(error) from error
        sha256 = target.hashes.get("sha256") if target else None
        if target is None or sha256 is None:
            raise UpdateError(f"no release {path} is signed", reason="UNKNOWN_RELEASE")
        if target.length > MAX_RELEASE_BYTES:
            raise UpdateError(f"{path} has {target.length} bytes", reason="RELEASE_TOO_LARGE")
        data = b""
        try:
            for _, data in source.blocks([BlobRange(sha256, 0, target.length)]):
                target.verify_length_and_hashes(data)
        except NotFoundError as error:
            raise UnavailableError(error.message, reason="SOURCE_UNAVAILABLE") from error
        except tuf.LengthOrHashMismatchError as error:
            raise UpdateError(f"{path}: {error}", reason="DIGEST_MISMATCH") from error
        if not data:  # lost on the way, or its reader was called away: nothing is wrong with it
            raise UnavailableError(f"{path} did not arrive", reason="SOURCE_UNAVAILABLE")
        release = parse_release(data)
        if (release.skill, release.seq) != (skill, seq):
            raise UpdateError(
                f"{path} describes {release.skill} {release.seq}", reason="BAD_RELEASE"
            )
        return release

    def _check_signed(
        self, payload: bytes, signatures: dict[str, Signature], *, what: str, reason: str
    ) -> None:
        assert self._client is not None, "refresh or recall first"
        if not self._client.verifies(JOBS_ROLE, payload, signatures):
            raise UpdateError(
                f"{what} lacks valid signatures of the keys that may sign jobs", reason=reason
            )

    def _refreshed(self) -> tuple[_Client, BlobSource]:
        assert self._client is not None, "refresh first"
        assert self._source is not None
        return self._client, self._source

    def _record(self) -> _Record:
        """What was remembered; nothing, if it cannot be read: the cache still protects us."""
        try:
            return _Record.model_validate_json(self._files.read(RECORD))
        except (OSError, ValidationError):
            return _Record()

    def _remember(self, client: _Client) -> None:
        """Compare what was accepted with what was ever accepted, and keep the newer.

        A role whose keys have changed begins anew: that is how TUF recovers from a stolen key
        that signed an enormous version number.

        Raises:
            UpdateError: reason ROLLBACK.
        """
        record = self._record()
        seen = client.seen()
        for role, new in seen.items():
            old = record.seen.get(role)
            if old and old.version > new.version and (old.keys == new.keys or role == Root.type):
                raise UpdateError(
                    f"{role} {new.version} is older than {old.version}, which was here before",
                    reason="ROLLBACK",
                )
        updated = _Record(latest_issued_s=max(record.latest_issued_s, client.issued_s()), seen=seen)
        if updated != record:
            try:
                write_durably(self._files, RECORD, updated.model_dump_json().encode())
            except OSError as error:
                raise UpdateError(
                    f"{RECORD} cannot be written: {error.strerror}", reason="STORE_FAILED"
                ) from error


class _Client(TufUpdater):
    """ngclient, with a time of our own and a look at what it trusts."""

    def __init__(
        self, cache_dir: Path, root: bytes, fetcher: FetcherInterface, *, now: datetime
    ) -> None:
        config = UpdaterConfig(
            root_max_length=_MAX_METADATA_BYTES,
            snapshot_max_length=_MAX_METADATA_BYTES,
            targets_max_length=_MAX_METADATA_BYTES,
        )
        super().__init__(str(cache_dir), _URL, fetcher=fetcher, config=config, bootstrap=root)
        self._trusted_set.reference_time = now

    def seen(self) -> dict[str, _Seen]:
        """Versions and keys of what binds everything else."""
        trusted = self._trusted_set
        versions = {
            Root.type: trusted.root.version,
            Timestamp.type: trusted.timestamp.version,
            Snapshot.type: trusted.snapshot.version,
        }
        return {
            role: _Seen(version=version, keys=_digest(trusted.root.roles[role].keyids))
            for role, version in versions.items()
        }

    def issued_s(self) -> int:
        """When the timestamp was signed; 0 if it does not say."""
        issued = self._trusted_set.timestamp.unrecognized_fields.get(ISSUED, 0)
        return issued if isinstance(issued, int) else 0

    def verifies(self, role: str, payload: bytes, signatures: dict[str, Signature]) -> bool:
        """Whether enough keys of a delegated role signed some bytes."""
        targets: Targets = self._trusted_set.targets
        try:
            return bool(targets.get_verification_result(role, payload, signatures))
        except ValueError:  # the repository delegates to no such role
            return False


class _Fetcher(FetcherInterface):
    """Metadata of a source, as ngclient asks for it."""

    def __init__(self, source: BlobSource) -> None:
        self._source = source

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            data = self._source.metadata(url.removeprefix(_URL), _MAX_METADATA_BYTES)
        except NotFoundError as error:
            raise tuf.DownloadHTTPError(error.message, 404) from error
        except UnavailableError as error:
            raise tuf.DownloadError(error.message) from error
        return iter([data])


class _CacheFetcher(FetcherInterface):
    """What ngclient asks for although it has it: the timestamp. Nothing else is anywhere."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = url.removeprefix(_URL)
        try:
            if name == "timestamp.json":
                return iter([(self._cache_dir / name).read_bytes()])
        except OSError:
            pass
        raise tuf.DownloadHTTPError(f"{name} is not kept here", 404)


def _explained(error: tuf.RepositoryError | tuf.DownloadError) -> UpdateError | UnavailableError:
    match error:
        case tuf.DownloadLengthMismatchError():
            return UpdateError(f"metadata is too large: {error}", reason="METADATA_TOO_LARGE")
        case tuf.DownloadError():
            return UnavailableError(
                f"metadata cannot be fetched: {error}", reason="SOURCE_UNAVAILABLE"
            )
        case tuf.UnsignedMetadataError():
            return UpdateError(f"metadata is not signed as it must be: {error}", reason="UNSIGNED")
        case tuf.BadVersionNumberError():
            return UpdateError(f"metadata is older than it must be: {error}", reason="ROLLBACK")
        case tuf.ExpiredMetadataError():
            return UpdateError(
                f"{error}: the source is withheld from updates, or the clock is wrong",
                reason="EXPIRED",
            )
        case tuf.LengthOrHashMismatchError():
            return UpdateError(
                f"metadata of different states is mixed: {error}", reason="METADATA_MISMATCH"
            )
        case _:
            return UpdateError(f"metadata cannot be read: {error}", reason="BAD_METADATA")


def _digest(keyids: list[str]) -> str:
    return hashlib.sha256(" ".join(sorted(keyids)).encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
