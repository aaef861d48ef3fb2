"""An engine, asked as it is served, for `skilld eval`: its answers, how sure, how fast."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from skilld.app import Box
from skilld.builder.local_runner import Generation, LocalRunner
from skilld.config import Config
from skilld.core.errors import EngineError, InvalidRequestError, SkilldError
from skilld.service import Call
from skilld.skills import RegisteredSkill
from skilld.skills.answer import UNRESOLVED, read_answer
from skilld.training.evaluation import Answer
from skilld.training.slots import canonical

BATCH: Final = 8
_WARM_UP_CALLS: Final = 5  # the first ones find everything cold
_INVALID: Final = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one input.

    Attributes:
        answer: whatever the confidence; None for no valid one.
        confidence: of the freely chosen tokens the smallest probability, 1.0 when not measured; of
            a majority its share.
        num_tokens: generated.
        asked_again: the first answer was not good enough.
        is_second: the second answer was better than the first, and is this one.
    """

    answer: Answer
    confidence: float = 1.0
    num_tokens: int = 0
    asked_again: bool = False
    is_second: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """How an engine is asked.

    Attributes:
        constrained: decode under the skill's schema.
        exact_confidence: measure `Reply.confidence` exactly.
        temperature: above 0 samples answers.
        num_samples: the majority of so many is the answer; of equally many, the first given.
        retry_below: an answer that is less sure, or that the verifier refuses, is asked for once
            more; needs `exact_confidence`. 0.0 never asks again.
        retry_temperature: of the second answer, which is sampled.
    """

    constrained: bool = True
    exact_confidence: bool = False
    temperature: float = 0.0
    num_samples: int = 1
    retry_below: float = 0.0
    retry_temperature: float = 0.7


def replies(
    runner: LocalRunner,
    entry: RegisteredSkill,
    inputs: Sequence[Mapping[str, Any]],
    asking: Asking,
) -> Iterator[Reply]:
    """Answers of an engine, in order; eight inputs are computed together.

    An input that the skill refuses (against its schema, too long) is answered with nothing.
    """
    if asking.temperature > 0.0:
        entry = _at_temperature(entry, asking.temperature)
    again = _at_temperature(entry, asking.retry_temperature)
    for start in range(0, len(inputs), BATCH):
        batch = inputs[start : start + BATCH]
        samples = [
            _replies(runner, entry, batch, asking, seed=seed) for seed in range(asking.num_samples)
        ]
        found = [_majority(of_one) for of_one in zip(*samples, strict=True)]
        poor = [i for i, reply in enumerate(found) if needs_retry(reply, asking.retry_below)]
        second = _replies(runner, again, [batch[i] for i in poor], asking, seed=asking.num_samples)
        for i, reply in zip(poor, second, strict=True):
            found[i] = better_of(found[i], reply)
        yield from found


def needs_retry(reply: Reply, retry_below: float) -> bool:
    """Whether to ask once more: an answer is refused by the verifier, or too unsure."""
    return retry_below > 0.0 and (not _verifies(reply) or reply.confidence < retry_below)


def better_of(first: Reply, second: Reply) -> Reply:
    """The second answer if it verifies and is surer, else the first; at the cost of both."""
    is_second = _verifies(second) and (not _verifies(first) or second.confidence > first.confidence)
    return dataclasses.replace(
        second if is_second else first,
        num_tokens=first.num_tokens + second.num_tokens,
        asked_again=True,
        is_second=is_second,
    )


def _verifies(reply: Reply) -> bool:
    """Checked against schema and input: calls fit their tools, marks are pieces of the input."""
    return reply.answer is not _INVALID and reply.answer != {"abstain": UNRESOLVED}


def _at_temperature(entry: RegisteredSkill, temperature: float) -> RegisteredSkill:
    limits = entry.skill.decoding.model_copy(update={"temperature": temperature})
    skill = entry.skill.model_copy(update={"decoding": limits})
    return dataclasses.replace(entry, skill=skill)


