"""Between paho's messages and ours."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties

from skilld.mqtt.message import Message

MAX_PACKET_BYTES = 268_435_455  # the protocol's own limit


def packet_limit_of(properties: Any) -> int:  # Any: paho leaves its attributes untyped
    """The largest packet a broker takes, as it said when it accepted the connection."""
    return int(getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES))


def properties_of(message: Message, kind: int) -> Properties | None:
    """Properties of a message to send; None when it has none.

    Args:
        message: to send.
        kind: of the packet, one of paho's `PacketTypes`.
    """
    wanted = {
        "ResponseTopic": message.response_topic,
        "CorrelationData": message.correlation,
        "MessageExpiryInterval": message.expiry_s,
        "ContentType": message.content_type,
        "UserProperty": list(message.user) or None,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    if not given:
        return None
    properties = Properties(kind)
    for name, value in given.items():
        setattr(properties, name, value)
    return properties


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
