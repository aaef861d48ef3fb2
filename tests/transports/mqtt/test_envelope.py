from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skilld.core.errors import (
    EngineError,
    InvalidRequestError,
    OverloadedError,
    SkilldError,
)
from skilld.core.request import RequestClass
from skilld.mqtt.message import Message
from skilld.mqtt.paho_messages import PublishProperties
from skilld.mqtt.topics import Topics
from skilld.transports.mqtt.envelope import (
    ReplyAddress,
    SkillRequest,
    Unreadable,
    read_cancel,
    read_request,
)
from skilld.transports.mqtt.reply import error_body, event_body, reply

TOPICS = Topics("skilld", "box1")
TOPIC = "skilld/pool/echo/req/me"
REPLIES = "skilld/client/me/resp"


def read(
    payload: Any = b'{"text":"a"}', *, topic: str = TOPIC, **rest: Any
) -> SkillRequest | Unreadable:
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    destination = TOPICS.read(topic)
    assert destination is not None
    message = Message(topic, payload, **rest)
    return read_request(message, destination, TOPICS, max_payload_bytes=200_000)


def good(payload: Any = b'{"text":"a"}', **rest: Any) -> SkillRequest:
    request = read(payload, **rest)
    assert isinstance(request, SkillRequest), request
    return request


def problem(payload: Any = b'{"text":"a"}', **rest: Any) -> SkilldError:
    request = read(payload, **rest)
    assert isinstance(request, Unreadable), request
    return request.error


def test_both_forms_say_the_same() -> None:
    bare = good(
        response_topic=REPLIES,
        user=(
            *(("request_id", "1"), ("deadline_ms", "1500"), ("priority", "batch")),
            *(("max_tokens", "9"), ("seed", "4"), ("stream", "true"), ("other", "x")),
        ),
    )
    envelope = good(
        {
            **{"input": {"text": "a"}, "reply_to": REPLIES, "request_id": 1, "deadline_ms": 1500},
            **{"priority": "batch", "max_tokens": 9, "seed": 4, "stream": True},
        }
    )
    for request in (bare, envelope):
        call = request.call(request_id="1", timeout_s=1.5)
        assert (call.skill, call.client, call.input) == ("echo", "me", {"text": "a"})
        assert (call.max_tokens, call.seed, request.timeout_s) == (9, 4, 1.5)
        assert call.request_class is RequestClass.BATCH
        assert request.streams
        assert request.address.topic == REPLIES
    assert (bare.address.is_envelope, envelope.address.is_envelope) == (False, True)


def test_a_wrong_trace_context_is_left_out() -> None:
    request = good(response_topic=REPLIES, user=(("traceparent", "x" * 9000),))
    assert request.address.traceparent is None


@pytest.mark.parametrize(
    ("expiry_s", "deadline", "timeout_s"),
    [(None, None, None), (3, None, 3.0), (3, "500", 0.5), (1, "5000", 1.0), (None, "0.5", 0.0005)],
)
def test_the_shorter_deadline_counts(
    expiry_s: int | None, deadline: str | None, timeout_s: float | None
) -> None:
    user = () if deadline is None else (("deadline_ms", deadline),)
    request = good(response_topic=REPLIES, expiry_s=expiry_s, user=user)
    assert request.timeout_s == timeout_s


def test_without_a_reply_topic_it_goes_to_the_proven_caller() -> None:
    assert good({"input": {}}).address == ReplyAddress(REPLIES, is_envelope=True)


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ({"topic": "skilld/pool/echo/req", "payload": b"{}"}, "BAD_REPLY_TOPIC"),
        ({"topic": "skilld/pool/echo/req", "payload": b"\xff"}, "BAD_REPLY_TOPIC"),
        ({"response_topic": "skilld/client/you/resp"}, "BAD_REPLY_TOPIC"),
        ({"response_topic": "skilld/box/box1/status"}, "BAD_REPLY_TOPIC"),
        ({"payload": {"input": {}, "reply_to": "skilld/client/you/resp"}}, "BAD_REPLY_TOPIC"),
        ({"payload": {"input": {}, "reply_to": 3}}, "BAD_REPLY_TOPIC"),
        ({"response_topic": REPLIES, "correlation": b"x" * 2000}, "INVALID_INPUT"),
    ],
)
def test_nobody_is_told_when_replies_would_go_astray(rest: dict[str, Any], reason: str) -> None:
    with pytest.raises(SkilldError) as raised:
        read(**rest)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ({"user": (("deadline_ms", "soon"),)}, "deadline_ms"),
        ({"user": (("deadline_ms", "-1"),)}, "deadline_ms"),
        ({"user": (("deadline_ms", "nan"),)}, "deadline_ms"),
        ({"user": (("deadline_ms", "inf"),)}, "deadline_ms"),
        ({"user": (("priority", "urgent"),)}, "priority"),
        ({"user": (("max_tokens", "0"),)}, "max_tokens"),
        ({"user": (("seed", "-1"),)}, "seed"),
        ({"user": (("stream", "perhaps"),)}, "stream"),
        ({"user": (("request_id", "a"), ("request_id", "b"))}, "request_id is given twice"),
        ({"user": (("request_id", "語" * 50),)}, "longer than 128 bytes"),
        ({"content_type": "application/cbor"}, "application/json"),
        ({"retain": True}, "retained"),
        ({"payload": b" " * 200_001}, "200001 bytes, the limit is 200000"),
    ],
)
def test_wrong_properties_are_refused_in_words(rest: dict[str, Any], said: str) -> None:
    assert said in problem(**{"response_topic": REPLIES, **rest}).message


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "must be a JSON object"),
        (b'{"input": {}, "input_": 1}', "input_"),
        (b"{}", "input"),
        (b'{"input": []}', "input"),
        (b'{"input": {"a": NaN}}', "NaN"),
        (b'{"input": {"a": 1e999}}', "1e999"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"input":{"a":' + b"[" * 990 + b"]" * 990 + b"}}", "nested too deeply"),
        (b'{"input": {"a": "\\ud800"}}', "half a character"),
        (b'{"input": {}, "request_id": {}}', "request_id"),
        (b'{"input": {}, "deadline_ms": 0}', "deadline_ms"),
    ],
)
def test_wrong_envelopes_are_refused_in_words(payload: bytes, said: str) -> None:
    assert said in problem(payload).message


