"""Between MQTT messages and the records of `SkillService`, both ways. Pure.

A request with the MQTT 5 property Response Topic is bare: the payload is the input, everything
else is in properties. Without it (an MQTT 3.1.1 device has no properties) the payload is an
envelope: a JSON object with the input and the same fields. The answer comes back in the same form.

| property | envelope | |
|---|---|---|
| Response Topic | `reply_to` | below the caller's own; optional if the topic says who calls |
| Correlation Data | `correlation` | given back as it came |
| Message Expiry Interval | - | one of the two deadlines, counted by the broker; whole seconds |
| user `request_id` | `request_id` | a repeat is answered from memory |
| user `deadline_ms` | `deadline_ms` | the other deadline, from arrival here |
| user `priority` | `priority` | "deadline", "interactive" or "batch" |
| user `max_tokens`, `seed` | the same | |
| user `stream` | `stream` | true: events as they come, told apart by `seq`; the last is `final` |
| user `traceparent` | `traceparent` | W3C trace context, given back |
| payload | `input` | a JSON object |
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skilld.core.errors import InvalidRequestError, SkilldError
from skilld.core.request import RequestClass
from skilld.mqtt.message import Message
from skilld.mqtt.topics import Destination, TopicError, Topics, is_name
from skilld.service import Call, parse_input

Json = Any  # a JSON value

_JSON_TYPES = frozenset({"application/json", "text/json"})
_MAX_REQUEST_ID_BYTES = 128
# A wrong one is left out and nothing else happens, as the standard wants it.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MAX_CORRELATION_BYTES = 1024


class _Fields(BaseModel):
    """What a caller may say beside the input; text is read as what it should be."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    request_id: str = ""
    deadline_ms: float | None = Field(default=None, gt=0.0, le=86_400_000.0, allow_inf_nan=False)
    priority: Literal["deadline", "interactive", "batch"] | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=1 << 31)
    seed: int = Field(default=0, ge=0, lt=1 << 64)
    stream: bool = False
    traceparent: str | None = None


_FIELD_NAMES = frozenset(_Fields.model_fields)
_NO_WISHES = _Fields()


