from __future__ import annotations

import json
import math
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from google.rpc import error_details_pb2
from tests.transports.conftest import Daemon, OpenDaemon, detail_of, reason_of

from skilld.config import GrpcConfig
from skilld.v1 import skill_service_pb2 as v1


async def refusal_of(daemon: Daemon, request: v1.InvokeRequest) -> grpc.aio.AioRpcError:
    """The error of a call, and proof that the daemon took no harm from it."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.stub.Invoke(request)
    good = v1.InvokeRequest(skill="echo", input_json='{"text": "still here"}')
    assert (await daemon.stub.Invoke(good)).output_json == '"still here"'
    assert "Traceback" not in (caught.value.details() or "")
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"text": }',
        "[1, 2]",
        '"text"',
        '{"text": NaN}',
        '{"text": 1e999}',
        '{"text": "\\ud800"}',
        '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"text": ' + "1" * 5000 + "}",
    ],
    ids=lambda text: text[:24],
)
async def test_input_that_is_not_a_json_object_is_named_so(daemon: Daemon, text: str) -> None:
    error = await refusal_of(daemon, v1.InvokeRequest(skill="echo", input_json=text))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "INPUT_NOT_JSON"


async def test_malformed_json_is_told_with_line_and_column(daemon: Daemon) -> None:
    error = await refusal_of(daemon, v1.InvokeRequest(skill="echo", input_json='{\n "text" 1}'))
    assert "line 2 column 9" in (error.details() or "")


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"text": 3}, "$.text"),
        ({}, "$"),
        ({"text": "a", "more": 1}, "$"),
    ],
)
async def test_wrong_types_are_told_with_their_path_in_both_forms(
    daemon: Daemon, values: dict[str, Any], path: str
) -> None:
    struct = struct_pb2.Struct()
    struct.update(values)
    for request in (
        v1.InvokeRequest(skill="echo", input_json=json.dumps(values), request_id="r-1"),
        v1.InvokeRequest(skill="echo", input_struct=struct, request_id="r-1"),
    ):
        error = await refusal_of(daemon, request)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(error) == "INVALID_INPUT"
        bad_request = detail_of(error, error_details_pb2.BadRequest)
        assert bad_request is not None
        assert [violation.field for violation in bad_request.field_violations] == [path]
        info = detail_of(error, error_details_pb2.ErrorInfo)
        assert info is not None
        assert dict(info.metadata) == {"skill": "echo", "request_id": "r-1"}


async def test_every_violation_is_told_and_nested_ones_with_their_index(daemon: Daemon) -> None:
    values = {"want": 1, "lines": [1, "two", 3, "four"]}
    error = await refusal_of(
        daemon, v1.InvokeRequest(skill="triage", input_json=json.dumps(values))
    )
    bad_request = detail_of(error, error_details_pb2.BadRequest)
    assert bad_request is not None
    fields = {violation.field for violation in bad_request.field_violations}
    assert fields == {"$.want", "$.lines[1]", "$.lines[3]"}


async def test_long_values_in_an_error_do_not_break_its_transport(daemon: Daemon) -> None:
    values = {"want": [["語" * 10_000]], "lines": ["x" * 50_000] * 12}
    error = await refusal_of(
        daemon,
        v1.InvokeRequest(skill="triage", input_json=json.dumps(values), request_id="語" * 42),
    )
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "INVALID_INPUT"
    bad_request = detail_of(error, error_details_pb2.BadRequest)
    assert bad_request is not None
    assert len(bad_request.field_violations) == 8


async def test_deeply_nested_value_where_text_belongs_is_a_wrong_type(daemon: Daemon) -> None:
    text = '{"text": ' + "[" * 200 + "]" * 200 + "}"
    error = await refusal_of(daemon, v1.InvokeRequest(skill="echo", input_json=text))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_struct_with_a_number_json_does_not_know_is_refused(daemon: Daemon) -> None:
    struct = struct_pb2.Struct()
    struct["text"] = math.nan
    error = await refusal_of(daemon, v1.InvokeRequest(skill="echo", input_struct=struct))
    assert reason_of(error) == "INPUT_NOT_JSON"


async def test_struct_with_an_empty_value_is_refused(daemon: Daemon) -> None:
    struct = struct_pb2.Struct(fields={"text": struct_pb2.Value()})
    error = await refusal_of(daemon, v1.InvokeRequest(skill="echo", input_struct=struct))
    assert reason_of(error) == "INPUT_NOT_JSON"


@pytest.mark.parametrize(
    ("request_field", "request_"),
    [
        ("input", v1.InvokeRequest(skill="echo")),
        (
            "request_id",
            v1.InvokeRequest(skill="echo", input_json='{"text": "a"}', request_id="x" * 129),
        ),
        (
            "request_class",
            v1.InvokeRequest(skill="echo", input_json='{"text": "a"}', request_class=99),  # type: ignore[arg-type]
        ),
        (
            "timeout",
            v1.InvokeRequest(skill="echo", input_json='{"text": "a"}', timeout={"seconds": -1}),
        ),
    ],
)
async def test_bad_field_of_the_request_itself_is_named(
    daemon: Daemon, request_field: str, request_: v1.InvokeRequest
) -> None:
    error = await refusal_of(daemon, request_)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad_request = detail_of(error, error_details_pb2.BadRequest)
    assert bad_request is not None
    assert [violation.field for violation in bad_request.field_violations] == [request_field]


async def test_unknown_skill_is_not_found_and_the_known_ones_are_named(daemon: Daemon) -> None:
    error = await refusal_of(daemon, v1.InvokeRequest(skill="dance", input_json="{}"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert reason_of(error) == "UNKNOWN_SKILL"
    assert "echo, triage" in (error.details() or "")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.stub.GetSkill(v1.GetSkillRequest(skill="dance"))
    assert reason_of(caught.value) == "UNKNOWN_SKILL"


async def test_prompt_beyond_the_context_is_refused_with_the_numbers(daemon: Daemon) -> None:
    error = await refusal_of(
        daemon, v1.InvokeRequest(skill="echo", input_json=json.dumps({"text": "x" * 1100}))
    )
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(error) == "PROMPT_TOO_LONG"
    info = detail_of(error, error_details_pb2.ErrorInfo)
    assert info is not None
    assert info.metadata["prompt_tokens"] == str(len("echo:") + 1100 + 1)
    assert info.metadata["context_limit"] == "2048"


async def test_message_over_the_limit_is_refused_before_it_is_read(
    open_daemon: OpenDaemon, on_socket: GrpcConfig
) -> None:
    config = on_socket.model_copy(update={"max_message_bytes": 4096})
    async with open_daemon(grpc_config=config) as daemon:
        text = json.dumps({"text": "x" * 5000})
        error = await refusal_of(daemon, v1.InvokeRequest(skill="echo", input_json=text))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_bytes_that_are_no_message_end_one_call_only(daemon: Daemon) -> None:
    raw: Any = daemon.channel.unary_unary("/skilld.v1.SkillService/Invoke")
    with pytest.raises(grpc.aio.AioRpcError):
        await raw(b"\xff\xff\xff\xff")
    good = v1.InvokeRequest(skill="echo", input_json='{"text": "still here"}')
    assert (await daemon.stub.Invoke(good)).output_json == '"still here"'


async def test_surprise_inside_the_daemon_is_internal_and_keeps_its_details(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(skill_id: str) -> None:
        raise ZeroDivisionError("secret of the house")

    monkeypatch.setattr(daemon.box.service.offering, "get", explode)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.stub.Invoke(v1.InvokeRequest(skill="echo", input_json='{"text": "a"}'))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert reason_of(caught.value) == "INTERNAL"
    assert "secret" not in (caught.value.details() or "")
