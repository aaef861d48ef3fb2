"""`make_specialist`: an engine folder in, a checkpoint and its report out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from skilld.training.batches import tokenise
from skilld.training.evaluation import as_record, score_table
from skilld.training.judgement import judge
from skilld.training.preparation import CHECKPOINT_DIR, Prepared, make_tokenizer, prepare
from skilld.training.tokenizer import EOS, PAD, token_id_of
from skilld.training.trainer import Progress, new_model, train

REPORT_NAME = "report.json"


def make_specialist(engine_dir: Path, *, console: Console, judge_only: bool = False) -> None:
    """Train the specialist of an engine folder from nothing, or go on where it stopped.

    Writes `checkpoint/`, `report.json` and, ignored by git, `runs/state.pt` and
    `runs/progress.jsonl`.

    Args:
        engine_dir: `engines/<name>`.
        console: progress goes here.
        judge_only: leave the checkpoint as it is and write its report again.

    Raises:
        ArtefactError: settings or skill are wrong.
        LeakError: the splits leak.
        TokenizerError: answers would not be tokenised as the constraint does.
    """
    started_s = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[{time.monotonic() - started_s:7.0f} s] {text}", markup=False)

    prepared = prepare(engine_dir)
    sizes = ", ".join(f"{name} {len(examples)}" for name, examples in prepared.splits.items())
    say(f"splits drawn, no leak: {sizes}")
    if not judge_only:
        _train(engine_dir, prepared, say)
    scores = judge(engine_dir, prepared, on_progress=say)
    console.print(score_table(scores, title=engine_dir.name))
    data = prepared.settings.data
    report = {
        "generator_version": prepared.generator_version,
        "seed": data.seed,
        "decoding": "transformers, float32, greedy, no constraint",
        "splits": as_record(scores),
    }
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (engine_dir / REPORT_NAME).write_text(text, encoding="utf-8")


def _train(engine_dir: Path, prepared: Prepared, say: Callable[[str], None]) -> None:
    checkpoint_dir, runs_dir = engine_dir / CHECKPOINT_DIR, engine_dir / "runs"
    tokenizer = make_tokenizer(prepared, checkpoint_dir)
    say(f"tokenizer: {tokenizer.get_vocab_size()} tokens, forced tokens agree with training")
    pad_id, eos_id = token_id_of(tokenizer, PAD), token_id_of(tokenizer, EOS)
    samples, validation = (
        tokenise(prepared.splits[name], tokenizer=tokenizer, prompt=prepared.prompt)
        for name in ("train", "validation")
    )
    settings = prepared.settings
    model = new_model(settings.model, seed=settings.optimiser.seed, pad_id=pad_id, eos_id=eos_id)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    mean_tokens = sum(len(sample.ids) for sample in samples) / len(samples)
    say(f"model: {num_parameters / 1e6:.2f} M parameters; {mean_tokens:.0f} tokens per example")
    runs_dir.mkdir(exist_ok=True)

    def on_progress(progress: Progress) -> None:
        line = (
            f"step {progress.step}/{settings.optimiser.num_steps}  loss {progress.loss:.4f}  "
            f"{progress.tokens_per_s:.0f} tokens/s"
        )
        if progress.exact_match is not None:
            line += f"  validation exact match {progress.exact_match:.1%}"
            with (runs_dir / "progress.jsonl").open("a", encoding="utf-8") as log:
                record = {
                    "step": progress.step,
                    "loss": round(progress.loss, 5),
                    "exact_match": progress.exact_match,
                    "elapsed_s": round(progress.elapsed_s, 1),
                }
                log.write(json.dumps(record) + "\n")
        say(line)

    best = train(
        model,
        samples,
        validation,
        settings=settings.optimiser,
        pad_id=pad_id,
        checkpoint_dir=checkpoint_dir,
        state_path=runs_dir / "state.pt",
        on_progress=on_progress,
    )
    say(f"kept the checkpoint with validation exact match {best:.1%} in {checkpoint_dir}")
