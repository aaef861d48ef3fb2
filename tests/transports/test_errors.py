from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from skilld.core.address import ListenError
from skilld.core.errors import (
    ArtefactError,
    InvalidRequestError,
    OverloadedError,
    SkilldError,
)
from skilld.transports import wire


def error_classes(root: type[SkilldError] = SkilldError) -> Iterator[type[SkilldError]]:
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


def test_every_error_of_the_core_has_a_code_of_its_own_line() -> None:
    core = {kind for kind in error_classes() if kind.__module__ == "skilld.core.errors"}
    assert core == set(wire.CODES)


def test_subclass_takes_the_code_of_its_nearest_parent() -> None:
    class TooManyError(OverloadedError):
        pass

    assert (
        wire.code_of(TooManyError("full", retry_after_s=1.0)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    )
    assert wire.code_of(ListenError("no")) is grpc.StatusCode.INTERNAL


def test_overload_says_when_to_come_back() -> None:
    status = wire.error_status_of(OverloadedError("full", retry_after_s=0.25, engine="e"))
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "QUEUE_FULL",
        "skilld",
        {"engine": "e"},
    )
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 250


@pytest.mark.parametrize("text", ["x" * 100_000, "語" * 100_000])
def test_error_fits_into_trailers_whatever_its_text(text: str) -> None:
    error = InvalidRequestError(text, violations=[(text, text)] * 8, skill=text)
    status = wire.error_status_of(error, request_id=text)
    percent_encoded = 3 * len(status.message.encode())
    base64_encoded = 4 * len(status.SerializeToString()) / 3
    assert percent_encoded + base64_encoded < 7000
    assert status.message.endswith("...")


def test_artefact_error_is_a_failed_precondition() -> None:
    status = wire.error_status_of(ArtefactError("broken", path=Path("/e")))
    assert status.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
