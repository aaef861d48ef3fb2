"""Packets of messages: what we write is what paho reads, and the other way round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from skilld.mqtt.message import Message
from skilld.mqtt.paho_messages import PublishProperties, read_publish

# What MQTT allows and paho reads: no NUL, no U+FEFF, no half of a surrogate pair.
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=0, max_size=60
)


messages = st.builds(
    Message,
    topic=st.just("a/b"),
    payload=st.binary(max_size=60),
    qos=st.sampled_from([0, 1]),
    retain=st.booleans(),
    response_topic=st.none() | texts,
    correlation=st.none() | st.binary(max_size=60),
    expiry_s=st.none() | st.integers(0, (1 << 32) - 1),
    content_type=st.none() | texts,
    user=st.lists(st.tuples(texts, texts), max_size=12).map(tuple),
)


@given(messages)
def test_any_properties_are_read_as_they_were_written(message: Message) -> None:
    packed = PublishProperties(message).pack()
    properties = Properties(PacketTypes.PUBLISH)
    _, num_bytes = properties.unpack(packed)
    assert num_bytes == len(packed)
    read = vars(properties)
    assert read.get("ResponseTopic") == message.response_topic
    assert read.get("CorrelationData") == message.correlation
    assert read.get("MessageExpiryInterval") == message.expiry_s
    assert read.get("ContentType") == message.content_type
    assert tuple(read.get("UserProperty", ())) == message.user


def test_a_string_that_mqtt_has_no_room_for_is_refused() -> None:
    fits = Message("a/b", correlation=b"x" * 0xFFFF)
    assert len(PublishProperties(fits).pack()) == 0xFFFF + 6
    with pytest.raises(ValueError, match="65536 bytes, MQTT has room for 65535"):
        PublishProperties(Message("a/b", correlation=b"x" * 0x10000)).pack()


def packet_of(message: Message, properties: bytes, *, packet_id: int = 7) -> tuple[int, bytes]:
    """The first byte of a packet, and what follows its length."""
    topic = message.topic.encode()
    number = packet_id.to_bytes(2, "big") if message.qos else b""
    content = len(topic).to_bytes(2, "big") + topic + number + properties + message.payload
    return 0x30 | message.qos << 1 | message.retain, content


@given(messages, st.integers(1, 0xFFFF))
def test_a_packet_that_paho_wrote_is_read(message: Message, packet_id: int) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 1
    properties.SubscriptionIdentifier = [1, 127, 128, 268_435_455]
    given_values = {
        "ResponseTopic": message.response_topic,
        "CorrelationData": message.correlation,
        "MessageExpiryInterval": message.expiry_s,
        "ContentType": message.content_type,
        "UserProperty": list(message.user) or None,
    }
    for name, value in given_values.items():
        if value is not None:
            setattr(properties, name, value)
    flags, content = packet_of(message, properties.pack(), packet_id=packet_id)
    assert read_publish(flags, content) == (message, packet_id if message.qos else 0)
    assert read_publish(flags | 0b1000, content)[0] == message  # sent again


@given(messages, st.data())
def test_a_packet_that_is_cut_or_changed_is_read_or_refused(
    message: Message, data: st.DataObject
) -> None:
    flags, content = packet_of(message, PublishProperties(message).pack())
    end = data.draw(st.integers(0, len(content)))
    at = data.draw(st.integers(0, len(content) - 1))
    other = bytes([data.draw(st.integers(0, 255))])
    for damaged in (content[:end], content[:at] + other + content[at + 1 :]):
        try:
            read, _ = read_publish(flags, damaged)
        except ValueError:
            continue
        assert len(read.payload) <= len(content)


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        (b"\x03\x23\x00\x01", "property 0x23 does not belong to a message"),  # a topic alias
        (b"\x02\x01", "ends? .* bytes after it does|cut short"),
        (b"\x01\x01\x00", "longer than all of them"),
        (b"\x06\x26\x00\x01k\x00\x09", "cut short"),
        (b"\x05\x08\x00\x02\xff\xfe", "utf-8"),
        (b"\xff\xff\xff\xff\x01", "more than four bytes"),
        (b"\x7f", "bytes after it does"),
    ],
)
def test_what_is_wrong_with_a_packet_is_said(properties: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_publish(*packet_of(Message("a/b"), properties))
