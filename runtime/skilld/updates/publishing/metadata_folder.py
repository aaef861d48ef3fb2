"""`MetadataFolder`: signed TUF metadata as files: published versions, and drafts being signed.

metadata/<version>.<role>.json, metadata/timestamp.json    what boxes read
staged/<role>.json                                          drafts that lack signatures
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from skilld.core.errors import ArtefactError

METADATA = "metadata"
STAGED = "staged"

SignedT = TypeVar("SignedT", Root, Targets, Snapshot, Timestamp)
AnyMetadata = Metadata[Root] | Metadata[Targets] | Metadata[Snapshot] | Metadata[Timestamp]


class MetadataFolder:
    """See the module docstring; reads and writes files and decides nothing."""

    def __init__(self, root: Path) -> None:
        self._published = root / METADATA
        self._staged = root / STAGED

    def make(self) -> None:
        """Make both folders."""
        self._published.mkdir(parents=True, exist_ok=True)
        self._staged.mkdir(exist_ok=True)

    def published(self, role: str, kind: type[SignedT]) -> Metadata[SignedT] | None:
        """The newest published version of a role."""
        path = self._newest(role)
        return None if path is None else _read(path, kind)

    def root(self) -> Metadata[Root] | None:
        """The newest published root."""
        return self.published(Root.type, Root)

    def targets(self, role: str = Targets.type) -> Metadata[Targets] | None:
        """The newest published version of a role that names targets."""
        return self.published(role, Targets)

    def snapshot(self) -> Metadata[Snapshot] | None:
        """The newest published snapshot."""
        return self.published(Snapshot.type, Snapshot)

    def timestamp(self) -> Metadata[Timestamp] | None:
        """The published timestamp."""
        return self.published(Timestamp.type, Timestamp)

    def published_bytes(self, role: str) -> bytes:
        """The newest published version of a role that has one, as it lies there."""
        path = self._newest(role)
        assert path is not None
        return path.read_bytes()

    def draft(self, role: str, kind: type[SignedT]) -> Metadata[SignedT] | None:
        """The draft of a role, with the signatures it has so far."""
        path = self._staged / f"{role}.json"
        return _read(path, kind) if path.exists() else None

    def drafts(self) -> list[str]:
        """Roles that have a draft, sorted."""
        return sorted(path.stem for path in self._staged.glob("*.json"))

    def save_draft(self, role: str, metadata: AnyMetadata) -> None:
        """Keep a draft."""
        _write(self._staged / f"{role}.json", _as_bytes(metadata))

    def publish(self, role: str, metadata: AnyMetadata) -> None:
        """Put a fully signed version where boxes read it, and drop its draft."""
        name = f"{role}.json"
        if role != Timestamp.type:
            name = f"{metadata.signed.version}.{name}"
        _write(self._published / name, _as_bytes(metadata))
        (self._staged / f"{role}.json").unlink(missing_ok=True)

    def _newest(self, role: str) -> Path | None:
        if role == Timestamp.type:
            path = self._published / f"{role}.json"
            return path if path.exists() else None
        pattern = re.compile(rf"(\d+)\.{re.escape(role)}\.json")
        found = [
            (int(match[1]), path)
            for path in self._published.glob(f"*.{role}.json")
            if (match := pattern.fullmatch(path.name))
        ]
        return max(found)[1] if found else None


def _read(path: Path, kind: type[SignedT]) -> Metadata[SignedT]:
    try:
        metadata: Metadata[SignedT] = Metadata.from_file(str(path))
    except (RepositoryError, OSError) as error:
        raise ArtefactError(
            f"is not TUF metadata: {error}", path=path, reason="BAD_REPOSITORY"
        ) from error
    if not isinstance(metadata.signed, kind):
        raise ArtefactError(
            f"is {metadata.signed.type} and should be {kind.type}",
            path=path,
            reason="BAD_REPOSITORY",
        )
    return metadata


def _as_bytes(metadata: AnyMetadata) -> bytes:
    return metadata.to_bytes(JSONSerializer(compact=True))


def _write(path: Path, data: bytes) -> None:
    """Aside first and renamed last: a reader, or a stick pulled out, never sees half a file."""
    aside = path.with_name(f".{path.name}.new")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise ArtefactError(
            f"cannot be written: {error.strerror}", path=path, reason="REPOSITORY_NOT_WRITTEN"
        ) from error
