"""`Call` and `Outcome`: a skill call as any transport understands it, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skilld.core.request import FinishReason, RequestClass


@dataclass(frozen=True, slots=True)
class Call:
    """One skill call, as a transport understood it.

    Attributes:
        skill: id of the skill.
        input: the parsed input.
        request_id: the caller's own, echoed back; "" for none.
        timeout_s: what the caller will wait; None for the skill's own limit.
        request_class: None for the skill's default.
        max_tokens: a tighter limit than the skill's; None for that.
        seed: of sampling.
        client: who calls; queues are bounded and shared fairly per client.
        jump_forward: False decodes forced tokens one by one (for measurements).
    """

    skill: str
    input: Mapping[str, Any]
    request_id: str = ""
    timeout_s: float | None = None
    request_class: RequestClass | None = None
    max_tokens: int | None = None
    seed: int = 0
    client: str = ""
    jump_forward: bool = True


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call cost; times in milliseconds from its arrival."""

    prompt_tokens: int
    output_tokens: int
    forced_tokens: int
    num_steps: int
    kv_bytes: int
    queue_ms: float
    first_token_ms: float
    total_ms: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended well.

    Attributes:
        output: the typed value, valid under the skill's output schema; None when abstaining.
        abstain_reason: why the skill declined to answer; None when it did answer.
        finish_reason: how decoding ended.
        usage: what it cost.
    """

    output: Any  # a JSON value
    abstain_reason: str | None
    finish_reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer's raw text, before it is validated as a whole."""

    text: str
