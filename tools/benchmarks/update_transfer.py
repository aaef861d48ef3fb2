"""What it costs to bring a release to a box: throughput, bytes after a kill, bytes of a change."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from field.broker import SiteBroker, Team
from field.processes import depot_process
from field.releases import Published, ReleaseSite, new_bytes

from benchmarks import update_peer
from benchmarks.process import child
from benchmarks.update_download import BOX, DEPOT, DONE
from skilld.core.manifest import FileEntry, file_sha256, read_manifest, write_manifest
from skilld.updates.bundle import Release
from skilld.updates.bundle.release import CommitRule

NUM_TENSORS = 80
_NUM_DRAWS = 20
_SETTLE_S = 1.0


@dataclass
class Transfers:
    """What was measured.

    Attributes:
        release_bytes: of the release that travels.
        raw_mb_s: raw mosquitto, per round.
        box_mb_s: the box, per round, from the first request until everything is durable.
        resent_bytes: sent before, per kill in the middle of a download.
        change_bytes: sent for a release with a tenth of its tensors changed, all of one size.
        change_release_bytes: of that release.
        shipped: share of a shipped engine's release that is new when tensors with a tenth of its
            bytes changed, drawn at random, per draw.
    """

    release_bytes: int = 0
    raw_mb_s: list[float] = field(default_factory=list)
    box_mb_s: list[float] = field(default_factory=list)
    resent_bytes: list[int] = field(default_factory=list)
    change_bytes: int = 0
    change_release_bytes: int = 0
    shipped: list[float] = field(default_factory=list)


def large_engine(shipped: Path, folder: Path, *, num_bytes: int) -> Path:
    """An engine folder with so many bytes of weights, in tensors of one size; it cannot run."""
    engine = shutil.copytree(shipped, folder / "large")
    size = num_bytes // NUM_TENSORS
    layers = "".join(
        f'<layer id="{number}" name="c{number}" type="Const" version="opset1">'
        f'<data element_type="u8" shape="{size}" offset="{number * size}" size="{size}" />'
        '<output><port id="0" precision="U8" /></output></layer>'
        for number in range(NUM_TENSORS)
    )
    (engine / "model.xml").write_text(
        f'<?xml version="1.0"?><net name="m" version="11"><layers>{layers}</layers></net>',
        encoding="utf-8",
    )
    (engine / "model.bin").write_bytes(_noise(size * NUM_TENSORS))
    manifest = read_manifest(engine)
    files = dict(manifest.files)
    for name in ("model.xml", "model.bin"):
        path = engine / name
        files[name] = FileEntry(sha256=file_sha256(path), num_bytes=path.stat().st_size)
    write_manifest(engine, manifest.model_copy(update={"files": files}))
    return engine


def measure(
    shipped: Path,
    folder: Path,
    *,
    num_bytes: int,
    rounds: int,
    kills: int,
    step: Callable[[str], None],
) -> Transfers:
    """Measure everything of this file; the engine's name must not matter to anybody.

    Args:
        shipped: an engine that serves.
        folder: for everything.
        num_bytes: of the weights.
        rounds: of the throughput.
        kills: in the middle of a download.
        step: told what is begun.
    """
    result = Transfers()
    engine = large_engine(shipped, folder, num_bytes=num_bytes)
    site = ReleaseSite(folder / "site", [engine], seed=1)
    (name,) = site.engines
    # Each differs from the engine they are made of, together in a tenth of the tensors.
    first = site.publish(name, share=1 / NUM_TENSORS, commit=CommitRule())
    second = site.publish(name, share=0.1 - 1 / NUM_TENSORS, commit=CommitRule())
    with ExitStack() as stack:
        broker = stack.enter_context(SiteBroker(folder))
        address = f"127.0.0.1:{broker.port}"
        team = stack.enter_context(Team(broker.port, box=BOX, depot=DEPOT))
        stack.enter_context(depot_process(site.repository, address, folder / "depot.log"))
        result.release_bytes = first.release.num_bytes
        transfer = _Transfer(address, folder, team)
        transfer.fetch(first.release)  # what is read from a disk is in memory from now on
        for number in range(rounds):
            step(f"throughput, round {number + 1} of {rounds}")
            order = (result.raw_mb_s, result.box_mb_s)
            for figures in order if number % 2 == 0 else order[::-1]:
                took_s = (
                    transfer.raw(result.release_bytes)
                    if figures is result.raw_mb_s
                    else transfer.fetch(first.release)
                )
                figures.append(result.release_bytes / 1e6 / took_s)
        for number in range(kills):
            step(f"kill {number + 1} of {kills}")
            at = (number + 1) / (kills + 1)
            result.resent_bytes.append(transfer.fetch_killed(first.release, at=at))
        step("a tenth of the tensors changed")
        result.change_release_bytes = second.release.num_bytes
        result.change_bytes = transfer.fetch_after(first.release, second.release)
    step("a tenth of a shipped engine changed")
    result.shipped = _draws(shipped, folder / "shipped")
    return result


class _Transfer:
    """Fetches releases in processes, each into an empty store unless said otherwise."""

    def __init__(self, broker: str, folder: Path, team: Team) -> None:
        self._broker = broker
        self._folder = folder
        self._team = team
        self._count = 0

    def raw(self, num_bytes: int) -> float:
        command = [sys.executable, "-m", "benchmarks.update_peer", self._broker, str(num_bytes)]
        with child(command, stdout=subprocess.PIPE) as giver:
            assert giver.stdout is not None
            giver.stdout.readline()
            took_s = update_peer.pull(self._broker, num_bytes)
            giver.stdout.close()
        return took_s

    def fetch(self, release: Release, store: Path | None = None) -> float:
        """To its end; returns the seconds it took."""
        with self._child(release, store or self._store()) as (process, lines):
            words = ""
            for line in lines:
                words = line
            if process.wait() != 0 or not words.startswith(DONE):
                raise RuntimeError(f"the download ended with {process.returncode}: {words}")
        return float(words.removeprefix(DONE))

    def fetch_killed(self, release: Release, *, at: float) -> int:
        """Killed once at this share of it, and gone on with; returns the bytes sent twice."""
        store = self._store()
        self._take_sent_bytes()
        with self._child(release, store) as (process, lines):
            for line in lines:
                if int(line) >= at * release.num_bytes:
                    break
            process.kill()
        self.fetch(release, store)
        return self._take_sent_bytes()[1]

    def fetch_after(self, first: Release, second: Release) -> int:
        """One release, then another into the same store; returns the bytes sent for that."""
        store = self._store()
        self.fetch(first, store)
        self._take_sent_bytes()
        self.fetch(second, store)
        return self._take_sent_bytes()[0]

    def _take_sent_bytes(self) -> tuple[int, int]:
        time.sleep(_SETTLE_S)  # what the depot still has for a box that died
        return self._team.take_sent_bytes()

    def _store(self) -> Path:
        self._count += 1
        return self._folder / f"store{self._count}"

    @contextmanager
    def _child(
        self, release: Release, store: Path
    ) -> Iterator[tuple[subprocess.Popen[str], Iterator[str]]]:
        path = self._folder / "release.json"
        path.write_bytes(release.to_bytes())
        command = [
            *(sys.executable, "-m", "benchmarks.update_download"),
            *(self._broker, str(path), str(store)),
        ]
        with child(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            with process.stdout as lines:
                yield process, iter(lines)


def _draws(shipped: Path, folder: Path) -> list[float]:
    """For each draw, the share of a release that is new when a tenth of it changed."""
    site = ReleaseSite(folder, [shipped], seed=2)
    (name,) = site.engines
    before: Published | None = None
    shares: list[float] = []
    for _ in range(_NUM_DRAWS + 1):
        # Both differ from the engine they are made of: by half a tenth each is about a tenth.
        now = site.publish(name, share=0.05, commit=CommitRule())
        if before is not None:
            shares.append(new_bytes(now.release, [before.release]) / now.release.num_bytes)
        before = now
    return shares


def summary(shares: list[float]) -> tuple[float, float]:
    """Median and largest."""
    return statistics.median(shares), max(shares)


def _noise(num_bytes: int) -> bytes:
    import numpy

    return numpy.random.default_rng(1).bytes(num_bytes)
