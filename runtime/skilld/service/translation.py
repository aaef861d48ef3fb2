"""From a call to a request, and from the last event to an outcome."""

from __future__ import annotations

import asyncio
from typing import Any

from skilld.core.errors import InvalidRequestError
from skilld.core.request import Request
from skilld.loop import Ended
from skilld.service.call import Call, Outcome, Usage
from skilld.skills import PreparedCall, RegisteredSkill
from skilld.skills.answer import read_answer
from skilld.skills.decoding import Decoding

_LONG_PROMPT_CHARS = 4096


def validate_input(entry: RegisteredSkill, values: dict[str, Any]) -> None:
    """Hold an input against the skill's schema.

    Raises:
        InvalidRequestError: it does not keep it; says where.
    """
    violations = entry.input_validator.violations(values)
    if violations:
        path, message = violations[0]
        raise InvalidRequestError(
            f"input of skill {entry.skill.id!r}: {path}: {message}",
            violations=violations,
            skill=entry.skill.id,
        )


async def prepare_input(entry: RegisteredSkill, values: dict[str, Any]) -> PreparedCall:
    """Mark and tokenize an input; a long one must not hold up every other caller."""
    segments = entry.prompt.render(values)
    if sum(len(segment.text) for segment in segments) < _LONG_PROMPT_CHARS:
        return entry.prepare(values)
    return await asyncio.to_thread(entry.prepare, values)


def request_of(
    call: Call,
    entry: RegisteredSkill,
    prompt: list[int],
    request_id: str,
    *,
    arrival_s: float,
    is_asked: bool = False,
) -> Request:
    """What the scheduler gets of a call; the stricter of the caller's and the skill's limits.

    Args:
        call: of the caller.
        entry: its skill.
        prompt: token ids.
        request_id: of the box.
        arrival_s: when the call came.
        is_asked: by the box itself, whose own time limit counts alone: a release must not be
            judged by how long the queue is.
    """
    skill = entry.skill
    timeout_s = skill.timeout_s
    if call.timeout_s is not None:
        timeout_s = call.timeout_s if is_asked else min(timeout_s, call.timeout_s)
    max_tokens = skill.decoding.max_tokens
    if call.max_tokens is not None:
        max_tokens = max(1, min(max_tokens, call.max_tokens))
    return Request(
        request_id=request_id,
        engine=entry.runs_on,
        prompt=prompt,
        max_tokens=max_tokens,
        request_class=skill.request_class if call.request_class is None else call.request_class,
        arrival_s=arrival_s,
        deadline_s=arrival_s + timeout_s,
        client=call.client,
    )


def outcome_of(
    entry: RegisteredSkill,
    prepared: PreparedCall,
    decoding: Decoding,
    request: Request,
    ended: Ended,
) -> Outcome:
    """Turn the last event into a checked answer.

    Raises:
        SkilldError: the request failed, or its text broke the contract.
    """
    if ended.error is not None:
        raise ended.error
    usage = Usage(
        prompt_tokens=len(request.prompt),
        output_tokens=len(ended.token_ids),
        forced_tokens=decoding.num_forced_tokens,
        num_steps=ended.num_steps,
        kv_bytes=ended.kv_bytes,
        queue_ms=ended.queue_ms,
        first_token_ms=ended.first_token_ms,
        total_ms=ended.total_ms,
    )
    answer = read_answer(
        entry,
        ended.token_ids,
        marked=prepared.marked,
        finish_reason=ended.reason,
        min_probability=decoding.min_probability,
    )
    return Outcome(answer.output, answer.abstain_reason, ended.reason, usage)
