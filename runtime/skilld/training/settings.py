"""`TrainingSettings`: `engines/<name>/training.toml`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from skilld.core.toml_record import read_toml

SETTINGS_NAME = "training.toml"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(_Record):
    """How many examples are drawn, from which seed. Training has no end of them.

    Attributes:
        num_validation: examples that choose the checkpoint.
        num_test: examples in each split that is judged.
        token_dropout: chance that a merge of byte pairs is left out of a training prompt. Words
            fall into other pieces each time, so the model learns to read words it never saw.
            Source: Provilkov et al., "BPE-Dropout", 2020.
    """

    seed: int
    num_validation: int = Field(default=600, ge=1)
    num_test: int = Field(default=1000, ge=1)
    token_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)


class ModelSettings(_Record):
    """A Llama shape with tied embeddings."""

    vocab_size: int = Field(ge=300)
    hidden_size: int = Field(ge=16)
    num_layers: int = Field(ge=1)
    num_heads: int = Field(ge=1)
    num_kv_heads: int = Field(ge=1)
    head_size: int = Field(default=64, ge=8)
    feed_forward_size: int = Field(ge=16)
    context_limit: int = Field(default=1024, ge=32)


class OptimiserSettings(_Record):
    """Steps, batch and learning rates.

    Attributes:
        num_steps: in all.
        time_limit_s: of training; what comes first ends it.
        batch_tokens: prompt, answer and padding together, in one step.
        decay: share of the run, at its end, in which the learning rate falls to zero.
        matrix_lr: of Muon, for the matrices inside the layers.
        other_lr: of AdamW, for embeddings and norms.
        num_threads: of torch.
        compile: fuse kernels with torch.compile; needs a C++ compiler, pays off after minutes.
        evaluate_every: steps between looks at the validation split; the best is kept.
    """

    seed: int = 1
    num_steps: int = Field(ge=1)
    time_limit_s: float = Field(default=86400.0, gt=0)
    batch_tokens: int = Field(ge=64)
    warmup_steps: int = Field(default=0, ge=0)
    decay: float = Field(default=1.0, ge=0, le=1)
    matrix_lr: float = Field(gt=0)
    other_lr: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    num_threads: int = Field(default=2, ge=1)
    compile: bool = False
    evaluate_every: int = Field(default=200, ge=1)


class TrainingSettings(_Record):
    """Everything that is needed to make a specialist's checkpoint again.

    Attributes:
        skill: id of the skill in `skills/` that is trained.
    """

    skill: str
    data: DataSettings
    model: ModelSettings
    optimiser: OptimiserSettings


def read_settings(engine_dir: Path) -> TrainingSettings:
    """Read the training settings of an engine folder.

    Raises:
        ArtefactError: reason BAD_TRAINING; names file and key.
    """
    return read_toml(engine_dir / SETTINGS_NAME, TrainingSettings, reason="BAD_TRAINING")
