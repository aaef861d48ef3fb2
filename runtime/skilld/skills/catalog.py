"""`Catalog`: every skill of the box, compiled and ready, by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from skilld.core.errors import ArtefactError, NotFoundError
from skilld.core.manifest import EngineManifest
from skilld.skills.compilation import SKILLS_DIR, compile_engine
from skilld.skills.registered_skill import RegisteredSkill


class Catalog:
    """Skills by id. Engines come and go; read from the event loop thread at any time."""

    def __init__(self) -> None:
        self._skills: dict[str, RegisteredSkill] = {}

    def register_engine(self, engine_dir: Path, manifest: EngineManifest) -> list[RegisteredSkill]:
        """Read, compile and offer all skills of an engine folder; all of them or none.

        Raises:
            ArtefactError: as `compile_engine`, or a skill of that id is already offered.
        """
        fresh = compile_engine(engine_dir, manifest)
        self.check_free(fresh, engine_dir)
        self.offer(fresh)
        return fresh

    def check_free(
        self, entries: Sequence[RegisteredSkill], engine_dir: Path, *, but_of: str | None = None
    ) -> None:
        """Check that nobody offers these skills yet.

        Args:
            entries: to be offered.
            engine_dir: whose they are.
            but_of: an engine whose skills they are to replace.

        Raises:
            ArtefactError: reason BAD_SKILL; a skill of that id is already offered.
        """
        for entry in entries:
            other = self._skills.get(entry.skill.id)
            if other is not None and other.manifest.name != but_of:
                raise ArtefactError(
                    f"skill {entry.skill.id!r} is already offered by engine "
                    f"{other.manifest.name!r}",
                    path=engine_dir / SKILLS_DIR / f"{entry.skill.id}.toml",
                    key="id",
                    reason="BAD_SKILL",
                )

    def offer(self, entries: Sequence[RegisteredSkill]) -> None:
        """Offer the skills of an engine, all at once, in the place of those of that name."""
        names = {entry.manifest.name for entry in entries}
        kept = {id_: e for id_, e in self._skills.items() if e.manifest.name not in names}
        # A new dict: others may be walking through the old one on their thread.
        self._skills = {**kept, **{entry.skill.id: entry for entry in entries}}

    def remove_engine(self, engine: str) -> list[RegisteredSkill]:
        """Forget the skills that an engine runs, and return them."""
        gone = [entry for entry in self if entry.runs_on == engine]
        self._skills = {id_: e for id_, e in self._skills.items() if e.runs_on != engine}
        return gone

    def get(self, skill_id: str) -> RegisteredSkill:
        """Look a skill up.

        Raises:
            NotFoundError: there is none; the message lists what there is.
        """
        try:
            return self._skills[skill_id]
        except KeyError:
            known = ", ".join(sorted(self._skills)) or "none"
            raise NotFoundError(
                f"no skill {skill_id!r} on this box (known: {known})", skill=skill_id
            ) from None

    def __iter__(self) -> Iterator[RegisteredSkill]:
        return iter(self._skills.values())
