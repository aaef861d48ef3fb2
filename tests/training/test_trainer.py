from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from random import Random

import numpy as np
import pytest

import skilld.training  # hides a torchvision that does not fit

assert skilld.training
torch = pytest.importorskip("torch", reason="needs the [train] extra")
transformers = pytest.importorskip("transformers", reason="needs the [train] extra")

from skilld.core.errors import ArtefactError  # noqa: E402
from skilld.training.batches import Batch, Sample, batches, make_batch  # noqa: E402
from skilld.training.settings import ModelSettings, OptimiserSettings  # noqa: E402
from skilld.training.trainer import Progress, exact_match_of, new_model, schedule, train  # noqa: E402

pytestmark = pytest.mark.train
MODEL = ModelSettings(
    vocab_size=300,
    hidden_size=32,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_size=16,
    feed_forward_size=64,
    context_limit=64,
)
OPTIMISER = OptimiserSettings(
    seed=1,
    num_steps=50,
    time_limit_s=600,
    batch_tokens=512,
    warmup_steps=5,
    matrix_lr=0.01,
    other_lr=0.01,
    num_threads=1,
    evaluate_every=25,
)


def samples(count: int) -> list[Sample]:
    """The answer is the first letter of the prompt, twice, and the end token 1."""
    rng = Random(0)
    made = []
    for _ in range(count):
        prompt = [rng.randrange(10, 20) for _ in range(rng.randrange(3, 9))] + [3]
        made.append(Sample(np.array([*prompt, prompt[0], prompt[0], 1], np.int32), len(prompt)))
    return made


def stream(step: int) -> Iterator[Batch]:
    return batches(cycle(samples(400)), batch_tokens=OPTIMISER.batch_tokens, pad_id=0)


def test_fifty_steps_lower_the_loss_and_keep_a_loadable_checkpoint(tmp_path: Path) -> None:
    model = new_model(MODEL, seed=1, pad_id=0, eos_id=1)
    seen: list[Progress] = []
    best = train(
        model,
        stream,
        samples(40),
        settings=OPTIMISER,
        pad_id=0,
        checkpoint_dir=tmp_path / "checkpoint",
        state_path=tmp_path / "state.pt",
        on_progress=seen.append,
    )
    assert seen[-1].step == 50
    assert seen[-1].loss < 0.8 * seen[0].loss
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")
    assert loaded.config.tie_word_embeddings
    assert exact_match_of(loaded, samples(40), pad_id=0) == pytest.approx(best, abs=0.05)
    # A finished run that is started again has nothing to do.
    again: list[Progress] = []
    train(
        new_model(MODEL, seed=1, pad_id=0, eos_id=1),
        stream,
        samples(40),
        settings=OPTIMISER,
        pad_id=0,
        checkpoint_dir=tmp_path / "checkpoint",
        state_path=tmp_path / "state.pt",
        on_progress=again.append,
    )
    assert again == []


def test_a_run_goes_on_with_more_layers_and_begins_with_the_answers_it_had(
    tmp_path: Path,
) -> None:
    def run(model: object, num_steps: int) -> list[Progress]:
        seen: list[Progress] = []
        train(
            model,
            stream,
            samples(40),
            settings=OPTIMISER.model_copy(update={"num_steps": num_steps, "evaluate_every": 1}),
            pad_id=0,
            checkpoint_dir=tmp_path / "checkpoint",
            state_path=tmp_path / "state.pt",
            on_progress=seen.append,
        )
        return seen

    run(new_model(MODEL, seed=1, pad_id=0, eos_id=1), 20)
    deeper = MODEL.model_copy(update={"num_layers": 3})
    model = new_model(deeper, seed=2, pad_id=0, eos_id=1)
    ids = torch.from_numpy(make_batch(samples(40), pad_id=0).ids)
    with torch.no_grad():
        before = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint")(ids)
        run(model, 20)  # nothing is left to do but to take up
        after = model(ids)
    assert torch.allclose(after.logits.float(), before.logits.float(), atol=0.05)
    assert [progress.step for progress in run(model, 22)] == [21, 22]
    # What was deeper once is not cut short.
    with pytest.raises(ArtefactError, match="only the number of layers may grow"):
        run(new_model(MODEL, seed=1, pad_id=0, eos_id=1), 30)


def test_only_the_answer_and_the_end_are_learned() -> None:
    short = Sample(np.array([5, 6, 3, 7, 1], np.int32), 3)
    long = Sample(np.array([5, 6, 8, 9, 3, 7, 7, 1], np.int32), 5)
    batch = make_batch([short, long], pad_id=0)
    assert batch.ids.tolist() == [[5, 6, 3, 7, 0, 0, 0], [5, 6, 8, 9, 3, 7, 7]]
    assert batch.targets.tolist() == [
        [-100, -100, 7, 1, -100, -100, -100],
        [-100, -100, -100, -100, 7, 7, 1],
    ]


def test_batches_have_few_shapes_and_hold_every_sample_once() -> None:
    made = samples(2000)
    seen = list(batches(iter(made), batch_tokens=64, pad_id=0))
    assert {batch.ids.shape for batch in seen} == {(4, 16)}
    rows = [tuple(row[row != 0]) for batch in seen for row in batch.ids]
    assert rows == [tuple(sample.ids[:-1]) for sample in made]


def test_the_rate_warms_up_holds_and_falls_to_zero() -> None:
    settings = OPTIMISER.model_copy(update={"decay": 0.5, "warmup_steps": 4})
    rates = [schedule(step / 40, step, settings) for step in range(40)]
    assert rates[0] == pytest.approx(0.25)
    assert rates[4:21] == [1.0] * 17
    assert rates[21:] == sorted(rates[21:], reverse=True)
    assert rates[-1] == pytest.approx(2 / 40)
