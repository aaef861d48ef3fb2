"""`train_tokenizer`: a tokenizer as real models have them, made from text every machine has.

Byte-level BPE over the sources of Python's standard library. Its tokens are words and pieces of
words, so that a prompt, a key of a JSON object or a vocabulary mask costs what it would cost with
a real model; a tokenizer of single bytes would make answers several times longer.
"""

from __future__ import annotations

import json
import re
import sysconfig
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END_TOKEN = "<|end|>"
END_ID = 0
_MAX_TOKEN_CHARS = 16


def train_tokenizer(vocab_size: int) -> Tokenizer:
    """Train the tokenizer; takes some ten seconds.

    Args:
        vocab_size: most tokens it may have. The text has words for about 75,000.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[END_TOKEN],  # the first token: END_ID
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=_MAX_TOKEN_CHARS,
        show_progress=False,
    )
    library = Path(sysconfig.get_path("stdlib"))
    sources = sorted(
        path
        for path in library.rglob("*.py")
        if not {"site-packages", "dist-packages"} & set(path.parts)
    )
    tokenizer.train_from_iterator(
        (path.read_text(encoding="utf-8", errors="replace") for path in sources), trainer
    )
    return tokenizer


def vocabulary_and_merges(path: Path) -> tuple[list[str], list[str]]:
    """Tokens by id, and merges by rank ("left right"), of a `tokenizer.json` made here."""
    model = json.loads(path.read_text(encoding="utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    return tokens, merges


class Prose:
    """Texts of random words, each text of exactly so many tokens.

    Args:
        path: a `tokenizer.json` made here.
        seed: of the choice; the same seed gives the same texts.
    """

    def __init__(self, path: Path, *, seed: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        tokens, _ = vocabulary_and_merges(path)
        self._words = [
            token.replace("Ġ", " ") for token in tokens if re.fullmatch("Ġ[a-z]{3,8}", token)
        ]
        self._random = np.random.default_rng(seed)

    def text(self, num_tokens: int) -> str:
        """A new text."""
        words = "".join(
            self._words[i] for i in self._random.integers(len(self._words), size=num_tokens)
        )
        assert len(self.ids(words)) == num_tokens, "a word with its space is one token"
        return words

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids
