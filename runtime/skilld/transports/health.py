"""`Health`: the standard gRPC health service, for the daemon ("") and for every skill by id.

Not the servicer that ships with grpcio-health-checking: there, a watcher that leaves takes the
other watchers of the same name with it.
"""

# ruff: noqa: N802 - method names come from the proto

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from skilld.service import SkillService

_Request = health_pb2.HealthCheckRequest
_Response = health_pb2.HealthCheckResponse

Context = grpc.aio.ServicerContext[_Request, _Response]

DAEMON = ""


class Health(health_pb2_grpc.HealthServicer):
    """See the module docstring.

    Args:
        service: whose skills are asked about.
    """

    def __init__(self, service: SkillService) -> None:
        self._service = service
        self._is_draining = False
        self._changed = asyncio.Event()

    def set_draining(self) -> None:
        """Nothing serves any more; every watcher hears of it."""
        self._is_draining = True
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(self, request: _Request, context: Context) -> _Response:
        """State of one name; NOT_FOUND for a name the box has never heard of."""
        status = self._states().get(request.service)
        if status is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"no skill {request.service!r} on this box"
            )
        return _Response(status=status)

    async def Watch(self, request: _Request, context: Context) -> None:
        """State of one name now, and again whenever it changes."""
        last = None
        while True:
            changed = self._changed
            status = self._states().get(request.service, _Response.SERVICE_UNKNOWN)
            if status != last:
                last = status
                await context.write(_Response(status=status))
            await changed.wait()

    def _states(self) -> dict[str, int]:
        serving = _Response.NOT_SERVING if self._is_draining else _Response.SERVING
        refused = [
            skill_id for engine in self._service.offering.refused for skill_id in engine.skills
        ]
        return {
            **dict.fromkeys(refused, _Response.NOT_SERVING),
            **{entry.skill.id: serving for entry in self._service.offering.skills()},
            DAEMON: serving,
        }
