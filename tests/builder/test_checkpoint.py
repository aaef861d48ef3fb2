from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skilld.builder.checkpoint import MAX_PARAMETERS, read_checkpoint
from skilld.core.errors import ArtefactError


def change_config(checkpoint_dir: Path, **changes: Any) -> None:
    path = checkpoint_dir / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")


def reason_of_refusal(checkpoint_dir: Path) -> str:
    with pytest.raises(ArtefactError) as refused:
        read_checkpoint(checkpoint_dir)
    assert refused.value.hint
    return refused.value.reason


def test_geometry_and_special_tokens_come_from_the_configuration(checkpoint_dir: Path) -> None:
    checkpoint = read_checkpoint(checkpoint_dir)
    assert checkpoint.family == "llama"
    assert checkpoint.context_limit == 256
    geometry = checkpoint.geometry
    assert (geometry.num_layers, geometry.num_kv_heads, geometry.head_dim) == (2, 1, 16)
    assert geometry.num_parameters == 128 * 32 + 32 + 2 * (2 * 32 + 3 * 32 * 32 + 3 * 32 * 64)
    assert checkpoint.vocabulary.eos_ids == (2,)


def test_the_generation_config_decides_which_tokens_end_an_answer(checkpoint_dir: Path) -> None:
    (checkpoint_dir / "generation_config.json").write_text('{"eos_token_id": [2, 7]}')
    assert read_checkpoint(checkpoint_dir).vocabulary.eos_ids == (2, 7)


def test_an_unknown_family_is_refused(checkpoint_dir: Path) -> None:
    change_config(checkpoint_dir, model_type="mamba")
    assert reason_of_refusal(checkpoint_dir) == "UNKNOWN_FAMILY"


def test_more_than_two_billion_parameters_are_refused_from_the_header_alone(
    checkpoint_dir: Path, sparse_checkpoint: Callable[[int], None]
) -> None:
    sparse_checkpoint(MAX_PARAMETERS)
    assert read_checkpoint(checkpoint_dir).geometry.num_parameters == MAX_PARAMETERS
    sparse_checkpoint(MAX_PARAMETERS + 1)
    assert reason_of_refusal(checkpoint_dir) == "MODEL_TOO_LARGE"


def test_weights_in_a_pickle_are_refused_unread(checkpoint_dir: Path) -> None:
    (checkpoint_dir / "model.safetensors").unlink()
    (checkpoint_dir / "pytorch_model.bin").write_bytes(pickle.dumps(_Bomb()))
    assert reason_of_refusal(checkpoint_dir) == "PICKLE_WEIGHTS"


def test_a_checkpoint_without_tokenizer_is_refused(checkpoint_dir: Path) -> None:
    (checkpoint_dir / "tokenizer.json").unlink()
    assert reason_of_refusal(checkpoint_dir) == "NO_TOKENIZER"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_refused(name: str, checkpoint_dir: Path) -> None:
    (checkpoint_dir / name).unlink()
    assert reason_of_refusal(checkpoint_dir) == "BAD_CHECKPOINT"


@pytest.mark.parametrize("keep_bytes", [4, 100, 5000])
def test_a_truncated_weight_file_is_refused(keep_bytes: int, checkpoint_dir: Path) -> None:
    path = checkpoint_dir / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep_bytes])
    assert reason_of_refusal(checkpoint_dir) == "BAD_CHECKPOINT"


def test_a_model_that_names_no_end_token_is_refused(checkpoint_dir: Path) -> None:
    change_config(checkpoint_dir, eos_token_id=None)
    assert reason_of_refusal(checkpoint_dir) == "BAD_CHECKPOINT"


def test_the_digest_of_a_checkpoint_sees_contents_and_names(checkpoint_dir: Path) -> None:
    before = read_checkpoint(checkpoint_dir).sha256()
    assert read_checkpoint(checkpoint_dir).sha256() == before
    (checkpoint_dir / "tokenizer.json").rename(checkpoint_dir / "tokenizer2.json")
    (checkpoint_dir / "tokenizer2.json").rename(checkpoint_dir / "tokenizer.json")
    assert read_checkpoint(checkpoint_dir).sha256() == before
    change_config(checkpoint_dir, rms_norm_eps=1e-6)
    assert read_checkpoint(checkpoint_dir).sha256() != before


class _Bomb:
    """Fails the test if anything unpickles it."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return pytest.fail, ("a pickle was read",)
