from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from skilld.builder import build
from skilld.core.batch import Batch, Row
from skilld.core.errors import ArtefactError
from skilld.core.manifest import EngineManifest, read_manifest, verify_files
from skilld.engine.base import Mode
from skilld.engine.openvino import OpenVINOEngine

pytestmark = pytest.mark.build


def build_quietly(recipe_dir: Path) -> EngineManifest:
    manifest = read_manifest(build(recipe_dir, progress=lambda _what, _done: None))
    verify_files(recipe_dir / "engine", manifest)
    return manifest


def aside_folders(recipe_dir: Path) -> list[Path]:
    return list(recipe_dir.glob(".*"))


def logits_of(engine_dir: Path, mode: Mode) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    engine = OpenVINOEngine(engine_dir, num_threads=2, mode=mode)
    try:
        engine.bind(
            {spec.name: np.zeros((4, *spec.block_shape), spec.dtype) for spec in engine.cache_specs}
        )
        row = Row(
            request_id="a", token_ids=range(3, 51), past_len=0, block_ids=(2, 0), num_logits=48
        )
        return engine.step(Batch(engine="tiny", rows=[row])).logits.copy()
    finally:
        engine.close()


def test_a_built_engine_is_one_whole_folder_with_everything_a_box_needs(recipe_dir: Path) -> None:
    steps: list[tuple[str, float]] = []
    engine_dir = build(recipe_dir, progress=lambda what, done: steps.append((what, done)))
    manifest = read_manifest(engine_dir)
    assert engine_dir == recipe_dir / "engine"
    assert set(manifest.files) == {
        "model.xml",
        "model.bin",
        "tokenizer.json",
        "golden.jsonl",
        "skills/echo.toml",
    }
    verify_files(engine_dir, manifest)
    # Keys and values of 2 layers, 1 head: 16 bytes each, and 8 bytes of scale.
    assert manifest.cache.kv_bytes_per_token == 2 * 2 * (16 + 8)
    assert manifest.cache.block_tokens == 32
    assert manifest.measurements is not None
    assert {step.batch for step in manifest.measurements.steps} == {1, 8}
    assert all(step.step_ms > 0 for step in manifest.measurements.steps)
    assert manifest.measurements.resident_bytes > 10_000_000
    assert manifest.build_host.tool_versions["openvino"].startswith("2026.4")
    assert aside_folders(recipe_dir) == []
    done = [fraction for _, fraction in steps]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0.0, 1.0)


def test_quantized_weights_are_smaller_and_nearly_say_the_same(
    recipe_dir: Path, change_recipe: Callable[..., None]
) -> None:
    (recipe_dir / "calibration.jsonl").write_text(
        "".join(json.dumps({"text": f"sample {i} of plain text"}) + "\n" for i in range(8))
    )
    sizes, logits = {}, {}
    for precision in ("f32", "int8", "int4"):
        calibration = {"calibration": "calibration.jsonl"} if precision == "int4" else {}
        change_recipe(precision=precision, **calibration)
        manifest = build_quietly(recipe_dir)
        assert manifest.precision == precision
        sizes[precision] = manifest.files["model.bin"].num_bytes
        logits[precision] = logits_of(recipe_dir / "engine", Mode.PARITY)
    assert sizes["int4"] < sizes["int8"] < sizes["f32"] / 2
    spread = logits["f32"].std()
    for precision, tolerance in (("int8", 0.05), ("int4", 0.5)):
        error = np.sqrt(np.mean((logits[precision] - logits["f32"]) ** 2))
        assert 0 < error < tolerance * spread


def test_a_tokenizer_of_vocabulary_and_merges_is_converted(
    recipe_dir: Path, checkpoint_dir: Path
) -> None:
    fast = json.loads((checkpoint_dir / "tokenizer.json").read_text())
    (checkpoint_dir / "tokenizer.json").unlink()
    (checkpoint_dir / "vocab.json").write_text(json.dumps(fast["model"]["vocab"]))
    (checkpoint_dir / "merges.txt").write_text("#version: 0.2\n")
    (checkpoint_dir / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "GPT2Tokenizer", "unk_token": "<pad>"})
    )
    build_quietly(recipe_dir)
    converted = Tokenizer.from_file(str(recipe_dir / "engine" / "tokenizer.json"))
    original = Tokenizer.from_str(json.dumps(fast))
    assert converted.encode("E-042:overload").ids == original.encode("E-042:overload").ids


def test_a_changed_checkpoint_gives_another_digest(recipe_dir: Path, checkpoint_dir: Path) -> None:
    first = build_quietly(recipe_dir)
    config = json.loads((checkpoint_dir / "config.json").read_text())
    (checkpoint_dir / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    second = build_quietly(recipe_dir)
    assert first.source.sha256 != second.source.sha256
    assert first.digest != second.digest


def test_a_refused_recipe_leaves_the_old_engine_as_it_was(
    recipe_dir: Path, change_recipe: Callable[..., None]
) -> None:
    old = build_quietly(recipe_dir)
    change_recipe(context_limit=100_000)
    with pytest.raises(ArtefactError, match="context_limit"):
        build_quietly(recipe_dir)
    assert read_manifest(recipe_dir / "engine") == old


KILLED_BUILD = """
import os, signal, sys
from pathlib import Path
from skilld.builder import build

def progress(what, done):
    if done >= float(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

build(Path(sys.argv[1]), progress=progress)
"""


def build_until_killed(recipe_dir: Path, *, at: float) -> None:
    child = subprocess.run(
        [sys.executable, "-c", KILLED_BUILD, str(recipe_dir), str(at)],
        check=False,
        capture_output=True,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert aside_folders(recipe_dir) != []


def test_a_killed_build_leaves_the_old_engine_or_none_and_the_next_one_cleans_up(
    recipe_dir: Path, change_recipe: Callable[..., None]
) -> None:
    build_until_killed(recipe_dir, at=0.15)
    assert not (recipe_dir / "engine").exists()

    old = build_quietly(recipe_dir)
    assert aside_folders(recipe_dir) == []

    change_recipe(version="2.0.0")
    build_until_killed(recipe_dir, at=0.98)
    verify_files(recipe_dir / "engine", old)
    assert read_manifest(recipe_dir / "engine") == old

    assert build_quietly(recipe_dir).version == "2.0.0"
    assert aside_folders(recipe_dir) == []
