"""Replies: an outcome, an error or an event as the payload and properties of a message. Pure.

The payload is the same JSON in both forms, but that an envelope also has what the other form says
in properties. Every reply has `status`: "ok", "abstain", "error", or "running" for an event of a
stream before its end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from skilld.core.errors import InvalidRequestError, OverloadedError, SkilldError, UnavailableError
from skilld.mqtt.message import Message
from skilld.service import Outcome
from skilld.skills import RegisteredSkill
from skilld.transports.mqtt.envelope import ReplyAddress
from skilld.transports.text import clip, json_text

Json = Any  # a JSON value

_MAX_MESSAGE_BYTES = 2048
_MAX_METADATA_BYTES = 256
_MAX_VIOLATION_BYTES = 512


@dataclass(frozen=True, slots=True)
class Body:
    """A reply without its address; what is remembered for repeats.

    Attributes:
        payload: a JSON object.
        user: user properties.
    """

    payload: bytes
    user: tuple[tuple[str, str], ...]

    @property
    def num_bytes(self) -> int:
        """About what it takes to keep."""
        return len(self.payload) + sum(len(key) + len(value) for key, value in self.user)


def answer_body(outcome: Outcome, *, request_id: str, entry: RegisteredSkill, box: str) -> Body:
    """An answer or an abstention, with what it cost."""
    usage = outcome.usage
    is_abstention = outcome.abstain_reason is not None
    content: dict[str, Json] = {
        "request_id": request_id,
        "status": "abstain" if is_abstention else "ok",
        **(
            {"abstain": {"reason": outcome.abstain_reason}}
            if is_abstention
            else {"output": outcome.output}
        ),
        "finish_reason": outcome.finish_reason.value,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "output_tokens": usage.output_tokens,
            "forced_tokens": usage.forced_tokens,
            "num_steps": usage.num_steps,
            "kv_bytes": usage.kv_bytes,
            "queue_ms": round(usage.queue_ms, 3),
            "first_token_ms": round(usage.first_token_ms, 3),
            "total_ms": round(usage.total_ms, 3),
        },
        "engine_digest": entry.engine_digest,
        "skill_version": entry.skill.version,
        "box": box,
    }
    reason = outcome.abstain_reason
    return _body(content, [] if reason is None else [("reason", reason)])


def error_body(error: SkilldError, *, request_id: str, box: str) -> Body:
    """A refusal or failure; the same reason as on every transport."""
    content: dict[str, Json] = {
        "reason": error.reason,
        "message": clip(error.message, _MAX_MESSAGE_BYTES),
    }
    user = [("reason", error.reason)]
    if error.metadata:
        content["metadata"] = {
            key: clip(value, _MAX_METADATA_BYTES) for key, value in error.metadata.items()
        }
    match error:
        case InvalidRequestError(violations=violations) if violations:
            content["violations"] = [
                {
                    "field": clip(field, _MAX_VIOLATION_BYTES),
                    "description": clip(problem, _MAX_VIOLATION_BYTES),
                }
                for field, problem in violations
            ]
        case (
            OverloadedError(retry_after_s=retry_after_s)
            | UnavailableError(retry_after_s=float() as retry_after_s)
        ):
            content["retry_after_s"] = round(retry_after_s, 3)
            user.append(("retry_after_ms", str(math.ceil(retry_after_s * 1e3))))
    return _body({"request_id": request_id, "status": "error", "error": content, "box": box}, user)


def event_body(event: str, value: Json, *, request_id: str, box: str) -> Body:
    """An event of a stream before its end: `accepted` or `delta`."""
    content = {"request_id": request_id, "status": "running", event: value, "box": box}
    return _body(content, [])


def reply(address: ReplyAddress, body: Body, *, seq: int = 0, is_final: bool = True) -> Message:
    """The message that carries a body to one who waits for it."""
    ends = "true" if is_final else "false"
    if address.is_envelope:
        begin = f'{{"seq":{seq},"final":{ends},'
        if address.correlation is not None:
            begin += f'"correlation":{json_text(address.correlation.decode())},'
        if address.traceparent is not None:
            begin += f'"traceparent":{json_text(address.traceparent)},'
        return Message(address.topic, begin.encode() + body.payload[1:])
    user = [*body.user, ("seq", str(seq)), ("final", ends)]
    if address.traceparent is not None:
        user.append(("traceparent", address.traceparent))
    return Message(
        address.topic,
        body.payload,
        correlation=address.correlation,
        content_type="application/json",
        user=tuple(user),
    )


def _body(content: dict[str, Json], user: list[tuple[str, str]]) -> Body:
    first = [("request_id", content["request_id"]), ("status", content["status"])]
    return Body(json_text(content).encode(), (*first, *user))
