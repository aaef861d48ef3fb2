"""`train`: a small Llama from scratch on a CPU.

Where the CPU has AMX, weights and activations are bfloat16, which runs there two to five times
faster than float32; without it, float32 is the faster of the two by half and more. The optimisers
work on float32 master copies, because steps smaller than a bfloat16 ulp would be lost otherwise.
Checkpoints are bfloat16. Matrices inside the layers are updated by Muon, the rest by AdamW.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from skilld.core.errors import ArtefactError
from skilld.training.batches import Batch, Sample, make_batch
from skilld.training.settings import ModelSettings, OptimiserSettings

_ROW_STEP = 256

# torch and transformers carry no types we can check against; Any marks their objects here.
Model = Any


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands.

    Attributes:
        step: steps done.
        loss: nats per answer token, mean of the last steps.
        exact_match: share of validation answers right in every token; None between looks.
        tokens_per_s: through the model, padding excluded.
        elapsed_s: of this run.
    """

    step: int
    loss: float
    exact_match: float | None
    tokens_per_s: float
    elapsed_s: float


def new_model(settings: ModelSettings, *, seed: int, pad_id: int, eos_id: int) -> Model:
    """A Llama with random weights in float32."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=settings.vocab_size,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        num_key_value_heads=settings.num_kv_heads,
        head_dim=settings.head_size,
        intermediate_size=settings.feed_forward_size,
        max_position_embeddings=settings.context_limit,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos_id,
        pad_token_id=pad_id,
    )
    model = transformers.LlamaForCausalLM(config)
    # The CPU backward pass of the fused attention takes half of a step at these lengths.
    model.set_attn_implementation("eager")
    return model


def train(
    model: Model,
    stream: Callable[[int], Iterator[Batch]],
    validation: Sequence[Sample],
    *,
    settings: OptimiserSettings,
    pad_id: int,
    checkpoint_dir: Path,
    state_path: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> float:
    """Train `model` in place and keep the best checkpoint by exact match on `validation`.

    Args:
        model: from `new_model`; is bfloat16 afterwards where the CPU has AMX.
        stream: gives batches without end from a step on; other batches for another step.
        validation: chooses the checkpoint.
        settings: steps and rates.
        pad_id: of the tokenizer.
        checkpoint_dir: where the best model is written, as a Hugging Face folder.
        state_path: if given, written at each look at the validation split, and taken up from
            when it is there. `model` may have more layers than the one it was written by: these
            add nothing at first (see `_Master.load`).
        on_progress: called now and then.

    Returns:
        Exact match of the kept checkpoint on the validation split, 0..1.

    Raises:
        ArtefactError: reason OTHER_MODEL: the state is of a model that this one cannot grow from.
    """
    torch.set_num_threads(settings.num_threads)
    master = _Master(model, settings)
    if settings.compile:
        # Fused element-wise kernels: 1.6 times the tokens per second on a CPU.
        model.model.forward = torch.compile(model.model.forward, dynamic=True)
    step, best, spent_s = 0, -1.0, 0.0
    if state_path is not None and state_path.exists():
        state = torch.load(state_path, weights_only=True)
        step, spent_s = state["step"], state["spent_s"]
        # Data may have been improved meanwhile; what was best on others is no yardstick.
        best = state["best"] if state.get("validation") == _digest(validation) else -1.0
        master.load(state["master"], path=state_path)
    batches = stream(step)
    started_s, num_tokens, losses = time.monotonic(), 0, [float("nan")]
    done = max(step / settings.num_steps, spent_s / settings.time_limit_s)
    while done < 1.0:
        batch = next(batches)
        model.train()
        loss = _answer_loss(model, batch)
        loss.backward()
        master.step(settings, factor=schedule(done, step, settings))
        step += 1
        elapsed_s = time.monotonic() - started_s
        done = max(step / settings.num_steps, (spent_s + elapsed_s) / settings.time_limit_s)
        losses = [*losses[-49:], float(loss.detach())]
        num_tokens += int((batch.ids != pad_id).sum())
        is_look = step % settings.evaluate_every == 0 or done >= 1.0
        exact_match = None
        if is_look:
            exact_match = exact_match_of(model, validation, pad_id=pad_id)
            if exact_match >= best:
                best = exact_match
                save_checkpoint(model, checkpoint_dir)
            if state_path is not None:
                state = {
                    "step": step,
                    "best": best,
                    "spent_s": spent_s + elapsed_s,
                    "validation": _digest(validation),
                    "master": master.state(),
                }
                _save_state(state_path, state)
        if is_look or step % 20 == 0:
            known = [value for value in losses if not math.isnan(value)]
            on_progress(
                Progress(
                    step,
                    sum(known) / len(known),
                    exact_match,
                    num_tokens / elapsed_s,
                    elapsed_s,
                )
            )
    return best


def exact_match_of(model: Model, samples: Sequence[Sample], *, pad_id: int) -> float:
    """Share of answers that greedy decoding would write token for token.

    A greedy answer equals the target exactly if every target token is the likeliest one after
    the target tokens before it; so one pass over the targets tells, without decoding.
    """
    model.eval()
    right = 0
    ordered = sorted(samples, key=lambda sample: len(sample.ids))
    with torch.no_grad():
        for start in range(0, len(ordered), 64):
            batch = make_batch(ordered[start : start + 64], pad_id=pad_id)
            targets = torch.from_numpy(batch.targets)
            hidden = model.model(input_ids=torch.from_numpy(batch.ids), use_cache=False)[0]
            mask = targets != -100
            wrong = torch.zeros_like(targets, dtype=torch.bool)
            wrong[mask] = model.lm_head(hidden[mask]).argmax(-1) != targets[mask]
            right += int((~wrong.any(dim=1)).sum())
    return right / max(1, len(samples))


def save_checkpoint(model: Model, folder: Path) -> None:
    """Write configuration and weights, in bfloat16; the tokenizer lies there already.

    Each file is replaced whole, so an interrupted run leaves the checkpoint before it.
    """
    fresh = folder.with_name(folder.name + ".new")
    halves = transformers.LlamaForCausalLM(model.config).to(torch.bfloat16)
    halves.load_state_dict(model.state_dict())
    halves.save_pretrained(fresh, safe_serialization=True)
    folder.mkdir(parents=True, exist_ok=True)
    for path in fresh.iterdir():
        path.replace(folder / path.name)
    fresh.rmdir()
    generation = {
        "eos_token_id": model.config.eos_token_id,
        "pad_token_id": model.config.pad_token_id,
        "do_sample": False,
    }
    text = json.dumps(generation, indent=2) + "\n"
    (folder / "generation_config.json").write_text(text, encoding="utf-8")


def _digest(samples: Sequence[Sample]) -> int:
    digest = 0
    for sample in samples:
        digest = zlib.crc32(np.asarray(sample.ids, np.int32).tobytes(), digest)
    return digest


def _answer_loss(model: Model, batch: Batch) -> Any:
    """Cross entropy over answer tokens. Only their rows go through the output matrix."""
    hidden = model.model(input_ids=torch.from_numpy(batch.ids), use_cache=False)[0]
    targets = torch.from_numpy(batch.targets).flatten()
    places = (targets != -100).nonzero().flatten()
    # Filled up to a multiple, for the sake of few shapes; what is filled in does not count.
    places = torch.nn.functional.pad(places, (0, -len(places) % _ROW_STEP), value=len(targets) - 1)
    is_filling = torch.arange(len(places)) >= int((targets != -100).sum())
    logits = model.lm_head(hidden.flatten(0, 1)[places]).float()
    return torch.nn.functional.cross_entropy(
        logits, targets[places].masked_fill(is_filling, -100), ignore_index=-100
    )


def _save_state(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    torch.save(state, aside)
    aside.replace(path)


class _Master:
    """Float32 copies of the weights, and the optimisers that move them."""

    def __init__(self, model: Model, settings: OptimiserSettings) -> None:
        named = list(model.named_parameters())
        self._names = [name for name, _ in named]
        self._copies = [parameter.detach().float().clone() for _, parameter in named]
        matrices = [
            copy
            for (name, parameter), copy in zip(named, self._copies, strict=True)
            if parameter.ndim == 2 and "layers." in name
        ]
        ids = {id(matrix) for matrix in matrices}
        others = [copy for copy in self._copies if id(copy) not in ids]
        has_amx = torch.cpu.get_capabilities().get("amx_bf16", False)
        model.to(torch.bfloat16 if has_amx else torch.float32)
        self._weights = [parameter for _, parameter in model.named_parameters()]
        self._muon = torch.optim.Muon(
            matrices,
            lr=settings.matrix_lr,
            momentum=0.95,
            weight_decay=settings.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = torch.optim.AdamW(
            others, lr=settings.other_lr, betas=(0.9, 0.95), weight_decay=0.0
        )

    def step(self, settings: OptimiserSettings, *, factor: float) -> None:
        """Move by the gradients of the model's weights, then write the copies back."""
        for copy, weight in zip(self._copies, self._weights, strict=True):
            copy.grad = weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(self._copies, 1.0)
        for optimiser, rate in (
            (self._muon, settings.matrix_lr),
            (self._adamw, settings.other_lr),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()
        with torch.no_grad():
            for copy, weight in zip(self._copies, self._weights, strict=True):
                weight.copy_(copy)

    def state(self) -> dict[str, Any]:
        """Everything a later run needs to go on."""
        return {
            "copies": dict(zip(self._names, self._copies, strict=True)),
            "muon": self._muon.state_dict(),
            "adamw": self._adamw.state_dict(),
        }

    def load(self, state: dict[str, Any], *, path: Path) -> None:
        """Take up from `state()`.

        Layers the state does not know come last and write zeros into the residual stream, so the
        deeper model starts out giving the answers of the shallower one: block expansion, as in
        LLaMA Pro (arXiv 2401.02415). The optimisers then begin anew.

        Raises:
            ArtefactError: reason OTHER_MODEL.
        """
        saved: dict[str, Any] = state["copies"]
        own = dict(zip(self._names, self._copies, strict=True))
        new = [name for name in own if name not in saved]
        if any(name not in own or own[name].shape != saved[name].shape for name in saved):
            raise ArtefactError(
                "is of a model with other layers than training.toml names; only the number of "
                "layers may grow. Remove it to begin anew",
                path=path,
                reason="OTHER_MODEL",
            )
        with torch.no_grad():
            for name, copy, weight in zip(self._names, self._copies, self._weights, strict=True):
                if name in saved:
                    copy.copy_(saved[name])
                elif name.endswith(("o_proj.weight", "down_proj.weight")):
                    copy.zero_()
                weight.copy_(copy)
        if not new:
            self._muon.load_state_dict(state["muon"])
            self._adamw.load_state_dict(state["adamw"])


def schedule(done: float, step: int, settings: OptimiserSettings) -> float:
    """Linear warm-up over steps, full rate, then a line down to zero over the last share."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return warm * min(1.0, max(0.0, 1.0 - done) / settings.decay if settings.decay else 1.0)
