"""Tokenised examples, and batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import tokenizers
from numpy.typing import NDArray

from skilld.skills.prompt import Prompt
from skilld.training.example import Example
from skilld.training.tokenizer import EOS, prompt_ids, token_id_of

_POOL_BATCHES = 40


@dataclass(frozen=True, slots=True)
class Sample:
    """Token ids of one example.

    Attributes:
        ids: int32 `[length]`, prompt, answer and end token.
        num_prompt: how many of them are the prompt.
    """

    ids: NDArray[np.int32]
    num_prompt: int


def tokenise(
    examples: Sequence[Example], *, tokenizer: tokenizers.Tokenizer, prompt: Prompt
) -> list[Sample]:
    """Examples as the runtime will tokenise them: prompt by its segments, then the answer."""
    eos_id = token_id_of(tokenizer, EOS)
    samples = []
    for example in examples:
        segments = [(piece.text, piece.is_value) for piece in prompt.render(example.input)]
        before = list(prompt_ids(tokenizer, segments))
        answer = tokenizer.encode(example.target, add_special_tokens=False).ids
        samples.append(Sample(np.array([*before, *answer, eos_id], np.int32), len(before)))
    return samples


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right; with a causal mask nothing looks at the padding.

    Attributes:
        ids: int64 `[rows, length]`.
        targets: int64 `[rows, length]`: the token that should follow, -100 in prompt and padding.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]


def make_batch(samples: Sequence[Sample], *, pad_id: int) -> Batch:
    """Pad samples to the longest of them."""
    length = max(len(sample.ids) for sample in samples) - 1
    ids = np.full((len(samples), length), pad_id, np.int64)
    targets = np.full((len(samples), length), -100, np.int64)
    for row, sample in enumerate(samples):
        n = len(sample.ids) - 1
        ids[row, :n] = sample.ids[:-1]
        targets[row, sample.num_prompt - 1 : n] = sample.ids[sample.num_prompt :]
    return Batch(ids, targets)


def batches(
    samples: Sequence[Sample], *, batch_tokens: int, pad_id: int, rng: Random
) -> Iterator[Batch]:
    """One epoch: shuffled, cut into pools, sorted by length inside a pool, batches shuffled."""
    order = list(range(len(samples)))
    rng.shuffle(order)
    mean_length = max(1.0, sum(len(s.ids) for s in samples) / max(1, len(samples)))
    pool_size = max(1, int(_POOL_BATCHES * batch_tokens / mean_length))
    for start in range(0, len(order), pool_size):
        pool = sorted(order[start : start + pool_size], key=lambda i: len(samples[i].ids))
        groups = _groups(samples, pool, batch_tokens=batch_tokens)
        rng.shuffle(groups)
        for group in groups:
            yield make_batch([samples[i] for i in group], pad_id=pad_id)


def _groups(
    samples: Sequence[Sample], by_length: Sequence[int], *, batch_tokens: int
) -> list[list[int]]:
    groups: list[list[int]] = [[]]
    for i in by_length:
        if groups[-1] and (len(groups[-1]) + 1) * len(samples[i].ids) > batch_tokens:
            groups.append([])
        groups[-1].append(i)
    return [group for group in groups if group]
