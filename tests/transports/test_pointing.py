"""Callers of a skill that points at its input see values, never marks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc
import pytest
from tests.transports.conftest import Daemon, OpenDaemon, WriteEngine, reason_of

from skilld.skills.pointing.marks import MARKS
from skilld.v1 import skill_service_pb2 as v1

POINT = r"""
id = "point"
version = "1.0.0"
description = "Finds a code."
prompt = "point:{text}<|answer|>"
timeout_s = 30.0
[decoding]
max_tokens = 64
[input_schema]
type = "object"
required = ["text"]
[input_schema.properties.text]
type = "string"
maxLength = 400
[spans]
fields = ["text"]
[[spans.kind]]
name = "code"
patterns = [{ pattern = 'E\d+' }]
[output_schema]
type = "object"
required = ["code"]
[output_schema.properties.code]
type = "string"
x-span = "code"
"""


@pytest.fixture
async def pointing(open_daemon: OpenDaemon, write_engine: WriteEngine) -> AsyncIterator[Daemon]:
    async with open_daemon(engines=[write_engine("pointing", {"point": POINT})]) as daemon:
        yield daemon


def call(text: str) -> v1.InvokeRequest:
    return v1.InvokeRequest(skill="point", input_json=json.dumps({"text": text}))


async def test_the_value_behind_the_mark_is_answered(pointing: Daemon) -> None:
    response = await pointing.stub.Invoke(call("replace E12 now"))
    assert json.loads(response.output_json) == {"code": "E12"}


async def test_no_delta_shows_a_mark(pointing: Daemon) -> None:
    request = v1.InvokeStreamRequest(call=call("replace E12 now"))
    events = [event async for event in pointing.stub.InvokeStream(request)]
    assert [event.WhichOneof("event") for event in events] == ["accepted", "result"]
    assert json.loads(events[-1].result.output_json) == {"code": "E12"}
    assert not any(MARKS.search(str(event)) for event in events)


async def test_an_input_with_nothing_to_point_at_is_declined_without_the_model(
    pointing: Daemon,
) -> None:
    response = await pointing.stub.Invoke(call("replace it now"))
    assert response.abstain.reason == "nothing_to_point_at"
    assert response.usage.output_tokens == response.usage.forced_tokens > 0


async def test_a_text_that_explodes_is_the_callers_fault(pointing: Daemon) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await pointing.stub.Invoke(call("\ufdfa" * 300))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "INVALID_INPUT"


async def test_the_listed_schema_says_nothing_of_marks(pointing: Daemon) -> None:
    response = await pointing.stub.GetSkill(v1.GetSkillRequest(skill="point"))
    schema = json.loads(response.skill.output_schema_json)
    assert schema["properties"] == {"code": {"type": "string"}}
