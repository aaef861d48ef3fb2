from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers

torch = pytest.importorskip("torch", reason="needs the [train] extra")

from skilld.skills.prompt import Prompt  # noqa: E402
from skilld.training.answerers import checkpoint_answerer  # noqa: E402
from skilld.training.batches import tokenise  # noqa: E402
from skilld.training.example import Example  # noqa: E402
from skilld.training.settings import ModelSettings, OptimiserSettings  # noqa: E402
from skilld.training.tokenizer import save_tokenizer, train_tokenizer  # noqa: E402
from skilld.training.trainer import exact_match_of, new_model, train  # noqa: E402

pytestmark = pytest.mark.train
SCHEMA = {"type": "object", "properties": {"part": {"enum": ["pump", "fan"]}}}
PROMPT = Prompt("<|input|>{text}<|output|>", fields=["text"])


def example(text: str, part: str) -> Example:
    return Example("f", {"text": text}, {"part": part})


def test_decoding_a_checkpoint_agrees_with_its_exact_match(tmp_path: Path) -> None:
    cases = [
        example(f"the {part} of line {i}", part) for i in range(40) for part in ("pump", "fan")
    ]
    tokenizer: tokenizers.Tokenizer = train_tokenizer(
        (case.input["text"] for case in cases), vocab_size=330, output_schema=SCHEMA, reasons=()
    )
    save_tokenizer(tokenizer, tmp_path, max_length=64)
    samples = tokenise(cases, tokenizer=tokenizer, prompt=PROMPT)
    shape = ModelSettings(
        vocab_size=300,
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        feed_forward_size=64,
        context_limit=64,
    )
    settings = OptimiserSettings(
        seed=1,
        num_steps=200,
        time_limit_s=600,
        batch_tokens=512,
        warmup_steps=5,
        matrix_lr=0.01,
        other_lr=0.01,
        num_threads=1,
        evaluate_every=200,
    )
    model = new_model(shape, seed=1, pad_id=0, eos_id=1)
    best = train(model, samples, samples, settings=settings, pad_id=0, checkpoint_dir=tmp_path)
    assert best > 0.9
    answers = checkpoint_answerer(tmp_path, prompt=PROMPT, max_new_tokens=16)(
        [case.input for case in cases]
    )
    share = sum(answer == case.answer for answer, case in zip(answers, cases, strict=True)) / len(
        cases
    )
    # Training counts in bfloat16, decoding runs in float32.
    assert share == pytest.approx(best, abs=0.05)
    assert exact_match_of(model, samples, pad_id=0) == best
