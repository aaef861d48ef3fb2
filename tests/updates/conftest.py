"""Engine folders to release: an OpenVINO graph with weights of random bytes, and one skill."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

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
