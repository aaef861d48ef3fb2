"""`make_base`, `make_specialist` and `make_alone`: a folder in, a checkpoint out.

What all specialists have to learn (which mark belongs to what, two languages, the words of
machines) is learned once: a base is trained on the data of all of them. Each specialist starts
from it and is trained on its own data alone.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import tokenizers
from rich.console import Console

from skilld.skills.spans import SpanError
from skilld.training.answer_pieces import answer_pieces
from skilld.training.batches import Batch, Sample, Text, as_text, tokenise
from skilld.training.example import Example
from skilld.training.feed import feed
from skilld.training.preparation import CHECKPOINT_DIR, Prepared, prepare
from skilld.training.settings import ModelSettings, OptimiserSettings, read_base_settings
from skilld.training.tokenizer import (
    EOS,
    PAD,
    check_answers,
    save_tokenizer,
    token_id_of,
    train_tokenizer,
)
from skilld.training.trainer import Model, Progress, load_model, new_model, train

_NUM_VOCABULARY_EXAMPLES = 12_000
_NUM_CHECKED_ANSWERS = 1000
_VOCABULARY_SEED_STEP = -1
_NO_LIMIT = 1 << 30


def make_base(base_dir: Path, *, console: Console) -> None:
    """Train a base from nothing, or go on where it stopped.

    Writes `checkpoint/` and `runs/`, both ignored by git.

    Args:
        base_dir: its `training.toml` names the specialists.
        console: progress goes here.

    Raises:
        ArtefactError: settings or a skill are wrong.
        LeakError: splits leak.
        TokenizerError: answers would not be tokenised as the constraint does.
    """
    say = _clock(console)
    settings = read_base_settings(base_dir)
    everyone = []
    for folder in settings.specialists:
        everyone.append(prepare((base_dir / folder).resolve()))
        say(f"{everyone[-1].skill.id}: tests drawn")
    checkpoint_dir = base_dir / CHECKPOINT_DIR
    if (checkpoint_dir / "tokenizer.json").exists():
        tokenizer = _read_tokenizer(checkpoint_dir)
    else:
        tokenizer = _make_tokenizer(everyone, vocab_size=settings.model.vocab_size, say=say)
        save_tokenizer(tokenizer, checkpoint_dir, max_length=settings.model.context_limit)
    say(f"tokenizer: {tokenizer.get_vocab_size()} tokens, forced tokens agree with training")
    model = new_model(
        settings.model,
        seed=settings.optimiser.seed,
        pad_id=token_id_of(tokenizer, PAD),
        eos_id=token_id_of(tokenizer, EOS),
    )
    weights = list(settings.specialists.values())
    _train(base_dir, model, everyone, weights, tokenizer, settings.optimiser, say=say)


def make_specialist(engine_dir: Path, *, console: Console) -> None:
    """Train the specialist of an engine folder from its base, or go on where it stopped.

    Writes `checkpoint/` and, ignored by git, `runs/`.

    Args:
        engine_dir: `engines/<name>`.
        console: progress goes here.

    Raises:
        ArtefactError: settings or skill are wrong.
        FileNotFoundError: its base is not trained.
        LeakError: the splits leak.
        TokenizerError: answers would not be tokenised as the constraint does.
    """
    say = _clock(console)
    prepared = prepare(engine_dir)
    settings = prepared.settings
    assert settings.optimiser is not None, f"{engine_dir}/training.toml: [optimiser] is missing"
    base_dir = (engine_dir / settings.base).resolve()
    say(", ".join(f"{name} {len(examples)}" for name, examples in prepared.tests.items()))
    model = load_model(base_dir / CHECKPOINT_DIR)
    tokenizer = _read_tokenizer(base_dir / CHECKPOINT_DIR)
    _check([prepared], _texts(prepared, _NUM_CHECKED_ANSWERS), tokenizer)
    save_tokenizer(
        tokenizer, engine_dir / CHECKPOINT_DIR, max_length=model.config.max_position_embeddings
    )
    _train(engine_dir, model, [prepared], [1.0], tokenizer, settings.optimiser, say=say)


def make_alone(
    engine_dir: Path,
    into: Path,
    *,
    model: ModelSettings,
    time_limit_s: float,
    console: Console,
) -> None:
    """Train a specialist from random weights, without a base, or go on where it stopped.

    Data, batches, rates and tokenizer are those of the engine folder.
    Only the time ends it, so that models of several sizes can be compared.

    Args:
        engine_dir: `engines/<name>`; is not written to.
        into: folder that gets `checkpoint/` and `runs/`.
        model: its shape; `vocab_size` must be that of the tokenizer.
        time_limit_s: of training.
        console: progress goes here.

    Raises:
        ArtefactError: settings or skill are wrong.
        FileNotFoundError: neither the base nor the specialist was ever trained.
        LeakError: the splits leak.
    """
    say = _clock(console)
    prepared = prepare(engine_dir)
    settings = prepared.settings
    assert settings.optimiser is not None, f"{engine_dir}/training.toml: [optimiser] is missing"
    optimiser = settings.optimiser.model_copy(
        update={"time_limit_s": time_limit_s, "num_steps": _NO_LIMIT}
    )
    tokenizer = shared_tokenizer(engine_dir, base=settings.base)
    assert tokenizer.get_vocab_size() == model.vocab_size, "the model needs an id for every token"
    save_tokenizer(tokenizer, into / CHECKPOINT_DIR, max_length=model.context_limit)
    fresh = new_model(
        model,
        seed=optimiser.seed,
        pad_id=token_id_of(tokenizer, PAD),
        eos_id=token_id_of(tokenizer, EOS),
    )
    _train(into, fresh, [prepared], [1.0], tokenizer, optimiser, say=say)


def shared_tokenizer(engine_dir: Path, *, base: str) -> tokenizers.Tokenizer:
    """The tokenizer of a specialist's checkpoint, or of its base, which has the same.

    Raises:
        FileNotFoundError: neither was ever trained.
    """
    base_dir = (engine_dir / base).resolve()
    for folder in (engine_dir, base_dir):
        if (folder / CHECKPOINT_DIR / "tokenizer.json").is_file():
            return _read_tokenizer(folder / CHECKPOINT_DIR)
    raise FileNotFoundError(f"{engine_dir}: no tokenizer; make one with tools/train {base_dir}")


def is_base(folder: Path) -> bool:
    """Whether a folder is one of a base; a specialist has a recipe."""
    return not (folder / "recipe.toml").exists()


def _texts(prepared: Prepared, count: int) -> list[Text]:
    """Training examples to look at before training; other ones than it will see."""
    seed = prepared.settings.data.seed + _VOCABULARY_SEED_STEP
    return _pointed(prepared, islice(prepared.training_examples(seed=seed), count))


def _pointed(prepared: Prepared, examples: Iterable[Example]) -> list[Text]:
    texts = []
    for example in examples:
        with contextlib.suppress(SpanError):  # `samples` tells when there are too many
            texts.append(as_text(example, skill=prepared.skill, prompt=prepared.prompt))
    return texts


def _make_tokenizer(
    everyone: Sequence[Prepared], *, vocab_size: int, say: Callable[[str], None]
) -> tokenizers.Tokenizer:
    looked_at = [_texts(prepared, _NUM_VOCABULARY_EXAMPLES) for prepared in everyone]
    pieces: set[str] = set()
    for prepared, texts in zip(everyone, looked_at, strict=True):
        schema = prepared.skill.decoding_schema
        for answer in {text.answer for text in texts}:
            pieces.update(answer_pieces(json.loads(answer), schema))
        for reason in prepared.skill.abstain.reasons:
            pieces.update(answer_pieces({"abstain": reason}, schema))
        if prepared.skill.spans is not None:
            pieces.update(prepared.skill.spans.marks())
    say(f"{len(pieces)} pieces of answers and marks")
    tokenizer = train_tokenizer(
        _words(looked_at),
        vocab_size=vocab_size,
        names=[prepared.skill.id for prepared in everyone],
        pieces=pieces,
    )
    for prepared, texts in zip(everyone, looked_at, strict=True):
        _check([prepared], texts[:_NUM_CHECKED_ANSWERS], tokenizer)
    return tokenizer


def _words(looked_at: Sequence[Sequence[Text]]) -> Iterator[str]:
    for texts in looked_at:
        for text in texts:
            yield from (words for words, is_value in text.segments if is_value)
            yield text.answer  # translations have words of their own


def _check(
    everyone: Sequence[Prepared], texts: Sequence[Text], tokenizer: tokenizers.Tokenizer
) -> None:
    for prepared in everyone:
        answers = sorted({text.answer for text in texts})
        check_answers(tokenizer, answers, decoding_schema=prepared.skill.decoding_schema)


def _train(
    folder: Path,
    model: Model,
    everyone: Sequence[Prepared],
    weights: Sequence[float],
    tokenizer: tokenizers.Tokenizer,
    optimiser: OptimiserSettings,
    *,
    say: Callable[[str], None],
) -> None:
    pad_id = token_id_of(tokenizer, PAD)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    validation: dict[str, list[Sample]] = {}
    for prepared in everyone:
        examples = prepared.tests["validation"]
        texts = _pointed(prepared, examples)
        validation[prepared.skill.id] = tokenise(texts, tokenizer=tokenizer)
    lengths = [len(sample.ids) for each in validation.values() for sample in each]
    say(
        f"model: {num_parameters / 1e6:.2f} M parameters; "
        f"{sum(lengths) / len(lengths):.0f} tokens per example"
    )

    def stream(step: int) -> Iterator[Batch]:
        return feed(
            dict(zip((prepared.engine_dir for prepared in everyone), weights, strict=True)),
            tokenizer_path=folder / CHECKPOINT_DIR / "tokenizer.json",
            batch_tokens=optimiser.batch_tokens,
            pad_id=pad_id,
            seed=optimiser.seed + step,
        )

    runs_dir = folder / "runs"
    runs_dir.mkdir(exist_ok=True)
    best = train(
        model,
        stream,
        validation,
        settings=optimiser,
        pad_id=pad_id,
        checkpoint_dir=folder / CHECKPOINT_DIR,
        state_path=runs_dir / "state.pt",
        on_progress=_reporter(runs_dir / "progress.jsonl", optimiser.num_steps, say),
    )
    say(f"kept the checkpoint with validation exact match {best:.1%}")


def _reporter(path: Path, num_steps: int, say: Callable[[str], None]) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        line = (
            f"step {progress.step}/{num_steps}  loss {progress.loss:.4f}  "
            f"{progress.tokens_per_s:.0f} tokens/s"
        )
        if progress.exact_match is not None:
            line += "  exact match " + ", ".join(
                f"{name} {share:.1%}" for name, share in progress.exact_match.items()
            )
            with path.open("a", encoding="utf-8") as log:
                record: Mapping[str, object] = {
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


def _read_tokenizer(checkpoint_dir: Path) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(checkpoint_dir / "tokenizer.json"))
