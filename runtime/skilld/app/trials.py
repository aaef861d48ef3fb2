"""`Trials`: how the versions that serve do, from the calls of the service to the updater."""

from __future__ import annotations

import time
from collections.abc import Mapping

from skilld.skills import RegisteredSkill
from skilld.updates.box.trial_meter import TrialMeter
from skilld.updates.machine.events import TrialReport


class Trials:
    """See the module docstring. `ended` comes from the event loop, the rest from the updater."""

    def __init__(self) -> None:
        self._serving: dict[str, tuple[str, TrialMeter]] = {}  # by name: the lane, and its meter

    def begin(self, name: str, lane: str) -> None:
        """New calls of an engine's skills go to this version; nothing happens if they did."""
        lane_before, before = self._serving.get(name, ("", None))
        if lane_before != lane:
            rate = before.error_rate if before is not None else 0.0
            self._serving[name] = lane, TrialMeter(time.monotonic, old_error_rate=rate)

    def ended(self, entry: RegisteredSkill, elapsed_ms: float, is_error: bool) -> None:
        """A call has ended; those of a version that serves no more count for nobody."""
        lane, meter = self._serving.get(entry.manifest.name, ("", None))
        if meter is not None and lane == entry.runs_on:
            meter.answered(elapsed_ms=elapsed_ms, is_error=is_error)

    def reports(self) -> Mapping[str, TrialReport]:
        """Of every name that has a release."""
        return {name: meter.report() for name, (_, meter) in list(self._serving.items())}
