"""`feed`: batches made by a process of their own, while the one that trains computes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import tokenizers

from skilld.training.batches import Batch, batches, samples
from skilld.training.preparation import prepare

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

_MAX_WAITING: Final = 64


class FeedError(Exception):
    """The process that makes batches ended; says why."""


def feed(
    engine_dir: Path,
    *,
    tokenizer_path: Path,
    batch_tokens: int,
    pad_id: int,
    seed: int,
    token_dropout: float,
) -> Iterator[Batch]:
    """Batches of the training examples of a specialist, without end.

    Args:
        engine_dir: `engines/<name>`.
        tokenizer_path: of a `tokenizer.json`.
        batch_tokens: prompt, answer and padding together, in one batch.
        pad_id: of the tokenizer.
        seed: other batches for another seed.
        token_dropout: see `DataSettings`.

    Raises:
        FeedError: a generator failed or leaks.
    """
    context = multiprocessing.get_context("spawn")  # the caller has threads
    queue: Queue[Batch | str] = context.Queue(maxsize=_MAX_WAITING)
    process = context.Process(
        target=_fill,
        args=(queue, engine_dir, tokenizer_path, batch_tokens, pad_id, seed, token_dropout),
        daemon=True,
    )
    process.start()
    try:
        while True:
            batch = queue.get()
            if isinstance(batch, str):
                raise FeedError(batch)
            yield batch
    finally:
        process.terminate()


def _fill(
    queue: Queue[Batch | str],
    engine_dir: Path,
    tokenizer_path: Path,
    batch_tokens: int,
    pad_id: int,
    seed: int,
    token_dropout: float,
) -> None:
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer_path))
        reader = tokenizers.Tokenizer.from_file(str(tokenizer_path))
        reader.model.dropout = token_dropout or None
        prepared = prepare(engine_dir)
        stream = samples(
            prepared.training_examples(seed=seed),
            skill=prepared.skill,
            prompt=prepared.prompt,
            tokenizer=tokenizer,
            reader=reader,
        )
        for batch in batches(stream, batch_tokens=batch_tokens, pad_id=pad_id):
            queue.put(batch)
    except Exception as error:  # whatever it was, the trainer must not wait for ever
        queue.put(f"{type(error).__name__}: {error}")
