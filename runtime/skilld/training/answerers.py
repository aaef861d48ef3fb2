"""`checkpoint_answerer`: a trained checkpoint that can be asked, without building an engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

from skilld.skills.prompt import Prompt
from skilld.training.evaluation import Answerer
from skilld.training.tokenizer import EOS, PAD, prompt_ids, token_id_of

_BATCH_ROWS = 32


def checkpoint_answerer(
    checkpoint_dir: Path,
    *,
    prompt: Prompt,
    max_new_tokens: int,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Answerer:
    """Greedy decoding with transformers, without any constraint.

    Args:
        checkpoint_dir: a Hugging Face folder.
        prompt: of the skill.
        max_new_tokens: of one answer.
        on_progress: called with the number of inputs answered so far.
    """
    # Any: transformers has no types we can check against.
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint_dir, dtype=torch.float32
    )
    model.eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(checkpoint_dir / "tokenizer.json"))
    pad_id, eos_id = token_id_of(tokenizer, PAD), token_id_of(tokenizer, EOS)

    def answer(inputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        prompts = [
            list(prompt_ids(tokenizer, [(s.text, s.is_value) for s in prompt.render(values)]))
            for values in inputs
        ]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        answers: list[Mapping[str, Any] | None] = [None] * len(prompts)
        for start in range(0, len(order), _BATCH_ROWS):
            rows = order[start : start + _BATCH_ROWS]
            length = max(len(prompts[i]) for i in rows)
            ids = torch.full((len(rows), length), pad_id)
            mask = torch.zeros((len(rows), length), dtype=torch.long)
            for row, i in enumerate(rows):  # padded on the left, for generation
                ids[row, length - len(prompts[i]) :] = torch.tensor(prompts[i])
                mask[row, length - len(prompts[i]) :] = 1
            with torch.no_grad():
                written = model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    pad_token_id=pad_id,
                    eos_token_id=eos_id,
                )
            for row, i in enumerate(rows):
                text = tokenizer.decode(written[row, length:].tolist(), skip_special_tokens=True)
                answers[i] = _parsed(text)
            on_progress(start + len(rows))
        return answers

    return answer


def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
