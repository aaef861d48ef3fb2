"""`GrpcServer`: `skilld.v1`, health and reflection over gRPC.

One server per listener, because they offer different things: `AdminService` is for whoever may
open the unix socket and is not served over TCP. What goes over the wire is decided in `wire`,
where the daemon listens in `listener`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from skilld.config import GrpcConfig
from skilld.core.address import ListenError, TcpAddress
from skilld.core.errors import UnavailableError
from skilld.loop import Accepted
from skilld.service import BoxStatus, Delta, Outcome, SkillService, error_of
from skilld.transports import description, listener, wire
from skilld.transports.health import Health
from skilld.v1 import admin_service_pb2 as admin
from skilld.v1 import admin_service_pb2_grpc as admin_grpc
from skilld.v1 import skill_service_pb2 as v1
from skilld.v1 import skill_service_pb2_grpc as v1_grpc

_log = logging.getLogger("skilld.grpc")

# Skill calls are counted, and refused with advice, by the service. gRPC's own bound lies above
# it so that health, reflection and status still answer on a box that is full.
_SPARE_RPCS = 64
# What clients accept unless told otherwise; lists of skills may be longer than a request.
_MIN_SEND_BYTES = 4 << 20

CLIENT_KEY = "skilld-client"  # metadata by which a caller names itself

Context = grpc.aio.ServicerContext[Any, Any]  # Any: the message types, which differ per method
StatusFn = Callable[[], Awaitable[BoxStatus]]


def _client_of(context: Context) -> str:
    """Who calls: what a client certificate says, else what the caller says, else its address.

    All processes on the unix socket have one address, so those that should not share a queue
    name themselves.
    """
    identities = context.peer_identities()
    if identities:
        return b",".join(identities).decode(errors="replace")
    for key, value in context.invocation_metadata() or ():
        if key == CLIENT_KEY:
            return str(value)
    return str(context.peer())


class SkillServicer(v1_grpc.SkillServiceServicer):
    """The skill calls.

    Args:
        service: does the work.
        max_message_bytes: what the listeners accept, told to callers.
    """

    def __init__(self, service: SkillService, *, max_message_bytes: int) -> None:
        self._service = service
        self._max_message_bytes = max_message_bytes

    async def ListSkills(
        self, request: v1.ListSkillsRequest, context: Context
    ) -> v1.ListSkillsResponse:
        """Every skill, refused ones included."""
        try:
            served = {entry.skill.id for entry in self._service.offering.skills()}
            refused = {
                skill_id for engine in self._service.offering.refused for skill_id in engine.skills
            }
            known = served | refused | self._service.offering.paused
            return v1.ListSkillsResponse(
                skills=[self._describe(skill_id) for skill_id in sorted(known)]
            )
        except Exception as error:
            await _refuse(context, error)

    async def GetSkill(self, request: v1.GetSkillRequest, context: Context) -> v1.GetSkillResponse:
        """One skill."""
        try:
            return v1.GetSkillResponse(skill=self._describe(request.skill))
        except Exception as error:
            await _refuse(context, error)

    async def Invoke(self, request: v1.InvokeRequest, context: Context) -> v1.InvokeResponse:
        """One call. A caller who leaves cancels this coroutine, and with it the call."""
        try:
            call = wire.call_of(
                request, time_remaining_s=context.time_remaining(), client=_client_of(context)
            )
            entry = self._service.offering.get(call.skill)
            outcome = await self._service.invoke(call)
            return wire.response_of(outcome, request, call=call, entry=entry)
        except Exception as error:
            await _refuse(context, error, request_id=request.request_id)

    async def InvokeStream(self, request: v1.InvokeStreamRequest, context: Context) -> None:
        """One call as events. A caller who leaves cancels this coroutine, and with it the call."""
        try:
            call = wire.call_of(
                request.call, time_remaining_s=context.time_remaining(), client=_client_of(context)
            )
            entry = self._service.offering.get(call.skill)
            async with contextlib.aclosing(self._service.stream(call)) as events:
                async for event in events:
                    message = v1.InvokeStreamResponse()
                    match event:
                        case Accepted(queue_position=queue_position):
                            message.accepted.request_id = call.request_id
                            message.accepted.queue_position = queue_position
                        case Delta(text=text):
                            message.delta.text = text
                        case Outcome() as outcome:
                            message.result.CopyFrom(
                                wire.response_of(outcome, request.call, call=call, entry=entry)
                            )
                    await context.write(message)
        except Exception as error:
            await _refuse(context, error, request_id=request.call.request_id)

    def _describe(self, skill_id: str) -> v1.Skill:
        try:
            entry = self._service.offering.get(skill_id)
        except UnavailableError as error:
            for engine in self._service.offering.refused:
                if error.reason == "ENGINE_REFUSED" and skill_id in engine.skills:
                    return description.refused_skill_of(skill_id, engine)
            return description.unavailable_skill_of(skill_id, error)
        return description.skill_of(
            entry,
            is_draining=self._service.is_draining,
            max_message_bytes=self._max_message_bytes,
        )


class AdminServicer(admin_grpc.AdminServiceServicer):
    """What the operator may ask.

    Args:
        service: knows what was refused, and whether it drains.
        status: reads the rest.
    """

    def __init__(self, service: SkillService, status: StatusFn) -> None:
        self._service = service
        self._status = status

    async def GetStatus(
        self, request: admin.GetStatusRequest, context: Context
    ) -> admin.GetStatusResponse:
        """The state of the box."""
        try:
            return description.status_response_of(
                await self._status(),
                refused=self._service.offering.refused,
                is_draining=self._service.is_draining,
            )
        except Exception as error:
            await _refuse(context, error)


class GrpcServer:
    """All gRPC listeners of a daemon. Lives on one event loop.

    Args:
        service: what is served; it stays the caller's.
        config: where to listen, and limits.
        status: for `AdminService`.
    """

    def __init__(self, service: SkillService, config: GrpcConfig, *, status: StatusFn) -> None:
        self._config = config
        self._health = Health(service)
        self._skills = SkillServicer(service, max_message_bytes=config.max_message_bytes)
        self._admin = AdminServicer(service, status)
        self._servers: list[grpc.aio.Server] = []
        self.addresses: tuple[str, ...] = ()

    async def start(self) -> None:
        """Bind and serve; `addresses` then tells where, as gRPC targets, port 0 resolved.

        Raises:
            ListenError: nothing to listen on, or an address that cannot or must not be used.
        """
        config = self._config
        if config.socket_path is None and config.tcp is None:
            raise ListenError("set grpc.socket_path, grpc.tcp, or both")
        tcp = listener.tcp_address_of(config)
        try:
            addresses = []
            if tcp is not None:
                addresses.append(self._bind_tcp(tcp))
            # Last, because only a socket leaves something behind when the other one fails.
            if config.socket_path is not None:
                addresses.insert(0, self._bind_socket(config.socket_path))
            for server in self._servers:
                await server.start()
            if config.socket_path is not None:
                listener.open_to_group(config.socket_path)
        except BaseException:
            await self.stop(0.0)
            raise
        self.addresses = tuple(addresses)
        _log.info("listening on %s", ", ".join(addresses))

    def set_draining(self) -> None:
        """Turn every health state to NOT_SERVING, so that balancers and watchers go elsewhere."""
        self._health.set_draining()

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, wait for running ones up to a bound, cancel the rest."""
        self.set_draining()
        servers, self._servers = self._servers, []
        for server in servers:
            await server.stop(grace_s)

    def _bind_socket(self, path: Path) -> str:
        address = listener.prepare_socket(path)
        server = self._make_server(is_operator=True)
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise ListenError(
                f"grpc.socket_path: cannot listen on {path}; may this user write there?"
            ) from error
        return address

    def _bind_tcp(self, address: TcpAddress) -> str:
        tls = None if self._config.tls is None else listener.tls_credentials(self._config.tls)
        server = self._make_server(is_operator=False)
        try:
            if tls is None:
                port = server.add_insecure_port(str(address))
            else:
                port = server.add_secure_port(str(address), tls)
        except RuntimeError as error:
            raise listener.explain_bind_failure(address) from error
        return str(TcpAddress(address.host, port))

    def _make_server(self, *, is_operator: bool) -> grpc.aio.Server:
        limit = self._config.max_message_bytes
        server = grpc.aio.server(
            maximum_concurrent_rpcs=self._config.max_concurrent_calls + _SPARE_RPCS,
            options=[
                ("grpc.so_reuseport", 0),  # two daemons on one port would share its calls
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", max(limit, _MIN_SEND_BYTES)),
                # A robot may keep an idle connection alive, and one that lost power is noticed.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
            ],
        )
        self._servers.append(server)
        names = [v1.DESCRIPTOR.services_by_name["SkillService"].full_name]
        v1_grpc.add_SkillServiceServicer_to_server(self._skills, server)
        if is_operator:
            names.append(admin.DESCRIPTOR.services_by_name["AdminService"].full_name)
            admin_grpc.add_AdminServiceServicer_to_server(self._admin, server)
        names.append(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
        return server


async def _refuse(context: Context, error: Exception, *, request_id: str = "") -> NoReturn:
    """End an RPC with an error: one of the tree as it is, a surprise logged and hidden."""
    status = wire.error_status_of(error_of(error), request_id=request_id)
    await context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status returned")
