"""Whether a box can run a release, before anything of it is fetched. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skilld.core.errors import UpdateError
from skilld.updates.bundle.release import Release

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class BoxFacts:
    """What a box is.

    Attributes:
        name: as jobs name it.
        skilld_version: that runs here.
        arch: as `platform.machine()` says it.
        runtime_versions: of the engine runtimes that are installed.
        memory_bytes: that one engine may take; None if nobody knows.
        reserve_bytes: of the disk, left to everything else.
    """

    name: str
    skilld_version: str
    arch: str
    runtime_versions: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    reserve_bytes: int = GIB


def check_requirements(release: Release, facts: BoxFacts) -> None:
    """Compare what a release needs with what the box has.

    Raises:
        UpdateError: reason WRONG_VERSION, WRONG_HARDWARE, WRONG_RUNTIME or DOES_NOT_FIT.
    """
    needs = release.requires
    if not _is_at_least(facts.skilld_version, needs.skilld):
        raise UpdateError(
            f"needs skilld {needs.skilld}, this box has {facts.skilld_version}",
            reason="WRONG_VERSION",
        )
    if needs.arch and facts.arch not in needs.arch:
        raise UpdateError(
            f"is for {', '.join(needs.arch)}, this box is {facts.arch}", reason="WRONG_HARDWARE"
        )
    kind = release.engine.kind
    installed = facts.runtime_versions.get(kind)
    if installed is None or not _is_at_least(installed, needs.runtime_version):
        raise UpdateError(
            f"needs {kind} {needs.runtime_version}, this box has {installed or 'none'}",
            reason="WRONG_RUNTIME",
        )
    if facts.memory_bytes is not None and release.engine.memory_bytes > facts.memory_bytes:
        raise UpdateError(
            f"takes {release.engine.memory_bytes} bytes of memory, an engine may take "
            f"{facts.memory_bytes} here",
            reason="DOES_NOT_FIT",
        )


def check_space(missing_bytes: int, free_bytes: int, facts: BoxFacts) -> None:
    """Whether what is missing fits on the disk with a tenth to spare, and the reserve.

    Raises:
        UpdateError: reason INSUFFICIENT_SPACE.
    """
    needed = missing_bytes + missing_bytes // 10 + facts.reserve_bytes
    if needed > free_bytes:
        raise UpdateError(
            f"{missing_bytes} bytes are missing, {free_bytes} are free and "
            f"{facts.reserve_bytes} of them are kept for others",
            reason="INSUFFICIENT_SPACE",
        )


def _is_at_least(version: str, needed: str) -> bool:
    return _numbers(version) >= _numbers(needed)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version; what cannot be read counts as 0."""
    numbers = []
    for part in version.split(".")[:4]:
        digits = ""
        for character in part:
            if not character.isdecimal():
                break
            digits += character
        numbers.append(int(digits or "0"))
        if digits != part:
            break
    return tuple(numbers)
