"""`Caller`: calls a skill all the time, and writes down what became of each call."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from skilld.builder.golden import GoldenCase
from skilld.v1 import skill_service_pb2 as v1
from skilld.v1.skill_service_pb2_grpc import SkillServiceStub

ANSWERED = "answered"
WRONG = "WRONG_ANSWER"
_TIMEOUT_S = 40.0


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call; times are of the monotonic clock.

    Attributes:
        skill: that was called.
        began_s: when.
        ended_s: when its answer or error came.
        result: `ANSWERED`, `WRONG`, or the reason of the error.
        digest: of the engine that answered; "" for none.
    """

    skill: str
    began_s: float
    ended_s: float
    result: str
    digest: str = ""


class Caller:
    """See the module docstring: one after the other, on a thread, with a pause in between.

    Args:
        address: of the daemon.
        cases: what is asked, in turn, and the answers that are right.
        pause_s: after each call.

    Attributes:
        last_answer: of the newest call that was answered, rightly or not.
    """

    def __init__(self, address: str, cases: Sequence[GoldenCase], *, pause_s: float) -> None:
        self._address = address
        self._cases = cases
        self._pause_s = pause_s
        self.last_answer: CallRecord | None = None
        self._records: list[CallRecord] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caller", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_TIMEOUT_S)

    @property
    def num_calls(self) -> int:
        """So far, since the last `take`."""
        return len(self._records)

    @property
    def is_alive(self) -> bool:
        """It still calls."""
        return self._thread.is_alive()

    def take(self) -> list[CallRecord]:
        """What became of the calls since the last time."""
        with self._lock:
            records, self._records = self._records, []
        return records

    def _run(self) -> None:
        channel: grpc.Channel | None = None
        number = 0
        while not self._stop.is_set():
            if channel is None:
                # A channel waits longer and longer before it connects anew, and shares that with
                # others to the same address. A caller here must know how things are now.
                channel = grpc.insecure_channel(
                    self._address, options=[("grpc.use_local_subchannel_pool", 1)]
                )
            record = _call(channel, self._cases[number % len(self._cases)])
            number += 1
            with self._lock:
                self._records.append(record)
            if record.digest:
                self.last_answer = record
            if record.result == grpc.StatusCode.UNAVAILABLE.name:
                channel.close()
                channel = None
            self._stop.wait(self._pause_s)
        if channel is not None:
            channel.close()


def _call(channel: grpc.Channel, case: GoldenCase) -> CallRecord:
    request = v1.InvokeRequest(
        skill=case.skill, input_json=json.dumps(case.input, ensure_ascii=False)
    )
    invoke: Any = SkillServiceStub(channel).Invoke
    began_s = time.monotonic()
    try:
        answer: v1.InvokeResponse = invoke(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        return CallRecord(case.skill, began_s, time.monotonic(), _reason_of(error))
    ended_s = time.monotonic()
    if answer.WhichOneof("outcome") == "abstain":
        is_right = answer.abstain.reason == case.abstain
    else:
        is_right = case.abstain is None and json.loads(answer.output_json) == case.output
    result = ANSWERED if is_right else WRONG
    return CallRecord(case.skill, began_s, ended_s, result, answer.engine_digest)


def _reason_of(error: grpc.RpcError) -> str:
    """The daemon's own reason; the name of the status where there was no daemon to give one."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.reason:
            return str(info.reason)
    return str(error.code().name)
