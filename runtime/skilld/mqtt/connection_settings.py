"""`ConnectionSettings`: how to reach the broker, read from the configuration and its files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from skilld.config import MqttConfig
from skilld.mqtt.broker_address import (
    BrokerAddress,
    broker_address,
    read_password,
    tls_context,
)
from skilld.mqtt.message import Message

# Room in a packet beside the payload; a request that is a little too large is refused in words.
_PACKET_SPARE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to reach the broker.

    Attributes:
        address: of the broker.
        client_id: the broker lets only one connection have it.
        tls: None for none.
        username: None for none.
        password: None for none.
        keepalive_s: silence after which the broker gives up on us.
        max_unanswered: messages it may send before the first is acknowledged.
        max_packet_bytes: it drops larger ones.
        max_queued: messages of ours waiting for it before further ones are refused.
        will: what it publishes when we are gone without a word, without properties; None for
            nothing.
    """

    address: BrokerAddress
    client_id: str
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    keepalive_s: int
    max_unanswered: int
    max_packet_bytes: int
    max_queued: int
    will: Message | None


def connection_settings(
    config: MqttConfig, *, client_id: str, will: Message | None
) -> ConnectionSettings | None:
    """Read what a connection needs; None when MQTT is off.

    Args:
        config: of MQTT.
        client_id: the broker lets only one connection have it.
        will: what it publishes when we are gone without a word, without properties; None for
            nothing.

    Raises:
        SkilldError: the configuration or one of its files cannot be right.
    """
    address = broker_address(config)
    if address is None:
        return None
    password = None if config.password_file is None else read_password(config.password_file)
    return ConnectionSettings(
        address=address,
        client_id=client_id,
        tls=None if config.tls is None else tls_context(config.tls),
        username=config.username,
        password=password,
        keepalive_s=config.keepalive_s,
        max_unanswered=config.max_unanswered,
        max_packet_bytes=config.max_payload_bytes + _PACKET_SPARE_BYTES,
        max_queued=config.max_queued_replies,
        will=will,
    )
