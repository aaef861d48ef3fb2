"""A small byte-level tokenizer, and skills over it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from skilld.core.manifest import Vocabulary
from skilld.skills.constraint import ConstraintCompiler
from skilld.skills.tokenizer import Tokenizer

EOS_ID = 1


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
