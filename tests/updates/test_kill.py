"""A real process on a real disk, killed while it updates: kill -9, between any two operations."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skilld.core.manifest import read_manifest, verify_files
from skilld.updates.box.states import StateStore
from skilld.updates.machine import Outcome, SkillState
from skilld.updates.store import DiskFiles, ReleaseStore

MakeEngine = Callable[..., Path]
Publisher = Any  # the class of conftest.py, which cannot be imported by name

# Says "." before every change of the disk, and waits for an answer: so the test chooses the moment.
CHILD = """
import sys
from pathlib import Path
from skilld.core.manifest import read_manifest, verify_files
from skilld.updates.box import BoxFacts, Updater
from skilld.updates.machine.events import TrialReport
from skilld.updates.store import DiskFiles
from skilld.updates.trust import FolderSource, TrustedRepository

store, repository, job = map(Path, sys.argv[1:4])

class Told(DiskFiles):
    pass

def told(name):
    def change(self, *arguments):
        print(".", flush=True)
        sys.stdin.readline()
        return getattr(DiskFiles, name)(self, *arguments)
    return change

for name in ("make_folder", "write", "allocate", "write_at", "sync", "rename", "link", "delete"):
    setattr(Told, name, told(name))

class Box:
    def fits_beside(self, skill, folder):
        return True
    def load(self, skill, folder):
        if folder is not None:
            verify_files(folder, read_manifest(folder))
    def self_test(self, skill, folder, test):
        return []
    def route(self, skill, folder):
        pass
    def retire(self, skill, folder):
        pass
    def on_state(self, state):
        pass
    def on_progress(self, skill, held_bytes, total_bytes):
        pass
    def on_wait(self, skill, reason, message):
        pass

    def on_answer(self, skill, job_id, status, reason):
        pass

files, box = Told(store), Box()
root = (repository / "metadata/1.root.json").read_bytes()
updater = Updater(
    files, store,
    trust=TrustedRepository(files, store / "tuf", root, clock=lambda: 1798800000.0),
    source=FolderSource(repository), activation=box, listener=box,
    facts=BoxFacts("b", "0.1.0", "x86_64", {"openvino": "2026.4.1"}, reserve_bytes=0),
)
for skill, folder in updater.start().items():
    box.load(skill, folder)
updater.submit(job.read_bytes())
while updater.work():
    pass
updater.observe("toy", TrialReport(elapsed_s=600.0, num_requests=100))
while updater.work():
    pass
"""


def run(store: Path, repository: Path, job: Path, *, kill_after: int | None) -> bool:
    """Update once, perhaps killed after so many changes; returns whether it came to its end."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store), str(repository), str(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for count, _ in enumerate(child.stdout):
            if count == kill_after:
                child.kill()
                break
            child.stdin.write("\n")
            child.stdin.flush()
    return child.returncode == 0


def state_of(store: Path) -> SkillState:
    files = DiskFiles(store)
    return StateStore(files, ReleaseStore(files)).read("toy")


@pytest.mark.slow
def test_killed_again_and_again_an_update_still_comes_to_its_end(
    publisher: Publisher, make_engine: MakeEngine, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for seq, kills in ((1, [7, 30]), (2, [5, 13, 21, 34])):
        publisher.publish(make_engine(changed=[0], version=str(seq)))
        job = tmp_path / "job.json"
        job.write_bytes(publisher.job(f"j{seq}", seq, issued_s=1_798_000_000 + seq))
        for kill_after in kills:
            assert not run(store, publisher.folder, job, kill_after=kill_after)
            serving = state_of(store).serving
            assert serving in ((None, 1), (1, 2))[seq - 1]
            if serving is not None:
                folder = store / "releases/toy" / str(serving)
                verify_files(folder, read_manifest(folder))
        assert run(store, publisher.folder, job, kill_after=None)
        state = state_of(store)
        assert state.job is not None
        assert (state.active, state.job.outcome) == (seq, Outcome.COMMITTED)
