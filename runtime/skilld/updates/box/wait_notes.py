"""`WaitNotes`: why updates do not go on now, left in the store for whoever looks into it.

A note tells a person something and decides nothing: it may be lost, or be there no more.
"""

from __future__ import annotations

import contextlib

from pydantic import BaseModel, ConfigDict, ValidationError

from skilld.updates.store.files import Files, delete_tree, make_folders, write_durably

WAITING = "waiting"


class WaitNote(BaseModel):
    """Why an update does not go on now.

    Attributes:
        reason: UPPER_SNAKE_CASE.
        message: the same for a person.
    """

    model_config = ConfigDict(frozen=True)

    reason: str
    message: str


class WaitNotes:
    """See the module docstring. Owned by the updater's thread."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._notes: dict[str, WaitNote] = {}

    def leave(self, skill: str, reason: str, message: str) -> None:
        """The update of a name waits."""
        note = WaitNote(reason=reason, message=message)
        if self._notes.get(skill) != note:
            self._notes[skill] = note
            with contextlib.suppress(OSError):
                make_folders(self._files, WAITING)
                write_durably(self._files, _path(skill), note.model_dump_json().encode())

    def remove(self, skill: str) -> None:
        """It goes on."""
        if self._notes.pop(skill, None) is not None:
            with contextlib.suppress(OSError):
                self._files.delete(_path(skill))

    def remove_all(self) -> None:
        """Nothing waits: the process has just started."""
        with contextlib.suppress(OSError):
            delete_tree(self._files, WAITING)


def read_wait_note(files: Files, skill: str) -> WaitNote | None:
    """What was left about a name; None for nothing."""
    try:
        return WaitNote.model_validate_json(files.read(_path(skill)))
    except (OSError, ValidationError):
        return None


def _path(skill: str) -> str:
    return f"{WAITING}/{skill}.json"
