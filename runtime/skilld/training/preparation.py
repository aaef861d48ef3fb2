"""`prepare`: from an engine folder to splits and a tokenizer that passed its checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from skilld.skills.prompt import Prompt
from skilld.skills.skill import Skill, read_skill
from skilld.training.example import Example, load_generator
from skilld.training.settings import TrainingSettings, read_settings
from skilld.training.splits import build_splits
from skilld.training.tokenizer import check_answers, save_tokenizer, train_tokenizer

CHECKPOINT_DIR = "checkpoint"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What training and evaluation start from.

    Attributes:
        generator_version: of the specialist's generator.
        splits: by name; see `skilld.training.splits`.
        prompt: of the skill, parsed.
    """

    settings: TrainingSettings
    skill: Skill
    prompt: Prompt
    generator_version: str
    splits: dict[str, list[Example]]


def prepare(
    engine_dir: Path, *, on_progress: Callable[[int], None] = lambda made: None
) -> Prepared:
    """Read settings and skill, load the generator, draw the splits.

    Args:
        engine_dir: `engines/<name>`.
        on_progress: called with the number of training examples made so far.

    Raises:
        ArtefactError: settings or skill are wrong.
        LeakError: the splits leak.
    """
    settings = read_settings(engine_dir)
    skill = read_skill(engine_dir / "skills" / f"{settings.skill}.toml")
    generator = load_generator(engine_dir)
    data = settings.data
    splits = build_splits(
        generator,
        seed=data.seed,
        num_train=data.num_train,
        num_validation=data.num_validation,
        num_test=data.num_test,
        on_progress=on_progress,
    )
    prompt = Prompt(skill.prompt, fields=skill.input_schema.get("properties", {}))
    return Prepared(settings, skill, prompt, generator.version, splits)


def make_tokenizer(prepared: Prepared, checkpoint_dir: Path) -> tokenizers.Tokenizer:
    """Train on the prompts of the training split, check it on every split's answers, save it.

    Raises:
        TokenizerError: the schema would force other tokens than training shows.
    """
    texts = (
        segment.text
        for example in prepared.splits["train"]
        for segment in prepared.prompt.render(example.input)
        if segment.is_value
    )
    model = prepared.settings.model
    tokenizer = train_tokenizer(
        texts,
        vocab_size=model.vocab_size,
        output_schema=prepared.skill.output_schema,
        reasons=prepared.skill.abstain.reasons,
    )
    targets = {e.target for examples in prepared.splits.values() for e in examples[:1000]}
    check_answers(tokenizer, sorted(targets), decoding_schema=prepared.skill.decoding_schema)
    save_tokenizer(tokenizer, checkpoint_dir, max_length=model.context_limit)
    return tokenizer
