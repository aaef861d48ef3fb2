"""`Execution`: one action of the state machine carried out, and the event it ended in."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from skilld.core.errors import SkilldError, UnavailableError
from skilld.updates.box.activation import Activation, activate, roll_back
from skilld.updates.box.intake import Intake
from skilld.updates.machine import events as e
from skilld.updates.machine.state import SkillState
from skilld.updates.store.blobs import BlobStore
from skilld.updates.store.files import Files
from skilld.updates.store.releases import ReleaseStore, release_folder
from skilld.updates.trust.sources import BlobSource

_log = logging.getLogger("skilld.updates")

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Execution:
    """See the module docstring. Owned by the updater's thread.

    Args:
        files: of the store.
        store_dir: where these files are, for whoever loads an engine from there.
        intake: of releases.
        source: of metadata and blobs.
        activation: the running box.
    """

    def __init__(
        self,
        files: Files,
        store_dir: Path,
        *,
        intake: Intake,
        source: BlobSource,
        activation: Activation,
    ) -> None:
        self._store_dir = store_dir
        self._intake = intake
        self._source = source
        self._activation = activation
        self._releases = ReleaseStore(files)
        self._blobs = BlobStore(files)

    def folder(self, skill: str, seq: int | None) -> Path | None:
        """The engine folder of a release; None for what the box was set up with."""
        return None if seq is None else self._store_dir / release_folder(skill, seq)

    def carry_out(
        self, skill: str, action: e.Action, *, should_pause: Callable[[], bool]
    ) -> e.Event | None:
        """Do it.

        Args:
            skill: whose action it is.
            action: any but `Collect` and `Answer`, which need no event.
            should_pause: ends a download before its end.

        Returns:
            What came of it; None if it was paused.

        Raises:
            UnavailableError: the source is away, and the action can be done later.
        """
        try:
            return self._event_of(skill, action, should_pause)
        except UnavailableError as error:
            if isinstance(action, e.Resolve | e.Download):
                raise
            return _failure(action, error.reason, error.message)
        except SkilldError as error:
            return _failure(action, error.reason, error.message)
        except OSError as error:
            if isinstance(action, e.RollBack):
                return e.RollbackFailed(str(error))
            reason = "INSUFFICIENT_SPACE" if error.errno in NO_SPACE else "STORE_FAILED"
            return e.Failed(reason, str(error))

    def roll_back(self, skill: str, to: int | None, candidate: int) -> None:
        """Make a release serve, whatever is loaded.

        Raises:
            SkilldError: it could not be loaded.
            OSError: it could not be read.
        """
        folder = self.folder(skill, candidate)
        assert folder is not None
        roll_back(self._activation, skill, to=self.folder(skill, to), candidate=folder)

    def collect(self, skill: str, states: Iterable[SkillState]) -> None:
        """Delete the releases of a name, and blobs of all names, that no state needs.

        Raises:
            OSError: of the store.
        """
        open_jobs = []
        for state in states:
            is_open = state.job is not None and state.job.is_open
            if state.job is not None and is_open:
                open_jobs.append((state.skill, state.job.job.seq))
            if state.skill == skill:
                self._releases.collect(skill, state.kept)
                if not is_open:
                    self._intake.forget(skill)
        found = [
            self._releases.read(name, seq)
            for name in self._releases.skills()
            for seq in self._releases.seqs(name)
        ]
        incoming = [self._intake.incoming_or_none(name, seq) for name, seq in open_jobs]
        self._blobs.collect(
            [release for release in (*found, *incoming) if release is not None],
            keep_partial=bool(open_jobs),
        )

    def _event_of(
        self, skill: str, action: e.Action, should_pause: Callable[[], bool]
    ) -> e.Event | None:
        match action:
            case e.Resolve(job):
                return e.Resolved(self._intake.resolve(job, self._source).commit)
            case e.Download(seq):
                release = self._intake.incoming(skill, seq)
                is_done = self._intake.download(release, self._source, should_pause=should_pause)
                return e.Downloaded() if is_done else None
            case e.Verify(seq):
                self._intake.verify(self._intake.incoming(skill, seq))
                return e.Verified()
            case e.Stage(seq):
                self._intake.stage(self._intake.incoming(skill, seq))
                return e.Staged()
            case e.Plan(seq):
                self._releases.check(self._intake.incoming(skill, seq))
                return e.Planned(self._activation.fits_beside(skill, self.folder(skill, seq)))
            case e.Drain(seq):
                self._activation.retire(skill, self.folder(skill, seq))
                return e.Drained()
            case e.Activate(seq, old, is_beside):
                candidate = self.folder(skill, seq)
                assert candidate is not None
                activate(
                    self._activation,
                    skill,
                    candidate=candidate,
                    old=self.folder(skill, old),
                    is_beside=is_beside,
                    test=self._intake.incoming(skill, seq).self_test,
                )
                return e.Activated()
            case e.RollBack(to, candidate_seq):
                self.roll_back(skill, to, candidate_seq)
                return e.RolledBack()
            case _:
                raise AssertionError(f"{action} has no event")


def _failure(action: e.Action, reason: str, message: str) -> e.Event:
    match action:
        case e.Resolve():
            return e.Refused(reason, message)
        case e.RollBack():
            return e.RollbackFailed(message)
        case e.Verify() | e.Activate():
            return e.Failed(reason, message, is_bad=True)
        case _:  # a source that sends wrong bytes must not be able to blacklist a good release
            return e.Failed(reason, message, is_bad=reason == "BAD_CONTENTS")
