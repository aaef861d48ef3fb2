"""`Message`: one MQTT message, and `Delivery`: one that arrived and wants to be acknowledged."""

from __future__ import annotations

from dataclasses import dataclass

# Of a PUBLISH packet besides its strings: header, lengths, packet id, fixed-size properties.
_FRAME_BYTES = 32
_USER_PROPERTY_BYTES = 5


@dataclass(frozen=True, slots=True)
class Message:
    """One message, its MQTT 5 properties included.

    Attributes:
        topic: where it is published.
        payload: as it is on the wire.
        qos: 0 or 1.
        retain: the broker keeps it, or: it was published to be kept.
        response_topic: where the answer should go; None without one.
        correlation: what the asker tells answers apart by; None without.
        expiry_s: after which nobody wants it any more; None for never.
        content_type: of the payload; None when not said.
        user: user properties in order; a key may come more than once.
    """

    topic: str
    payload: bytes = b""
    qos: int = 1
    retain: bool = False
    response_topic: str | None = None
    correlation: bytes | None = None
    expiry_s: int | None = None
    content_type: str | None = None
    user: tuple[tuple[str, str], ...] = ()

    @property
    def packet_bytes(self) -> int:
        """Size of its packet, or a few bytes more."""
        strings = [self.topic, self.response_topic or "", self.content_type or ""]
        strings += [text for pair in self.user for text in pair]
        return (
            _FRAME_BYTES
            + _USER_PROPERTY_BYTES * len(self.user)
            + sum(len(text.encode()) for text in strings)
            + len(self.correlation or b"")
            + len(self.payload)
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that arrived.

    Attributes:
        message: what arrived.
        packet_id: to acknowledge it by; 0 when there is nothing to acknowledge.
        connection: number of the connection it came over; on a later one the broker has
            forgotten it.
        arrival_s: monotonic time.
    """

    message: Message
    packet_id: int
    connection: int
    arrival_s: float
