"""Where the daemon listens: a unix socket, a TCP address, and what each may be exposed to.

Decides and prepares; the gRPC server binds. Nothing here leaves the box by accident: a TCP
address other than loopback needs TLS, or an operator who says in plain words that it does not.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
from pathlib import Path

import grpc

from skilld.config import GrpcConfig, MetricsConfig, TlsConfig
from skilld.core.address import ListenError, TcpAddress, parse_address

_MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path, without its final zero
_DIRECTORY_MODE = 0o750  # the group is who may call
_SOCKET_MODE = 0o660
_PROBE_TIMEOUT_S = 1.0


def tcp_address_of(config: GrpcConfig) -> TcpAddress | None:
    """The TCP address to listen on; None for none.

    Raises:
        ListenError: BAD_ADDRESS, or PLAINTEXT_ON_NETWORK: others could reach it unencrypted.
    """
    if config.tcp is None:
        return None
    address = parse_address(config.tcp, key="grpc.tcp")
    if not (address.is_loopback or config.tls or config.allow_plaintext_on_network):
        raise ListenError(
            f"grpc.tcp: {address} can be reached from the network, and without TLS everybody "
            "there can read and make calls; set grpc.tls, listen on 127.0.0.1, or set "
            "grpc.allow_plaintext_on_network if that is what you want",
            reason="PLAINTEXT_ON_NETWORK",
        )
    return address


def metrics_address_of(config: MetricsConfig) -> TcpAddress | None:
    """The TCP address to serve metrics on; None for none.

    Raises:
        ListenError: BAD_ADDRESS, or PLAINTEXT_ON_NETWORK: others could read it.
    """
    if config.address is None:
        return None
    address = parse_address(config.address, key="metrics.address")
    if not (address.is_loopback or config.allow_plaintext_on_network):
        raise ListenError(
            f"metrics.address: {address} can be reached from the network, where everybody can "
            "read the figures of this box; listen on 127.0.0.1, or set "
            "metrics.allow_plaintext_on_network if that is what you want",
            reason="PLAINTEXT_ON_NETWORK",
        )
    return address


def tls_credentials(tls: TlsConfig) -> grpc.ServerCredentials:
    """Read the PEM files; with a client CA, callers without a certificate of its are refused.

    Raises:
        ListenError: reason BAD_TLS; names the files.
    """
    # gRPC says no more than that binding failed, so OpenSSL looks at the files first.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate_chain, tls.private_key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise ListenError(
            f"grpc.tls: {tls.certificate_chain} and {tls.private_key} are not a certificate and "
            f"its key in PEM: {error}",
            reason="BAD_TLS",
        ) from error
    client_ca = None
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
            client_ca = tls.client_ca.read_bytes()
        except OSError as error:
            raise ListenError(
                f"grpc.tls.client_ca: {tls.client_ca} is not a certificate in PEM: {error}",
                reason="BAD_TLS",
            ) from error
    return grpc.ssl_server_credentials(
        [(tls.private_key.read_bytes(), tls.certificate_chain.read_bytes())],
        root_certificates=client_ca,
        require_client_auth=client_ca is not None,
    )


def prepare_socket(path: Path) -> str:
    """Make room for a unix socket; returns its gRPC address.

    The folder is made, for owner and group, if it is missing. What a dead daemon left behind is
    removed. gRPC would replace a living daemon's socket without a word, so that is refused here.

    Raises:
        ListenError: BAD_ADDRESS, or ALREADY_RUNNING: a process answers on this socket.
    """
    path = path.absolute()
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        raise ListenError(
            f"grpc.socket_path: {path} is longer than {_MAX_SOCKET_PATH_BYTES} bytes, "
            "the limit of the system; choose a shorter one"
        )
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            path.parent.chmod(_DIRECTORY_MODE)  # mkdir's own mode goes through the umask
        _remove_stale(path)
    except OSError as error:
        raise ListenError(f"grpc.socket_path: {path}: {error.strerror}") from error
    return f"unix:{path}"


def open_to_group(path: Path) -> None:
    """Let the group of the folder connect; after the server has bound."""
    path.chmod(_SOCKET_MODE)


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"grpc.socket_path: {path} exists and is not a socket; move it away")
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass  # its backlog is full, so somebody owns it
    raise ListenError(
        f"a daemon is already running on {path}; stop it first, or set another grpc.socket_path",
        reason="ALREADY_RUNNING",
    )


def explain_bind_failure(address: TcpAddress, *, key: str = "grpc.tcp") -> ListenError:
    """Say why an address could not be bound; gRPC keeps the system's answer to itself."""
    problem = "the address cannot be bound"
    try:
        for family, kind, _, _, target in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICSERV
        ):
            with contextlib.closing(socket.socket(family, kind)) as probe:
                probe.bind(target)
    except OSError as error:
        problem = error.strerror or str(error)
    return ListenError(
        f"{key}: cannot listen on {address}: {problem}; choose another address, port 0 takes "
        "a free one"
    )
