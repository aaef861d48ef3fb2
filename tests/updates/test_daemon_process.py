"""The daemon as a process, with a folder to update itself from: killed in a trial, and refused."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.updates.running import CASE, NAME, SHIPPED, PlantSite
from tests.walk.test_daemon import Daemon, skilld

from skilld.core.manifest import read_manifest
from skilld.updates.box.states import StateStore
from skilld.updates.bundle.release import CommitRule
from skilld.updates.machine import Outcome, SkillState, Status, Step
from skilld.updates.store import DiskFiles, ReleaseStore

Publisher = Any  # the class of conftest.py, which cannot be imported by name
Serve = Callable[[], Daemon]
PATIENCE_S = 120.0
RULE = CommitRule(min_requests=5, min_seconds=0.0)


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path) -> PlantSite:
    return PlantSite(publisher, tmp_path)


@pytest.fixture
def config(site: PlantSite, tmp_path: Path) -> Path:
    (tmp_path / "root.json").write_bytes(site.publisher.root_bytes())
    path = tmp_path / "skilld.toml"
    path.write_text(
        f"engines = ['{SHIPPED}']\n[memory]\nkv_budget_bytes = '16MiB'\n[updates]\n"
        f"source = '{site.folder}'\nroot = '{tmp_path}/root.json'\nstore = '{tmp_path}/store'\n"
        "poll_s = 0.05\nreserve_bytes = 0\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def serve(config: Path, tmp_path: Path) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def start() -> Daemon:
            daemon = Daemon(tmp_path / "run/skilld.sock", "--config", config)
            stack.callback(daemon.end)
            return daemon

        yield start


def state_when(store: Path, is_it: Callable[[SkillState], bool]) -> SkillState:
    """The state on the disk, as soon as it is so."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        files = DiskFiles(store)
        state = StateStore(files, ReleaseStore(files)).read(NAME)
        if is_it(state):
            return state
        assert time.monotonic() < deadline_s, state
        threading.Event().wait(0.02)


def digest_of_answer(daemon: Daemon) -> str:
    answer = daemon.client.invoke(NAME, json.dumps(CASE.input))
    assert json.loads(answer.output_json) == CASE.output
    return str(answer.engine_digest)


def test_killed_in_its_trial_the_daemon_starts_again_and_ends_committed(
    site: PlantSite, serve: Serve, tmp_path: Path
) -> None:
    digest, store = site.release(1, commit=RULE), tmp_path / "store"
    daemon = serve()
    assert digest_of_answer(daemon) == read_manifest(SHIPPED).digest
    (site.folder / f"metadata/job-{NAME}.json").write_bytes(site.job("j1", 1))
    state_when(store, lambda state: state.job is not None and state.job.step is Step.TRIAL)
    assert digest_of_answer(daemon) == digest
    assert daemon.signal_and_wait(signal.SIGKILL) == -signal.SIGKILL
    daemon = serve()
    for _ in range(RULE.min_requests):
        assert digest_of_answer(daemon) == digest
    state = state_when(store, lambda state: state.job is not None and not state.job.is_open)
    assert state.job is not None
    assert (state.job.status, state.job.outcome) == (Status.SUCCEEDED, Outcome.COMMITTED)
    assert (state.active, state.job.restarts) == (1, 1)
    # What is committed is served without anybody who could say so.
    assert daemon.signal_and_wait(signal.SIGKILL) == -signal.SIGKILL
    site.folder.rename(tmp_path / "away")
    assert digest_of_answer(serve()) == digest
    told = json.loads(skilld("updates", "--store", store, "--json").stdout)
    assert [(line["skill"], line["active"]) for line in told] == [(NAME, 1)]


def test_a_store_that_others_can_change_is_no_store(config: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o770)
    refused = skilld("serve", "--config", config, "--socket", tmp_path / "run/skilld.sock")
    assert refused.returncode == 3
    said = " ".join(refused.stderr.split())
    assert "UNSAFE_STORE" in said
    assert f"chmod -R go-w {tmp_path}/store" in said
    assert "Traceback" not in said
