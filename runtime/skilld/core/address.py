"""`TcpAddress`: "host:port" as configured, of whatever transport."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from skilld.core.errors import SkilldError


class ListenError(SkilldError):
    """The daemon cannot listen, or connect, where it was told to, or must not."""

    default_reason = "BAD_ADDRESS"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A parsed "host:port".

    Attributes:
        host: name or address, without brackets.
        port: 0 takes a free one.
    """

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this box can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # some name; what it resolves to may change

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str, *, key: str) -> TcpAddress:
    """Read "host:port".

    Args:
        text: as configured.
        key: of the configuration, for the error.

    Raises:
        ListenError: reason BAD_ADDRESS.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]/\s]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ListenError(
            f"{key}: {text!r} is not an address; write host:port, for instance "
            '"127.0.0.1:7070" or "[::1]:7070"'
        )
    return TcpAddress(match[1] or match[2], int(match[3]))
