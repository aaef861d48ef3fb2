"""Between MQTT 5 packets and our messages; formats: MQTT 5.0, sections 2.2.2 and 3.3.

paho's object for the properties of a packet builds its tables anew for each one: it took half of
the time of sending a message, and half of that of reading one.
"""

from __future__ import annotations

from typing import Any

from paho.mqtt.properties import VariableByteIntegers

from skilld.mqtt.message import Message

MAX_PACKET_BYTES = 268_435_455  # the protocol's own limit
_MAX_STRING_BYTES = 0xFFFF

_PAYLOAD_FORMAT = 0x01
_EXPIRY = 0x02
_CONTENT_TYPE = 0x03
_RESPONSE_TOPIC = 0x08
_CORRELATION = 0x09
_SUBSCRIPTION = 0x0B
_USER = 0x26


def packet_limit_of(properties: Any) -> int:  # Any: paho leaves its attributes untyped
    """The largest packet a broker takes, as it said when it accepted the connection."""
    return int(getattr(properties, "MaximumPacketSize", MAX_PACKET_BYTES))


class PublishProperties:
    """Properties of a PUBLISH packet, as they go over the wire.

    Stands in for paho's `Properties`, of which paho needs nothing but `pack` to send a message.

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


def read_publish(flags: int, packet: bytes) -> tuple[Message, int]:
    """Read a PUBLISH packet.

    Args:
        flags: its first byte.
        packet: what follows its length.

    Returns:
        The message, and the packet id to acknowledge it by, 0 at QoS 0.

    Raises:
        ValueError: it is cut short, or a string of it is not UTF-8, or it has a property that no
            message has, or an alias for its topic, which this client never agrees to.
    """
    qos = flags >> 1 & 0b11
    topic, at = _read_text(packet, 0)
    packet_id = 0
    if qos:
        packet_id, at = _read_int(packet, at, 2)
    num_bytes, at = _read_length(packet, at)
    end = at + num_bytes
    if end > len(packet):
        raise ValueError(f"its properties end {end - len(packet)} bytes after it does")
    response_topic = content_type = correlation = expiry_s = None
    user: list[tuple[str, str]] = []
    while at < end:
        kind = packet[at]
        at += 1
        if kind == _USER:
            key, at = _read_text(packet, at)
            value, at = _read_text(packet, at)
            user.append((key, value))
        elif kind == _RESPONSE_TOPIC:
            response_topic, at = _read_text(packet, at)
        elif kind == _CORRELATION:
            correlation, at = _read_bytes(packet, at)
        elif kind == _CONTENT_TYPE:
            content_type, at = _read_text(packet, at)
        elif kind == _EXPIRY:
            expiry_s, at = _read_int(packet, at, 4)
        elif kind == _PAYLOAD_FORMAT:
            _, at = _read_int(packet, at, 1)
        elif kind == _SUBSCRIPTION:
            _, at = _read_length(packet, at)
        else:
            raise ValueError(f"property {kind:#04x} does not belong to a message")
    if at != end:
        raise ValueError("its last property is longer than all of them")
    message = Message(
        topic,
        packet[end:],
        qos=qos,
        retain=bool(flags & 1),
        response_topic=response_topic,
        correlation=correlation,
        expiry_s=expiry_s,
        content_type=content_type,
        user=tuple(user),
    )
    return message, packet_id


def _read_int(packet: bytes, at: int, num_bytes: int) -> tuple[int, int]:
    end = at + num_bytes
    if end > len(packet):
        raise ValueError("it is cut short")
    return int.from_bytes(packet[at:end], "big"), end


def _read_bytes(packet: bytes, at: int) -> tuple[bytes, int]:
    num_bytes, at = _read_int(packet, at, 2)
    end = at + num_bytes
    if end > len(packet):
        raise ValueError("it is cut short")
    return packet[at:end], end


def _read_text(packet: bytes, at: int) -> tuple[str, int]:
    data, at = _read_bytes(packet, at)
    return data.decode(), at


def _read_length(packet: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits per byte, at most four, the lowest first: section 1.5.5."""
    number = 0
    for shift in (0, 7, 14, 21):
        digit, at = _read_int(packet, at, 1)
        number |= (digit & 0x7F) << shift
        if digit < 0x80:
            return number, at
    raise ValueError("a length has more than four bytes")
