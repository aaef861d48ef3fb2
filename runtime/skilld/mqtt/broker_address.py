"""`BrokerAddress`: where the broker is, and how far a connection to it may be trusted."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from skilld.config import MqttConfig, MqttTlsConfig
from skilld.core.address import parse_address
from skilld.core.errors import SkilldError

_UNIX = "unix:"
_ANY_PORT = 1883  # paho wants one for a socket in the file system, too


class BrokerError(SkilldError):
    """The broker cannot or must not be used as configured."""

    default_reason = "BAD_BROKER"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is.

    Attributes:
        host: name, address, or path of its unix socket.
        port: for TCP.
        is_unix: it is a unix socket.
        is_loopback: nobody else hears what is said.
    """

    host: str
    port: int = _ANY_PORT
    is_unix: bool = False
    is_loopback: bool = False

    def __str__(self) -> str:
        return f"{_UNIX}{self.host}" if self.is_unix else f"{self.host}:{self.port}"


def broker_address(config: MqttConfig) -> BrokerAddress | None:
    """Where the broker is; None when MQTT is off.

    Raises:
        SkilldError: BAD_ADDRESS, or PLAINTEXT_ON_NETWORK: others could listen.
    """
    if config.broker is None:
        return None
    if config.broker.startswith(_UNIX):
        path = config.broker.removeprefix(_UNIX)
        if not path:
            raise BrokerError('mqtt.broker: write unix:/path/of/the/socket, or "host:port"')
        return BrokerAddress(path, is_unix=True, is_loopback=True)
    address = parse_address(config.broker, key="mqtt.broker")
    if address.port == 0:
        raise BrokerError(f"mqtt.broker: {address} has no port; 8883 is usual with TLS")
    if not (address.is_loopback or config.tls or config.allow_plaintext_on_network):
        raise BrokerError(
            f"mqtt.broker: {address} is on the network, and without TLS everybody there can read "
            "and forge calls; set mqtt.tls, or mqtt.allow_plaintext_on_network if that is what "
            "you want",
            reason="PLAINTEXT_ON_NETWORK",
        )
    return BrokerAddress(address.host, address.port, is_loopback=address.is_loopback)


def tls_context(tls: MqttTlsConfig) -> ssl.SSLContext:
    """What TLS needs, read from its files.

    Raises:
        BrokerError: reason BAD_TLS; names the file.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca)
    except OSError as error:  # ssl.SSLError is one
        raise BrokerError(
            f"mqtt.tls.ca: {tls.ca} is not a certificate in PEM: {error}", reason="BAD_TLS"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if (tls.certificate_chain is None) != (tls.private_key is None):
        raise BrokerError(
            "mqtt.tls: certificate_chain and private_key belong together; set both or none",
            reason="BAD_TLS",
        )
    if tls.certificate_chain is not None:
        try:
            context.load_cert_chain(tls.certificate_chain, tls.private_key, password="")
        except OSError as error:
            raise BrokerError(
                f"mqtt.tls: {tls.certificate_chain} and {tls.private_key} are not a certificate "
                f"and its key in PEM: {error}",
                reason="BAD_TLS",
            ) from error
    return context


def read_password(path: Path) -> str:
    """The password in a file, without the line's end.

    Raises:
        BrokerError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"mqtt.password_file: {path} cannot be read: {error}") from error