@pytest.mark.parametrize("payload", [b"", b"\xff", b"null", b'"x"', b"{", b'{"a": -Infinity}'])
def test_a_bare_payload_is_looked_at_when_its_turn_comes(payload: bytes) -> None:
    request = good(payload, response_topic=REPLIES)
    with pytest.raises(InvalidRequestError) as raised:
        request.call(request_id="1", timeout_s=None)
    assert raised.value.reason == "INPUT_NOT_JSON"


@given(st.binary(max_size=60), st.booleans())
def test_no_bytes_can_do_harm(payload: bytes, is_bare: bool) -> None:
    request = read(payload, response_topic=REPLIES if is_bare else None)
    if isinstance(request, SkillRequest):
        with contextlib.suppress(InvalidRequestError):
            request.call(request_id="1", timeout_s=None)


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a loaded machine
@given(
    st.dictionaries(
        st.sampled_from(["input", "request_id", "deadline_ms", "reply_to", "correlation", "seed"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner),
            max_leaves=3,
        ),
    )
)
def test_any_envelope_is_read_or_refused(content: dict[str, Any]) -> None:
    try:
        request = read(content)
    except SkilldError:
        return
    body = error_body(EngineError("no"), request_id="x", box="b")
    assert reply(request.address, body).topic.startswith(REPLIES)


def test_only_the_same_request_is_a_repeat() -> None:
    first = good({"input": {"a": 1, "b": 2}, "request_id": "1"})
    assert first.digest == good({"input": {"b": 2, "a": 1}, "deadline_ms": 5}).digest
    assert first.digest != good({"input": {"a": 1, "b": 3}, "request_id": "1"}).digest
    assert first.digest != good({"input": {"a": 1, "b": 2}, "seed": 1}).digest


@pytest.mark.parametrize(
    ("topic", "payload", "user", "found"),
    [
        ("skilld/box/box1/cancel/me", b'{"request_id":"7"}', (), ("me", "7")),
        ("skilld/box/box1/cancel/me", b"", (("request_id", "7"),), ("me", "7")),
        ("skilld/pool/echo/cancel", b'{"request_id":7,"client":"me"}', (), ("me", "7")),
        ("skilld/box/box1/cancel/me", b'{"request_id":"7","client":"you"}', (), ("me", "7")),
        ("skilld/box/box1/cancel/me", b"", (), None),
        ("skilld/box/box1/cancel", b'{"request_id":"7"}', (), None),
        ("skilld/box/box1/cancel", b'{"request_id":"7","client":"a/b"}', (), None),
        ("skilld/box/box1/cancel/me", b'{"request_id":[]}', (), None),
        ("skilld/box/box1/cancel/me", b"\xff", (), None),
    ],
)
def test_a_cancellation_names_who_and_what(
    topic: str,
    payload: bytes,
    user: tuple[tuple[str, str], ...],
    found: tuple[str, str] | None,
) -> None:
    destination = TOPICS.read(topic)
    assert destination is not None
    message = Message(topic, payload, user=user)
    if found is not None:
        assert read_cancel(message, destination, TOPICS) == found
        return
    with pytest.raises(SkilldError):
        read_cancel(message, destination, TOPICS)


def test_an_error_says_the_same_in_both_forms() -> None:
    error = OverloadedError("full", retry_after_s=0.25, engine="e")
    body = error_body(error, request_id="7", box="box1")
    bare = reply(ReplyAddress(REPLIES, correlation=b"c"), body)
    envelope = reply(ReplyAddress(REPLIES, is_envelope=True, correlation=b"c"), body)
    assert dict(bare.user) == {
        **{"request_id": "7", "status": "error", "reason": "QUEUE_FULL"},
        **{"retry_after_ms": "250", "seq": "0", "final": "true"},
    }
    content = json.loads(envelope.payload)
    assert content == {
        **{"seq": 0, "final": True, "correlation": "c"},
        **json.loads(bare.payload),
    }
    assert content["error"] == {
        **{"reason": "QUEUE_FULL", "message": "full", "retry_after_s": 0.25},
        "metadata": {"engine": "e"},
    }
    assert (envelope.user, envelope.correlation) == ((), None)


def test_long_texts_of_callers_do_not_grow_the_reply() -> None:
    error = InvalidRequestError("x" * 9999, violations=[("y" * 9999, "z" * 9999)], key="w" * 9999)
    assert len(error_body(error, request_id="1", box="b").payload) < 4000


def test_a_packet_is_never_larger_than_reckoned() -> None:
    address = ReplyAddress(REPLIES, correlation=b"x" * 40)
    body = event_body("delta", {"text": "語" * 50}, request_id="r", box="b")
    message = reply(address, body, seq=3, is_final=False)
    packed = len(PublishProperties(message).pack())
    exact = 5 + 2 + len(message.topic.encode()) + 2 + packed + len(message.payload)
    assert exact <= message.packet_bytes <= exact + 64
