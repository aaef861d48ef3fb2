"""A specialist: a folder in, a checkpoint out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import skilld.training  # hides a torchvision that does not fit

assert skilld.training
pytest.importorskip("torch", reason="needs the [train] extra")
transformers = pytest.importorskip("transformers", reason="needs the [train] extra")

from tests.conftest import WORD_GENERATOR  # noqa: E402

from skilld.training.settings import ModelSettings  # noqa: E402
from skilld.training.specialist import make_specialist  # noqa: E402

pytestmark = pytest.mark.train
SHIPPED = Path(__file__).parents[2] / "engines" / "plc-triage"
SHAPE = ModelSettings(
    vocab_size=900,
    hidden_size=32,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_size=16,
    feed_forward_size=64,
    context_limit=256,
)

SETTINGS = """
skill = "plc-triage"
[data]
seed = 3
num_validation = 4
num_test = 4
[model]
vocab_size = 900
hidden_size = 64
num_layers = 2
num_heads = 2
num_kv_heads = 1
head_size = 32
feed_forward_size = 64
context_limit = 256
[optimiser]
num_steps = 1
batch_tokens = 128
matrix_lr = 0.01
other_lr = 0.01
num_threads = 1
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    shutil.copytree(SHIPPED / "skills", folder / "skills")
    (folder / "generator.py").write_text(WORD_GENERATOR)
    (folder / "training.toml").write_text(SETTINGS)
    return folder


def made_in(folder: Path) -> Any:  # Any: transformers carries no types
    return transformers.AutoModelForCausalLM.from_pretrained(folder / "checkpoint").config


def test_its_settings_make_its_checkpoint(source: Path) -> None:
    make_specialist(source, console=Console(quiet=True))
    assert (made_in(source).hidden_size, made_in(source).num_hidden_layers) == (64, 2)
    assert (source / "checkpoint" / "tokenizer.json").is_file()


def test_another_shape_is_trained_elsewhere(source: Path, tmp_path: Path) -> None:
    before = sorted(source.rglob("*"))
    into = tmp_path / "sizes" / "32x1"
    # Less time than a step takes: one is made.
    make_specialist(source, console=Console(quiet=True), into=into, shape=SHAPE, time_limit_s=1e-6)
    assert [p for p in sorted(source.rglob("*")) if "__pycache__" not in p.parts] == before
    assert (made_in(into).hidden_size, made_in(into).num_hidden_layers) == (32, 1)
    (line,) = (into / "runs" / "progress.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 1


def test_it_goes_on_with_newer_data_and_the_tokenizer_it_knows(source: Path) -> None:
    make_specialist(source, console=Console(quiet=True))
    tokenizer = (source / "checkpoint" / "tokenizer.json").read_bytes()
    weights = (source / "checkpoint" / "model.safetensors").read_bytes()
    (source / "generator.py").write_text(WORD_GENERATOR.replace("abcdefgh", "ijklmnop"))
    settings = (source / "training.toml").read_text()
    (source / "training.toml").write_text(settings.replace("num_steps = 1", "num_steps = 3"))
    make_specialist(source, console=Console(quiet=True))
    assert (source / "checkpoint" / "tokenizer.json").read_bytes() == tokenizer
    assert (source / "checkpoint" / "model.safetensors").read_bytes() != weights
    steps = (source / "runs" / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in steps] == [1, 3]
