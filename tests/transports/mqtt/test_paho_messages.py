"""Properties of messages: what we write is what paho reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from skilld.mqtt.message import Message
from skilld.mqtt.paho_messages import PublishProperties

# What MQTT allows and paho reads: no NUL, no U+FEFF, no half of a surrogate pair.
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=0, max_size=60
)


@given(
    st.builds(
        Message,
        topic=st.just("a/b"),
        response_topic=st.none() | texts,
        correlation=st.none() | st.binary(max_size=60),
        expiry_s=st.none() | st.integers(0, (1 << 32) - 1),
        content_type=st.none() | texts,
        user=st.lists(st.tuples(texts, texts), max_size=12).map(tuple),
    )
)
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
