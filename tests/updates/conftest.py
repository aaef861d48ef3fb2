"""Engine folders to release: an OpenVINO graph with weights of random bytes, and one skill."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, SSlibKey

from skilld.core.errors import ArtefactError, NotFoundError, UnavailableError
from skilld.core.manifest import (
    BuildHost,
    CacheLayout,
    EngineManifest,
    FileEntry,
    Geometry,
    Precision,
    Source,
    Vocabulary,
    file_sha256,
    write_manifest,
)
from skilld.updates.box import BoxFacts, Updater
from skilld.updates.bundle import Release, pack
from skilld.updates.bundle.release import SelfTest
from skilld.updates.machine import Outcome, SkillState, Status
from skilld.updates.machine.events import TrialReport
from skilld.updates.publishing import Repository, Waiting
from skilld.updates.store import Files
from skilld.updates.trust import BlobRange, BlobSource, Job, Order, sign_job

SKILL = """
id = "echo"
version = "1.0.0"
description = "Says what it is told."
prompt = "<|in|>{text}<|out|>"
timeout_s = 5.0
[decoding]
max_tokens = 16
[input_schema]
type = "object"
required = ["text"]
properties = {text = {type = "string"}}
[output_schema]
type = "object"
required = ["said"]
properties = {said = {type = "boolean"}}
"""

MakeEngine = Callable[..., Path]


def _graph(sizes: Collection[int]) -> str:
    layers, offset = [], 0
    for number, size in enumerate(sizes):
        layers.append(
            f'<layer id="{number}" name="c{number}" type="Const" version="opset1">'
            f'<data element_type="u8" shape="{size}" offset="{offset}" size="{size}" />'
            '<output><port id="0" precision="U8" /></output></layer>'
        )
        offset += size
    return (
        f'<?xml version="1.0"?><net name="m" version="11"><layers>{"".join(layers)}</layers></net>'
    )


@pytest.fixture
def make_engine(tmp_path: Path) -> MakeEngine:
    """Makes an engine folder; `changed` names the tensors that differ from the first version."""
    count = 0

    def make(
        *,
        name: str = "toy",
        sizes: Collection[int] = (40_000, 300, 300, 20_000),
        changed: Collection[int] = (),
        version: str = "1.0.0",
    ) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / f"engine-{count}"
        (folder / "skills").mkdir(parents=True)
        (folder / "model.xml").write_text(_graph(sizes), encoding="utf-8")
        (folder / "model.bin").write_bytes(
            b"".join(
                random.Random(f"{number}/{version if number in changed else ''}").randbytes(size)
                for number, size in enumerate(sizes)
            )
        )
        (folder / "tokenizer.json").write_text('{"version": "1.0"}', encoding="utf-8")
        (folder / "skills/echo.toml").write_text(SKILL, encoding="utf-8")
        (folder / "golden.jsonl").write_text(
            '{"skill": "echo", "input": {"text": "yes"}, "output": {"said": true}}\n',
            encoding="utf-8",
        )
        write_manifest(folder, _manifest(folder, name=name, version=version))
        return folder

    return make


def _manifest(folder: Path, *, name: str, version: str) -> EngineManifest:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return EngineManifest(
        name=name,
        version=version,
        runtime="openvino",
        family="llama",
        precision=Precision.INT8,
        context_limit=1024,
        source=Source(name="checkpoint", sha256="0" * 64, licence="Apache-2.0"),
        geometry=Geometry(
            num_layers=1,
            hidden_size=8,
            num_heads=1,
            num_kv_heads=1,
            head_dim=8,
            vocab_size=16,
            num_parameters=100,
        ),
        cache=CacheLayout(block_tokens=32, kv_bytes_per_token=16),
        vocabulary=Vocabulary(size=16, eos_ids=(1,)),
        build_host=BuildHost(
            cpu="test", cpu_features=(), num_threads=1, tool_versions={"openvino": "2026.4.1"}
        ),
        files={
            str(path.relative_to(folder)): FileEntry(
                sha256=file_sha256(path), num_bytes=path.stat().st_size
            )
            for path in files
        },
    )


class Publisher:
    """A site that releases: a repository, its keys, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime(2027, 1, 1, tzinfo=UTC)
        self.keys = {
            name: CryptoSigner.generate_ed25519()
            for name in ("root1", "root2", "root3", "targets", "online", "toy", "jobs", "mallory")
        }

    def public(self, *names: str) -> list[SSlibKey]:
        return [self.keys[name].public_key for name in names]

    def repository(self) -> Repository:
        return Repository(self.folder, now=self.now)

    def sign(self, *names: str) -> list[Waiting]:
        return self.repository().advance([self.keys[name] for name in names])

    def create(self) -> None:
        (targets,), (online,) = self.public("targets"), self.public("online")
        self.repository().create(
            root=self.public("root1", "root2", "root3"), threshold=2, targets=targets, online=online
        )
        self.sign("root1", "root2", "targets", "online")
        self.repository().delegate_skill("toy", self.public("toy"), threshold=1)
        self.repository().delegate_jobs(self.public("jobs"), threshold=1)
        assert self.sign("targets", "toy", "jobs", "online") == []

    def publish(self, engine: Path) -> Release:
        release = self.repository().publish(engine)
        assert self.sign("toy", "online") == []
        return release

    def root_bytes(self) -> bytes:
        return (self.folder / "metadata/1.root.json").read_bytes()

    def job(self, job_id: str, seq: int, *, signed_by: str = "jobs", **fields: Any) -> bytes:
        issued_s = int(self.now.timestamp())
        job = Job(**{"id": job_id, "skill": "toy", "seq": seq, "issued_s": issued_s, **fields})
        return sign_job(job, [self.keys[signed_by]])


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    publisher = Publisher(tmp_path / "repository")
    publisher.create()
    return publisher


