"""`Config`: what an operator may set, one frozen record per room, read from one TOML file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from skilld.core.hours import Hours, parse_hours
from skilld.core.toml_record import read_toml

_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def parse_bytes(value: Any) -> int:  # Any: straight from TOML or the command line
    """An amount of memory: an integer of bytes, or text such as "512MiB".

    Raises:
        ValueError: neither of these.
    """
    if isinstance(value, int):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)", str(value))
    if match is None:
        raise ValueError(f'{value!r} is not an amount of memory; write for instance "512MiB"')
    return int(float(match[1]) * _UNITS[match[2]])


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
DayHours = Annotated[Hours, BeforeValidator(lambda v: parse_hours(v) if isinstance(v, str) else v)]


def default_socket_path() -> Path:
    """Where the daemon listens and clients look when nobody says otherwise."""
    if from_environment := os.environ.get("SKILLD_SOCKET"):
        return Path(from_environment)
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR")
    if runtime_dir is None:
        runtime_dir = "/run" if os.geteuid() == 0 else str(Path.home() / ".local/state")
    return Path(runtime_dir) / "skilld" / "skilld.sock"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemoryConfig(_Record):
    """What the daemon may use of the machine's memory.

    Attributes:
        kv_budget_bytes: cache memory of all engines together.
        total_bytes: everything: process, weights, workspace and cache. A set of engines that
            does not fit is refused at start. None takes what the machine has, or the memory
            limit of the control group the daemon is in, less `reserve_bytes`.
        reserve_bytes: left to the rest of the machine: when less than this is available, caches
            shrink, then admission.
    """

    kv_budget_bytes: Bytes = Field(default=512 << 20, gt=0)
    total_bytes: Bytes | None = Field(default=None, gt=0)
    reserve_bytes: Bytes = Field(default=256 << 20, ge=0)


class EngineConfig(_Record):
    """How engines run.

    Attributes:
        num_threads: of the vendor runtime; 0 takes one for engines below 30 million parameters,
            every core this process may use for larger ones.
        mode: "fast", or "parity" for f32 arithmetic that does not depend on batching.
        max_num_seqs: most sequences of one batch.
        max_num_batched_tokens: most new tokens of one step.
        max_draft: most guessed tokens of a row that one step verifies; 0 turns guessing off.
    """

    num_threads: int = Field(default=0, ge=0)
    mode: Literal["fast", "parity"] = "fast"
    max_num_seqs: int = Field(default=16, ge=1, le=256)
    max_num_batched_tokens: int = Field(default=512, ge=1, le=65536)
    max_draft: int = Field(default=8, ge=0, le=64)


class SchedulerConfig(_Record):
    """How device time is dealt out.

    Attributes:
        step_bound_ms: no step is planned longer; prefills are cut to it.
        quantum_ms: an engine keeps the device this long before the next one gets it.
        aging_s: after this long batch work counts as interactive.
        max_queued: most waiting calls per engine.
        max_queued_per_client: most waiting calls of one client per engine.
    """

    step_bound_ms: float = Field(default=50.0, gt=0.0)
    quantum_ms: float = Field(default=20.0, ge=0.0)
    aging_s: float = Field(default=5.0, gt=0.0)
    max_queued: int = Field(default=256, ge=1)
    max_queued_per_client: int = Field(default=64, ge=1)


class ShareConfig(_Record):
    """One engine's part of the box, `[shares.<engine>]`.

    Attributes:
        weight: device time it gets, relative to the other engines' weights.
        kv_min_bytes: cache memory it is guaranteed; None for one sequence of 1,024 tokens.
        kv_max_bytes: most cache memory it may hold; None for the budget.
    """

    weight: float = Field(default=1.0, gt=0.0)
    kv_min_bytes: Bytes | None = Field(default=None, ge=0)
    kv_max_bytes: Bytes | None = Field(default=None, ge=0)


class TlsConfig(_Record):
    """PEM files of the TCP listener.

    Attributes:
        certificate_chain: of the server.
        private_key: of the server.
        client_ca: when set, clients must present a certificate it signed.
    """

    certificate_chain: Path
    private_key: Path
    client_ca: Path | None = None


class GrpcConfig(_Record):
    """Of the gRPC transport.

    Attributes:
        socket_path: unix socket; None for none.
        tcp: "host:port"; None for none. Port 0 takes a free one.
        tls: required for a host that is not loopback.
        allow_plaintext_on_network: serve a network interface without TLS all the same.
        max_message_bytes: largest message accepted.
        max_concurrent_calls: RPCs in flight before new ones are refused.
        drain_timeout_s: how long a shutdown waits for calls in flight.
    """

    socket_path: Path | None = None
    tcp: str | None = None
    tls: TlsConfig | None = None
    allow_plaintext_on_network: bool = False
    max_message_bytes: Bytes = Field(default=1 << 20, ge=1024)
    max_concurrent_calls: int = Field(default=256, ge=1)
    drain_timeout_s: float = Field(default=5.0, ge=0.0)


class MqttTlsConfig(_Record):
    """PEM files of the connection to the broker.

    Attributes:
        ca: authority that signed the broker's certificate; None for those of the system.
        certificate_chain: of this box, for a broker that asks for one.
        private_key: of this box.
    """

    ca: Path | None = None
    certificate_chain: Path | None = None
    private_key: Path | None = None


class MqttConfig(_Record):
    """Of the MQTT transport; off until `broker` is set.

    Attributes:
        broker: "host:port", or "unix:/path" of the broker's socket; None for no MQTT.
        box: name of this box in topics; None for the host's name.
        prefix: topic levels that everything of ours is below.
        username: None for none; with client certificates brokers take the name from there.
        password_file: holds the password and nothing else.
        tls: None for a plain connection.
        allow_plaintext_on_network: go without TLS to a host that is not loopback all the same.
        keepalive_s: silence after which the broker takes this box for dead.
        max_payload_bytes: largest request taken; larger ones are refused.
        max_unanswered: requests the broker may hand over before the first is answered.
        max_running: requests worked on at once.
        max_running_per_client: of one caller; what is left is for the others.
        max_waiting: requests that wait for their turn.
        max_waiting_per_client: of one caller; more are refused at once.
        max_queued_replies: replies waiting for a slow or absent broker before further ones are
            dropped; a caller that repeats its request gets the remembered answer.
        remembered_answers: most answers kept for repeated requests.
        remembered_bytes: most memory for them.
        remembered_s: longest they are kept, in seconds.
    """

    broker: str | None = None
    box: str | None = None
    prefix: str = "skilld"
    username: str | None = None
    password_file: Path | None = None
    tls: MqttTlsConfig | None = None
    allow_plaintext_on_network: bool = False
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    max_payload_bytes: Bytes = Field(default=256 << 10, ge=1024, le=64 << 20)
    max_unanswered: int = Field(default=256, ge=1, le=65535)
    max_running: int = Field(default=64, ge=1)
    max_running_per_client: int = Field(default=16, ge=1)
    max_waiting: int = Field(default=128, ge=1)
    max_waiting_per_client: int = Field(default=32, ge=1)
    max_queued_replies: int = Field(default=1024, ge=1, le=65535)
    remembered_answers: int = Field(default=4096, ge=0)
    remembered_bytes: Bytes = Field(default=16 << 20, ge=0)
    remembered_s: float = Field(default=600.0, ge=0.0)


class MetricsConfig(_Record):
    """Of the page that Prometheus reads.

    Attributes:
        address: "host:port" to serve `/metrics` on, over plain HTTP; None for nowhere. Port 0
            takes a free one.
        allow_plaintext_on_network: serve a host that is not loopback all the same.
    """

    address: str | None = None
    allow_plaintext_on_network: bool = False


class UpdatesConfig(_Record):
    """Where releases of engines come from; off until `source` is set.

    Attributes:
        source: of a repository that `skilld release` made: its folder, its http(s) address, or
            "mqtt:NAME", the depot of that name behind the broker of `[mqtt]`. None for no
            updates. With a broker, whatever the source, jobs and orders come over it too.
        root: file with the repository's root of trust, `1.root.json`, carried here by hand.
        store: folder for releases and for how updates stand, on a disk that keeps them.
        poll_s: seconds between two looks for a job in a folder, or at an address.
        reserve_bytes: of the disk, left to everything else.
        max_bytes_per_s: of downloads; None for as fast as it goes.
        max_in_flight: blocks a depot is asked for at once.
        download_hours: when downloads may run, as "22:00-05:30" of this machine's local time;
            None for always. Everything else (a job's checks, activation, trial) does not wait for
            them, nor do downloads on a machine whose clock was never set.
    """

    source: str | None = None
    root: Path = Path("/etc/skilld/root.json")
    store: Path = Path("/var/lib/skilld")
    poll_s: float = Field(default=30.0, gt=0.0)
    reserve_bytes: Bytes = Field(default=1 << 30, ge=0)
    max_bytes_per_s: Bytes | None = Field(default=None, ge=1024)
    max_in_flight: int = Field(default=16, ge=1, le=32)
    download_hours: DayHours | None = None


class LogConfig(_Record):
    """Of the log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(_Record):
    """Everything `skilld serve` needs.

    Attributes:
        engines: engine folders, or folders that hold some.
        shares: by engine name, for engines that should not get the default.
    """

    engines: tuple[Path, ...] = ()
    memory: MemoryConfig = MemoryConfig()
    engine: EngineConfig = EngineConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    shares: dict[str, ShareConfig] = Field(default_factory=dict)
    grpc: GrpcConfig = GrpcConfig()
    mqtt: MqttConfig = MqttConfig()
    metrics: MetricsConfig = MetricsConfig()
    updates: UpdatesConfig = UpdatesConfig()
    log: LogConfig = LogConfig()


def read_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        ArtefactError: reason BAD_CONFIG; names the file and the key.
    """
    return read_toml(path, Config, reason="BAD_CONFIG")
