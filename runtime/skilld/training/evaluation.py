"""Judging answers: exact match on canonical JSON, fields, abstentions, with intervals.

What answers is a callable, so the trained checkpoint, a baseline and a shipped engine are judged
by the same lines of code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from skilld.training.example import Example, canonical_json

Answerer = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any] | None]]
"""Inputs in, one answer each: the typed output, `{"abstain": reason}`, or None for no valid one."""

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Score:
    """How one answerer did on one split.

    Attributes:
        num_examples: in the split.
        exact_match: share of answers equal in canonical JSON, reasons of abstentions included.
        interval: bootstrap 95 % interval of `exact_match`.
        fields: share of right values per field, over examples that have an answer.
        abstain_precision: right abstentions among all abstentions; None when there was none.
        abstain_recall: right abstentions among those that were due; None when none was due.
        invalid: share of answers that were no valid answer at all.
    """

    num_examples: int
    exact_match: float
    interval: tuple[float, float]
    fields: dict[str, float]
    abstain_precision: float | None
    abstain_recall: float | None
    invalid: float


def evaluate(answerer: Answerer, examples: Sequence[Example], *, seed: int = 0) -> Score:
    """Ask everything and score it.

    Args:
        answerer: is asked once, with all inputs.
        examples: inputs with the answers that were meant; not empty.
        seed: of the bootstrap.
    """
    return score(answerer([example.input for example in examples]), examples, seed=seed)


def score(
    answers: Sequence[Mapping[str, Any] | None], examples: Sequence[Example], *, seed: int = 0
) -> Score:
    """Score answers that are already there; see `evaluate`."""
    pairs = list(zip(answers, examples, strict=True))
    hits = [is_right(answer, example) for answer, example in pairs]
    due = [(answer, example) for answer, example in pairs if example.is_abstain]
    given = [(answer, example) for answer, example in pairs if answer and "abstain" in answer]
    both = [(answer, example) for answer, example in given if example.is_abstain]
    typed = [(answer, example) for answer, example in pairs if not example.is_abstain]
    return Score(
        num_examples=len(pairs),
        exact_match=sum(hits) / len(hits),
        interval=_bootstrap(hits, seed=seed),
        fields=_fields(typed),
        abstain_precision=_share(len(both), len(given)),
        abstain_recall=_share(len(both), len(due)),
        invalid=sum(answer is None for answer in answers) / len(pairs),
    )


def is_right(answer: Mapping[str, Any] | None, example: Example) -> bool:
    """The answer is, in canonical JSON, what was meant."""
    return answer is not None and canonical_json(answer) == example.target


def _fields(typed: Sequence[tuple[Mapping[str, Any] | None, Example]]) -> dict[str, float]:
    names = list(dict.fromkeys(name for _, example in typed for name in example.answer))
    return {
        name: sum(
            answer is not None
            and name in answer
            and type(answer[name]) is type(example.answer[name])
            and answer[name] == example.answer[name]
            for answer, example in typed
        )
        / len(typed)
        for name in names
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _bootstrap(hits: Sequence[bool], *, seed: int) -> tuple[float, float]:
    """95 % interval of the mean. The mean of a resample is a binomial draw."""
    share, n = sum(hits) / len(hits), len(hits)
    if share in (0.0, 1.0):
        # Every resample would be the same; the rule of three says how little that proves.
        slack = -math.log(0.05) / n
        return (max(0.0, 1 - slack), 1.0) if share else (0.0, min(1.0, slack))
    means = np.sort(np.random.default_rng(seed).binomial(n, share, _RESAMPLES)) / n
    return float(means[int(0.025 * _RESAMPLES)]), float(means[int(0.975 * _RESAMPLES) - 1])


def score_table(scores: Mapping[str, Mapping[str, Score]], *, title: str) -> Table:
    """A table of `scores[split][answerer]` for a console."""
    table = Table(title=title)
    fields = list(
        dict.fromkeys(f for by_name in scores.values() for s in by_name.values() for f in s.fields)
    )
    for heading in ("split", "n", "answerer", "exact", "95 %", *fields, "abst. P", "abst. R"):
        table.add_column(heading, justify="left" if heading in ("split", "answerer") else "right")
    for split, by_name in scores.items():
        for name, one in by_name.items():
            low, high = one.interval
            table.add_row(
                split,
                str(one.num_examples),
                name,
                f"{one.exact_match:.1%}",
                f"{low:.1%}-{high:.1%}",
                *(f"{one.fields[f]:.1%}" if f in one.fields else "" for f in fields),
                *(
                    "" if value is None else f"{value:.1%}"
                    for value in (one.abstain_precision, one.abstain_recall)
                ),
            )
        table.add_section()
    return table


def as_record(scores: Mapping[str, Mapping[str, Score]]) -> dict[str, Any]:
    """`scores` as JSON values, shares rounded to four places."""
    return {
        split: {name: _rounded(asdict(one)) for name, one in by_name.items()}
        for split, by_name in scores.items()
    }


def _rounded(value: Any) -> Any:  # Any: a JSON value
    match value:
        case float():
            return round(value, 4)
        case dict():
            return {key: _rounded(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_rounded(inner) for inner in value]
    return value
