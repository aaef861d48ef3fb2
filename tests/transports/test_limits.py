from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from tests.transports.conftest import (
    ECHO,
    Daemon,
    Gate,
    OpenDaemon,
    WriteEngine,
    detail_of,
    reason_of,
    rest_of,
    slow_step,
    until,
)

from skilld.config import EngineConfig, GrpcConfig, SchedulerConfig
from skilld.v1 import skill_service_pb2 as v1

LONG = v1.InvokeRequest(skill="echo", input_json=json.dumps({"text": "x" * 990}))
SHORT = v1.InvokeRequest(skill="echo", input_json='{"text": "a"}')
ONE_AT_A_TIME = EngineConfig(max_num_seqs=1)
TWO_WAIT = SchedulerConfig(max_queued=2)


async def started(daemon: Daemon, request: v1.InvokeRequest) -> grpc.aio.UnaryStreamCall[Any, Any]:
    """A stream that the scheduler took."""
    stream: grpc.aio.UnaryStreamCall[Any, v1.InvokeStreamResponse] = daemon.stub.InvokeStream(
        v1.InvokeStreamRequest(call=request)
    )
    event = await stream.read()
    assert isinstance(event, v1.InvokeStreamResponse)
    assert event.WhichOneof("event") == "accepted"
    return stream


