from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tests.transports.conftest import (
    ECHO,
    TRIAGE,
    Daemon,
    Gate,
    OpenDaemon,
    WriteEngine,
    reason_of,
    until,
)

import skilld
from skilld.config import EngineConfig, GrpcConfig
from skilld.core.manifest import FileEntry, read_manifest, write_manifest
from skilld.v1 import admin_service_pb2 as admin
from skilld.v1 import admin_service_pb2_grpc as admin_grpc
from skilld.v1 import skill_service_pb2 as v1

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_skills_are_listed_with_their_whole_contract(daemon: Daemon) -> None:
    response = await daemon.stub.ListSkills(v1.ListSkillsRequest())
    echo, triage = response.skills
    assert (echo.id, triage.id) == ("echo", "triage")
    assert triage.version == "2.0.0"
    assert triage.description == "Says whether it is a fault."
    assert json.loads(triage.input_schema_json)["required"] == ["want"]
    assert json.loads(triage.output_schema_json)["properties"]["label"] == {"enum": ["ok", "fault"]}
    assert list(triage.abstain_reasons) == ["unclear"]
    assert triage.limits.max_tokens == 64
    assert triage.limits.timeout.ToSeconds() == 30
    assert triage.limits.context_tokens == 2048
    assert triage.limits.max_message_bytes == 1 << 20
    assert triage.limits.request_class == v1.REQUEST_CLASS_BATCH
    assert echo.limits.request_class == v1.REQUEST_CLASS_INTERACTIVE
    assert triage.engine.name == "fake"
    assert triage.engine.precision == "int8"
    assert triage.engine.digest == daemon.box.residents[0].manifest.digest
    assert triage.state == v1.SKILL_STATE_SERVING
    assert triage.state_reason == ""
    one = await daemon.stub.GetSkill(v1.GetSkillRequest(skill="triage"))
    assert one.skill == triage


