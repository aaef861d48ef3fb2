"""The manifest is what a box trusts; what does not match it is refused with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from skilld.core.errors import ArtefactError
from skilld.core.manifest import (
    BuildHost,
    CacheLayout,
    EngineManifest,
    FileEntry,
    Geometry,
    GoldenResult,
    Precision,
    Source,
    Vocabulary,
    file_sha256,
    read_manifest,
    verify_files,
    write_manifest,
)


def manifest_of(files: dict[str, FileEntry]) -> EngineManifest:
    return EngineManifest(
        name="m",
        version="1",
        runtime="openvino",
        family="llama",
        precision=Precision.INT8,
        context_limit=64,
        source=Source(name="s", sha256="0" * 64, licence="none"),
        geometry=Geometry(
            num_layers=1,
            hidden_size=1,
            num_heads=1,
            num_kv_heads=1,
            head_dim=1,
            vocab_size=1,
            num_parameters=1,
        ),
        cache=CacheLayout(block_tokens=32, kv_bytes_per_token=2),
        vocabulary=Vocabulary(size=1, eos_ids=(0,)),
        build_host=BuildHost(cpu="c", cpu_features=(), num_threads=1, tool_versions={}),
        files=files,
    )


@pytest.fixture
def engine_dir(tmp_path: Path) -> Path:
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"weights")
    entry = FileEntry(sha256=file_sha256(weights), num_bytes=7)
    write_manifest(tmp_path, manifest_of({"model.bin": entry}))
    return tmp_path


def test_what_is_written_is_read_back(engine_dir: Path) -> None:
    manifest = read_manifest(engine_dir)
    verify_files(engine_dir, manifest)
    write_manifest(engine_dir, manifest)
    assert read_manifest(engine_dir) == manifest
    assert [path.name for path in sorted(engine_dir.iterdir())] == ["manifest.json", "model.bin"]


@pytest.mark.parametrize("content", [b"weightz", b"weight", b""])
def test_a_changed_file_is_refused_by_name(engine_dir: Path, content: bytes) -> None:
    (engine_dir / "model.bin").write_bytes(content)
    with pytest.raises(ArtefactError, match=r"model\.bin: does not match its digest") as refused:
        verify_files(engine_dir, read_manifest(engine_dir))
    assert refused.value.reason == "DIGEST_MISMATCH"


def test_a_file_outside_the_folder_is_not_even_read(engine_dir: Path) -> None:
    entry = FileEntry(sha256="0" * 64, num_bytes=0)
    with pytest.raises(ArtefactError, match="outside the engine folder"):
        verify_files(engine_dir, manifest_of({"../../etc/passwd": entry}))


def test_the_digest_follows_what_decides_an_answer_and_nothing_else() -> None:
    manifest = manifest_of({})
    golden = GoldenResult(skill="s", num_cases=1, num_passed=1)
    assert manifest.model_copy(update={"golden": (golden,)}).digest == manifest.digest
    assert manifest.model_copy(update={"context_limit": 65}).digest != manifest.digest


def test_an_unknown_key_is_named(engine_dir: Path) -> None:
    path = engine_dir / "manifest.json"
    path.write_text(path.read_text().replace('"family"', '"familie"'))
    with pytest.raises(ArtefactError, match=r"manifest.json: famili?e?y?: ") as refused:
        read_manifest(engine_dir)
    assert refused.value.reason == "BAD_MANIFEST"
