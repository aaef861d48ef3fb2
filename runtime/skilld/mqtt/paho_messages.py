"""Between paho's messages and ours."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.properties import VariableByteIntegers

from skilld.mqtt.message import Message

MAX_PACKET_BYTES = 268_435_455  # the protocol's own limit
_MAX_STRING_BYTES = 0xFFFF


def packet_limit_of(properties: Any) -> int:  # Any: paho leaves its attributes untyped
    """The largest packet a broker takes, as it said when it accepted the connection."""
    return int(getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES))


class PublishProperties:
    """Properties of a PUBLISH packet, as they go over the wire: MQTT 5.0, section 2.2.2.

    Stands in for paho's `Properties`, of which paho needs nothing but `pack` to send a message;
    that one takes half of the time of sending.

    Args:
        message: to send.
    """

    def __init__(self, message: Message) -> None:
        self._message = message

    def pack(self) -> bytes:
        """Length and content.

        Raises:
            ValueError: a string has no UTF-8, or is too long for the protocol.
        """
        message, parts = self._message, []
        if message.expiry_s is not None:
            parts.append(b"\x02" + message.expiry_s.to_bytes(4, "big"))
        if message.content_type is not None:
            parts.append(b"\x03" + _string(message.content_type.encode()))
        if message.response_topic is not None:
            parts.append(b"\x08" + _string(message.response_topic.encode()))
        if message.correlation is not None:
            parts.append(b"\x09" + _string(message.correlation))
        for key, value in message.user:
            parts.append(b"\x26" + _string(key.encode()) + _string(value.encode()))
        content = b"".join(parts)
        return bytes(VariableByteIntegers.encode(len(content))) + content


def _string(data: bytes) -> bytes:
    if len(data) > _MAX_STRING_BYTES:
        raise ValueError(f"a property has {len(data)} bytes, MQTT has room for {_MAX_STRING_BYTES}")
    return len(data).to_bytes(2, "big") + data


def message_of(message: mqtt.MQTTMessage) -> Message:
    """A message that arrived.

    Raises:
        UnicodeDecodeError: the topic is not UTF-8.
    """
    properties = vars(message.properties) if message.properties is not None else {}
    return Message(
        message.topic,
        bytes(message.payload),
        qos=message.qos,
        retain=bool(message.retain),
        response_topic=properties.get("ResponseTopic"),
        correlation=properties.get("CorrelationData"),
        expiry_s=properties.get("MessageExpiryInterval"),
        content_type=properties.get("ContentType"),
        user=tuple(properties.get("UserProperty", ())),
    )
