"""`ReleaseStore`: releases as folders of hard links to blobs, which a box loads as engine folders.

    releases/<name>/<seq>/          the files under their own names, and release.json
    releases/<name>/.<seq>.making/  one that is being made

A folder gets its name when all in it is durable, so one that has it is whole.
"""

from __future__ import annotations

from collections.abc import Collection

from skilld.core.errors import UpdateError
from skilld.updates.bundle.release import Release, parse_release
from skilld.updates.store.blobs import blob_path, sha256_of
from skilld.updates.store.files import (
    Files,
    delete_tree,
    folder_of,
    make_folders,
    write_durably,
)

RELEASES = "releases"
DESCRIPTION = "release.json"


def release_folder(skill: str, seq: int) -> str:
    """Where a release lies in the store."""
    return f"{RELEASES}/{skill}/{seq}"


class ReleaseStore:
    """See the module docstring. Owned by the updater's thread."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def stage(self, release: Release) -> str:
        """Make the folder of a release whose blobs are all here; returns its path.

        Raises:
            OSError: a blob is missing, or the store cannot be written.
        """
        final = release_folder(release.skill, release.seq)
        if self.read(release.skill, release.seq) == release and self._is_whole(release):
            return final
        delete_tree(self._files, final)
        making = f"{RELEASES}/{release.skill}/.{release.seq}.making"
        delete_tree(self._files, making)
        make_folders(self._files, making)
        folders = {making}
        for file in release.files:
            path = f"{making}/{file.path}"
            make_folders(self._files, folder_of(path))
            folders.add(folder_of(path))
            self._files.link(blob_path(file.sha256), path)
        write_durably(self._files, f"{making}/{DESCRIPTION}", release.to_bytes())
        for folder in sorted(folders, reverse=True):
            self._files.sync(folder)
        self._files.rename(making, final)
        self._files.sync(folder_of(final))
        return final

    def read(self, skill: str, seq: int) -> Release | None:
        """The description of a release that is here; None if there is none that can be read."""
        try:
            return parse_release(self._files.read(f"{release_folder(skill, seq)}/{DESCRIPTION}"))
        except (OSError, UpdateError):
            return None

    def check(self, release: Release) -> None:
        """Read every file of a staged release again and compare it with its digest.

        Raises:
            UpdateError: reason DIGEST_MISMATCH; names the file.
            OSError: a file is missing or cannot be read.
        """
        folder = release_folder(release.skill, release.seq)
        for file in release.files:
            if sha256_of(self._files, f"{folder}/{file.path}") != file.sha256:
                raise UpdateError(
                    f"{folder}/{file.path} does not match its digest: the disk damaged it",
                    reason="DIGEST_MISMATCH",
                )

    def seqs(self, skill: str) -> list[int]:
        """Of the releases that are here, ascending."""
        return sorted(int(n) for n in self._files.list(f"{RELEASES}/{skill}") if n.isdecimal())

    def skills(self) -> list[str]:
        """Names with at least one release here."""
        return self._files.list(RELEASES)

    def collect(self, skill: str, kept: Collection[int]) -> int:
        """Delete all releases of a name but some, and what was never finished.

        Returns:
            How many folders went.
        """
        count = 0
        for name in self._files.list(f"{RELEASES}/{skill}"):
            if not (name.isdecimal() and int(name) in kept):
                delete_tree(self._files, f"{RELEASES}/{skill}/{name}")
                count += 1
        return count

    def _is_whole(self, release: Release) -> bool:
        folder = release_folder(release.skill, release.seq)
        return all(
            self._files.size(f"{folder}/{file.path}") == file.num_bytes for file in release.files
        )
