"""`Intake`: a release on its way from a source into the store: resolve, download, verify, stage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from pydantic import ValidationError

from skilld.core.errors import UnavailableError, UpdateError
from skilld.core.manifest import MANIFEST_NAME, EngineManifest
from skilld.updates.box.requirements import BoxFacts, check_requirements, check_space
from skilld.updates.box.transfer import Transfer
from skilld.updates.bundle.file_kinds import MAX_TEXT_BYTES, FileKind, check_text, kind_of
from skilld.updates.bundle.release import Release, parse_release
from skilld.updates.store.blobs import BlobStore, blob_path, local_chunks, part_path
from skilld.updates.store.files import Files, delete_tree, make_folders, write_durably
from skilld.updates.store.releases import ReleaseStore
from skilld.updates.trust.job import Job
from skilld.updates.trust.order import Order
from skilld.updates.trust.sources import BlobSource

INCOMING = "incoming"
_WEIGHTS = (FileKind.IR_WEIGHTS, FileKind.SAFETENSORS, FileKind.PLAN)


class Trust(Protocol):
    """Who says what is signed; see `TrustedRepository`."""

    def now_s(self) -> float:
        """The time expiry is judged by, in seconds since 1970."""

    def refresh(self, source: BlobSource) -> None:
        """Fetch and check the newest metadata."""

    def job(self, data: bytes) -> Job:
        """Check a job."""

    def recall(self) -> None:
        """Trust what was accepted last, without asking anybody."""

    def order(self, data: bytes) -> Order:
        """Check an order."""

    def release(self, skill: str, seq: int) -> Release:
        """The description of a release."""


class Intake:
    """See the module docstring. Owned by the updater's thread.

    Args:
        files: of the store.
        trust: in releases.
        facts: of this box.
        on_progress: told the name, the bytes of the release that are here, and all of them.
    """

    def __init__(
        self,
        files: Files,
        trust: Trust,
        facts: BoxFacts,
        *,
        on_progress: Callable[[str, int, int], None],
    ) -> None:
        self._files = files
        self._trust = trust
        self._facts = facts
        self._on_progress = on_progress
        self._blobs = BlobStore(files)
        self._releases = ReleaseStore(files)
        self._transfer: Transfer | None = None

    def job(self, data: bytes, source: BlobSource) -> Job:
        """Check a signed job.

        Raises:
            UpdateError: it cannot be trusted, or is not for this box.
            UnavailableError: the source cannot be reached, so nobody can tell.
        """
        self._trust.refresh(source)
        job = self._trust.job(data)
        self._check_meant(job.boxes, f"job {job.id!r}")
        return job

    def order(self, data: bytes, source: BlobSource) -> Order:
        """Check a signed order.

        What this box trusts already is asked first: a cancellation must work without a source.

        Raises:
            UpdateError: it cannot be trusted, or is not for this box.
            UnavailableError: its keys may be newer than what was seen last, and the source cannot
                be reached.
        """
        order = self._recalled_order(data)
        if order is None:
            self._trust.refresh(source)
            order = self._trust.order(data)
        self._check_meant(order.boxes, f"the order about job {order.job!r}")
        return order

    def resolve(self, job: Job, source: BlobSource) -> Release:
        """Find a release, check that this box can take it, and keep its description.

        Raises:
            UpdateError: it cannot be trusted, or this box cannot take it.
            UnavailableError: the source cannot be reached.
            OSError: of the store.
        """
        if self._transfer is not None and self._transfer.release.skill == job.skill:
            self._transfer = None  # of an earlier job: what it had may have been deleted since
        self._trust.refresh(source)
        release = self._trust.release(job.skill, job.seq)
        check_requirements(release, self._facts)
        missing = sum(
            file.num_bytes - (self._files.size(part_path(file.sha256)) or 0)
            for file in self._blobs.missing(release)
        )
        check_space(missing, self._files.free_bytes(), self._facts)
        make_folders(self._files, INCOMING)
        write_durably(self._files, f"{INCOMING}/{job.skill}.json", release.to_bytes())
        return release

    def incoming(self, skill: str, seq: int) -> Release:
        """The description `resolve` kept.

        Raises:
            UpdateError: reason DESCRIPTION_LOST.
        """
        try:
            release = parse_release(self._files.read(f"{INCOMING}/{skill}.json"))
        except (OSError, UpdateError) as error:
            raise UpdateError(
                f"the description of {skill} {seq} cannot be read any more",
                reason="DESCRIPTION_LOST",
            ) from error
        if (release.skill, release.seq) != (skill, seq):
            raise UpdateError(
                f"the description at hand is of {release.skill} {release.seq}",
                reason="DESCRIPTION_LOST",
            )
        return release

    def incoming_or_none(self, skill: str, seq: int) -> Release | None:
        """The same, for those who can do without."""
        try:
            return self.incoming(skill, seq)
        except UpdateError:
            return None

    def download(
        self, release: Release, source: BlobSource, *, should_pause: Callable[[], bool]
    ) -> bool:
        """Fetch what is missing, until that is nothing or `should_pause` says so.

        Returns:
            True when nothing is missing any more.

        Raises:
            UpdateError: reason DIGEST_MISMATCH: the source keeps sending wrong bytes.
            UnavailableError: the source cannot be reached, or lacks a blob.
            OSError: of the store.
        """
        transfer = self._transfer_of(release)
        try:
            is_done = transfer.advance(
                source,
                should_pause=should_pause,
                on_progress=lambda held: self._on_progress(release.skill, held, release.num_bytes),
            )
        except (OSError, UpdateError):
            self._transfer = None  # what it thinks it has may not be there
            raise
        if is_done:
            self._transfer = None
        return is_done

    def held_bytes(self, skill: str, seq: int) -> int:
        """Bytes of a download that are on the disk; 0 if it cannot be said."""
        release = self.incoming_or_none(skill, seq)
        try:
            return self._transfer_of(release).held_bytes if release else 0
        except OSError:
            return 0

    def verify(self, release: Release) -> None:
        """Compare the blobs with the manifest of the engine they make up.

        Raises:
            UpdateError: reason BAD_CONTENTS.
            OSError: of the store.
        """
        paths = {file.path: file for file in release.files}
        for file in release.files:
            kind = kind_of(file.path, paths)
            if kind in _WEIGHTS:
                continue
            if file.num_bytes > MAX_TEXT_BYTES:
                raise _bad(release, f"{file.path} has {file.num_bytes} bytes")
            try:
                check_text(kind, self._files.read(blob_path(file.sha256)))
            except (ValueError, RecursionError) as error:
                raise _bad(release, f"{file.path}: {error}") from error
        try:
            manifest = EngineManifest.model_validate_json(
                self._files.read(blob_path(paths[MANIFEST_NAME].sha256))
            )
        except ValidationError as error:
            raise _bad(release, f"{MANIFEST_NAME}: {error.errors()[0]['msg']}") from error
        listed = {path: (entry.sha256, entry.num_bytes) for path, entry in manifest.files.items()}
        shipped = {
            file.path: (file.sha256, file.num_bytes)
            for file in release.files
            if file.path != MANIFEST_NAME
        }
        if listed != shipped:
            raise _bad(release, "its files are not those of the engine's own manifest")
        if (manifest.name, manifest.digest) != (release.skill, release.engine.digest):
            raise _bad(release, f"it holds {manifest.name} {manifest.digest}")

    def stage(self, release: Release) -> str:
        """Make the release's folder; returns its path in the store.

        Raises:
            OSError: of the store.
        """
        return self._releases.stage(release)

    def forget(self, skill: str) -> None:
        """Drop the description of a finished job."""
        delete_tree(self._files, f"{INCOMING}/{skill}.json")

    def _recalled_order(self, data: bytes) -> Order | None:
        try:
            self._trust.recall()
            return self._trust.order(data)
        except UnavailableError:
            return None  # nothing was ever seen
        except UpdateError as error:
            if error.reason == "BAD_ORDER":
                raise
            return None

    def _check_meant(self, boxes: Collection[str], what: str) -> None:
        if boxes and self._facts.name not in boxes:
            raise UpdateError(
                f"{what} is for {', '.join(sorted(boxes)[:3])}, not for {self._facts.name}",
                reason="NOT_FOR_THIS_BOX",
            )

    def _transfer_of(self, release: Release) -> Transfer:
        if self._transfer is None or self._transfer.release != release:
            self._transfer = Transfer(self._files, release, self._local())
        return self._transfer

    def _local(self) -> Mapping[str, Callable[[], bytes]]:
        releases = self._releases
        found = (
            releases.read(skill, seq) for skill in releases.skills() for seq in releases.seqs(skill)
        )
        return local_chunks(self._files, [release for release in found if release])


def _bad(release: Release, message: str) -> UpdateError:
    return UpdateError(f"{release.skill} {release.seq}: {message}", reason="BAD_CONTENTS")
