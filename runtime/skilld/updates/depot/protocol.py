"""What a box and a depot say to each other. Pure.

A request is JSON: `digest` of a blob, or the name of a file of `metadata`; `offset`, `length`. The
answer is the bytes, raw, with the same in user properties; or a refusal, which has an `error` as
well. Correlation data comes back as it was sent. Everything is QoS 0 and never retained: a broker
would keep hundreds of megabytes for a box that is away, and a box asks again anyway.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skilld.core.errors import InvalidRequestError, SkilldError
from skilld.mqtt.message import Message
from skilld.mqtt.topics import DepotTopics

MAX_BLOCK_BYTES = 128 << 10
_SPARE_BYTES = 1 << 10  # of a packet, for what is not data
_MAX_REQUEST_BYTES = 1 << 10
_MAX_CORRELATION_BYTES = 64
_MAX_MESSAGE_CHARS = 200


def block_limit(packet_bytes: int) -> int:
    """The largest block for a broker that takes packets of this size; 0 when there is no room."""
    return max(0, min(MAX_BLOCK_BYTES, packet_bytes - _SPARE_BYTES))


class BlockRequest(BaseModel):
    """A box asks for a part of a file.

    Attributes:
        digest: SHA-256 of a blob, in hex; or
        metadata: name of a file of metadata.
        offset: where the part begins, in bytes.
        length: of it. Of a blob there must be so much; a file of metadata may be shorter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    digest: Annotated[str, Field(pattern=r"\A[0-9a-f]{64}\z")] | None = None
    metadata: (
        Annotated[str, Field(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.json\z")] | None
    ) = None
    offset: int = Field(ge=0, le=1 << 40)
    length: int = Field(ge=1, le=MAX_BLOCK_BYTES)

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.digest is None) == (self.metadata is None):
            raise ValueError("either digest or metadata")
        return self

    @property
    def what(self) -> str:
        """Digest of the blob, or name of the metadata."""
        return self.digest or self.metadata or ""


def request_message(
    topics: DepotTopics, box: str, request: BlockRequest, correlation: bytes
) -> Message:
    """A request on its way to the depot."""
    payload = request.model_dump_json(exclude_none=True).encode()
    return Message(topics.request(box), payload, qos=0, correlation=correlation)


def read_request(message: Message) -> BlockRequest:
    """Read a request.

    Raises:
        InvalidRequestError: reason BAD_REQUEST.
    """
    problem = ""
    if len(message.payload) > _MAX_REQUEST_BYTES:
        problem = f"{len(message.payload)} bytes, at most {_MAX_REQUEST_BYTES}"
    elif len(message.correlation or b"") > _MAX_CORRELATION_BYTES:
        problem = f"correlation data of more than {_MAX_CORRELATION_BYTES} bytes"
    else:
        try:
            return BlockRequest.model_validate_json(message.payload)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
    raise InvalidRequestError(f"not a request: {problem}", reason="BAD_REQUEST")


def block_message(
    topic: str, request: BlockRequest, data: bytes, correlation: bytes | None
) -> Message:
    """The answer to a request."""
    return Message(
        topic,
        data,
        qos=0,
        correlation=correlation,
        user=(_what_of(request), ("offset", str(request.offset))),
    )


def refusal_message(
    topic: str, request: BlockRequest | None, error: SkilldError, correlation: bytes | None
) -> Message:
    """The other answer to a request, which could perhaps not be read."""
    about = () if request is None else (_what_of(request), ("offset", str(request.offset)))
    body = {"error": error.reason, "message": error.message[:_MAX_MESSAGE_CHARS]}
    short = correlation if len(correlation or b"") <= _MAX_CORRELATION_BYTES else None
    return Message(
        topic,
        json.dumps(body).encode(),
        qos=0,
        content_type="application/json",
        correlation=short,
        user=(*about, ("error", error.reason)),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a box was answered; nothing of it is trusted.

    Attributes:
        what: digest or name it is about.
        offset: where its part begins, in bytes.
        data: of the file; of a refusal, in words.
        error: reason of a refusal; "" for none.
        correlation: as it was asked with; empty without.
    """

    what: str
    offset: int
    data: bytes
    error: str
    correlation: bytes


def read_answer(message: Message) -> Answer | None:
    """Read an answer; None if it is none."""
    user = dict(message.user)
    what = user.get("digest", user.get("metadata"))
    offset = user.get("offset", "")
    if what is None or message.retain or not (offset.isascii() and offset.isdigit()):
        return None
    if len(offset) > 15:
        return None
    error = user.get("error", "")
    data = _words_of(message.payload) if error else message.payload
    return Answer(what, int(offset), data, error, message.correlation or b"")


def _words_of(payload: bytes) -> bytes:
    try:
        body: Any = json.loads(payload[:_MAX_REQUEST_BYTES])
        return str(body["message"])[:_MAX_MESSAGE_CHARS].encode(errors="replace")
    except (ValueError, KeyError, TypeError, RecursionError):
        return b""


def _what_of(request: BlockRequest) -> tuple[str, str]:
    return ("metadata" if request.digest is None else "digest", request.what)
