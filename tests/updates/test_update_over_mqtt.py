"""From a signed job to a committed release, over a real broker; and killed on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import Broker, broker
from tests.updates.test_depot import Served
from tests.updates.test_kill import CHILD
from tests.updates.test_whole_update import UPDATED, Site

from skilld.config import MqttConfig
from skilld.core.manifest import read_manifest, verify_files
from skilld.updates.depot import MqttSource
from skilld.updates.trust import BlobSource

__all__ = ["broker"]

MakeEngine = Callable[..., Path]
Publisher = Any  # the class of conftest.py, which cannot be imported by name
WINDOW_BYTES = 16 * (128 << 10)


class MqttSite(Site):
    """The same site, with a depot between publisher and box."""

    def source(self) -> BlobSource:
        return MqttSource(MqttConfig(broker=self.where), box="box1", depot="depot")


@contextmanager
def depot_process(folder: Path, broker: Broker) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "skilld.cli", "depot", str(folder), "--broker", broker.address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def test_a_release_travels_over_mqtt(
    publisher: Publisher,
    make_engine: MakeEngine,
    tmp_path: Path,
    broker: Broker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = MqttSource(MqttConfig(broker=broker.address), box="box1", depot="depot")
    monkeypatch.setattr(MqttSite, "source", lambda _site: source)
    with source, depot_process(publisher.folder, broker):
        publisher.publish(make_engine(sizes=[500_000, 300, 20_000]))
        site = MqttSite(publisher, tmp_path / "store")
        assert site.update(publisher.job("j1", 1)) == UPDATED
        publisher.publish(make_engine(sizes=[500_000, 300, 20_000], changed=[2], version="2"))
        job = publisher.job("j2", 2, issued_s=1_900_000_000)
        assert site.update(job) == UPDATED
        assert site.box.served == site.store / "releases/toy/2"


# As in test_kill.py, but over MQTT, and what waits for an answer is each chunk that arrived.
MQTT_CHILD = (
    CHILD.replace("for name in (", "for name in () and (")
    .replace(
        "    def on_progress(self, skill, held_bytes, total_bytes):\n        pass",
        "    def on_progress(self, skill, held_bytes, total_bytes):\n"
        "        print('.', flush=True)\n        sys.stdin.readline()",
    )
    .replace(
        "source=FolderSource(repository)",
        "source=MqttSource(MqttConfig(broker=sys.argv[4]), box='b', depot='depot')",
    )
    .replace(
        "import sys\n",
        "import sys\nfrom skilld.config import MqttConfig\n"
        "from skilld.updates.depot import MqttSource\n",
        1,
    )
)


def run(
    store: Path, repository: Path, job: Path, broker: Broker, *, kill_after: int | None
) -> bool:
    """Update once, perhaps killed after so many chunks; returns whether it came to its end."""
    arguments = [str(store), str(repository), str(job), broker.address]
    with subprocess.Popen(
        [sys.executable, "-c", MQTT_CHILD, *arguments],
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


def test_a_box_killed_on_the_way_is_sent_less_than_a_window_twice(
    publisher: Publisher, make_engine: MakeEngine, tmp_path: Path, broker: Broker
) -> None:
    release = publisher.publish(make_engine(sizes=[100_000] * 60))
    job, store = tmp_path / "job.json", tmp_path / "store"
    job.write_bytes(publisher.job("j1", 1))
    served = Served(publisher.folder, broker)
    try:
        kills = [5, 20]
        for kill_after in kills:
            assert not run(store, publisher.folder, job, broker, kill_after=kill_after)
        assert run(store, publisher.folder, job, broker, kill_after=None)
    finally:
        served.close()
    metadata_bytes = 200_000  # of three looks, generously
    resent = served.sent_bytes["b"] - release.num_bytes
    assert resent < len(kills) * WINDOW_BYTES + metadata_bytes
    assert served.sent_bytes["b"] >= release.num_bytes
    folder = store / "releases/toy/1"
    verify_files(folder, read_manifest(folder))
