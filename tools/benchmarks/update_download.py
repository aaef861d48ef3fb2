"""A box that fetches one release and stages it, in a process that may be killed.

    python -m benchmarks.update_download BROKER RELEASE_FILE STORE

It is the box's own intake with its disk and its depot; only the trust in the release is taken from
the file, so that nothing but the transfer is timed. Says a line with the bytes it holds after each
chunk, and in the end one with the seconds that fetching took.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import time
from pathlib import Path

import skilld
from skilld.config import MqttConfig
from skilld.updates.box import BoxFacts
from skilld.updates.box.intake import Intake
from skilld.updates.bundle.release import Release, parse_release
from skilld.updates.depot import MqttSource
from skilld.updates.store import DiskFiles
from skilld.updates.trust import BlobRange, BlobSource, Job, Order

BOX, DEPOT = "box1", "depot"
DONE = "fetched in"


class _Given:
    """Trusts one release."""

    def __init__(self, release: Release) -> None:
        self._release = release

    def now_s(self) -> float:
        return time.time()

    def refresh(self, source: BlobSource) -> None:
        """Nothing to fetch."""

    def job(self, data: bytes) -> Job:
        return Job.model_validate_json(data)

    def order(self, data: bytes) -> Order:
        return Order.model_validate_json(data)

    def recall(self) -> None:
        """Nothing was seen before."""

    def release(self, skill: str, seq: int) -> Release:
        assert (skill, seq) == (self._release.skill, self._release.seq)
        return self._release


def main() -> None:
    """Fetch, and stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("broker")
    parser.add_argument("release", type=Path)
    parser.add_argument("store", type=Path)
    options = parser.parse_args()
    release = parse_release(options.release.read_bytes())
    facts = BoxFacts(
        BOX,
        skilld.__version__,
        platform.machine(),
        {"openvino": importlib.metadata.version("openvino")},
        reserve_bytes=0,
    )
    intake = Intake(
        DiskFiles(options.store),
        _Given(release),
        facts,
        on_progress=lambda _skill, held, _total: print(held, flush=True),
    )
    job = Job(id="bench", issued_s=1, skill=release.skill, seq=release.seq)
    with MqttSource(MqttConfig(broker=options.broker), box=BOX, depot=DEPOT) as source:
        first = release.files[0]
        list(source.blocks([BlobRange(first.sha256, 0, 1)]))  # both are connected
        intake.resolve(job, source)
        started_s = time.perf_counter()
        while not intake.download(release, source, should_pause=lambda: False):
            pass  # what was lost on the way
        print(DONE, time.perf_counter() - started_s, flush=True)
    intake.verify(release)
    intake.stage(release)


if __name__ == "__main__":
    main()