class _Envelope(_Fields):
    input: dict[str, Json]
    reply_to: str | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyAddress:
    """Where a reply goes, and in which form.

    Attributes:
        topic: checked to lie below the caller's own prefix.
        is_envelope: the form for callers without properties.
        correlation: given back as it came; None without.
        traceparent: given back; None without.
    """

    topic: str
    is_envelope: bool = False
    correlation: bytes | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class SkillRequest:
    """A request whose sender is known; the input is not looked at yet unless it is an envelope.

    Attributes:
        client: who asks.
        skill: which skill, not checked.
        request_id: the caller's own; "" for none.
        address: where the reply goes.
        timeout_s: from arrival, as the caller wants it; None when it does not say.
        streams: the caller wants events.
        digest: of everything that decides the answer: the same for a repeat.
    """

    client: str
    skill: str
    request_id: str
    address: ReplyAddress
    timeout_s: float | None
    streams: bool
    digest: bytes
    _fields: _Fields
    _input: bytes | dict[str, Json]

    def call(self, *, request_id: str, timeout_s: float | None) -> Call:
        """The call for the service.

        Args:
            request_id: the caller's, or one made up here.
            timeout_s: what is left for it; None for the skill's own limit.

        Raises:
            InvalidRequestError: the payload is not a JSON object.
        """
        fields = self._fields
        return Call(
            skill=self.skill,
            input=_parsed(self._input) if isinstance(self._input, bytes) else self._input,
            request_id=request_id,
            timeout_s=timeout_s,
            request_class=None if fields.priority is None else _CLASSES[fields.priority],
            max_tokens=fields.max_tokens,
            seed=fields.seed,
            client=self.client,
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A request that cannot be carried out, from somebody who can be told.

    Attributes:
        client: who asks.
        request_id: as far as it could be read.
        address: where the refusal goes.
        error: what is wrong.
    """

    client: str
    request_id: str
    address: ReplyAddress
    error: SkilldError


_CLASSES: Mapping[str, RequestClass] = {kind.name.lower(): kind for kind in RequestClass}


def read_request(
    message: Message, destination: Destination, topics: Topics, *, max_payload_bytes: int
) -> SkillRequest | Unreadable:
    """Read a request.

    Args:
        message: as it arrived.
        destination: what its topic means.
        topics: of this box.
        max_payload_bytes: larger ones are not looked at.

    Raises:
        SkilldError: there is no way to tell who asks, or nowhere that an answer may go.
    """
    is_envelope = message.response_topic is None
    raw = _raw_fields(message)
    content: Mapping[str, Json] = {}
    problem = _size_problem(message, max_payload_bytes)
    if problem is None and is_envelope:
        try:
            content = _parsed(message.payload)
        except InvalidRequestError as error:
            problem = error
    if is_envelope:
        raw = {**content}
    client, address = _sender(message, destination, topics, raw)
    request_id = raw.get("request_id")
    request_id = request_id if isinstance(request_id, str | int) else ""
    try:
        if problem is not None:
            raise problem
        fields: _Fields
        if is_envelope:
            fields = _validated(_Envelope, raw)
        else:
            _check_repeats(message.user)
            fields = _validated(_Fields, raw) if raw else _NO_WISHES
        _check(message, fields)
        given = fields.input if isinstance(fields, _Envelope) else message.payload
        digest = _digest(destination.skill, fields, given)
    except InvalidRequestError as error:
        short = str(request_id) if len(str(request_id)) <= _MAX_REQUEST_ID_BYTES else ""
        return Unreadable(client, short, address, error)
    traceparent = fields.traceparent
    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        traceparent = None
    return SkillRequest(
        client=client,
        skill=destination.skill,
        request_id=fields.request_id,
        address=ReplyAddress(address.topic, is_envelope, address.correlation, traceparent),
        timeout_s=_timeout_s(message, fields),
        streams=fields.stream,
        digest=digest,
        _fields=fields,
        _input=given,
    )


def read_cancel(message: Message, destination: Destination, topics: Topics) -> tuple[str, str]:
    """Who cancels which request: client and request_id.

    The request id is the user property `request_id`, or in the payload: a JSON object with it.
    A topic that does not say who calls wants `client` beside it.

    Raises:
        SkilldError: it cannot be read.
    """
    given = dict(message.user)
    content = {**_parsed(message.payload)} if message.payload.strip() else {}
    request_id = given.get("request_id", content.get("request_id", ""))
    client = destination.client or given.get("client", content.get("client", ""))
    if not isinstance(client, str) or not is_name(client):
        raise TopicError(f"a cancellation must say who cancels, not {str(client)[:80]!r}")
    if not isinstance(request_id, str | int) or not str(request_id):
        raise InvalidRequestError("a cancellation needs a request_id")
    return client, str(request_id)


def _raw_fields(message: Message) -> dict[str, Json]:
    return {key: value for key, value in message.user if key in _FIELD_NAMES}


def _size_problem(message: Message, max_payload_bytes: int) -> InvalidRequestError | None:
    if len(message.payload) <= max_payload_bytes:
        return None
    return InvalidRequestError(
        f"the payload has {len(message.payload)} bytes, the limit is {max_payload_bytes}",
        reason="REQUEST_TOO_LARGE",
    )


def _sender(
    message: Message, destination: Destination, topics: Topics, raw: Mapping[str, Json]
) -> tuple[str, ReplyAddress]:
    """Who asks and where replies go.

    A topic that proves the caller is a way to reach it even when its wishes cannot be read.
    """
    is_envelope = message.response_topic is None
    wanted = raw.get("reply_to") if is_envelope else message.response_topic
    correlation = message.correlation
    if is_envelope:
        text = raw.get("correlation")
        correlation = text.encode() if isinstance(text, str) else None
    if correlation is not None and len(correlation) > _MAX_CORRELATION_BYTES:
        raise InvalidRequestError(
            f"the correlation data have {len(correlation)} bytes, the limit is "
            f"{_MAX_CORRELATION_BYTES}"
        )
    if wanted is None and destination.client is not None:
        return destination.client, ReplyAddress(
            topics.reply_to(destination.client), is_envelope, correlation
        )
    if not isinstance(wanted, str):
        raise TopicError("the request says nowhere to reply to", reason="BAD_REPLY_TOPIC")
    client = topics.client_of_reply(wanted)
    if destination.client is not None and client != destination.client:
        raise TopicError(
            f"replies to {destination.client} cannot go to {client}", reason="BAD_REPLY_TOPIC"
        )
    return client, ReplyAddress(wanted, is_envelope, correlation)


def _check_repeats(user: Sequence[tuple[str, str]]) -> None:
    keys = [key for key, _ in user if key in _FIELD_NAMES]
    for key in keys:
        if keys.count(key) > 1:
            raise _field_error(key, "is given twice")


def _check(message: Message, fields: _Fields) -> None:
    if len(fields.request_id.encode()) > _MAX_REQUEST_ID_BYTES:
        raise _field_error("request_id", f"is longer than {_MAX_REQUEST_ID_BYTES} bytes")
    if message.retain:
        raise InvalidRequestError(
            "a request must not be retained: it would be carried out again and again",
            reason="RETAINED_REQUEST",
        )
    kind = message.content_type
    if kind is not None and kind.partition(";")[0].strip().lower() not in _JSON_TYPES:
        raise _field_error("content type", f"must be application/json, not {kind[:80]!r}")


def _validated(record: type[_Fields], raw: Mapping[str, Json]) -> _Fields:
    try:
        return record.model_validate(dict(raw))
    except ValidationError as error:
        violations = [
            (".".join(map(str, one["loc"]))[:80] or "payload", str(one["msg"]))
            for one in error.errors(include_url=False, include_input=False)[:8]
        ]
        field, problem = violations[0]
        raise InvalidRequestError(f"{field}: {problem}", violations=violations) from error


def _field_error(field: str, problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} {problem}", violations=[(field, problem)])


def _timeout_s(message: Message, fields: _Fields) -> float | None:
    limits = [] if fields.deadline_ms is None else [fields.deadline_ms / 1e3]
    if message.expiry_s is not None:
        limits.append(float(message.expiry_s))
    return min(limits, default=None)


def _digest(skill: str, fields: _Fields, given: bytes | dict[str, Json]) -> bytes:
    try:
        content = given if isinstance(given, bytes) else json.dumps(given, sort_keys=True).encode()
    except RecursionError as error:
        raise InvalidRequestError(
            "the input is nested too deeply", reason="INPUT_NOT_JSON"
        ) from error
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(f"\0{skill}\0{fields.max_tokens}\0{fields.seed}".encode())
    return digest.digest()


def _parsed(payload: bytes) -> dict[str, Json]:
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"the payload is not UTF-8: byte {error.start}", reason="INPUT_NOT_JSON"
        ) from error
    return parse_input(text)
