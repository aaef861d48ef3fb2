"""From keys to a committed release: real signatures, real files, a folder and a web server."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skilld.core.errors import UpdateError
from skilld.core.manifest import read_manifest, verify_files
from skilld.updates.box import BoxFacts, Updater
from skilld.updates.bundle.release import SelfTest
from skilld.updates.machine import Outcome, SkillState, Status
from skilld.updates.machine.events import TrialReport
from skilld.updates.store import DiskFiles
from skilld.updates.trust import BlobSource, TrustedRepository, open_source

MakeEngine = Callable[..., Path]
Publisher = Any  # the class of conftest.py, which cannot be imported by name


class FolderBox:
    """A box that "runs" an engine folder once all its files match its manifest."""

    def __init__(self) -> None:
        self.served: Path | None = None

    def fits_beside(self, skill: str, folder: Path | None) -> bool:
        return True

    def load(self, skill: str, folder: Path | None) -> None:
        if folder is not None:
            verify_files(folder, read_manifest(folder))

    def self_test(self, skill: str, folder: Path | None, test: SelfTest) -> list[str]:
        return []

    def route(self, skill: str, folder: Path | None) -> None:
        self.served = folder

    def retire(self, skill: str, folder: Path | None) -> None:
        pass


class Site:
    """A publisher, and one box on a real disk that knows its root."""

    def __init__(self, publisher: Publisher, store: Path) -> None:
        self.publisher = publisher
        self.store = store
        self.root = publisher.root_bytes()
        self.clock_s = publisher.now.timestamp()
        self.answers: list[tuple[str, Status, str]] = []
        self.where = str(publisher.folder)
        self.restart()

    def restart(self) -> None:
        files = DiskFiles(self.store)
        self.box = FolderBox()
        self.updater = Updater(
            files,
            self.store,
            trust=TrustedRepository(
                files, self.store / "tuf", self.root, clock=lambda: self.clock_s
            ),
            source=self.source(),
            activation=self.box,
            facts=BoxFacts("box1", "0.1.0", "x86_64", {"openvino": "2026.4.1"}, reserve_bytes=0),
            listener=self,
        )
        self.box.served = self.updater.start().get("toy")

    def source(self) -> BlobSource:
        return open_source(self.where)

    def on_state(self, state: SkillState) -> None:
        pass

    def on_progress(self, skill: str, held_bytes: int, total_bytes: int) -> None:
        pass

    def on_wait(self, skill: str, reason: str, message: str) -> None:
        pass

    def on_answer(self, skill: str, job_id: str, status: Status, reason: str) -> None:
        self.answers.append((job_id, status, reason))

    def update(self, job: bytes) -> tuple[Status, Outcome | None, str]:
        self.updater.submit(job)
        while self.updater.work():
            pass
        self.updater.observe("toy", TrialReport(elapsed_s=600.0, num_requests=100))
        while self.updater.work():
            pass
        (state,) = self.updater.states()
        assert state.job is not None
        return state.job.status, state.job.outcome, state.job.reason


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path, make_engine: MakeEngine) -> Site:
    publisher.publish(make_engine())
    return Site(publisher, tmp_path / "store")


UPDATED = (Status.SUCCEEDED, Outcome.COMMITTED, "")


def test_a_release_travels_on_a_stick(site: Site, make_engine: MakeEngine, tmp_path: Path) -> None:
    assert site.update(site.publisher.job("j1", 1)) == UPDATED
    site.publisher.publish(make_engine(changed=[0], version="2"))
    site.publisher.now = datetime(2027, 1, 2, tzinfo=UTC)
    site.where = str(shutil.copytree(site.publisher.folder, tmp_path / "stick"))
    site.restart()
    assert site.update(site.publisher.job("j2", 2)) == UPDATED
    assert site.box.served == site.store / "releases/toy/2"
    site.restart()
    assert site.box.served == site.store / "releases/toy/2"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="web")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_a_release_travels_over_http(site: Site) -> None:
    with serving(site.publisher.folder) as url:
        site.where = url
        site.restart()
        assert site.update(site.publisher.job("j1", 1)) == UPDATED


def test_expired_metadata_blocks_installing_and_never_running(
    site: Site, make_engine: MakeEngine
) -> None:
    assert site.update(site.publisher.job("j1", 1)) == UPDATED
    site.publisher.publish(make_engine(changed=[0], version="2"))
    site.clock_s = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
    site.restart()
    assert site.box.served == site.store / "releases/toy/1"
    with pytest.raises(UpdateError) as error:
        site.updater.submit(site.publisher.job("j2", 2, issued_s=1_900_000_000))
    assert error.value.reason == "EXPIRED"


def test_lost_tuf_cache_and_an_old_repository_install_nothing_older(
    site: Site, make_engine: MakeEngine, tmp_path: Path
) -> None:
    old = shutil.copytree(site.publisher.folder, tmp_path / "old")
    for number in (2, 3):
        site.publisher.publish(make_engine(changed=[0], version=str(number)))
        job = site.publisher.job(f"j{number}", number, issued_s=1_900_000_000 + number)
        assert site.update(job) == UPDATED
    shutil.rmtree(site.store / "tuf")
    site.where = str(old)
    site.restart()
    with pytest.raises(UpdateError) as error:
        site.updater.submit(site.publisher.job("j4", 1, issued_s=1_900_000_009))
    assert error.value.reason == "ROLLBACK"
    # Even if the record of metadata is lost with the cache, the counter of the name holds.
    (site.store / "trust.json").unlink()
    shutil.rmtree(site.store / "tuf")
    site.restart()
    outcome = site.update(site.publisher.job("j5", 1, issued_s=1_900_000_010))
    assert outcome == (Status.REJECTED, Outcome.NO_STATE_CHANGE, "ROLLBACK")
    assert site.box.served == site.store / "releases/toy/3"


def test_a_clock_at_1970_installs_what_is_fresh(site: Site, make_engine: MakeEngine) -> None:
    assert site.update(site.publisher.job("j1", 1)) == UPDATED
    site.clock_s = 0.0
    site.publisher.publish(make_engine(changed=[0], version="2"))
    assert site.update(site.publisher.job("j2", 2, issued_s=1_900_000_000)) == UPDATED


def test_a_stick_pulled_out_half_way_costs_nothing(
    site: Site, make_engine: MakeEngine, tmp_path: Path
) -> None:
    stick = shutil.copytree(site.publisher.folder, tmp_path / "stick")
    site.where = str(stick)
    site.restart()
    site.updater.submit(site.publisher.job("j1", 1))
    site.updater.work()  # looked up
    shutil.move(stick, tmp_path / "away")
    while site.updater.work():
        pass
    (state,) = site.updater.states()
    assert state.job is not None
    assert state.job.is_open
    shutil.move(tmp_path / "away", stick)
    site.restart()
    assert site.update(site.publisher.job("j1", 1)) == UPDATED
