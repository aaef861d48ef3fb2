"""`skilld updates`: what a store says, while a daemon writes to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skilld.cli import main
from skilld.core.errors import UnavailableError
from skilld.updates.box.download_view import DownloadView
from skilld.updates.machine import Step
from skilld.updates.store import DiskFiles
from skilld.updates.trust import BlobRange

MakeEngine = Callable[..., Path]
MakeRig = Callable[..., Any]  # the class of conftest.py, which cannot be imported by name
Blocks = list[tuple[BlobRange, bytes]]


class Reader(DiskFiles):
    """Counts what is read of files."""

    num_bytes = 0

    def read_at(self, path: str, offset: int, num_bytes: int) -> bytes:
        data = super().read_at(path, offset, num_bytes)
        self.num_bytes += len(data)
        return data


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def rig(make_rig: MakeRig, make_engine: MakeEngine, store: Path) -> Any:
    return make_rig(DiskFiles(store), make_engine(sizes=[50_000] * 8))


def shown(store: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["updates", "--store", str(store), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def halfway(rig: Any, chunks: int) -> None:
    """Let so many chunks arrive, then nothing any more."""
    left = chunks

    def some(sent: Blocks) -> Blocks:
        nonlocal left
        if not left:
            raise UnavailableError("no stick", reason="SOURCE_UNAVAILABLE")
        taken, left = sent[:left], left - len(sent[:left])
        return taken

    rig.source.spoil = some
    rig.submit(1)
    for _ in range(20):
        rig.work()
        rig.clock_s += 100.0


def test_a_download_is_seen_from_what_lies_on_the_disk(
    rig: Any, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halfway(rig, 6)
    assert rig.state.job.step is Step.DOWNLOADING
    (record,) = shown(store, capsys)
    assert (record["held_bytes"], record["total_bytes"]) == (
        rig.progress[-1],
        rig.trust.releases["toy", 1].num_bytes,
    )
    assert 0 < record["held_bytes"] < record["total_bytes"]
    assert record["waits"] == {"reason": "SOURCE_UNAVAILABLE", "message": "no stick"}
    rig.source.spoil = list
    rig.clock_s += 100.0
    rig.finish()
    (record,) = shown(store, capsys)
    assert (record["held_bytes"], record["total_bytes"], record["waits"]) == (0, 0, None)
    assert record["job"]["outcome"] == "COMMITTED"


def test_what_was_seen_once_is_not_read_again(rig: Any, store: Path) -> None:
    halfway(rig, 6)
    reader = Reader(store)
    view = DownloadView(reader)
    figures = view.figures(rig.state)
    first, reader.num_bytes = reader.num_bytes, 0
    assert view.figures(rig.state) == figures
    held = figures[0] - sum(
        file.num_bytes
        for file in rig.trust.releases["toy", 1].files
        if (store / f"blobs/sha256/{file.sha256[:2]}/{file.sha256}").exists()
    )
    assert reader.num_bytes == first - held


def test_a_person_sees_a_bar_and_why_it_stands_still(
    rig: Any, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halfway(rig, 6)
    assert main(["updates", "--store", str(store)]) == 0
    text = capsys.readouterr().out
    assert "KiB of" in text
    assert "DOWNLOADING" in text
    assert "no stick" in text


def test_a_script_can_watch(rig: Any, store: Path) -> None:
    halfway(rig, 2)
    held_bytes = rig.progress[-1]
    command = [sys.executable, "-m", "skilld.cli", "updates", "--store", str(store)]
    with subprocess.Popen(
        [*command, "--json", "--watch", "--interval", "0.1"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        before = json.loads(process.stdout.readline())[0]["held_bytes"]
        rig.source.spoil = list
        rig.clock_s += 100.0
        rig.work()
        for line in process.stdout:
            if json.loads(line)[0]["job"]["step"] == "TRIAL":
                break
        process.terminate()
    assert before == held_bytes
