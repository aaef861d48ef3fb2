"""`BrokerConfig`: configuration and access list of a mosquitto that may be trusted. Pure text.

Written for mosquitto 2.0.11 and later. Every client proves who it is with a certificate; its common
name is its user name, and the access list says what that name may do. What is not allowed is
refused. A list of names, not patterns: a pattern holds for every user, and so cannot tell a robot
from a box.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from skilld.mqtt.topics import NAME_RULE, TopicError, is_name

CONFIG_NAME = "mosquitto.conf"
ACL_NAME = "acl"

_LIMITS = """\
# Without this every reply waits for the other side's delayed acknowledgement, 40 ms or more.
set_tcp_nodelay true

# What one client, or all of them, can cost.
max_packet_size {max_packet_bytes}
max_inflight_messages 256
max_queued_messages 1000
max_queued_bytes {max_queued_bytes}
memory_limit {memory_limit_bytes}
max_keepalive 120
persistent_client_expiration 1d
"""


@dataclass(frozen=True, slots=True)
class Roles:
    """Who may do what, by name.

    Attributes:
        robots: call skills, read what boxes say of themselves.
        field_teams: what robots may, and order and watch updates.
        depots: hand out releases.
        boxes: answer calls, say how they are, fetch releases.
    """

    robots: tuple[str, ...] = ()
    field_teams: tuple[str, ...] = ()
    depots: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """PEM files of the broker.

    Attributes:
        ca: authority that signs the clients' certificates, and nothing else.
        certificate: of the broker.
        key: of the broker.
        revoked: list of certificates that are not valid any more; None for none.
        version: oldest version of the protocol that is spoken.
    """

    ca: Path
    certificate: Path
    key: Path
    revoked: Path | None = None
    version: Literal["tlsv1.2", "tlsv1.3"] = "tlsv1.3"


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What the broker takes.

    Attributes:
        max_connections: clients at once.
        max_packet_bytes: largest message, its header included.
        max_queued_bytes: waiting for one client.
        memory_limit_bytes: of the broker.
    """

    max_connections: int = 256
    max_packet_bytes: int = 2 << 20
    max_queued_bytes: int = 16 << 20
    memory_limit_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """A broker on the network: TLS, certificates, one role for every name.

    Attributes:
        folder: where the two files will be.
        tls: of the listener.
        roles: of every name.
        prefix: of all topics.
        port: of the listener.
        user: whom mosquitto becomes when root starts it.
        data_folder: retained messages, updates among them, are kept here over a restart.
        limits: what it takes.
    """

    folder: Path
    tls: BrokerTls
    roles: Roles
    prefix: str = "skilld"
    port: int = 8883
    user: str = "mosquitto"
    data_folder: Path = Path("/var/lib/mosquitto")
    limits: BrokerLimits = field(default_factory=BrokerLimits)

    def config_text(self) -> str:
        """The text of mosquitto.conf."""
        tls = self.tls
        revoked = "" if tls.revoked is None else f"crlfile {tls.revoked}\n"
        return f"""\
# Written by `skilld broker-config`; start it with: mosquitto -c {self.folder / CONFIG_NAME}
user {self.user}
allow_anonymous false
acl_file {self.folder / ACL_NAME}

listener {self.port}
max_connections {self.limits.max_connections}
max_qos 1
cafile {tls.ca}
certfile {tls.certificate}
keyfile {tls.key}
{revoked}tls_version {tls.version}
require_certificate true
use_identity_as_username true

{_limits_text(self.limits)}
persistence true
persistence_location {str(self.data_folder).rstrip("/")}/
autosave_interval 60
log_dest stderr
log_timestamp true
"""

    def acl_text(self) -> str:
        """The text of the access list.

        Raises:
            TopicError: a name or the prefix cannot be part of a topic, or a name has two roles.
        """
        _check_names(self.prefix.split("/"), self.roles)
        prefix, roles = self.prefix, self.roles
        blocks = [
            *(_block("robot", name, _caller_rules(prefix, name)) for name in roles.robots),
            *(
                _block("field team", name, _field_team_rules(prefix, name))
                for name in roles.field_teams
            ),
            *(_block("depot", name, _depot_rules(prefix, name)) for name in roles.depots),
            *(_block("box", name, _box_rules(prefix, name)) for name in roles.boxes),
        ]
        head = (
            "# Written by `skilld broker-config`; mosquitto reads it again on SIGHUP.\n"
            "# What is not listed is refused. Names are those in the clients' certificates.\n"
        )
        return "\n".join([head, *blocks])


