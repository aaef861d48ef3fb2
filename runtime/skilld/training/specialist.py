"""`make_specialist`: an engine folder in, a checkpoint out."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import tokenizers
from rich.console import Console

from skilld.skills.pointing import SpanError
from skilld.training.answer_pieces import answer_pieces
from skilld.training.batches import Batch, Text, as_text, tokenise
from skilld.training.example import Example
from skilld.training.feed import feed
from skilld.training.preparation import CHECKPOINT_DIR, Prepared, prepare
from skilld.training.settings import ModelSettings
from skilld.training.tokenizer import (
    EOS,
    PAD,
    check_answers,
    save_tokenizer,
    token_id_of,
    train_tokenizer,
)
from skilld.training.trainer import Progress, new_model, train

_NUM_VOCABULARY_EXAMPLES = 12_000
_NUM_CHECKED_ANSWERS = 2000
_VOCABULARY_SEED_STEP = -1
_NO_LIMIT = 1 << 30


def make_specialist(
    engine_dir: Path,
    *,
    console: Console,
    into: Path | None = None,
    shape: ModelSettings | None = None,
    time_limit_s: float | None = None,
) -> None:
    """Train the specialist of an engine folder from nothing, or go on where it stopped.

    Going on needs `runs/state.pt` and the tokenizer in `checkpoint/`; data may be newer, and
    `num_steps` larger.

    Writes `checkpoint/` and, ignored by git, `runs/`.

    Args:
        engine_dir: `engines/<name>`.
        console: progress goes here.
        into: folder to write to, if not the engine's own.
        shape: of the model, if not the one of the settings.
        time_limit_s: of training, instead of the steps and the time of the settings.

    Raises:
        ArtefactError: settings or skill are wrong.
        FeedError: the splits leak, or the generator failed.
        TokenizerError: answers would not be tokenised as the constraint does.
    """
    say = _clock(console)
    into = into or engine_dir
    prepared = prepare(engine_dir)
    settings = prepared.settings
    shape = shape or settings.model
    optimiser = settings.optimiser
    if time_limit_s is not None:
        optimiser = optimiser.model_copy(
            update={"num_steps": _NO_LIMIT, "time_limit_s": time_limit_s}
        )
    say(", ".join(f"{name} {len(examples)}" for name, examples in prepared.tests.items()))
    checkpoint_dir = into / CHECKPOINT_DIR
    state_path = into / "runs" / "state.pt"
    # A model that goes on, perhaps on better data, knows no other tokenizer.
    known = checkpoint_dir / "tokenizer.json" if state_path.exists() else None
    tokenizer = _make_tokenizer(prepared, vocab_size=shape.vocab_size, known=known)
    save_tokenizer(tokenizer, checkpoint_dir, max_length=shape.context_limit)
    say(f"tokenizer: {tokenizer.get_vocab_size()} tokens, forced tokens agree with training")
    pad_id, eos_id = token_id_of(tokenizer, PAD), token_id_of(tokenizer, EOS)
    model = new_model(shape, seed=optimiser.seed, pad_id=pad_id, eos_id=eos_id)
    validation = tokenise(_pointed(prepared, prepared.tests["validation"]), tokenizer=tokenizer)
    say(
        f"model: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters; "
        f"{sum(len(sample.ids) for sample in validation) / len(validation):.0f} tokens per example"
    )

    def stream(step: int) -> Iterator[Batch]:
        return feed(
            engine_dir,
            tokenizer_path=checkpoint_dir / "tokenizer.json",
            batch_tokens=optimiser.batch_tokens,
            pad_id=pad_id,
            seed=settings.data.seed + step,
            token_dropout=settings.data.token_dropout,
        )

    state_path.parent.mkdir(exist_ok=True)
    best = train(
        model,
        stream,
        validation,
        settings=optimiser,
        pad_id=pad_id,
        checkpoint_dir=checkpoint_dir,
        state_path=state_path,
        on_progress=_reporter(state_path.with_name("progress.jsonl"), optimiser.num_steps, say),
    )
    say(f"kept the checkpoint with validation exact match {best:.1%}")


def _make_tokenizer(
    prepared: Prepared, *, vocab_size: int, known: Path | None
) -> tokenizers.Tokenizer:
    """Train on other examples than training will see, and check it on their answers.

    Args:
        prepared: data of the engine.
        vocab_size: tokens at most.
        known: file of a tokenizer to check and keep, instead of training one.
    """
    skill = prepared.skill
    seed = prepared.settings.data.seed + _VOCABULARY_SEED_STEP
    examples = islice(prepared.training_examples(seed=seed), _NUM_VOCABULARY_EXAMPLES)
    texts = _pointed(prepared, examples)
    schema = skill.decoding_schema
    answers = {text.answer for text in texts}
    answers |= {json.dumps({"abstain": r}, separators=(",", ":")) for r in skill.abstain.reasons}
    pieces = {piece for answer in answers for piece in answer_pieces(json.loads(answer), schema)}
    if skill.spans is not None:
        pieces.update(skill.spans.marks())
    if known is not None:
        tokenizer = tokenizers.Tokenizer.from_file(str(known))
    else:
        tokenizer = train_tokenizer(
            _words(texts), vocab_size=vocab_size, names=[skill.id], pieces=pieces
        )
    checked = sorted(answers)[:: max(1, len(answers) // _NUM_CHECKED_ANSWERS)]
    check_answers(tokenizer, checked, decoding_schema=schema)
    return tokenizer


def _pointed(prepared: Prepared, examples: Iterable[Example]) -> list[Text]:
    texts = []
    for example in examples:
        with contextlib.suppress(SpanError):  # `samples` tells when there are too many
            texts.append(as_text(example, skill=prepared.skill, prompt=prepared.prompt))
    return texts


def _words(texts: Sequence[Text]) -> Iterator[str]:
    for text in texts:
        yield from (words for words, is_value in text.segments if is_value)
        yield text.answer  # translations have words of their own


def _reporter(path: Path, num_steps: int, say: Callable[[str], None]) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        line = (
            f"step {progress.step}/{num_steps}  loss {progress.loss:.4f}  "
            f"{progress.tokens_per_s:.0f} tokens/s"
        )
        if progress.exact_match is not None:
            line += f"  exact match {progress.exact_match:.1%}"
            with path.open("a", encoding="utf-8") as log:
                record = {
                    "step": progress.step,
                    "loss": round(progress.loss, 5),
                    "exact_match": progress.exact_match,
                    "elapsed_s": round(progress.elapsed_s, 1),
                }
                log.write(json.dumps(record) + "\n")
        say(line)

    return report


def _clock(console: Console) -> Callable[[str], None]:
    started_s = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[{time.monotonic() - started_s:7.0f} s] {text}", markup=False)

    return say