async def test_skill_of_a_refused_engine_says_why_and_the_others_serve(
    open_daemon: OpenDaemon, write_engine: WriteEngine
) -> None:
    good = write_engine("good", {"echo": ECHO})
    tampered = write_engine("tampered", {"triage": TRIAGE})
    entry = FileEntry(sha256="0" * 64, num_bytes=3)
    manifest = read_manifest(tampered).model_copy(update={"files": {"weights.bin": entry}})
    write_manifest(tampered, manifest)
    (tampered / "weights.bin").write_bytes(b"bad")

    async with open_daemon(engines=[good, tampered]) as daemon:
        listed = (await daemon.stub.ListSkills(v1.ListSkillsRequest())).skills
        assert [skill.id for skill in listed] == ["echo", "triage"]
        skill = (await daemon.stub.GetSkill(v1.GetSkillRequest(skill="triage"))).skill
        assert skill.state == v1.SKILL_STATE_UNAVAILABLE
        assert skill.state_reason == "DIGEST_MISMATCH"
        assert "weights.bin" in skill.state_message
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await daemon.stub.Invoke(v1.InvokeRequest(skill="triage", input_json="{}"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert reason_of(caught.value) == "ENGINE_REFUSED"

        states = {
            name: (await daemon.health.Check(health_pb2.HealthCheckRequest(service=name))).status
            for name in ("", "echo", "triage")
        }
        assert states == {"": SERVING, "echo": SERVING, "triage": NOT_SERVING}

        status = await admin_grpc.AdminServiceStub(daemon.channel).GetStatus(
            admin.GetStatusRequest()
        )
        (refused,) = status.refused
        assert refused.path == str(tampered)
        assert list(refused.skills) == ["triage"]
        assert refused.reason == "DIGEST_MISMATCH"
        good_call = v1.InvokeRequest(skill="echo", input_json='{"text": "a"}')
        assert (await daemon.stub.Invoke(good_call)).output_json == '"a"'


async def test_status_tells_where_memory_and_time_go(open_daemon: OpenDaemon, gate: Gate) -> None:
    async with open_daemon(
        before_step=gate, kv_budget_bytes=1 << 20, engine=EngineConfig(max_draft=0)
    ) as daemon:
        stub = admin_grpc.AdminServiceStub(daemon.channel)
        call = v1.InvokeRequest(skill="echo", input_json='{"text": "abcdef"}')
        stream = daemon.stub.InvokeStream(v1.InvokeStreamRequest(call=call))
        await stream.read()
        gate.let(2)
        await stream.read()
        await stream.read()
        await until(lambda: gate.num_held == 3)  # what comes now is answered after this step
        pending = asyncio.ensure_future(stub.GetStatus(admin.GetStatusRequest()))
        await until(lambda: not daemon.box.engine_loop._inbox.empty())
        gate.let(1)
        status = await pending
        assert status.version == skilld.__version__
        assert status.pid == os.getpid()
        assert status.uptime.ToNanoseconds() > 0
        assert status.resident_bytes > 10 << 20
        assert not status.draining
        (engine,) = status.engines
        assert engine.name == "fake"
        assert engine.precision == "int8"
        assert engine.path == str(daemon.box.residents[0].path)
        assert list(engine.skills) == ["echo", "triage"]
        assert (engine.running, engine.waiting) == (1, 0)
        assert engine.num_steps == 3
        assert engine.num_output_tokens == 3
        # 12 prompt tokens and two of the answer, in blocks of 4 tokens and 32 bytes.
        assert engine.kv.used_bytes == status.kv.used_bytes == 4 * 32
        assert engine.kv.reserved_bytes == (12 + 1000 + 3) // 4 * 32
        assert status.kv.budget_bytes == engine.kv.budget_bytes == 1 << 20
        assert status.kv.resident_bytes >= 4096
        gate.open()
        stream.cancel()
        await daemon.settled()
        status = await stub.GetStatus(admin.GetStatusRequest())
        assert status.kv.used_bytes == status.kv.reserved_bytes == 0
        assert sum(status.engines[0].ended.values()) == 1


async def test_operator_is_served_on_the_socket_and_not_over_tcp(
    open_daemon: OpenDaemon, on_socket: GrpcConfig
) -> None:
    config = on_socket.model_copy(update={"tcp": "127.0.0.1:0"})
    async with open_daemon(grpc_config=config) as daemon:
        _, tcp = daemon.server.addresses
        await admin_grpc.AdminServiceStub(daemon.channel).GetStatus(admin.GetStatusRequest())
        async with grpc.aio.insecure_channel(tcp) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await admin_grpc.AdminServiceStub(channel).GetStatus(admin.GetStatusRequest())
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_client_without_stubs_can_call_by_reflection(blocking_target: str) -> None:
    """What grpcurl does: ask for the services, fetch their descriptors, call."""
    with grpc.insecure_channel(blocking_target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert set(database.get_services()) == {
            "skilld.v1.SkillService",
            "skilld.v1.AdminService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName("skilld.v1.SkillService").FindMethodByName("Invoke")
        request: Any = message_factory.GetMessageClass(method.input_type)()
        request.skill = "echo"
        request.input_struct["text"] = "without stubs"
        response_class: Any = message_factory.GetMessageClass(method.output_type)
        call: Any = channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        assert call(request).output_value.string_value == "without stubs"


async def test_health_of_an_unknown_name_is_not_found(daemon: Daemon) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.health.Check(health_pb2.HealthCheckRequest(service="dance"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = daemon.health.Watch(health_pb2.HealthCheckRequest(service="dance"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_every_watcher_hears_of_draining_though_another_one_left(daemon: Daemon) -> None:
    requests = [health_pb2.HealthCheckRequest(service=name) for name in ("", "", "echo")]
    watches = [daemon.health.Watch(request) for request in requests]
    leaving, *staying = watches
    for watch in watches:
        assert (await watch.read()).status == SERVING
    leaving.cancel()
    # Sent after the cancellation on the same connection, so the server has seen that one.
    await daemon.health.Check(health_pb2.HealthCheckRequest())
    daemon.server.set_draining()
    for watch in staying:
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
    assert (
        await daemon.health.Check(health_pb2.HealthCheckRequest(service="echo"))
    ).status == NOT_SERVING
