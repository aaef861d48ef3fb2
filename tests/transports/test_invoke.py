from __future__ import annotations

import json

import grpc
import pytest
from google.protobuf import json_format, struct_pb2
from tests.transports.conftest import Daemon, reason_of

from skilld.transports import wire
from skilld.v1 import skill_service_pb2 as v1
from skilld.v1 import skill_service_pb2_grpc as v1_grpc


async def test_json_in_gives_json_out(daemon: Daemon) -> None:
    want = '{"label":"fault","count":3}'
    response = await daemon.stub.Invoke(
        v1.InvokeRequest(skill="triage", input_json=json.dumps({"want": want}))
    )
    assert response.WhichOneof("outcome") == "output_json"
    assert response.output_json == want
    assert response.finish_reason == v1.FINISH_REASON_STOP
    assert response.skill_version == "2.0.0"
    assert response.engine_digest == daemon.box.residents[0].manifest.digest


async def test_struct_in_gives_a_value_out(daemon: Daemon) -> None:
    values = struct_pb2.Struct()
    values.update({"want": '{"label":"ok","count":-2}', "lines": [1, 2]})
    response = await daemon.stub.Invoke(v1.InvokeRequest(skill="triage", input_struct=values))
    assert response.WhichOneof("outcome") == "output_value"
    assert json_format.MessageToDict(response.output_value) == {"label": "ok", "count": -2.0}


def test_whole_numbers_of_a_struct_have_no_fraction_in_the_prompt() -> None:
    values = struct_pb2.Struct()
    values.update({"a": 3, "b": [1.5, -2, True, None], "c": {"d": 2.0**60}})
    request = v1.InvokeRequest(skill="any", input_struct=values)
    call = wire.call_of(request, time_remaining_s=None)
    assert json.dumps(call.input, sort_keys=True) == (
        '{"a": 3, "b": [1.5, -2, true, null], "c": {"d": 1.152921504606847e+18}}'
    )


async def test_text_of_any_script_survives_both_forms(daemon: Daemon) -> None:
    text = '油圧 7 bar\n\t"quoted" ✓ <|answer|>'
    response = await daemon.stub.Invoke(
        v1.InvokeRequest(skill="echo", input_json=json.dumps({"text": text}))
    )
    assert json.loads(response.output_json) == text
    values = struct_pb2.Struct()
    values.update({"text": text})
    response = await daemon.stub.Invoke(v1.InvokeRequest(skill="echo", input_struct=values))
    assert response.output_value.string_value == text


async def test_abstention_is_an_answer(daemon: Daemon) -> None:
    response = await daemon.stub.Invoke(
        v1.InvokeRequest(skill="triage", input_json='{"want": "{\\"abstain\\":\\"unclear\\"}"}')
    )
    assert response.WhichOneof("outcome") == "abstain"
    assert response.abstain.reason == "unclear"


async def test_usage_counts_what_happened(daemon: Daemon) -> None:
    response = await daemon.stub.Invoke(
        v1.InvokeRequest(skill="echo", input_json='{"text": "abcdef"}')
    )
    usage = response.usage
    assert usage.prompt_tokens == len("echo:abcdef") + 1
    assert usage.output_tokens == 6
    assert usage.forced_tokens == 0
    # The prompt gives a; bcdef are guessed from the prompt and all of them verified at once.
    assert usage.num_steps == 2
    # 18 tokens in blocks of 4, each 2 x 4 x 4 bytes.
    assert usage.kv_bytes == 5 * 32
    assert 0 <= usage.queue_ms <= usage.first_token_ms <= usage.total_ms


async def test_jump_forward_saves_steps_and_changes_nothing(daemon: Daemon) -> None:
    request = v1.InvokeRequest(
        skill="triage", input_json=json.dumps({"want": '{"label":"ok","count":1}'})
    )
    fast = await daemon.stub.Invoke(request)
    request.disable_jump_forward = True
    slow = await daemon.stub.Invoke(request)
    assert slow.output_json == fast.output_json
    assert fast.usage.forced_tokens > 0
    assert slow.usage.forced_tokens == 0
    assert slow.usage.num_steps > fast.usage.num_steps


async def test_request_id_is_echoed_or_made_up(daemon: Daemon) -> None:
    request = v1.InvokeRequest(skill="echo", input_json='{"text": "a"}', request_id="cell-4/17")
    assert (await daemon.stub.Invoke(request)).request_id == "cell-4/17"
    request.request_id = ""
    first, second = await daemon.stub.Invoke(request), await daemon.stub.Invoke(request)
    assert first.request_id
    assert first.request_id != second.request_id


async def test_token_limit_cuts_text_and_fails_json(daemon: Daemon) -> None:
    response = await daemon.stub.Invoke(
        v1.InvokeRequest(skill="echo", input_json='{"text": "abcdef"}', max_tokens=3)
    )
    assert json.loads(response.output_json) == "abc"
    assert response.finish_reason == v1.FINISH_REASON_LENGTH
    request = v1.InvokeRequest(
        skill="triage",
        input_json=json.dumps({"want": '{"label":"ok","count":1}'}),
        max_tokens=3,
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.stub.Invoke(request)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert reason_of(caught.value) == "OUTPUT_TRUNCATED"


async def test_calls_on_one_connection_run_together(daemon: Daemon) -> None:
    calls = [
        daemon.stub.Invoke(v1.InvokeRequest(skill="echo", input_json=f'{{"text": "call {n}"}}'))
        for n in range(40)
    ]
    assert [json.loads((await call).output_json) for call in calls] == [
        f"call {n}" for n in range(40)
    ]


def test_blocking_client_gets_the_same_answer(blocking_target: str) -> None:
    with grpc.insecure_channel(blocking_target) as channel:
        stub = v1_grpc.SkillServiceStub(channel)
        request = v1.InvokeRequest(skill="echo", input_json='{"text": "hello"}')
        assert stub.Invoke(request).output_json == '"hello"'
        events = list(stub.InvokeStream(v1.InvokeStreamRequest(call=request)))
    assert events[-1].result.output_json == '"hello"'
