"""`Offering`: which skills callers reach now, and what they are told about those they do not.

Changed and read on the event loop; see `SkillService.run`.
"""

from __future__ import annotations

from collections.abc import Sequence

from skilld.core.errors import NotFoundError, UnavailableError
from skilld.service.status import RefusedEngine
from skilld.skills import Catalog, RegisteredSkill

_SWAP_S = 2.0  # what a caller is told to wait while one version of an engine replaces another


class Offering:
    """See the module docstring.

    Args:
        catalog: the skills served.

    Attributes:
        refused: engines that did not load.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.refused: tuple[RefusedEngine, ...] = ()
        self._paused: dict[str, str] = {}  # the engine's own name, by skill

    def offer(self, entries: Sequence[RegisteredSkill]) -> None:
        """Let new calls go to these skills of one engine; calls in flight end where they are."""
        self.catalog.offer(entries)
        for name in {entry.manifest.name for entry in entries}:
            self.forget(name)

    def withdraw(self, engine: str, *, comes_back: bool) -> None:
        """Offer the skills that an engine runs no more; calls in flight go on.

        Args:
            engine: as the box calls it.
            comes_back: callers are told to try again soon, until the skills are offered again.
        """
        gone = self.catalog.remove_engine(engine)
        if comes_back:
            self._paused |= {entry.skill.id: entry.manifest.name for entry in gone}

    def forget(self, name: str) -> None:
        """Say no more that skills of an engine of this name come back."""
        self._paused = {skill: of for skill, of in self._paused.items() if of != name}

    @property
    def paused(self) -> frozenset[str]:
        """Skills that come back soon: their engine is being replaced."""
        return frozenset(self._paused)

    def skills(self) -> list[RegisteredSkill]:
        """All skills served, by id."""
        return sorted(self.catalog, key=lambda entry: entry.skill.id)

    def get(self, skill_id: str) -> RegisteredSkill:
        """One skill.

        Raises:
            NotFoundError: no such skill.
            UnavailableError: reason ENGINE_REFUSED; its engine did not load, and why. Reason
                UPDATING; another version of its engine takes over soon.
        """
        try:
            return self.catalog.get(skill_id)
        except NotFoundError:
            if skill_id in self._paused:
                raise UnavailableError(
                    f"the engine of skill {skill_id!r} is being replaced by another version",
                    retry_after_s=_SWAP_S,
                    reason="UPDATING",
                ) from None
            for engine in self.refused:
                if skill_id in engine.skills:
                    raise UnavailableError(
                        f"the engine of skill {skill_id!r} was refused: {engine.error.message}",
                        reason="ENGINE_REFUSED",
                        cause=engine.error.reason,
                    ) from None
            raise
