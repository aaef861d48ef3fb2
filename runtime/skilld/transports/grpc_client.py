"""`SkillClient`: a blocking client of the daemon, for the command line and the tools.

Not the way a robot should call a skill: that is any gRPC client with `protos/skilld/v1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from skilld.core.errors import SkilldError, UnavailableError
from skilld.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    skill_service_pb2,
    skill_service_pb2_grpc,
)

_ANSWER_TIMEOUT_S = 5.0

# What `SkillClient.status` answers, by names that those above the transports may use.
StatusMessage = admin_service_pb2.GetStatusResponse
EngineMessage = admin_service_pb2.EngineStatus


class SkillClient:
    """A connection to one daemon.

    Args:
        address: "unix:/path/to.sock" or "host:port" (plaintext).
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.insecure_channel(address)
        self._skills = skill_service_pb2_grpc.SkillServiceStub(self._channel)
        self._admin = admin_service_pb2_grpc.AdminServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the daemon accepts calls; False when it did not in time."""
        try:
            grpc.channel_ready_future(self._channel).result(timeout=timeout_s)
        except grpc.FutureTimeoutError:
            return False
        return True

    def skills(self) -> list[skill_service_pb2.Skill]:
        """All skills.

        Raises:
            SkilldError: as the daemon said, or UnavailableError when there is none.
        """
        try:
            request = skill_service_pb2.ListSkillsRequest()
            return list(self._skills.ListSkills(request, timeout=_ANSWER_TIMEOUT_S).skills)
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def status(self) -> admin_service_pb2.GetStatusResponse:
        """The operator's view; over the unix socket only.

        Raises:
            SkilldError: as the daemon said, or UnavailableError when there is none.
        """
        try:
            request = admin_service_pb2.GetStatusRequest()
            status: admin_service_pb2.GetStatusResponse = self._admin.GetStatus(
                request, timeout=_ANSWER_TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise self._translated(error) from None
        return status

    def invoke(
        self,
        skill: str,
        input_json: str,
        *,
        timeout_s: float | None = None,
        seed: int = 0,
        jump_forward: bool = True,
    ) -> skill_service_pb2.InvokeResponse:
        """Call a skill.

        Args:
            skill: its id.
            input_json: JSON text of the input.
            timeout_s: the caller's deadline; None leaves it to the skill.
            seed: of sampling.
            jump_forward: False decodes forced tokens one by one.

        Raises:
            SkilldError: as the daemon said, or UnavailableError when there is none.
        """
        request = _request(skill, input_json, seed=seed, jump_forward=jump_forward)
        try:
            response: skill_service_pb2.InvokeResponse = self._skills.Invoke(
                request, timeout=timeout_s
            )
        except grpc.RpcError as error:
            raise self._translated(error) from None
        return response

    def stream(
        self,
        skill: str,
        input_json: str,
        *,
        timeout_s: float | None = None,
        seed: int = 0,
    ) -> Iterator[skill_service_pb2.InvokeStreamResponse]:
        """Call a skill and watch its answer grow; the arguments are those of `invoke`.

        Raises:
            SkilldError: as the daemon said, or UnavailableError when there is none.
        """
        call = skill_service_pb2.InvokeStreamRequest(call=_request(skill, input_json, seed=seed))
        try:
            yield from self._skills.InvokeStream(call, timeout=timeout_s)
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _translated(self, error: grpc.RpcError) -> SkilldError:
        assert isinstance(error, grpc.Call)
        status = rpc_status.from_call(error)
        if status is not None:
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return SkilldError(
                        status.message, reason=info.reason, **dict(info.metadata.items())
                    )
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(
                f"no daemon answers at {self.address}; start one with `skilld serve`",
                reason="NO_DAEMON",
            )
        return SkilldError(f"{error.code().name}: {error.details()}", reason=error.code().name)


def _request(
    skill: str, input_json: str, *, seed: int, jump_forward: bool = True
) -> skill_service_pb2.InvokeRequest:
    return skill_service_pb2.InvokeRequest(
        skill=skill,
        input_json=input_json,
        seed=seed,
        disable_jump_forward=not jump_forward,
    )
