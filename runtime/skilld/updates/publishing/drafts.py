"""`Drafts`: new versions of signed metadata, dated and numbered, before anybody signs them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from skilld.core.errors import ArtefactError
from skilld.updates.publishing.metadata_folder import MetadataFolder
from skilld.updates.trust.client import ISSUED


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long signed metadata is good for, in days.

    A box reads `snapshot` and `timestamp` to know that nothing is withheld from it; where they
    travel on a stick they must live as long as the rest.
    """

    root_days: int = 365
    targets_days: int = 365
    snapshot_days: int = 30
    timestamp_days: int = 30

    def of(self, role: str) -> int:
        """Of a role."""
        match role:
            case Root.type:
                return self.root_days
            case Snapshot.type:
                return self.snapshot_days
            case Timestamp.type:
                return self.timestamp_days
            case _:
                return self.targets_days


class Drafts:
    """See the module docstring.

    Args:
        folder: of the repository.
        now: the time drafts are dated, UTC.
        lifetimes: of what is drafted.
    """

    def __init__(self, folder: Path, now: datetime, lifetimes: Lifetimes) -> None:
        self.folder = folder
        self.metadata = MetadataFolder(folder)
        self._now = now.replace(microsecond=0)
        self._lifetimes = lifetimes

    def root(self) -> Metadata[Root]:
        """The published root, to be changed into a draft.

        Raises:
            ArtefactError: reason NO_REPOSITORY.
        """
        root = self.metadata.root()
        if root is None:
            raise ArtefactError(
                "holds no repository",
                path=self.folder,
                hint="`skilld release init` makes one; its root may still lack signatures",
                reason="NO_REPOSITORY",
            )
        return root

    def targets(self, role: str) -> Metadata[Targets]:
        """The draft of a role, or its published version to be changed into one."""
        draft = self.metadata.draft(role, Targets)
        if draft is not None:
            return draft
        published = self.metadata.targets(role)
        if published is None:
            raise ArtefactError(
                f"has no role {role!r}",
                path=self.folder,
                hint="`skilld release init` makes a repository",
                reason="NO_REPOSITORY",
            )
        published.signed.version += 1
        published.signatures.clear()
        published.signed.expires = self.expiry(role)
        return published

    def save(self, role: str, draft: Metadata[Root] | Metadata[Targets]) -> None:
        """Keep a changed draft: signatures of what it said before are worth nothing."""
        draft.signatures.clear()
        draft.signed.expires = self.expiry(role)
        self.metadata.save_draft(role, draft)

    def delegated(self) -> list[str]:
        """Roles that `targets` delegates to, its draft included."""
        top = self.metadata.draft(Targets.type, Targets) or self.metadata.targets()
        return [] if top is None else roles_of(top)

    def draft_snapshot(self) -> None:
        """Draft a snapshot of what is published now."""
        published = self.metadata.snapshot()
        version = published.signed.version + 1 if published else 1
        self.metadata.save_draft(
            Snapshot.type,
            Metadata(Snapshot(version, None, self.expiry(Snapshot.type), self.snapshot_meta())),
        )

    def draft_timestamp(self) -> None:
        """Draft a timestamp of the published snapshot."""
        published = self.metadata.timestamp()
        version = published.signed.version + 1 if published else 1
        issued = {ISSUED: int(self._now.timestamp())}
        document = Timestamp(
            version, None, self.expiry(Timestamp.type), self.timestamp_meta(), issued
        )
        self.metadata.save_draft(Timestamp.type, Metadata(document))

    def snapshot_meta(self) -> dict[str, MetaFile]:
        """What a snapshot says of the roles below it as they are published."""
        meta = {}
        for role in (Targets.type, *self.delegated()):
            published = self.metadata.targets(role)
            if published is not None:
                meta[f"{role}.json"] = MetaFile.from_data(
                    published.signed.version, self.metadata.published_bytes(role), ["sha256"]
                )
        return meta

    def timestamp_meta(self) -> MetaFile:
        """What a timestamp says of the published snapshot."""
        snapshot = self.metadata.snapshot()
        assert snapshot is not None
        return MetaFile.from_data(
            snapshot.signed.version, self.metadata.published_bytes(Snapshot.type), ["sha256"]
        )

    def expiry(self, role: str) -> datetime:
        """When a role that is drafted now expires."""
        return self._now + timedelta(days=self._lifetimes.of(role))


def roles_of(targets: Metadata[Targets]) -> list[str]:
    """Names of the roles a role delegates to, sorted."""
    delegations = targets.signed.delegations
    return sorted(delegations.roles) if delegations and delegations.roles else []
