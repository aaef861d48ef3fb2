"""Engine folders to release: an OpenVINO graph with weights of random bytes, and one skill."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner, SSlibKey

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
from skilld.updates.bundle import Release
from skilld.updates.publishing import Repository, Waiting
from skilld.updates.trust import Job, sign_job

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