def development_text(
    *, port: int = 1883, socket: Path | None = None, limits: BrokerLimits | None = None
) -> str:
    """A broker for development: this machine only, no TLS, everybody may do everything.

    Args:
        port: on 127.0.0.1.
        socket: a unix socket to listen on as well; None for none.
        limits: what it takes.
    """
    unix = "" if socket is None else f"listener 0 {socket}\n"
    return f"""\
# Written by `skilld broker-config --development`. For development only: whoever has an account
# on this machine can read and send everything.
listener {port} 127.0.0.1
{unix}allow_anonymous true

{_limits_text(limits or BrokerLimits())}
persistence false
log_dest stderr
log_timestamp true
"""


def _limits_text(limits: BrokerLimits) -> str:
    return _LIMITS.format(
        max_packet_bytes=limits.max_packet_bytes,
        max_queued_bytes=limits.max_queued_bytes,
        memory_limit_bytes=limits.memory_limit_bytes,
    )


def _check_names(levels: Iterable[str], roles: Roles) -> None:
    for level in levels:
        if not is_name(level):
            raise TopicError(f"prefix: {level!r} is no topic level; {NAME_RULE}")
    names = [*roles.robots, *roles.field_teams, *roles.depots, *roles.boxes]
    for name in names:
        if not is_name(name):
            raise TopicError(f"{name!r} is no name; {NAME_RULE}")
        if names.count(name) > 1:
            raise TopicError(
                f"{name!r} has two roles; give each its own certificate", reason="BAD_ROLE"
            )


def _block(role: str, name: str, rules: list[tuple[str, str]]) -> str:
    lines = [f"# {role}", f"user {name}", *(f"topic {kind} {topics}" for kind, topics in rules)]
    return "\n".join(lines) + "\n"


def _caller_rules(prefix: str, name: str) -> list[tuple[str, str]]:
    return [
        ("write", f"{prefix}/box/+/skill/+/req/{name}"),
        ("write", f"{prefix}/pool/+/req/{name}"),
        ("write", f"{prefix}/box/+/cancel/{name}"),
        ("write", f"{prefix}/pool/+/cancel/{name}"),
        ("read", f"{prefix}/client/{name}/resp/#"),
        ("read", f"{prefix}/box/+/status"),
        ("read", f"{prefix}/box/+/skill/+/meta"),
    ]


def _field_team_rules(prefix: str, name: str) -> list[tuple[str, str]]:
    return [
        *_caller_rules(prefix, name),
        # What is written there counts only with the right signatures.
        ("readwrite", f"{prefix}/box/+/ota/job/+"),
        ("readwrite", f"{prefix}/box/+/ota/order/+"),
        ("read", f"{prefix}/box/+/ota/status/+"),
    ]


def _depot_rules(prefix: str, name: str) -> list[tuple[str, str]]:
    return [
        ("read", f"{prefix}/depot/{name}/get/+"),
        ("write", f"{prefix}/box/+/ota/data/{name}"),
    ]


def _box_rules(prefix: str, name: str) -> list[tuple[str, str]]:
    return [
        ("readwrite", f"{prefix}/box/{name}/status"),
        ("readwrite", f"{prefix}/box/{name}/skill/+/meta"),
        ("readwrite", f"{prefix}/box/{name}/loop/+"),
        ("read", f"{prefix}/box/{name}/skill/+/req/#"),
        ("read", f"{prefix}/box/{name}/cancel/#"),
        ("read", f"{prefix}/pool/+/req/#"),
        ("read", f"{prefix}/pool/+/cancel/#"),
        ("write", f"{prefix}/client/+/resp/#"),
        ("read", f"{prefix}/box/{name}/ota/job/+"),
        ("read", f"{prefix}/box/{name}/ota/order/+"),
        ("readwrite", f"{prefix}/box/{name}/ota/status/+"),
        ("read", f"{prefix}/box/{name}/ota/data/+"),
        ("write", f"{prefix}/depot/+/get/{name}"),
    ]
