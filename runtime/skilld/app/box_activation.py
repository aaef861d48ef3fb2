"""`BoxActivation`: a running box as the updater sees it.

Two versions of an engine are two engines to the box: the one it was set up with goes under its
own name, a release under `name@seq`. Only one of them is offered.

    fits beside:  load, self-test, route (new calls go there, those in flight end where they are),
                  retire the old one once its last call has ended
    does not:     retire (callers are told to come back soon; calls that wait or run are answered
                  first), load, self-test, route
"""

from __future__ import annotations

from pathlib import Path

from skilld.app.box import Box
from skilld.app.box_plan import plan_loaded
from skilld.app.host_memory import HostMemory
from skilld.app.resident import ResidentEngine, configured_engines, lane_of
from skilld.app.trials import Trials
from skilld.builder.golden import GoldenCase, read_golden
from skilld.config import Config
from skilld.core.errors import NotFoundError, SkilldError
from skilld.core.manifest import read_manifest
from skilld.service import Call
from skilld.updates.bundle.release import SelfTest


class BoxActivation:
    """See the module docstring. Called from one thread, which is not that of the event loop.

    Before a box is attached nothing is loaded, and so there is nothing to do: what is to serve is
    loaded when the box is made.

    Args:
        config: of the box.
        host: how much memory there is.
        trials: told which version serves.
    """

    def __init__(self, config: Config, host: HostMemory, *, trials: Trials) -> None:
        self._config = config
        self._host = host
        self._trials = trials
        self._configured = configured_engines(config.engines)
        self._attached: Box | None = None

    def attach(self, box: Box) -> None:
        """Act on this box from now on; it is started."""
        self._attached = box
        for resident in box.residents:
            self._trials.begin(resident.manifest.name, resident.lane)

    def fits_beside(self, skill: str, folder: Path | None) -> bool:
        """Whether the memory plan has room for everything that is loaded, and this one."""
        path = self._path(skill, folder)
        if self._attached is None or path is None or self._find(skill, folder) is not None:
            return True
        manifests = [resident.manifest for resident in list(self._box.residents)]
        plan = plan_loaded(self._config, self._host, [*manifests, read_manifest(path)])
        return plan is None or plan.fits

    def load(self, skill: str, folder: Path | None) -> None:
        """Load it; no call reaches it yet.

        Raises:
            ArtefactError: the folder is damaged, a skill is taken, or it does not fit.
        """
        path = self._path(skill, folder)
        if self._attached is None or path is None:
            return
        if self._find(skill, folder) is None:
            self._box.load_aside(path, lane=lane_of(skill, folder))

    def self_test(self, skill: str, folder: Path | None, test: SelfTest) -> list[str]:
        """Let it answer its golden cases, one by one; says which it got wrong or took too long for.

        Raises:
            ArtefactError: the cases cannot be read.
        """
        resident = self._loaded(skill, folder)
        if test.path is None:
            return []
        cases = read_golden(resident.path / test.path)
        found = [failure for case in cases if (failure := self._failure(resident, case, test))]
        if len(cases) != test.num_cases:
            found.append(f"{test.path} has {len(cases)} cases, the release says {test.num_cases}")
        return found

    def route(self, skill: str, folder: Path | None) -> None:
        """Send new calls to it; those in flight end where they are."""
        if self._attached is None:
            return
        if self._path(skill, folder) is None:
            self._box.withdraw(skill)
        else:
            self._box.offer(self._loaded(skill, folder))
            self._trials.begin(skill, lane_of(skill, folder))

    def retire(self, skill: str, folder: Path | None) -> None:
        """Send it no more calls, wait for those in flight, and free its memory."""
        resident = self._find(skill, folder) if self._attached is not None else None
        if resident is not None:
            self._box.retire(resident)

    @property
    def _box(self) -> Box:
        assert self._attached is not None
        return self._attached

    def _failure(self, resident: ResidentEngine, case: GoldenCase, test: SelfTest) -> str:
        entry = next((e for e in resident.skills if e.skill.id == case.skill), None)
        if entry is None:
            return f"a case is of skill {case.skill!r}, which the engine does not have"
        call = Call(case.skill, case.input, timeout_s=test.max_ms / 1e3, client="self-test")
        service = self._box.service
        try:
            outcome = service.wait_for(service.ask(entry, call))
        except SkilldError as error:
            return f"{case.skill}: {error.message}"
        if (outcome.output, outcome.abstain_reason) == (case.output, case.abstain):
            return ""
        said = f"abstains: {outcome.abstain_reason}" if outcome.abstain_reason else outcome.output
        return f"{case.skill}: {_clip(case.input)}: answered {_clip(said)}"

    def _path(self, skill: str, folder: Path | None) -> Path | None:
        return self._configured.get(skill) if folder is None else folder

    def _find(self, skill: str, folder: Path | None) -> ResidentEngine | None:
        return self._box.find(lane_of(skill, folder))

    def _loaded(self, skill: str, folder: Path | None) -> ResidentEngine:
        resident = self._find(skill, folder)
        if resident is None:
            raise NotFoundError(
                f"engine {lane_of(skill, folder)!r} is not loaded", reason="UNKNOWN_ENGINE"
            )
        return resident


def _clip(value: object, num_chars: int = 80) -> str:
    text = str(value)
    return text if len(text) <= num_chars else text[:num_chars] + "..."
