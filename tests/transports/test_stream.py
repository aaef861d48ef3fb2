from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
from tests.transports.conftest import Daemon, Gate, OpenDaemon, reason_of, rest_of, until

from skilld.config import EngineConfig
from skilld.v1 import skill_service_pb2 as v1
from skilld.v1 import skill_service_pb2_grpc as v1_grpc

LONG = json.dumps({"text": "abcdefghij" * 99})

CLIENT = """
import sys, grpc
from skilld.v1 import skill_service_pb2 as v1, skill_service_pb2_grpc as v1_grpc
channel = grpc.insecure_channel(sys.argv[1])
call = v1.InvokeRequest(skill="echo", input_json=sys.argv[2])
for event in v1_grpc.SkillServiceStub(channel).InvokeStream(v1.InvokeStreamRequest(call=call)):
    print(event.WhichOneof("event"), flush=True)
"""


def echo(text: str, *, request_id: str = "") -> v1.InvokeStreamRequest:
    call = v1.InvokeRequest(
        skill="echo", input_json=json.dumps({"text": text}), request_id=request_id
    )
    return v1.InvokeStreamRequest(call=call)


@pytest.fixture
async def gated(open_daemon: OpenDaemon, gate: Gate) -> AsyncIterator[Daemon]:
    async with open_daemon(before_step=gate) as daemon:
        yield daemon


async def test_stream_is_accepted_then_deltas_then_the_result(daemon: Daemon) -> None:
    request = echo("油圧 ok", request_id="r-7")
    events = [event async for event in daemon.stub.InvokeStream(request)]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "result"
    assert set(kinds[1:-1]) == {"delta"}
    assert events[0].accepted.request_id == "r-7"
    assert events[0].accepted.queue_position == 0
    assert "".join(event.delta.text for event in events) == "油圧 ok"
    assert json.loads(events[-1].result.output_json) == "油圧 ok"
    assert events[-1].result.request_id == "r-7"
    assert events[-1].result.usage.output_tokens == len("油圧 ok".encode())


async def test_deltas_of_a_constrained_answer_are_its_json_text(daemon: Daemon) -> None:
    want = '{"label":"ok","count":12}'
    call = v1.InvokeRequest(skill="triage", input_json=json.dumps({"want": want}))
    request = v1.InvokeStreamRequest(call=call)
    events = [event async for event in daemon.stub.InvokeStream(request)]
    assert "".join(event.delta.text for event in events) == want
    assert events[-1].result.output_json == want


async def test_caller_hears_of_acceptance_before_the_first_step(gated: Daemon, gate: Gate) -> None:
    stream = gated.stub.InvokeStream(echo("ab"))
    assert (await stream.read()).WhichOneof("event") == "accepted"
    gate.let(1)
    assert (await stream.read()).delta.text == "a"
    gate.let(1)
    assert (await stream.read()).delta.text == "b"
    gate.open()
    assert (await stream.read()).result.output_json == '"ab"'


async def test_later_calls_are_told_their_place_in_the_queue(
    open_daemon: OpenDaemon, gate: Gate
) -> None:
    async with open_daemon(before_step=gate, engine=EngineConfig(max_num_seqs=1)) as daemon:
        streams = [daemon.stub.InvokeStream(echo("ab"))]
        assert (await streams[0].read()).accepted.queue_position == 0
        for _ in range(3):
            streams.append(daemon.stub.InvokeStream(echo("ab")))
            await until(lambda: daemon.num_calls == len(streams))
        gate.let(1)
        positions = [(await stream.read()).accepted.queue_position for stream in streams[1:]]
        assert positions == [0, 1, 2]
        gate.open()
        for stream in streams:
            events = await rest_of(stream)
            assert events[-1].result.output_json == '"ab"'


async def test_cancelled_stream_gives_its_blocks_back(gated: Daemon, gate: Gate) -> None:
    stream = gated.stub.InvokeStream(v1.InvokeStreamRequest(call=_long_call()))
    await stream.read()
    gate.let(3)
    assert (await stream.read()).delta.text == "a"
    assert gated.box.ledger.used_bytes > 0
    stream.cancel()
    await gated.left_alone()
    gate.open()
    await gated.settled()
    assert await gated.ended() == {"abort": 1}


async def test_cancelled_unary_call_gives_its_blocks_back(gated: Daemon, gate: Gate) -> None:
    call = gated.stub.Invoke(_long_call())
    await until(lambda: gate.num_held == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await gated.left_alone()
    gate.open()
    await gated.settled()
    assert await gated.ended() == {"abort": 1}


async def test_cancelling_one_call_leaves_the_others_alone(gated: Daemon, gate: Gate) -> None:
    leaving = gated.stub.InvokeStream(echo("x" * 500))
    await leaving.read()
    staying = gated.stub.InvokeStream(echo("stay"))
    await until(lambda: gated.num_calls == 2)
    gate.let(1)  # a call is taken between two steps
    await staying.read()
    leaving.cancel()
    await until(lambda: gated.num_calls == 1)
    gate.open()
    events = await rest_of(staying)
    assert events[-1].result.output_json == '"stay"'
    assert await gated.ended() == {"abort": 1, "stop": 1}


async def test_closed_connection_gives_its_blocks_back(gated: Daemon, gate: Gate) -> None:
    channel = grpc.aio.insecure_channel(gated.target)
    stream = v1_grpc.SkillServiceStub(channel).InvokeStream(
        v1.InvokeStreamRequest(call=_long_call())
    )
    await stream.read()
    await channel.close()
    await gated.left_alone()
    gate.open()
    await gated.settled()
    assert await gated.ended() == {"abort": 1}


async def test_killed_client_process_gives_its_blocks_back(gated: Daemon, gate: Gate) -> None:
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, gated.target, LONG, stdout=asyncio.subprocess.PIPE
    )
    assert client.stdout is not None
    assert await client.stdout.readline() == b"accepted\n"
    gate.let(2)
    assert await client.stdout.readline() == b"delta\n"
    assert gated.box.ledger.used_bytes > 0
    client.send_signal(signal.SIGKILL)
    await client.wait()
    await gated.left_alone()
    gate.open()
    await gated.settled()
    assert await gated.ended() == {"abort": 1}


async def test_failing_step_fails_its_calls_and_the_next_one_works(open_daemon: OpenDaemon) -> None:
    failures = [RuntimeError("the vendor's runtime fell over")]

    def fail_once(batch: object) -> None:
        if failures and started:
            raise failures.pop()

    started: list[bool] = []
    async with open_daemon(before_step=fail_once) as daemon:
        started.append(True)
        stream = daemon.stub.InvokeStream(echo("ab"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest_of(stream)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert reason_of(caught.value) == "ENGINE_FAILED"
        events = [event async for event in daemon.stub.InvokeStream(echo("ab"))]
        assert events[-1].result.output_json == '"ab"'


def _long_call() -> v1.InvokeRequest:
    return v1.InvokeRequest(skill="echo", input_json=LONG)
