"""`Fleet`: names for groups of boxes, in a small TOML file.

A table `[groups]`, with a list of boxes for each name: `line1 = ["press1", "press2"]`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from skilld.core.errors import ArtefactError
from skilld.core.toml_record import read_toml
from skilld.updates.bundle.release import Name


class Fleet(BaseModel):
    """See the module docstring.

    Attributes:
        groups: boxes of each, in the order they are updated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: dict[str, tuple[Name, ...]]


def boxes_of_groups(path: Path, groups: Iterable[str]) -> list[str]:
    """The boxes of some groups, in order; one that is in several comes more than once.

    Raises:
        ArtefactError: reason BAD_FLEET: the file is wrong, or has no such group.
    """
    fleet = read_toml(path, Fleet, reason="BAD_FLEET")
    boxes: list[str] = []
    for group in groups:
        if not fleet.groups.get(group):
            known = ", ".join(name for name, members in fleet.groups.items() if members) or "none"
            raise ArtefactError(
                f"no group {group!r} with a box in it",
                path=path,
                key="groups",
                hint=f"there is: {known}",
                reason="BAD_FLEET",
            )
        boxes += fleet.groups[group]
    return boxes
