"""`Repository`: a folder of signed releases that a web server, a depot or a USB stick serves as is.

It follows TUF. The root says who may sign what, by thresholds; `targets` delegates
`skills/<name>/*` to the keys of whoever owns that name, and the role `jobs` to those who may tell
boxes what to install; snapshot and timestamp bind one consistent state of all this.

Every change is a draft first. `advance` adds the signatures of the keys at hand to every draft,
publishes those that have enough, and brings snapshot and timestamp up to date. So owners of keys
can sign one after the other, each on a machine of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from skilld.core.errors import ArtefactError, UpdateError
from skilld.updates.bundle.packing import pack
from skilld.updates.bundle.release import CommitRule, Release, parse_release, target_path
from skilld.updates.publishing.drafts import Drafts, Lifetimes
from skilld.updates.publishing.signing import Signing, Waiting
from skilld.updates.trust.client import JOBS_ROLE

BLOBS = "blobs"
_SKILL_ROLE = "skill-"


@dataclass(frozen=True, slots=True)
class PublishedRelease:
    """A line of the list of releases.

    Attributes:
        skill: the name it is released under.
        seq: its number.
        version: for people.
        num_bytes: of its files, equal ones counted once.
        sha256: of its description.
    """

    skill: str
    seq: int
    version: str
    num_bytes: int
    sha256: str


def skill_role(skill: str) -> str:
    """The delegated role that signs the releases of a name."""
    return f"{_SKILL_ROLE}{skill}"


class Repository:
    """See the module docstring.

    Args:
        folder: of the repository.
        now: the time drafts are dated, UTC.
        lifetimes: of what is drafted.
    """

    def __init__(
        self, folder: Path, *, now: datetime | None = None, lifetimes: Lifetimes | None = None
    ) -> None:
        self.folder = folder
        self._drafts = Drafts(folder, now or datetime.now(UTC), lifetimes or Lifetimes())
        self._metadata = self._drafts.metadata

    def create(
        self,
        *,
        root: Sequence[SSlibKey],
        threshold: int,
        targets: SSlibKey,
        online: SSlibKey,
    ) -> None:
        """Draft the root and an empty `targets`.

        Args:
            root: keys of the root.
            threshold: how many of them must sign a new root.
            targets: the key that delegates.
            online: the key of snapshot and timestamp.

        Raises:
            ArtefactError: reason REPOSITORY_EXISTS or BAD_THRESHOLD.
        """
        if self._metadata.root() or self._metadata.drafts():
            raise ArtefactError(
                "holds a repository already", path=self.folder, reason="REPOSITORY_EXISTS"
            )
        if not 1 <= threshold <= len({key.keyid for key in root}):
            raise ArtefactError(
                f"{threshold} signatures of {len(root)} different keys are impossible",
                path=self.folder,
                reason="BAD_THRESHOLD",
            )
        self._metadata.make()
        (self.folder / BLOBS).mkdir(exist_ok=True)
        document = Root(version=1, expires=self._drafts.expiry(Root.type))
        for key in root:
            document.add_key(key, Root.type)
        document.roles[Root.type].threshold = threshold
        document.add_key(targets, Targets.type)
        document.add_key(online, Snapshot.type)
        document.add_key(online, Timestamp.type)
        self._metadata.save_draft(Root.type, Metadata(document))
        empty = Targets(version=1, expires=self._drafts.expiry(Targets.type))
        self._metadata.save_draft(Targets.type, Metadata(empty))

    def delegate(
        self, role: str, paths: list[str], keys: Sequence[SSlibKey], *, threshold: int
    ) -> None:
        """Draft that some keys may sign some targets; replaces the keys the role had.

        Raises:
            ArtefactError: reason BAD_THRESHOLD or NO_REPOSITORY.
        """
        if not 1 <= threshold <= len({key.keyid for key in keys}):
            raise ArtefactError(
                f"{threshold} signatures of {len(keys)} different keys are impossible",
                path=self.folder,
                reason="BAD_THRESHOLD",
            )
        draft = self._drafts.targets(Targets.type)
        delegations = draft.signed.delegations or Delegations({}, {})
        assert delegations.roles is not None
        delegations.roles[role] = DelegatedRole(role, [], threshold, True, paths)
        draft.signed.delegations = delegations
        for key in keys:
            draft.signed.add_key(key, role)
        used = {keyid for other in delegations.roles.values() for keyid in other.keyids}
        delegations.keys = {k: key for k, key in delegations.keys.items() if k in used}
        self._drafts.save(Targets.type, draft)
        if self._metadata.targets(role) is None and self._metadata.draft(role, Targets) is None:
            empty = Targets(version=1, expires=self._drafts.expiry(role))
            self._metadata.save_draft(role, Metadata(empty))

    def delegate_skill(self, skill: str, keys: Sequence[SSlibKey], *, threshold: int) -> None:
        """Draft that some keys may sign the releases of a name."""
        self.delegate(skill_role(skill), [f"skills/{skill}/*"], keys, threshold=threshold)

    def delegate_jobs(self, keys: Sequence[SSlibKey], *, threshold: int) -> None:
        """Draft that some keys may sign jobs; no target lies under `jobs/`."""
        self.delegate(JOBS_ROLE, ["jobs/*"], keys, threshold=threshold)

    def change_root_keys(
        self,
        role: str,
        *,
        add: Collection[SSlibKey] = (),
        revoke: Collection[str] = (),
        threshold: int | None = None,
    ) -> None:
        """Draft a new root in which a top-level role has other keys.

        Args:
            role: "root", "targets", "snapshot" or "timestamp".
            add: keys it gets.
            revoke: ids of keys it loses.
            threshold: signatures it needs from now on; None leaves that.

        Raises:
            ArtefactError: reason NO_REPOSITORY, UNKNOWN_KEY or BAD_THRESHOLD.
        """
        current = self._drafts.root()
        draft = self._metadata.draft(Root.type, Root) or current
        if draft.signed.version == current.signed.version:
            draft.signed.version += 1
        for key in add:
            draft.signed.add_key(key, role)
        for keyid in revoke:
            try:
                draft.signed.revoke_key(keyid, role)
            except ValueError as error:
                raise ArtefactError(str(error), path=self.folder, reason="UNKNOWN_KEY") from error
        keys = draft.signed.roles[role]
        keys.threshold = threshold or keys.threshold
        if not 1 <= keys.threshold <= len(keys.keyids):
            raise ArtefactError(
                f"{keys.threshold} signatures of {len(keys.keyids)} keys are impossible",
                path=self.folder,
                reason="BAD_THRESHOLD",
            )
        self._drafts.save(Root.type, draft)

    def renew(self, role: str) -> None:
        """Draft a role again with a new expiry date."""
        if role == Root.type:
            self.change_root_keys(Root.type)
        elif role == Snapshot.type:
            self._drafts.draft_snapshot()
        elif role == Timestamp.type:
            self._drafts.draft_timestamp()
        else:
            self._drafts.save(role, self._drafts.targets(role))

    def publish(self, engine_dir: Path, *, commit: CommitRule | None = None) -> Release:
        """Draft a release of an engine folder, with the next number of its name; copy its blobs.

        Raises:
            ArtefactError: reason NOT_RELEASABLE or NOT_DELEGATED, or the folder is damaged.
        """
        unnumbered = pack(engine_dir, seq=1, commit=commit)
        role = skill_role(unnumbered.skill)
        if role not in self._drafts.delegated():
            raise ArtefactError(
                f"nobody may sign releases of {unnumbered.skill!r}",
                path=self.folder,
                hint="`skilld release delegate` says who may",
                reason="NOT_DELEGATED",
            )
        draft = self._drafts.targets(role)
        seqs = [int(Path(path).stem) for path in draft.signed.targets]
        release = unnumbered.model_copy(update={"seq": max(seqs, default=0) + 1})
        data = release.to_bytes()
        for file in release.files:
            self._copy_blob(engine_dir / file.path, file.sha256)
        path = target_path(release.skill, release.seq)
        target = TargetFile.from_data(path, data, ["sha256"])
        self._write_blob(data, target.hashes["sha256"])
        draft.signed.targets[path] = target
        self._drafts.save(role, draft)
        return release

    def releases(self) -> list[PublishedRelease]:
        """Every published release, by name and number.

        Raises:
            ArtefactError: reason BAD_REPOSITORY: a description is missing or damaged.
        """
        found = []
        for role in self._drafts.delegated():
            metadata = self._metadata.targets(role)
            if metadata is None or not role.startswith(_SKILL_ROLE):
                continue
            found += [self._described(target) for target in metadata.signed.targets.values()]
        return sorted(found, key=lambda release: (release.skill, release.seq))

    def drafts(self) -> list[str]:
        """Roles with a draft that lacks signatures."""
        return self._metadata.drafts()

    def expiries(self) -> dict[str, datetime]:
        """When what is published expires, by role."""
        roles: dict[str, Metadata[Root] | Metadata[Targets] | Metadata[Snapshot] | None] = {
            Root.type: self._metadata.root(),
            Targets.type: self._metadata.targets(),
            Snapshot.type: self._metadata.snapshot(),
            **{role: self._metadata.targets(role) for role in self._drafts.delegated()},
        }
        found = {role: m.signed.expires for role, m in roles.items() if m is not None}
        if (timestamp := self._metadata.timestamp()) is not None:
            found[Timestamp.type] = timestamp.signed.expires
        return found

    def advance(self, signers: Sequence[CryptoSigner]) -> list[Waiting]:
        """Sign, and publish what has enough signatures; see the module docstring.

        Returns:
            The drafts that still wait.

        Raises:
            ArtefactError: reason NO_REPOSITORY.
        """
        if not self._metadata.drafts():
            self._drafts.root()
        return Signing(self._drafts).advance(signers)

    def _described(self, target: TargetFile) -> PublishedRelease:
        sha256 = target.hashes["sha256"]
        path = self.folder / BLOBS / sha256
        try:
            data = path.read_bytes()
            target.verify_length_and_hashes(data)
            release = parse_release(data)
        except (OSError, LengthOrHashMismatchError, UpdateError) as error:
            raise ArtefactError(
                f"is not the description of {target.path}: {error}",
                path=path,
                hint="copy the repository again",
                reason="BAD_REPOSITORY",
            ) from error
        return PublishedRelease(
            release.skill, release.seq, release.version, release.num_bytes, sha256
        )

    def _copy_blob(self, source: Path, sha256: str) -> None:
        target = self.folder / BLOBS / sha256
        if not target.exists():
            aside = target.with_name(f".{sha256}.new")
            shutil.copyfile(source, aside)
            aside.replace(target)

    def _write_blob(self, data: bytes, sha256: str) -> None:
        (self.folder / BLOBS / sha256).write_bytes(data)
