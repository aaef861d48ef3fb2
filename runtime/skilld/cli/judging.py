"""`Judgement`: an engine and its baselines, asked and scored, for `skilld eval`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import mean, median
from typing import Final

from rich.progress import Progress

from skilld.builder.local_runner import LocalRunner
from skilld.cli.engine_answers import Asking, Reply, measure_alone, replies
from skilld.skills import RegisteredSkill
from skilld.training import Example, Score
from skilld.training.baselines import NUM_NEIGHBOURS, baseline_answerers
from skilld.training.evaluation import Answer, Answerer, Cost, composed_field, is_right, score
from skilld.training.preparation import Prepared
from skilld.training.slots import is_abstain

ENGINE: Final = "engine"
CONFIDENT: Final = "confident"
RETRY: Final = "with a retry"
THRESHOLDS: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_CALLS_ALONE = 50
_CHUNK = 50


@dataclass(frozen=True, slots=True)
class Gate:
    """What declining answers below a confidence brings and costs.

    Attributes:
        threshold: `min_confidence`.
        answered: share of the inputs that are not declined for it.
        exact_match: of those; None when all are declined.
        wrong: share of all inputs that are answered wrongly nevertheless.
    """

    threshold: float
    answered: float
    exact_match: float | None
    wrong: float


@dataclass(frozen=True, slots=True)
class Retries:
    """What asking once more, where an answer is refused or unsure, brings and costs.

    Attributes:
        asked_again: share of the inputs.
        changed: share of the inputs whose second answer was taken.
        mended: share of the inputs that are right only with it.
        spoiled: share of the inputs that were right without it.
    """

    asked_again: float
    changed: float
    mended: float
    spoiled: float


@dataclass(slots=True)
class Judgement:
    """What was found out about one engine; filled by the functions of this module.

    Attributes:
        sets: examples by split.
        text_field: of an answer, that gets a chrF.
        scores: by split, then by answerer.
        answers: of the engine, by split, without any confidence gate.
        nearness: median similarity of a split's inputs to the nearest training input, 0 to 1.
        gates: by split, one per threshold.
        retries: by split.
        min_confidence: of the skill as shipped.
    """

    sets: dict[str, list[Example]]
    text_field: str | None = None
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    nearness: dict[str, float] = field(default_factory=dict)
    gates: dict[str, list[Gate]] = field(default_factory=dict)
    retries: dict[str, Retries] = field(default_factory=dict)
    min_confidence: float = 0.0


def judge_engine(
    judgement: Judgement,
    runner: LocalRunner,
    entry: RegisteredSkill,
    ways: dict[str, Asking],
    *,
    progress: Progress,
) -> None:
    """Ask an engine everything, in several ways.

    Args:
        judgement: is told what was found.
        runner: of the engine.
        entry: the skill.
        ways: by name of the row; `ENGINE` is the first of them, and is gated by the skill's
            threshold in the row `CONFIDENT` if it has one.
        progress: shows a bar per split and way.
    """
    judgement.text_field = composed_field(entry.skill.output_schema)
    judgement.min_confidence = shipped = entry.skill.abstain.min_confidence
    for split, examples in judgement.sets.items():
        scores = judgement.scores.setdefault(split, {})
        inputs = [example.input for example in examples]
        for name, asking in ways.items():
            asked = replies(runner, entry, inputs, asking)
            started_s = time.perf_counter()
            found = list(progress.track(asked, total=len(inputs), description=f"{split}: {name}"))
            cost = Cost(
                answer_tokens=mean(reply.num_tokens for reply in found),
                batched_ms=(time.perf_counter() - started_s) * 1000.0 / len(found),
            )
            one = _score(judgement, [reply.answer for reply in found], examples)
            scores[name] = dataclasses.replace(one, cost=cost)
            if asking.retry_below > 0.0:
                judgement.retries[split] = retries(found, judgement.answers[split], examples)
            if name != ENGINE:
                continue
            judgement.answers[split] = [reply.answer for reply in found]
            if asking.exact_confidence:
                judgement.gates[split] = gates(found, examples, shipped=shipped)
            kept = [i for i, reply in enumerate(found) if _passes(reply, shipped)]
            if kept and shipped > 0.0:
                # A gated answer is neither right nor wrong: it is judged on what it did answer.
                scores[CONFIDENT] = _score(
                    judgement, [found[i].answer for i in kept], [examples[i] for i in kept]
                )


def judge_speed(judgement: Judgement, engine_dir: Path, skill_id: str, progress: Progress) -> None:
    """Time calls made one after the other, on the first inputs of every split."""
    sets = {
        split: [example.input for example in examples[:_CALLS_ALONE]]
        for split, examples in judgement.sets.items()
    }
    task = progress.add_task("one call at a time", total=sum(map(len, sets.values())))
    costs = measure_alone(engine_dir, skill_id, sets, on_call=lambda: progress.advance(task))
    for split, alone in costs.items():
        one = judgement.scores[split][ENGINE]
        assert one.cost is not None
        cost = dataclasses.replace(one.cost, **dataclasses.asdict(alone))
        judgement.scores[split][ENGINE] = dataclasses.replace(one, cost=cost)


def judge_baselines(judgement: Judgement, prepared: Prepared, progress: Progress) -> bool:
    """Ask the baselines of an engine folder everything; False when it has none."""
    similarities: list[float] = []
    stream = islice(prepared.training_examples(seed=prepared.settings.data.seed), NUM_NEIGHBOURS)
    train = list(progress.track(stream, total=NUM_NEIGHBOURS, description="training examples"))
    answerers = baseline_answerers(prepared.engine_dir, train, on_similarity=similarities.append)
    for split, examples in judgement.sets.items():
        similarities.clear()
        for name, answerer in answerers.items():
            asked = _in_chunks(answerer, examples)
            track = progress.track(asked, total=len(examples), description=f"{split}: {name}")
            judgement.scores[split][name] = _score(judgement, list(track), examples)
        if similarities:
            judgement.nearness[split] = median(similarities)
    return bool(answerers)


def gates(
    found: Sequence[Reply], examples: Sequence[Example], *, shipped: float = 0.0
) -> list[Gate]:
    """What thresholds would do; abstentions of the model itself are never declined.

    Args:
        found: with exact confidences.
        examples: that were asked; not empty.
        shipped: threshold of the skill, which is among them.
    """
    rows = []
    for threshold in sorted({*THRESHOLDS, shipped}):
        hits = [
            is_right(reply.answer, example)
            for reply, example in zip(found, examples, strict=True)
            if _passes(reply, threshold)
        ]
        rows.append(
            Gate(
                threshold,
                answered=len(hits) / len(found),
                exact_match=sum(hits) / len(hits) if hits else None,
                wrong=(len(hits) - sum(hits)) / len(found),
            )
        )
    return rows


def retries(
    found: Sequence[Reply], first: Sequence[Answer], examples: Sequence[Example]
) -> Retries:
    """What a retry did.

    Args:
        found: of asking with a retry.
        first: answers of asking once.
        examples: that were asked; not empty.
    """
    before = [is_right(answer, example) for answer, example in zip(first, examples, strict=True)]
    after = [is_right(r.answer, example) for r, example in zip(found, examples, strict=True)]
    pairs = [
        (was, now)
        for was, now, reply in zip(before, after, found, strict=True)
        # Rounding in a batch may change other answers, too: not the doing of a retry.
        if reply.is_second
    ]
    return Retries(
        asked_again=sum(reply.asked_again for reply in found) / len(found),
        changed=len(pairs) / len(found),
        mended=sum(now and not was for was, now in pairs) / len(found),
        spoiled=sum(was and not now for was, now in pairs) / len(found),
    )


def _passes(reply: Reply, threshold: float) -> bool:
    return reply.confidence >= threshold or is_abstain(reply.answer)


def _score(judgement: Judgement, answers: Sequence[Answer], examples: Sequence[Example]) -> Score:
    return score(answers, examples, text_field=judgement.text_field)


def _in_chunks(answerer: Answerer, examples: Sequence[Example]) -> Iterator[Answer]:
    for start in range(0, len(examples), _CHUNK):
        yield from answerer([example.input for example in examples[start : start + _CHUNK]])
