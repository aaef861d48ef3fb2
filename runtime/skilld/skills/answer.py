"""`Answer`: what the generated tokens of a call mean, checked against the skill's contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skilld.core.errors import EngineError
from skilld.core.request import FinishReason
from skilld.skills.decoding import before_stop
from skilld.skills.pointing import MarkedInput
from skilld.skills.pointing.marks import SpanError
from skilld.skills.pointing.tool_calls import MissingArgumentError
from skilld.skills.registered_skill import RegisteredSkill
from skilld.skills.skill import NOTHING_TO_POINT_AT

LOW_CONFIDENCE = "low_confidence"
UNRESOLVED = "unresolved"
MISSING_ARGUMENT = "missing_argument"
"""A skill with this reason gives it for a call that lacks a required argument, too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A typed value, or a reason why there is none.

    Attributes:
        output: valid under the skill's output schema; None when abstaining.
        abstain_reason: None when answering; else one of the skill's reasons, or one of ours:
            `low_confidence`; `nothing_to_point_at` (the answer must be a piece of the input, and
            the input has none of its kind); `unresolved` (the model chose pieces of the input
            that make no answer: a phrase that ends before it begins, a number out of bounds).
    """

    output: Any  # a JSON value
    abstain_reason: str | None = None


def read_answer(
    entry: RegisteredSkill,
    token_ids: Sequence[int],
    *,
    marked: MarkedInput | None,
    finish_reason: FinishReason,
    min_probability: float,
) -> Answer:
    """Check a finished generation.

    Args:
        entry: the skill.
        token_ids: everything generated, forced tokens included.
        marked: the input as it was prepared for this call; None when the skill has no spans.
        finish_reason: STOP or LENGTH.
        min_probability: of the least likely freely chosen token; 1.0 when not measured.

    Raises:
        EngineError: reason OUTPUT_TRUNCATED (the token limit came first) or OUTPUT_INVALID
            (not what the schema allows; with a constraint this is a defect of ours).
    """
    text = entry.tokenizer.decode(token_ids)
    skill = entry.skill
    if skill.decoding.format == "text":
        return Answer(before_stop(text, skill.decoding.stop))
    if finish_reason is FinishReason.LENGTH:
        raise EngineError(
            f"skill {skill.id!r}: the answer did not end within {len(token_ids)} tokens",
            reason="OUTPUT_TRUNCATED",
            skill=skill.id,
        )
    try:
        output = json.loads(text)
    except ValueError as error:
        raise EngineError(
            f"skill {skill.id!r}: the answer is not JSON: {error}",
            reason="OUTPUT_INVALID",
            skill=skill.id,
        ) from error
    if (
        isinstance(output, dict)
        and output.keys() == {"abstain"}
        and (skill.abstain.reasons or output["abstain"] == NOTHING_TO_POINT_AT)
    ):
        return Answer(None, abstain_reason=str(output["abstain"]))
    if marked is not None:
        try:
            output = marked.resolve(output, skill.output_schema)
        except MissingArgumentError:
            is_ours = MISSING_ARGUMENT not in skill.abstain.reasons
            return Answer(None, abstain_reason=UNRESOLVED if is_ours else MISSING_ARGUMENT)
        except SpanError:
            return Answer(None, abstain_reason=UNRESOLVED)
    for path, problem in entry.output_validator.violations(output, limit=1):
        if marked is not None:  # bounds of what is pointed at are beyond a grammar
            return Answer(None, abstain_reason=UNRESOLVED)
        raise EngineError(
            f"skill {skill.id!r}: the answer breaks its schema at {path}: {problem}",
            reason="OUTPUT_INVALID",
            skill=skill.id,
        )
    if min_probability < skill.abstain.min_confidence:
        return Answer(None, abstain_reason=LOW_CONFIDENCE)
    return Answer(output)
