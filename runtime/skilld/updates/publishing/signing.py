"""`Signing`: adds signatures to drafts, publishes what has enough, keeps the bracket around it.

The bracket is snapshot and timestamp, which bind one consistent state of all other roles.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from skilld.updates.publishing.drafts import Drafts, roles_of
from skilld.updates.publishing.metadata_folder import AnyMetadata


@dataclass(frozen=True, slots=True)
class Waiting:
    """A draft that lacks signatures.

    Attributes:
        role: of the draft.
        missing: how many signatures.
        keyids: keys that may give them and have not.
    """

    role: str
    missing: int
    keyids: tuple[str, ...]


class Signing:
    """See the module docstring."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts
        self._metadata = drafts.metadata

    def advance(self, signers: Sequence[CryptoSigner]) -> list[Waiting]:
        """Sign, and publish what has enough signatures; see the module docstring.

        Returns:
            The drafts that still wait.
        """
        waiting = [self._advance_root(signers)]
        root = self._metadata.root()
        if root is None:
            return [w for w in waiting if w is not None]
        for role in (Targets.type, *self._drafts.delegated()):
            waiting.append(self._advance_targets(role, root, signers))
        if self._metadata.targets() is not None:
            if not self._snapshot_is_current(root):
                self._drafts.draft_snapshot()
            snapshot_waits = self._finish_top(Snapshot.type, root, signers)
            waiting.append(snapshot_waits)
            if self._metadata.snapshot() is not None and snapshot_waits is None:
                if not self._timestamp_is_current(root):
                    self._drafts.draft_timestamp()
                waiting.append(self._finish_top(Timestamp.type, root, signers))
        return [w for w in waiting if w is not None]

    def _advance_root(self, signers: Sequence[CryptoSigner]) -> Waiting | None:
        draft = self._metadata.draft(Root.type, Root)
        if draft is None:
            return None
        published = self._metadata.root()
        previous = published.signed if published else None
        keyids = {*draft.signed.roles[Root.type].keyids}
        if previous is not None:
            keyids.update(previous.roles[Root.type].keyids)
        _sign(draft, signers, keyids)
        result = draft.signed.get_root_verification_result(
            previous, draft.signed_bytes, draft.signatures
        )
        if result:
            self._metadata.publish(Root.type, draft)
            return None
        self._metadata.save_draft(Root.type, draft)
        missing = max(part.missing for part in (result.first, result.second))
        return Waiting(Root.type, missing, tuple(sorted(keyids - set(draft.signatures))))

    def _advance_targets(
        self, role: str, root: Metadata[Root], signers: Sequence[CryptoSigner]
    ) -> Waiting | None:
        delegator: Root | Targets = root.signed
        if role != Targets.type:
            top = self._metadata.targets()
            if top is None or role not in roles_of(top):
                return Waiting(role, 1, ())  # until the delegation itself is published
            delegator = top.signed
        published = self._metadata.targets(role)
        draft = self._metadata.draft(role, Targets)
        if draft is None:
            if published is not None and _verifies(delegator, role, published):
                return None
            draft = self._drafts.targets(role)  # its keys have changed
        keyids = set(delegator.get_delegated_role(role).keyids)
        _sign(draft, signers, keyids)
        result = delegator.get_verification_result(role, draft.signed_bytes, draft.signatures)
        if result:
            self._metadata.publish(role, draft)
            return None
        self._metadata.save_draft(role, draft)
        return Waiting(role, result.missing, tuple(sorted(keyids - set(draft.signatures))))

    def _finish_top(
        self, role: str, root: Metadata[Root], signers: Sequence[CryptoSigner]
    ) -> Waiting | None:
        draft: Metadata[Snapshot] | Metadata[Timestamp] | None
        if role == Snapshot.type:
            draft = self._metadata.draft(role, Snapshot)
        else:
            draft = self._metadata.draft(role, Timestamp)
        if draft is None:
            return None
        keyids = set(root.signed.roles[role].keyids)
        _sign(draft, signers, keyids)
        result = root.signed.get_verification_result(role, draft.signed_bytes, draft.signatures)
        if result:
            self._metadata.publish(role, draft)
            return None
        self._metadata.save_draft(role, draft)
        return Waiting(role, result.missing, tuple(sorted(keyids - set(draft.signatures))))

    def _snapshot_is_current(self, root: Metadata[Root]) -> bool:
        published = self._metadata.snapshot()
        current = self._metadata.draft(Snapshot.type, Snapshot) or published
        if current is None or current.signed.meta != self._drafts.snapshot_meta():
            return False
        return current is not published or _verifies(root.signed, Snapshot.type, current)

    def _timestamp_is_current(self, root: Metadata[Root]) -> bool:
        published = self._metadata.timestamp()
        current = self._metadata.draft(Timestamp.type, Timestamp) or published
        if current is None or current.signed.snapshot_meta != self._drafts.timestamp_meta():
            return False
        return current is not published or _verifies(root.signed, Timestamp.type, current)


def _sign(
    metadata: AnyMetadata,
    signers: Sequence[CryptoSigner],
    keyids: Collection[str],
) -> None:
    for signer in signers:
        if signer.public_key.keyid in keyids:
            metadata.sign(signer, append=True)


def _verifies(
    delegator: Root | Targets,
    role: str,
    metadata: AnyMetadata,
) -> bool:
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError:
        return False
    return True