async def error_of(daemon: Daemon, request: v1.InvokeRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.stub.Invoke(request)
    return caught.value


def within(request: v1.InvokeRequest, timeout_s: float) -> v1.InvokeRequest:
    copy = v1.InvokeRequest()
    copy.CopyFrom(request)
    copy.timeout.FromMilliseconds(round(timeout_s * 1000))
    return copy


async def test_full_queue_turns_calls_away_and_says_when_to_retry(open_daemon: OpenDaemon) -> None:
    async with open_daemon(
        engine=ONE_AT_A_TIME, scheduler=TWO_WAIT, before_step=slow_step
    ) as daemon:
        streams = [await started(daemon, LONG) for _ in range(3)]
        error = await error_of(daemon, SHORT)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(error) == "QUEUE_FULL"
        retry = detail_of(error, error_details_pb2.RetryInfo)
        assert retry is not None
        assert retry.retry_delay.ToMilliseconds() >= 50
        for stream in streams:
            stream.cancel()
        await daemon.left_alone()
        assert (await daemon.stub.Invoke(SHORT)).output_json == '"a"'


async def test_a_client_that_floods_fills_its_own_queue_only(
    open_daemon: OpenDaemon, gate: Gate
) -> None:
    scheduler = SchedulerConfig(max_queued_per_client=3)
    flood = (("skilld-client", "flood"),)
    async with open_daemon(engine=ONE_AT_A_TIME, scheduler=scheduler, before_step=gate) as daemon:
        inbox = daemon.box.engine_loop._inbox
        long = await started(daemon, LONG)
        await until(lambda: gate.num_held == 1)
        calls = []
        for number in range(1, 5):  # one after the other, so that their order is known
            calls.append(daemon.stub.Invoke(SHORT, metadata=flood))
            await until(lambda number=number: inbox.qsize() == number)  # type: ignore[misc]
        other = daemon.stub.Invoke(SHORT, metadata=(("skilld-client", "arm-1"),))
        await until(lambda: inbox.qsize() == 5)
        gate.let(1)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await calls.pop()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(caught.value) == "CLIENT_QUEUE_FULL"
        assert detail_of(caught.value, error_details_pb2.RetryInfo) is not None
        waiting = list(daemon.box.engine_loop._scheduler._lanes["fake"].queue)
        assert [request.client for request in waiting] == ["flood", "arm-1", "flood", "flood"]
        long.cancel()
        gate.open()
        for call in [*calls, other]:
            assert (await call).output_json == '"a"'


async def test_a_deadline_that_cannot_be_met_is_refused_at_once_with_both_figures(
    open_daemon: OpenDaemon,
) -> None:
    async with open_daemon(before_step=slow_step, engine=EngineConfig(max_draft=0)) as daemon:
        request = within(LONG, 0.25)  # 990 tokens of at least 3 ms each
        request.request_class = v1.REQUEST_CLASS_DEADLINE
        error = await error_of(daemon, request)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert reason_of(error) == "CANNOT_FINISH"
        message = error.details() or ""
        found = re.search(r"before its deadline: needs (\d+) ms, has (\d+)", message)
        assert found is not None, message
        assert int(found[1]) > 1000
        assert int(found[2]) <= 250
        (figures,) = await daemon.box.service.snapshot()
        assert (figures["num_deadline_refusals"], figures["num_deadline_misses"]) == (1, 0)
        assert figures["num_steps"] == 0


async def test_an_engine_comes_and_goes_while_others_serve(
    open_daemon: OpenDaemon, write_engine: WriteEngine, gate: Gate
) -> None:
    other = write_engine("other", {"say": ECHO.replace('id = "echo"', 'id = "say"')})
    say = v1.InvokeRequest(skill="say", input_json='{"text": "a"}')
    async with open_daemon(before_step=gate) as daemon:
        await asyncio.to_thread(daemon.box.load, other)
        call = daemon.stub.Invoke(say)
        await until(lambda: gate.num_held == 1)
        unload = asyncio.ensure_future(asyncio.to_thread(daemon.box.unload, "other"))
        await until(lambda: not daemon.box.engine_loop._inbox.empty())
        gate.open()
        await unload
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert reason_of(caught.value) == "ENGINE_UNLOADED"
        assert reason_of(await error_of(daemon, say)) == "UNKNOWN_SKILL"
        assert (await daemon.stub.Invoke(SHORT)).output_json == '"a"'
        assert list(daemon.box.ledger.accounts) == ["fake"]


async def test_too_many_calls_are_turned_away_and_the_box_still_talks(
    open_daemon: OpenDaemon, on_socket: GrpcConfig, gate: Gate
) -> None:
    config = on_socket.model_copy(update={"max_concurrent_calls": 1})
    async with open_daemon(grpc_config=config, before_step=gate) as daemon:
        stream = await started(daemon, LONG)
        error = await error_of(daemon, SHORT)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert reason_of(error) == "TOO_MANY_CALLS"
        assert detail_of(error, error_details_pb2.RetryInfo) is not None
        answer = await daemon.health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stream.cancel()
        gate.open()


async def test_rpcs_of_all_kinds_together_are_bounded(
    open_daemon: OpenDaemon, on_socket: GrpcConfig
) -> None:
    config = on_socket.model_copy(update={"max_concurrent_calls": 1})
    async with open_daemon(grpc_config=config) as daemon:
        watches = [daemon.health.Watch(health_pb2.HealthCheckRequest()) for _ in range(1 + 64)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await daemon.health.Check(health_pb2.HealthCheckRequest())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for watch in watches:
            watch.cancel()


async def test_deadline_passes_in_the_queue(open_daemon: OpenDaemon) -> None:
    async with open_daemon(engine=ONE_AT_A_TIME, before_step=slow_step) as daemon:
        stream = await started(daemon, LONG)
        error = await error_of(daemon, within(SHORT, 0.03))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert reason_of(error) == "DEADLINE_EXCEEDED"
        assert _where(error) == "in the queue"
        stream.cancel()


async def test_deadline_passes_while_running(open_daemon: OpenDaemon) -> None:
    async with open_daemon(before_step=slow_step) as daemon:
        error = await error_of(daemon, within(LONG, 0.1))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert _where(error) == "while running"
        assert daemon.box.ledger.used_bytes == 0


async def test_deadline_of_the_skill_holds_for_callers_without_one(
    open_daemon: OpenDaemon, write_engine: WriteEngine
) -> None:
    hasty = write_engine("hasty", {"echo": ECHO.replace("30.0", "0.1")})
    async with open_daemon(engines=[hasty], before_step=slow_step) as daemon:
        for request in (LONG, within(LONG, 60.0)):
            error = await error_of(daemon, request)
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert _where(error) == "while running"


async def test_deadline_of_the_rpc_ends_the_call_on_the_box_too(open_daemon: OpenDaemon) -> None:
    async with open_daemon(before_step=slow_step) as daemon:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await daemon.stub.Invoke(LONG, timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await daemon.settled()
        ended = await daemon.ended()
        assert ended in ({"deadline": 1}, {"abort": 1})  # whoever's clock was first


async def test_draining_box_ends_what_runs_and_takes_nothing_new(
    open_daemon: OpenDaemon, gate: Gate
) -> None:
    async with open_daemon(before_step=gate) as daemon:
        stream = await started(daemon, SHORT)
        daemon.server.set_draining()
        draining = asyncio.create_task(daemon.box.service.drain(10.0))
        skill = (await daemon.stub.GetSkill(v1.GetSkillRequest(skill="echo"))).skill
        error = await error_of(daemon, SHORT)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(error) == "DRAINING"
        assert skill.state == v1.SKILL_STATE_DRAINING
        assert skill.state_reason == "DRAINING"
        gate.open()
        events = await rest_of(stream)
        assert events[-1].result.output_json == '"a"'
        assert await draining


def _where(error: grpc.aio.AioRpcError) -> str:
    info = detail_of(error, error_details_pb2.ErrorInfo)
    assert info is not None
    return str(info.metadata["where"])
