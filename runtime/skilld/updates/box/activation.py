"""`Activation`: what the updater needs of a running box, and the order in which it asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from skilld.core.errors import UpdateError
from skilld.updates.bundle.release import SelfTest


class Activation(Protocol):
    """A box that runs engines.

    `skill` is the name a release goes under, `folder` its engine folder; None is the engine the
    box was set up with under that name, which may be none at all. Every method may raise
    `SkilldError`; asking for what is so already does nothing.
    """

    def fits_beside(self, skill: str, folder: Path | None) -> bool:
        """Whether there is memory to load this one while the one that serves stays."""

    def load(self, skill: str, folder: Path | None) -> None:
        """Load it; no call reaches it yet."""

    def self_test(self, skill: str, folder: Path | None, test: SelfTest) -> list[str]:
        """Let a loaded engine answer its golden cases; says what went wrong, at best nothing."""

    def route(self, skill: str, folder: Path | None) -> None:
        """Send new calls, and those that wait, to a loaded engine."""

    def retire(self, skill: str, folder: Path | None) -> None:
        """Send it no more calls, let those in flight finish, and free its memory."""


def activate(
    activation: Activation,
    skill: str,
    *,
    candidate: Path,
    old: Path | None,
    is_beside: bool,
    test: SelfTest,
) -> None:
    """Put a candidate in the place of the old release.

    Args:
        activation: the box.
        skill: the name of both.
        candidate: engine folder of the new one.
        old: of the old one.
        is_beside: the old one still serves; else it was retired before.
        test: of the candidate.

    Raises:
        UpdateError: reason SELF_TEST_FAILED; new calls do not go to the candidate.
        SkilldError: it could not be loaded.
    """
    activation.load(skill, candidate)
    failures = activation.self_test(skill, candidate, test)
    if failures:
        shown = "; ".join(failures[:3])
        raise UpdateError(
            f"{len(failures)} of {test.num_cases} golden cases failed: {shown}",
            reason="SELF_TEST_FAILED",
        )
    activation.route(skill, candidate)
    if is_beside and old != candidate:
        activation.retire(skill, old)


def roll_back(activation: Activation, skill: str, *, to: Path | None, candidate: Path) -> None:
    """Make a release serve again, whatever is loaded.

    Raises:
        SkilldError: it could not be loaded.
    """
    if not activation.fits_beside(skill, to):
        activation.retire(skill, candidate)
    activation.load(skill, to)
    activation.route(skill, to)
    activation.retire(skill, candidate)
