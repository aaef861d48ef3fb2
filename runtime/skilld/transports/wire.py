"""Calls and their answers between `skilld.v1` and the records of `SkillService`. No I/O.

Errors leave as `google.rpc.Status`: the code from one table by class, and as details an
ErrorInfo with the reason every transport uses, a BadRequest for wrong input, a RetryInfo when
coming back later helps. All of it travels in HTTP/2 trailers, which gRPC bounds at 8 KiB, so
text that a caller can make long is clipped here.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import duration_pb2, struct_pb2
from google.rpc import error_details_pb2, status_pb2

from skilld.core.errors import (
    ArtefactError,
    CancelledError,
    DeadlineError,
    EngineError,
    InvalidRequestError,
    NotFoundError,
    OverloadedError,
    SkilldError,
    UnavailableError,
    UpdateError,
)
from skilld.core.request import FinishReason, RequestClass
from skilld.service import Call, Outcome, parse_input
from skilld.skills import RegisteredSkill
from skilld.transports.text import clip, json_text
from skilld.v1 import skill_service_pb2 as v1

DOMAIN = "skilld"

CODES: Mapping[type[SkilldError], grpc.StatusCode] = {
    InvalidRequestError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    CancelledError: grpc.StatusCode.CANCELLED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    EngineError: grpc.StatusCode.INTERNAL,
    UpdateError: grpc.StatusCode.FAILED_PRECONDITION,
    ArtefactError: grpc.StatusCode.FAILED_PRECONDITION,
    SkilldError: grpc.StatusCode.INTERNAL,
}

_CLASSES = {
    v1.REQUEST_CLASS_UNSPECIFIED: None,
    v1.REQUEST_CLASS_DEADLINE: RequestClass.DEADLINE,
    v1.REQUEST_CLASS_INTERACTIVE: RequestClass.INTERACTIVE,
    v1.REQUEST_CLASS_BATCH: RequestClass.BATCH,
}
CLASS_VALUES = {ours: theirs for theirs, ours in _CLASSES.items() if ours is not None}
_FINISH_REASONS = {
    FinishReason.STOP: v1.FINISH_REASON_STOP,
    FinishReason.LENGTH: v1.FINISH_REASON_LENGTH,
}
_MAX_REQUEST_ID_BYTES = 128
_MAX_MESSAGE_BYTES = 512
_MAX_METADATA_BYTES = 128
_MAX_VIOLATION_BYTES = 160
_MAX_EXACT_INT = 2.0**53

Json = Any  # a JSON value


# --- requests ------------------------------------------------------------------------------------


def call_of(request: v1.InvokeRequest, *, time_remaining_s: float | None, client: str = "") -> Call:
    """Read a request.

    Args:
        request: as received.
        time_remaining_s: until the deadline of the RPC; None without one.
        client: who calls.

    Raises:
        InvalidRequestError: a field holds what it must not; names the field.
    """
    return Call(
        skill=request.skill,
        input=_input_of(request),
        request_id=_request_id_of(request),
        timeout_s=_timeout_of(request, time_remaining_s),
        request_class=_class_of(request),
        max_tokens=request.max_tokens or None,
        seed=request.seed,
        client=client,
        jump_forward=not request.disable_jump_forward,
    )


def _input_of(request: v1.InvokeRequest) -> dict[str, Json]:
    match request.WhichOneof("input"):
        case "input_json":
            return parse_input(request.input_json)
        case "input_struct":
            return _object_of(request.input_struct)
        case _:
            raise _field_error("input", "is missing: set input_json or input_struct")


def _request_id_of(request: v1.InvokeRequest) -> str:
    if len(request.request_id.encode()) > _MAX_REQUEST_ID_BYTES:
        raise _field_error("request_id", f"is longer than {_MAX_REQUEST_ID_BYTES} bytes")
    return request.request_id or uuid.uuid4().hex


def _timeout_of(request: v1.InvokeRequest, time_remaining_s: float | None) -> float | None:
    if not request.HasField("timeout"):
        return time_remaining_s
    timeout_s = request.timeout.seconds + request.timeout.nanos / 1e9
    if timeout_s <= 0.0:
        raise _field_error("timeout", f"must be positive, not {timeout_s} s")
    return timeout_s if time_remaining_s is None else min(timeout_s, time_remaining_s)


def _class_of(request: v1.InvokeRequest) -> RequestClass | None:
    try:
        return _CLASSES[request.request_class]
    except KeyError:  # enums are open on the wire
        raise _field_error(
            "request_class", f"{request.request_class} is not a known class"
        ) from None


def _field_error(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} {problem}", violations=[(field, problem)])


def _object_of(struct: struct_pb2.Struct) -> dict[str, Json]:
    return {name: _json_of(value, name) for name, value in struct.fields.items()}


def _json_of(value: struct_pb2.Value, name: str) -> Json:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            if not math.isfinite(number):
                raise InvalidRequestError(
                    f"the input holds {number} in {name!r}, which is not JSON",
                    reason="INPUT_NOT_JSON",
                )
            # A Struct knows no integers; 3 should reach the prompt as 3 and not as 3.0.
            is_whole = number.is_integer() and abs(number) <= _MAX_EXACT_INT
            return int(number) if is_whole else number
        case "bool_value":
            return value.bool_value
        case "null_value":
            return None
        case "struct_value":
            return _object_of(value.struct_value)
        case "list_value":
            return [_json_of(item, name) for item in value.list_value.values]
        case _:
            raise InvalidRequestError(
                f"the input holds a value of no kind in {name!r}", reason="INPUT_NOT_JSON"
            )


# --- answers -------------------------------------------------------------------------------------


def response_of(
    outcome: Outcome, request: v1.InvokeRequest, *, call: Call, entry: RegisteredSkill
) -> v1.InvokeResponse:
    """Write an answer, in the form the input came in."""
    usage = outcome.usage
    response = v1.InvokeResponse(
        request_id=call.request_id,
        finish_reason=_FINISH_REASONS[outcome.finish_reason],
        usage=v1.Usage(
            prompt_tokens=usage.prompt_tokens,
            output_tokens=usage.output_tokens,
            forced_tokens=usage.forced_tokens,
            num_steps=usage.num_steps,
            kv_bytes=usage.kv_bytes,
            queue_ms=usage.queue_ms,
            first_token_ms=usage.first_token_ms,
            total_ms=usage.total_ms,
        ),
        engine_digest=entry.engine_digest,
        skill_version=entry.skill.version,
    )
    if outcome.abstain_reason is not None:
        response.abstain.reason = outcome.abstain_reason
    elif request.WhichOneof("input") == "input_json":
        response.output_json = json_text(outcome.output)
    else:
        _fill_value(response.output_value, outcome.output)
    return response


def _fill_value(value: struct_pb2.Value, content: Json) -> None:
    match content:
        case None:
            value.null_value = struct_pb2.NULL_VALUE
        case bool():
            value.bool_value = content
        case int() | float():
            value.number_value = content
        case str():
            value.string_value = content
        case list():
            value.list_value.SetInParent()
            for item in content:
                _fill_value(value.list_value.values.add(), item)
        case dict():
            value.struct_value.SetInParent()
            for name, item in content.items():
                _fill_value(value.struct_value.fields[name], item)
        case _:
            raise AssertionError(f"not a JSON value: {type(content).__name__}")


# --- errors --------------------------------------------------------------------------------------


def code_of(error: SkilldError) -> grpc.StatusCode:
    """The gRPC status of an error, by its nearest class in `CODES`."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def error_status_of(error: SkilldError, *, request_id: str = "") -> status_pb2.Status:
    """Write an error with its details."""
    message = clip(error.message, _MAX_MESSAGE_BYTES)
    status = status_pb2.Status(code=code_of(error).value[0], message=message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = clip(value, _MAX_METADATA_BYTES)
    if request_id:
        info.metadata["request_id"] = clip(request_id, _MAX_METADATA_BYTES)
    status.details.add().Pack(info)
    match error:
        case InvalidRequestError(violations=violations) if violations:
            bad_request = error_details_pb2.BadRequest()
            for path, problem in violations:
                bad_request.field_violations.add(
                    field=clip(path, _MAX_VIOLATION_BYTES),
                    description=clip(problem, _MAX_VIOLATION_BYTES),
                )
            status.details.add().Pack(bad_request)
        case (
            OverloadedError(retry_after_s=retry_after_s)
            | UnavailableError(retry_after_s=float() as retry_after_s)
        ):
            retry = error_details_pb2.RetryInfo(retry_delay=duration_of(retry_after_s))
            status.details.add().Pack(retry)
    return status


def duration_of(seconds: float) -> duration_pb2.Duration:
    """A protobuf duration, to the nanosecond."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