class PlainTrust:
    """Trusts releases it is given, without signatures: for tests of everything else."""

    def __init__(self, *releases: Release) -> None:
        self.releases = {(release.skill, release.seq): release for release in releases}
        self.time_s = 1000.0
        self.is_reachable = True

    def now_s(self) -> float:
        return self.time_s

    def refresh(self, source: BlobSource) -> None:
        if not self.is_reachable:
            raise UnavailableError("no way there", reason="SOURCE_UNAVAILABLE")

    def job(self, data: bytes) -> Job:
        return Job.model_validate_json(data)

    def recall(self) -> None:
        pass

    def order(self, data: bytes) -> Order:
        return Order.model_validate_json(data)

    def release(self, skill: str, seq: int) -> Release:
        return self.releases[skill, seq]


@functools.cache
def packed(engine: Path, seq: int) -> Release:
    """A release of an engine folder, which no test changes: some make hundreds of boxes."""
    return pack(engine, seq=seq)


@functools.cache
def contents(engine: Path) -> list[tuple[str, bytes]]:
    """Digest and content of every file of an engine folder."""
    files = (path for path in engine.rglob("*") if path.is_file())
    return [(file_sha256(path), path.read_bytes()) for path in files]


class EngineSource:
    """Blobs out of engine folders. `spoil` may lose, damage, double or reorder what is sent."""

    def __init__(self, *engines: Path) -> None:
        self.blobs = {sha256: data for engine in engines for sha256, data in contents(engine)}
        self.num_bytes = 0
        self.spoil: Callable[[list[tuple[BlobRange, bytes]]], list[tuple[BlobRange, bytes]]]
        self.spoil = list

    def metadata(self, name: str, max_bytes: int) -> bytes:
        raise NotFoundError(name, reason="NOT_PUBLISHED")

    def blocks(self, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
        sent = [
            (part, self.blobs[part.sha256][part.offset : part.offset + part.num_bytes])
            for part in wanted
        ]
        for part, data in self.spoil(sent):
            self.num_bytes += len(data)
            yield part, data


class MemoryBox:
    """A box with room for some engines, which loads them from the store it is given.

    It checks itself: what is routed to is loaded, and what is loaded was whole on the disk.
    """

    def __init__(self, files: Files, *, room: int = 2) -> None:
        self.files = files
        self.room = room
        self.loaded: set[tuple[str, Path | None]] = set()
        self.routed: dict[str, Path | None] = {}
        self.bad_folders: set[str] = set()
        self.broken_folders: set[str] = set()
        self.events: list[str] = []

    def boot(self, folders: Mapping[str, Path | None]) -> None:
        for skill, folder in folders.items():
            self.load(skill, folder)
            self.routed[skill] = folder

    def fits_beside(self, skill: str, folder: Path | None) -> bool:
        return (skill, folder) in self.loaded or len(self.loaded) < self.room

    def load(self, skill: str, folder: Path | None) -> None:
        if (skill, folder) in self.loaded:
            return
        if len(self.loaded) >= self.room:
            raise ArtefactError("no memory", path=folder or Path(), reason="DOES_NOT_FIT")
        if folder is not None:
            if folder.name in self.broken_folders:
                raise ArtefactError("no engine", path=folder, reason="BAD_ENGINE")
            self._check(str(folder.relative_to("/store")))
        self.events.append(f"load {folder.name if folder else None}")
        self.loaded.add((skill, folder))

    def _check(self, folder: str) -> None:
        manifest = EngineManifest.model_validate_json(self.files.read(f"{folder}/manifest.json"))
        for name, entry in manifest.files.items():
            content = self.files.read(f"{folder}/{name}")
            assert hashlib.sha256(content).hexdigest() == entry.sha256, f"{folder}/{name}"

    def self_test(self, skill: str, folder: Path | None, test: SelfTest) -> list[str]:
        assert (skill, folder) in self.loaded
        assert test.num_cases == 1
        return ["said no"] if folder and folder.name in self.bad_folders else []

    def route(self, skill: str, folder: Path | None) -> None:
        assert (skill, folder) in self.loaded
        self.events.append(f"route {folder.name if folder else None}")
        self.routed[skill] = folder

    def retire(self, skill: str, folder: Path | None) -> None:
        if (skill, folder) in self.loaded:
            self.events.append(f"retire {folder.name if folder else None}")
            self.loaded.remove((skill, folder))
        if self.routed.get(skill) == folder:
            self.routed.pop(skill, None)


class Rig:
    """An updater on a disk, with everything around it; `restart` is a new process."""

    def __init__(self, files: Files, *engines: Path, room: int = 2) -> None:
        self.files = files
        self.room = room
        self.trust = PlainTrust(*(packed(engine, n + 1) for n, engine in enumerate(engines)))
        self.source = EngineSource(*engines)
        self.clock_s = 0.0
        self.why_no_download = ""
        self.answers: list[tuple[str, Status, str]] = []
        self.waits: list[tuple[str, str]] = []
        self.history: list[SkillState] = []
        self.progress: list[int] = []
        self.restart()

    def restart(self) -> None:
        self.box = MemoryBox(self.files, room=self.room)
        self.updater = Updater(
            self.files,
            Path("/store"),
            trust=self.trust,
            source=self.source,
            activation=self.box,
            facts=BoxFacts(
                "box1", "0.1.0", "x86_64", {"openvino": "2026.4.1"}, reserve_bytes=1 << 10
            ),
            listener=self,
            why_no_download=lambda: self.why_no_download,
            clock=lambda: self.clock_s,
        )
        self.box.boot({"toy": None} | self.updater.start())

    def on_state(self, state: SkillState) -> None:
        self.history.append(state)

    def on_progress(self, skill: str, held_bytes: int, total_bytes: int) -> None:
        assert held_bytes <= total_bytes
        self.progress.append(held_bytes)

    def on_wait(self, skill: str, reason: str, message: str) -> None:
        self.waits.append((reason, message))

    def on_answer(self, skill: str, job_id: str, status: Status, reason: str) -> None:
        self.answers.append((job_id, status, reason))

    def submit(self, seq: int, **fields: Any) -> None:
        number = fields.pop("issued_s", seq)
        job = {"id": f"j{number}", "skill": "toy", "seq": seq, "issued_s": number, **fields}
        self.updater.submit(Job.model_validate(job).model_dump_json().encode())

    def work(self) -> None:
        """Until there is nothing to do at once."""
        for _ in range(1000):
            if not self.updater.work():
                return
        raise AssertionError("it never ends")

    def finish(self) -> None:
        """The same, and the trial goes well."""
        self.work()
        self.updater.observe("toy", TrialReport(elapsed_s=600.0, num_requests=100))
        self.work()

    @property
    def state(self) -> SkillState:
        (state,) = self.updater.states()
        return state

    @property
    def served(self) -> int | None:
        """The release calls go to."""
        assert ("toy", self.box.routed["toy"]) in self.box.loaded
        folder = self.box.routed["toy"]
        return None if folder is None else int(folder.name)

    @property
    def outcome(self) -> tuple[Status, Outcome | None, str]:
        record = self.state.job
        assert record is not None
        assert not record.is_open
        return record.status, record.outcome, record.reason


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    return Rig
