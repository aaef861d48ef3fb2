"""Training a byte-level BPE tokenizer, and proving that it writes answers in one way only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

PAD, EOS, OUTPUT = "<|pad|>", "<|eos|>", "<|output|>"
SPECIAL_TOKENS = (PAD, EOS, OUTPUT)

# A blank belongs to the word after it only for ordinary words of three letters or more. Codes,
# numbers and signs never carry one, so they are the same tokens wherever they stand and can be
# copied token by token.
_WORDS = (
    r" ?\p{Lu}?\p{Ll}{2,}"
    r"|\p{Lu}+|\p{Ll}|\p{N}"
    r"|\p{Katakana}[\p{Katakana}ー]*|\p{Hiragana}+|\p{Han}+"
    r"|\p{L}+| +|\n|[^\s\p{L}\p{N}]|\s"
)


class TokenizerError(Exception):
    """The tokenizer does not write an answer the way the constraint will."""


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, names: Sequence[str], pieces: Iterable[str]
) -> tokenizers.Tokenizer:
    """Train on prompts; what answers are made of gets tokens of its own.

    Args:
        texts: of training splits only.
        vocab_size: tokens in all, special and answer tokens included.
        names: of the skills; each has a special token that its prompts begin with.
        pieces: of answers (see `answer_pieces`), and marks.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # Single characters are tokens anyway; longer pieces are looked for first.
    whole = sorted({piece for piece in pieces if len(piece.encode()) > 1})
    whole.sort(key=len, reverse=True)
    special = [*SPECIAL_TOKENS, *(f"<|{name}|>" for name in names)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(whole),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False, special=False) for piece in whole])
    return tokenizer


def save_tokenizer(tokenizer: tokenizers.Tokenizer, folder: Path, *, max_length: int) -> None:
    """Write `tokenizer.json` and the `tokenizer_config.json` that transformers reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": EOS,
        "pad_token": PAD,
        "additional_special_tokens": [OUTPUT],
        "model_max_length": max_length,
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def check_answers(
    tokenizer: tokenizers.Tokenizer, targets: Iterable[str], *, decoding_schema: Mapping[str, Any]
) -> int:
    """Prove that answers are written as the constraint writes them.

    For every answer: decoding its tokens gives it back; its tokens and the end token are what the
    schema admits; and wherever the schema forces tokens, they are the next ones of the answer.

    Returns:
        How many tokens were forced, in all answers together.

    Raises:
        TokenizerError: says which answer, where.
    """
    from llguidance import LLMatcher, LLTokenizer

    eos_id = token_id_of(tokenizer, EOS)
    ll_tokenizer = LLTokenizer(
        tokenizer.to_str(), n_vocab=tokenizer.get_vocab_size(), eos_token=eos_id
    )
    grammar = LLMatcher.grammar_from_json_schema(
        json.dumps(decoding_schema), overrides={"whitespace_flexible": False}
    )
    num_forced = 0
    for target in targets:
        ids: list[int] = tokenizer.encode(target, add_special_tokens=False).ids
        if tokenizer.decode(ids) != target:
            raise TokenizerError(f"{target!r} decodes to {tokenizer.decode(ids)!r}")
        matcher = LLMatcher(ll_tokenizer, grammar)
        for i, token_id in enumerate((*ids, eos_id)):
            forced = matcher.compute_ff_tokens()
            num_forced += bool(forced)
            if list(forced) != [*ids, eos_id][i : i + len(forced)]:
                wanted = [tokenizer.id_to_token(t) for t in [*ids, eos_id][i : i + len(forced)]]
                got = [tokenizer.id_to_token(t) for t in forced]
                raise TokenizerError(f"{target!r}: schema forces {got}, training has {wanted}")
            if matcher.is_stopped() and token_id == eos_id:
                break
            if not matcher.consume_token(token_id):
                raise TokenizerError(
                    f"{target!r}: {tokenizer.id_to_token(token_id)!r} breaks the schema"
                )
    return num_forced


def token_id_of(tokenizer: tokenizers.Tokenizer, token: str) -> int:
    """Id of a token.

    Raises:
        TokenizerError: the vocabulary has no such token.
    """
    found = tokenizer.token_to_id(token)
    if found is None:
        raise TokenizerError(f"the vocabulary has no {token!r}")
    return int(found)
