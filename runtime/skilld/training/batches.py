"""Tokenised examples, and batches of similar length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import tokenizers
from numpy.typing import NDArray

from skilld.core.errors import InvalidRequestError
from skilld.skills.pointing import SpanError
from skilld.skills.prompt import Prompt
from skilld.skills.skill import Skill
from skilld.training.example import Example, canonical_json
from skilld.training.tokenizer import EOS, token_id_of

_AT_ONCE = 512
_LENGTH_STEP = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """Token ids of one example.

    Attributes:
        ids: int32 `[length]`, prompt, answer and end token.
        num_prompt: how many of them are the prompt.
    """

    ids: NDArray[np.int32]
    num_prompt: int


@dataclass(frozen=True, slots=True)
class Text:
    """One example as the model reads and writes it.

    Attributes:
        segments: of the prompt: text, and whether it came from a caller.
        answer: canonical JSON, with marks in the place of what is pointed at.
    """

    segments: tuple[tuple[str, bool], ...]
    answer: str


def as_text(example: Example, *, skill: Skill, prompt: Prompt) -> Text:
    """Write an example down the way the runtime will.

    Raises:
        SpanError: the answer cannot be pointed at, or the input is refused; names the example.
    """
    values, answer = example.input, example.answer
    if skill.spans is not None:
        try:
            marked = skill.spans.mark(values)
            values = marked.values
            if not example.is_abstain:
                answer = marked.point(answer, skill.output_schema)
        except (SpanError, InvalidRequestError) as error:
            raise SpanError(f"{example.family}: {error}; input {example.input}") from error
    segments = tuple((piece.text, piece.is_value) for piece in prompt.render(values))
    return Text(segments, canonical_json(answer))


def tokenise(
    texts: Sequence[Text],
    *,
    tokenizer: tokenizers.Tokenizer,
    reader: tokenizers.Tokenizer | None = None,
) -> list[Sample]:
    """Texts as the runtime will tokenise them: prompt by its segments, then the answer.

    Args:
        texts: any number.
        tokenizer: of the specialist; its special-token setting is changed by this call.
        reader: the same for what callers wrote, but with dropout; None for none.
    """
    reader = reader or tokenizer
    eos_id = token_id_of(tokenizer, EOS)
    templates: dict[str, list[int]] = {
        text: tokenizer.encode(text, add_special_tokens=False).ids
        for text in {t for item in texts for t, is_value in item.segments if not is_value}
    }
    values = [text for item in texts for text, is_value in item.segments if is_value]
    reader.encode_special_tokens = True  # in values they are plain text
    encoded = iter(reader.encode_batch_fast(values, add_special_tokens=False))
    reader.encode_special_tokens = False
    answers = tokenizer.encode_batch_fast([t.answer for t in texts], add_special_tokens=False)
    samples = []
    for item, answer in zip(texts, answers, strict=True):
        before: list[int] = []
        for text, is_value in item.segments:
            before += next(encoded).ids if is_value else templates[text]
        samples.append(Sample(np.array([*before, *answer.ids, eos_id], np.int32), len(before)))
    return samples


def samples(
    examples: Iterable[Example],
    *,
    skill: Skill,
    prompt: Prompt,
    tokenizer: tokenizers.Tokenizer,
    reader: tokenizers.Tokenizer | None = None,
) -> Iterator[Sample]:
    """Tokenise a stream of examples, some hundreds at once; see `tokenise`.

    An example whose answer cannot be pointed at is passed over: its text has more pieces than
    there are marks, or its generator is wrong.

    Raises:
        SpanError: that is so for more than one example in fifty.
    """
    stream = iter(examples)
    num_seen = num_bad = 0
    while chunk := list(islice(stream, _AT_ONCE)):
        texts = []
        for example in chunk:
            num_seen += 1
            try:
                texts.append(as_text(example, skill=skill, prompt=prompt))
            except SpanError:
                num_bad += 1
                if num_bad > 10 + num_seen / 50:
                    raise
        yield from tokenise(texts, tokenizer=tokenizer, reader=reader)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right; with a causal mask nothing looks at the padding.

    Attributes:
        ids: int64 `[rows, length]`.
        targets: int64 `[rows, length]`: the token that should follow, -100 in prompt and padding.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]


def make_batch(samples: Sequence[Sample], *, pad_id: int, length: int | None = None) -> Batch:
    """Pad samples to `length`, by default to the longest of them."""
    if length is None:
        length = max(len(sample.ids) for sample in samples) - 1
    ids = np.full((len(samples), length), pad_id, np.int64)
    targets = np.full((len(samples), length), -100, np.int64)
    for row, sample in enumerate(samples):
        n = len(sample.ids) - 1
        ids[row, :n] = sample.ids[:-1]
        targets[row, sample.num_prompt - 1 : n] = sample.ids[sample.num_prompt :]
    return Batch(ids, targets)


def batches(stream: Iterator[Sample], *, batch_tokens: int, pad_id: int) -> Iterator[Batch]:
    """Batches of a stream, each of samples of similar length.

    There are few shapes: lengths are multiples of 16, and every batch of a length has as many
    rows. The CPU kernels are made anew for each shape they meet, which takes longer than a step.
    """
    waiting: dict[int, list[Sample]] = {}
    for sample in stream:
        length = -(-(len(sample.ids) - 1) // _LENGTH_STEP) * _LENGTH_STEP
        group = waiting.setdefault(length, [])
        group.append(sample)
        if len(group) >= max(1, batch_tokens // length):
            yield make_batch(group, pad_id=pad_id, length=length)
            del waiting[length]
