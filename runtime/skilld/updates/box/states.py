"""`StateStore`: one durable file per name, `state/<name>.json`; what it says is so."""

from __future__ import annotations

from pydantic import ValidationError

from skilld.updates.machine.state import SkillState
from skilld.updates.store.files import Files, make_folders, write_durably
from skilld.updates.store.releases import ReleaseStore

STATES = "state"
_SUFFIX = ".json"


class StateStore:
    """See the module docstring. Owned by the updater's thread."""

    def __init__(self, files: Files, releases: ReleaseStore) -> None:
        self._files = files
        self._releases = releases

    def skills(self) -> list[str]:
        """Names that have a state, sorted."""
        return [
            name.removesuffix(_SUFFIX)
            for name in self._files.list(STATES)
            if name.endswith(_SUFFIX)
        ]

    def read(self, skill: str) -> SkillState:
        """The state of a name; that of a box which never updated it, if there is none.

        A file the disk has damaged cannot tell which release was committed. The newest one that
        is whole then stands in for it, and nothing older is taken any more.
        """
        path = _path(skill)
        if self._files.size(path) is None:
            return SkillState(skill=skill)
        try:
            state = SkillState.model_validate_json(self._files.read(path))
        except (ValidationError, OSError):
            return self._recovered(skill)
        return state if state.skill == skill else self._recovered(skill)

    def write(self, state: SkillState) -> None:
        """Make a state the truth.

        Raises:
            OSError: it could not be written; the old one still holds.
        """
        make_folders(self._files, STATES)
        write_durably(self._files, _path(state.skill), state.model_dump_json().encode())

    def _recovered(self, skill: str) -> SkillState:
        seqs = [s for s in self._releases.seqs(skill) if self._releases.read(skill, s)]
        newest = max(seqs, default=None)
        return SkillState(skill=skill, active=newest, high_water_seq=newest or 0)


def _path(skill: str) -> str:
    return f"{STATES}/{skill}{_SUFFIX}"