def _replies(
    runner: LocalRunner,
    entry: RegisteredSkill,
    inputs: Sequence[Mapping[str, Any]],
    asking: Asking,
    *,
    seed: int,
) -> list[Reply]:
    good = [i for i, values in enumerate(inputs) if entry.input_validator.is_valid(values)]
    found = [Reply(_INVALID)] * len(inputs)
    try:
        generations = list(
            runner.generate(
                entry,
                [inputs[i] for i in good],
                constrained=asking.constrained,
                exact_confidence=asking.exact_confidence,
                seed=seed,
            )
        )
    except InvalidRequestError:
        if len(inputs) == 1:
            return found
        # One of them: it shall not take the others with it.
        return [
            reply
            for values in inputs
            for reply in _replies(runner, entry, [values], asking, seed=seed)
        ]
    for i, generation in zip(good, generations, strict=True):
        found[i] = Reply(
            _answer(entry, generation, constrained=asking.constrained),
            confidence=generation.decoding.min_probability,
            num_tokens=len(generation.token_ids),
        )
    return found


def _answer(entry: RegisteredSkill, generation: Generation, *, constrained: bool) -> Answer:
    assert generation.decoding.finish_reason is not None
    try:
        answer = read_answer(
            entry,
            generation.token_ids,
            marked=generation.call.marked,
            finish_reason=generation.decoding.finish_reason,
            min_probability=1.0,  # what the gate does is worked out afterwards
        )
    except EngineError:
        return _INVALID
    if answer.abstain_reason is None:
        return answer.output if isinstance(answer.output, Mapping) else {"text": answer.output}
    if answer.abstain_reason == UNRESOLVED and not constrained:
        return _INVALID  # marks that the input does not have are no answer of the schema
    return {"abstain": answer.abstain_reason}


def _majority(samples: Sequence[Reply]) -> Reply:
    if len(samples) == 1:
        return samples[0]
    votes = Counter(canonical(sample.answer) for sample in samples)
    winner, _ = votes.most_common(1)[0]
    return Reply(
        next(sample.answer for sample in samples if canonical(sample.answer) == winner),
        confidence=votes[winner] / len(samples),
        num_tokens=sum(sample.num_tokens for sample in samples),
    )


@dataclass(frozen=True, slots=True)
class AloneCost:
    """Of calls that were made one after the other.

    Attributes:
        prompt_tokens: mean.
        p50_ms: of a call through service and engine loop.
        p95_ms: likewise.
    """

    prompt_tokens: float
    p50_ms: float
    p95_ms: float


def measure_alone(
    engine_dir: Path,
    skill_id: str,
    sets: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    on_call: Callable[[], None] = lambda: None,
) -> dict[str, AloneCost]:
    """Call a skill in a daemon's loop in this process, one call at a time.

    Args:
        engine_dir: an engine folder.
        skill_id: of the skill.
        sets: inputs by split.
        on_call: called after every call.

    Returns:
        By split; one whose calls all failed is left out.
    """
    return asyncio.run(_measure_alone(engine_dir, skill_id, sets, on_call))


async def _measure_alone(
    engine_dir: Path,
    skill_id: str,
    sets: Mapping[str, Sequence[Mapping[str, Any]]],
    on_call: Callable[[], None],
) -> dict[str, AloneCost]:
    box = Box(Config(engines=(engine_dir,)))
    box.start()
    costs: dict[str, AloneCost] = {}
    num_cold = min(_WARM_UP_CALLS, sum(map(len, sets.values())) // 2)
    num_calls = 0
    try:
        for split, inputs in sets.items():
            times_ms: list[float] = []
            prompt_tokens: list[int] = []
            for values in inputs:
                num_calls += 1
                started_s = time.perf_counter()
                try:
                    outcome = await box.service.invoke(Call(skill_id, values))
                except SkilldError:
                    continue
                finally:
                    on_call()
                if num_calls > num_cold:
                    times_ms.append((time.perf_counter() - started_s) * 1000.0)
                    prompt_tokens.append(outcome.usage.prompt_tokens)
            if times_ms:
                p50_ms, p95_ms = np.percentile(times_ms, (50, 95))
                costs[split] = AloneCost(
                    float(np.mean(prompt_tokens)), float(p50_ms), float(p95_ms)
                )
    finally:
        await box.stop()
    return costs
