"""An update that cannot go on says why, and goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.updates.simulated_files import SimulatedFiles

from skilld.app.box_updates import why_no_download
from skilld.core.errors import UnavailableError
from skilld.core.hours import parse_hours
from skilld.updates.box.wait_notes import read_wait_note
from skilld.updates.machine import Step
from skilld.updates.trust import BlobRange

MakeEngine = Callable[..., Path]
MakeRig = Callable[..., Any]  # the class of conftest.py, which cannot be imported by name
DAY = "downloads run at night"


@pytest.fixture
def rig(make_rig: MakeRig, make_engine: MakeEngine) -> Any:
    return make_rig(SimulatedFiles(), make_engine(), make_engine(changed=[0], version="2"))


def note(rig: Any) -> str | None:
    found = read_wait_note(rig.files, "toy")
    return None if found is None else found.reason


def step(rig: Any) -> Step | None:
    found: Step | None = rig.state.job.step
    return found


def test_a_download_waits_for_its_hours_and_nothing_else_does(rig: Any) -> None:
    rig.why_no_download = DAY
    rig.submit(1)
    rig.work()
    assert step(rig) is Step.DOWNLOADING
    assert rig.source.num_bytes == 0
    assert rig.waits[-1] == ("OUTSIDE_DOWNLOAD_HOURS", DAY)
    assert note(rig) == "OUTSIDE_DOWNLOAD_HOURS"
    rig.why_no_download = ""
    rig.work()
    assert rig.source.num_bytes == 0  # it does not look all the time
    rig.clock_s += 10.0
    rig.work()
    assert step(rig) is Step.TRIAL
    assert note(rig) is None
    rig.why_no_download = DAY  # the rest does not wait
    rig.finish()
    assert rig.served == 1


def test_hours_that_end_stop_a_download_at_its_next_slice(rig: Any) -> None:
    def slowly(sent: list[tuple[BlobRange, bytes]]) -> list[tuple[BlobRange, bytes]]:
        rig.clock_s += 60.0
        rig.why_no_download = DAY
        return sent

    rig.source.spoil = slowly
    rig.submit(1)
    rig.work()
    assert step(rig) is Step.DOWNLOADING
    assert note(rig) == "OUTSIDE_DOWNLOAD_HOURS"
    held = rig.progress[-1]
    assert held > 0
    rig.restart()
    assert note(rig) is None  # nobody knows yet
    rig.source.spoil = list
    rig.why_no_download = ""
    rig.finish()
    assert rig.served == 1


def test_a_source_that_is_away_is_named(rig: Any) -> None:
    def away(sent: list[tuple[BlobRange, bytes]]) -> list[tuple[BlobRange, bytes]]:
        raise UnavailableError("no stick", reason="SOURCE_UNAVAILABLE")

    rig.source.spoil = away
    rig.submit(1)
    rig.work()
    assert rig.waits == [("SOURCE_UNAVAILABLE", "no stick")]
    assert note(rig) == "SOURCE_UNAVAILABLE"
    rig.updater.cancel("j1")
    assert note(rig) is None


def test_a_job_that_takes_the_place_of_one_that_waits_does_not_wait(rig: Any) -> None:
    def away(sent: list[tuple[BlobRange, bytes]]) -> list[tuple[BlobRange, bytes]]:
        raise UnavailableError("no stick", reason="SOURCE_UNAVAILABLE")

    rig.source.spoil = away
    rig.submit(1)
    rig.work()
    rig.source.spoil = list
    rig.submit(2)
    rig.work()
    assert step(rig) is Step.TRIAL


def test_an_interrupted_wait_is_not_held_against_the_source(rig: Any) -> None:
    def interrupted(sent: list[tuple[BlobRange, bytes]]) -> list[tuple[BlobRange, bytes]]:
        rig.source.spoil = list
        rig.updater.inbox.put(lambda updater: None)
        return []

    rig.source.spoil = interrupted
    rig.submit(1)
    rig.work()
    assert rig.waits == []
    assert step(rig) is Step.TRIAL


def test_a_clock_that_was_never_set_knows_no_hours() -> None:
    noon = datetime(2027, 1, 15, 12).timestamp()  # as this machine's clock shows it
    night = parse_hours("22:00-05:30")
    assert "22:00-05:30" in why_no_download(night, noon)
    assert why_no_download(night, noon + 12 * 3600) == ""
    assert why_no_download(None, noon) == ""
    for minute in range(24 * 60):
        assert why_no_download(night, 60.0 * minute) == ""
