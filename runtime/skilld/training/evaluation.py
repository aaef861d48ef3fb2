"""`score`: answers against what was meant, with intervals.

- exact match: share of answers that are, in canonical JSON, what was meant, reasons of
  abstentions included
- F1: right slots (a field with its value) against those of the answers and those of the truth,
  micro-averaged; `skilld.training.slots` has the details
- valid: share of answers that were valid under the skill's schema
- abstain precision, recall: right abstentions, whatever their reason, among those given and among
  those due
- chrF: of a text that is composed, as a translation is; see `skilld.training.chrf`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from skilld.training.chrf import chrf, chrf_counts
from skilld.training.example import Example
from skilld.training.intervals import Interval, interval, percentiles, resamples, share
from skilld.training.slots import canonical, f1_counts, is_abstain, slots_of_answer

Answer = Mapping[str, Any] | None
"""The typed output, `{"abstain": reason}`, or None for no valid one."""

Answerer = Callable[[Sequence[Mapping[str, Any]]], Sequence[Answer]]
"""Inputs in, one answer each."""

Scores = Mapping[str, Mapping[str, "Score"]]
"""By split, then by answerer."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer costs, on average where nothing else is said.

    Attributes:
        prompt_tokens: of the question, marks included; None when not measured.
        answer_tokens: generated, those the schema forced included, all samples together.
        batched_ms: per answer, when eight are computed together.
        p50_ms: median of calls made one after the other, as a caller sees it; None when not
            measured.
        p95_ms: of the same calls.
    """

    answer_tokens: float
    batched_ms: float
    prompt_tokens: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """How one answerer did on one split; see the module docstring.

    Attributes:
        num_examples: in the split.
        exact_match: 0 to 1.
        f1: over all fields, 0 to 1; None when there was no slot in truth or answers.
        fields: F1 per field, 0 to 1.
        valid: 0 to 1.
        abstain_precision: None when there was no abstention.
        abstain_recall: None when none was due.
        chrf: 0 to 100; None when no text is composed.
        intervals: 95 % intervals of those of the figures above that are there, by name.
        cost: of an answer; None when it was not measured.
    """

    num_examples: int
    exact_match: float
    f1: float | None
    fields: dict[str, float]
    valid: float
    abstain_precision: float | None
    abstain_recall: float | None
    chrf: float | None
    intervals: dict[str, Interval]
    cost: Cost | None = None


def evaluate(
    answerer: Answerer,
    examples: Sequence[Example],
    *,
    text_field: str | None = None,
    seed: int = 0,
) -> Score:
    """Ask everything and score it; see `score`."""
    answers = answerer([example.input for example in examples])
    return score(answers, examples, text_field=text_field, seed=seed)


def score(
    answers: Sequence[Answer],
    examples: Sequence[Example],
    *,
    text_field: str | None = None,
    seed: int = 0,
) -> Score:
    """Score answers.

    Args:
        answers: one per example.
        examples: inputs with the answers that were meant; not empty.
        text_field: of the answer, whose text is composed and gets a chrF.
        seed: of the bootstrap.
    """
    pairs = list(zip(answers, examples, strict=True))
    counts: dict[str, list[tuple[int, ...]]] = {
        "exact_match": [(is_right(answer, example), 1) for answer, example in pairs],
        "valid": [(answer is not None, 1) for answer in answers],
        "abstain_precision": [
            (example.is_abstain and is_abstain(answer), is_abstain(answer))
            for answer, example in pairs
        ],
        "abstain_recall": [
            (example.is_abstain and is_abstain(answer), example.is_abstain)
            for answer, example in pairs
        ],
    }
    both_slots = [
        (slots_of_answer(answer), slots_of_answer(example.answer)) for answer, example in pairs
    ]
    names = list(dict.fromkeys(name for both in both_slots for side in both for name, _ in side))
    by_field = {name: [f1_counts(*both, names={name}) for both in both_slots] for name in names}
    parts = {name for name in names if not any(n.startswith(f"{name}.") for n in names)}
    counts["f1"] = [f1_counts(*both, names=parts) for both in both_slots]
    shares = {name: share(rows) for name, rows in counts.items()}
    draws = resamples(len(pairs), seed=seed)
    intervals = {
        name: interval(draws, rows) for name, rows in counts.items() if shares[name] is not None
    }
    composed = _composed(pairs, text_field)
    if len(composed):
        intervals["chrf"] = percentiles(chrf(draws @ composed))
    assert shares["exact_match"] is not None
    assert shares["valid"] is not None
    return Score(
        num_examples=len(pairs),
        exact_match=shares["exact_match"],
        f1=shares["f1"],
        fields={name: value for name in names if (value := share(by_field[name])) is not None},
        valid=shares["valid"],
        abstain_precision=shares["abstain_precision"],
        abstain_recall=shares["abstain_recall"],
        chrf=float(chrf(composed.sum(axis=0))) if len(composed) else None,
        intervals=intervals,
    )


def is_right(answer: Answer, example: Example) -> bool:
    """The answer is, in canonical JSON, what was meant."""
    return answer is not None and canonical(answer) == canonical(example.answer)


def composed_field(output_schema: Mapping[str, Any]) -> str | None:
    """The field of an answer that holds a text of the model's own words, for chrF; or None.

    That is a string that is neither chosen from a list nor pointed at, though it may contain
    pieces that are.
    """
    for name, field in output_schema.get("properties", {}).items():
        if field.get("type") == "string" and not {"enum", "const", "x-span"} & field.keys():
            return str(name)
    return None


def as_record(scores: Scores) -> dict[str, Any]:
    """`scores` as JSON values, shares rounded to four places."""
    return {
        split: {name: rounded(asdict(one)) for name, one in by_name.items()}
        for split, by_name in scores.items()
    }


def rounded(value: Any) -> Any:  # Any: a JSON value
    """A JSON value with its numbers rounded to four places."""
    match value:
        case float():
            return round(value, 4)
        case dict():
            return {key: rounded(inner) for key, inner in value.items()}
        case list() | tuple():
            return [rounded(inner) for inner in value]
    return value


def _composed(pairs: Sequence[tuple[Answer, Example]], field: str | None) -> NDArray[np.float64]:
    """Counts of chrF, one row per example that has a text; empty without a text field.

    Examples that must be declined have none and are left out, so rows of others are zero.
    """
    if field is None or not any(field in example.answer for _, example in pairs):
        return np.zeros((0, 0))
    return np.array(
        [
            chrf_counts(_text(answer, field), str(example.answer[field]))
            if field in example.answer
            else chrf_counts("", "")
            for answer, example in pairs
        ],
        dtype=np.float64,
    )


def _text(answer: Answer, field: str) -> str:
    value = None if answer is None else answer.get(field)
    return value if isinstance(value, str) else ""


def score_table(scores: Scores, *, title: str) -> Table:
    """The figures of every answerer on every split, with the 95 % interval of exact match."""
    has_text = any(one.chrf is not None for by_name in scores.values() for one in by_name.values())
    columns = ("exact", "95 %", "F1", *(("chrF",) if has_text else ()), "valid")
    columns = (*columns, "abst.\nprec.", "abst.\nrecall")

    def cells(one: Score) -> tuple[str, ...]:
        low, high = one.intervals["exact_match"]
        return (
            percent(one.exact_match),
            f"{low * 100:.1f}-{high * 100:.1f}",
            percent(one.f1),
            *((_figure(one.chrf),) if has_text else ()),
            percent(one.valid),
            percent(one.abstain_precision),
            percent(one.abstain_recall),
        )

    return _table(scores, title, columns, cells)


def field_table(scores: Scores, *, title: str) -> Table:
    """F1 per field."""
    names = [f for by_name in scores.values() for one in by_name.values() for f in one.fields]
    fields = list(dict.fromkeys(names))
    columns = [name.replace("[].", "[]\n").replace("_", "_\n") for name in fields]
    return _table(
        scores, title, columns, lambda one: [percent(one.fields.get(name)) for name in fields]
    )


def cost_table(scores: Scores, *, title: str) -> Table:
    """What answers cost, of those answerers for which it was measured."""
    measured: dict[str, dict[str, Score]] = {}
    for split, by_name in scores.items():
        if priced := {name: one for name, one in by_name.items() if one.cost is not None}:
            measured[split] = priced
    columns = ("prompt\ntokens", "answer\ntokens", "ms alone\np50", "\np95", "ms in a\nbatch")

    def cells(one: Score) -> tuple[str, ...]:
        cost = one.cost
        assert cost is not None
        figures = (cost.prompt_tokens, cost.answer_tokens, cost.p50_ms, cost.p95_ms)
        return (*map(_figure, figures), _figure(cost.batched_ms))

    return _table(measured, title, columns, cells)


def percent(share: float | None) -> str:
    """A share for people, without the sign; nothing for None."""
    return "" if share is None else f"{share * 100:.1f}"


def _table(
    scores: Scores, title: str, columns: Sequence[str], cells: Callable[[Score], Sequence[str]]
) -> Table:
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column("", no_wrap=True, min_width=19)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    for split, by_name in scores.items():
        num_examples = max((one.num_examples for one in by_name.values()), default=0)
        table.add_row(f"[bold]{split}[/], {num_examples}")
        for name, one in by_name.items():
            is_part = one.num_examples < num_examples
            share = f", {one.num_examples / num_examples:.0%}" if is_part else ""
            table.add_row(f"  {name}{share}", *cells(one))
    return table


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
