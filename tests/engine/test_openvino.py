"""What the OpenVINO engine refuses, and how it treats memory that is not its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skilld.core.batch import Batch, Row
from skilld.core.errors import ArtefactError, EngineError
from skilld.engine.base import Mode
from skilld.engine.openvino import OpenVINOEngine

pytestmark = pytest.mark.build


@pytest.fixture
def llama_dir(built_family: Callable[[str], Any]) -> Path:
    engine_dir = built_family("llama-tied").engine_dir
    assert isinstance(engine_dir, Path)
    return engine_dir


@pytest.fixture
def copied_dir(llama_dir: Path, tmp_path: Path) -> Path:
    for file in llama_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def one_row(**changes: Any) -> Batch:
    row: dict[str, Any] = {
        "request_id": "a",
        "token_ids": (3, 4, 5),
        "past_len": 0,
        "block_ids": (0,),
    }
    return Batch(engine="test", rows=[Row(**(row | changes))])


@pytest.mark.parametrize("name", ["model.bin", "model.xml", "tokenizer.json"])
def test_a_changed_file_is_refused_before_it_is_compiled(name: str, copied_dir: Path) -> None:
    path = copied_dir / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtefactError) as refused:
        OpenVINOEngine(copied_dir, num_threads=1)
    assert refused.value.reason == "DIGEST_MISMATCH"
    assert refused.value.path == path


def test_a_graph_that_is_not_one_is_refused_by_file(copied_dir: Path) -> None:
    from skilld.core.manifest import file_sha256

    (copied_dir / "model.xml").write_text("<net></net>")
    manifest = json.loads((copied_dir / "manifest.json").read_text())
    manifest["files"]["model.xml"] = {
        "sha256": file_sha256(copied_dir / "model.xml"),
        "num_bytes": (copied_dir / "model.xml").stat().st_size,
    }
    (copied_dir / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError) as refused:
        OpenVINOEngine(copied_dir, num_threads=1)
    assert refused.value.reason == "BAD_ENGINE"


@pytest.mark.parametrize(
    "changes",
    [
        {"block_ids": ()},
        {"block_ids": (4,)},
        {"block_ids": (-1,)},
        {"past_len": 30},
        {"token_ids": (3, 160)},
        {"token_ids": (-1,)},
        {"num_logits": 4},
    ],
)
def test_a_row_that_would_touch_foreign_memory_is_refused(
    changes: dict[str, Any], llama_dir: Path, bound_engine: Callable[..., OpenVINOEngine]
) -> None:
    engine = bound_engine(llama_dir, kv_blocks=4, state_blocks=0)
    with pytest.raises(EngineError):
        engine.step(one_row(**changes))
    assert engine.step(one_row()).logits.shape == (1, 160)


def test_a_step_without_wanted_logits_still_fills_the_cache(
    llama_dir: Path, bound_engine: Callable[..., OpenVINOEngine]
) -> None:
    engine = bound_engine(llama_dir, kv_blocks=4, state_blocks=0, mode=Mode.PARITY)
    whole = engine.step(one_row()).logits.copy()
    assert engine.step(one_row(token_ids=(3, 4), num_logits=0)).logits.shape == (0, 160)
    rest = engine.step(one_row(token_ids=(5,), past_len=2)).logits
    np.testing.assert_allclose(rest, whole, atol=1e-5)


def test_greedy_ids_are_of_the_lines_of_the_logits(
    llama_dir: Path, bound_engine: Callable[..., OpenVINOEngine]
) -> None:
    engine = bound_engine(llama_dir, kv_blocks=4, state_blocks=0)
    rows = [
        Row("a", (3, 4, 5, 6), 0, (0,), num_logits=3),
        Row("b", (9, 8), 0, (1,), num_logits=0),
        Row("c", (7,), 0, (2,)),
    ]
    output = engine.step(Batch(engine="test", rows=rows))
    assert list(output.greedy_ids) == [line.tolist().index(line.max()) for line in output.logits]
    assert len(output.greedy_ids) == 4


def test_steps_of_changing_sizes_compute_what_fresh_engines_compute(
    llama_dir: Path, bound_engine: Callable[..., OpenVINOEngine]
) -> None:
    engine = bound_engine(llama_dir, kv_blocks=4, state_blocks=0, mode=Mode.PARITY)
    batches = [
        one_row(token_ids=tokens, block_ids=blocks)
        for tokens in ((3, 4, 5), (9,), (5, 4, 3), (3, 4, 5), (8, 8), (9,))
        for blocks in ((0,), (2,))
    ]
    for batch in batches:
        fresh = bound_engine(llama_dir, kv_blocks=4, state_blocks=0, mode=Mode.PARITY)
        expected = fresh.step(batch).logits
        np.testing.assert_allclose(engine.step(batch).logits, expected, atol=1e-5)


def test_cache_is_written_to_the_bound_blocks_and_nowhere_else(llama_dir: Path) -> None:
    engine = OpenVINOEngine(llama_dir, num_threads=1)
    arrays: dict[str, Any] = {
        spec.name: np.full((4, *spec.block_shape), 9, spec.dtype) for spec in engine.cache_specs
    }
    engine.bind(arrays)
    engine.step(one_row(token_ids=[3] * 40, block_ids=(3, 1)))
    for array in arrays.values():
        assert (array[3] != 9).any()
        assert (array[1] != 9).any()
        assert (array[0] == 9).all()
        assert (array[2] == 9).all()
    engine.close()


@pytest.mark.parametrize("fault", ["missing", "dtype", "shape", "layout"])
def test_arrays_that_do_not_fit_are_not_bound(fault: str, llama_dir: Path) -> None:
    engine = OpenVINOEngine(llama_dir, num_threads=1)
    arrays: dict[str, Any] = {
        spec.name: np.zeros((4, *spec.block_shape), spec.dtype) for spec in engine.cache_specs
    }
    name = engine.cache_specs[0].name
    match fault:
        case "missing":
            del arrays[name]
        case "dtype":
            arrays[name] = arrays[name].astype(np.int16)
        case "shape":
            arrays[name] = arrays[name][:, :, :-1].copy()
        case "layout":
            arrays[name] = np.zeros((8, *engine.cache_specs[0].block_shape), np.uint8)[::2]
    with pytest.raises(EngineError, match=name.replace(".", r"\.")):
        engine.bind(arrays)
    engine.close()


def test_a_hybrid_row_without_its_state_block_is_refused(
    built_family: Callable[[str], Any], bound_engine: Callable[..., OpenVINOEngine]
) -> None:
    engine = bound_engine(built_family("lfm2").engine_dir, kv_blocks=4, state_blocks=2)
    with pytest.raises(EngineError, match="one state block per row"):
        engine.step(one_row())
    with pytest.raises(EngineError, match="state block"):
        engine.step(one_row(state_block_ids=(2,)))
