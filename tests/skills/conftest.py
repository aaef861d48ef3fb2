"""A small byte-level tokenizer, and skills over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as HfTokenizer

from skilld.core.manifest import (
    BuildHost,
    CacheLayout,
    EngineManifest,
    Geometry,
    Precision,
    Source,
    Vocabulary,
)
from skilld.skills import Catalog, RegisteredSkill
from skilld.skills.constraint import ConstraintCompiler
from skilld.skills.pointing.marks import MARKS_PER_KIND, MAX_KINDS, mark_at
from skilld.skills.tokenizer import Tokenizer

EOS_ID = 1

Register = Callable[..., RegisteredSkill]


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hf = HfTokenizer(models.BPE())
    hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hf.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|pad|>", "<|eos|>", "<|in|>", "<|out|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [
        json.dumps(
            {"fault_code": f"E{n}", "subsystem": name, "count": n, "ok": n % 2 == 0},
            separators=(",", ":"),
        )
        for n in range(200)
        for name in ("drive", "power", "油圧")
    ]
    hf.train_from_iterator(corpus, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    hf.save(str(path))
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_path: Path) -> Tokenizer:
    return Tokenizer(tokenizer_path)


@pytest.fixture(scope="session")
def vocabulary(tokenizer_path: Path) -> Vocabulary:
    size = HfTokenizer.from_file(str(tokenizer_path)).get_vocab_size()
    return Vocabulary(size=size, eos_ids=(EOS_ID,))


@pytest.fixture(scope="session")
def compiler(tokenizer: Tokenizer, vocabulary: Vocabulary) -> ConstraintCompiler:
    return ConstraintCompiler(tokenizer.json_text, vocabulary)


@pytest.fixture(scope="session")
def marked_tokenizer_path(tokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer with a token for every mark."""
    hf = HfTokenizer.from_file(str(tokenizer_path))
    marks = [mark_at(kind, i) for kind in range(MAX_KINDS) for i in range(MARKS_PER_KIND)]
    hf.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in marks])
    path = tmp_path_factory.mktemp("marked") / "tokenizer.json"
    hf.save(str(path))
    return path


@pytest.fixture(scope="session")
def register(marked_tokenizer_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Register:
    """Registers a skill, given as text, with an engine; its tokenizer knows marks."""

    def register(text: str, tokenizer_path: Path = marked_tokenizer_path) -> RegisteredSkill:
        return _registered(text, tokenizer_path, tmp_path_factory.mktemp("engine"))

    return register


def _registered(text: str, tokenizer_path: Path, engine_dir: Path) -> RegisteredSkill:
    """Write an engine folder as far as a catalog reads it, and register its skill."""
    (engine_dir / "skills").mkdir()
    (engine_dir / "skills" / "skill.toml").write_text(text, encoding="utf-8")
    (engine_dir / "tokenizer.json").write_bytes(tokenizer_path.read_bytes())
    size = HfTokenizer.from_file(str(tokenizer_path)).get_vocab_size()
    manifest = EngineManifest(
        name="tiny",
        version="0.1.0",
        runtime="openvino",
        family="fake",
        precision=Precision.INT8,
        context_limit=2048,
        source=Source(name="none", sha256="0" * 64, licence="Apache-2.0"),
        geometry=Geometry(
            num_layers=1,
            hidden_size=1,
            num_heads=1,
            num_kv_heads=1,
            head_dim=1,
            vocab_size=size,
            num_parameters=1,
        ),
        cache=CacheLayout(block_tokens=4, kv_bytes_per_token=8),
        vocabulary=Vocabulary(size=size, eos_ids=(EOS_ID,)),
        build_host=BuildHost(cpu="none", cpu_features=(), num_threads=1, tool_versions={}),
        files={},
    )
    (entry,) = Catalog().register_engine(engine_dir, manifest)
    return entry
