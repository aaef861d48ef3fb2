from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import grpc
import pytest
from tests.transports.conftest import Daemon, OpenDaemon

from skilld.config import GrpcConfig, TlsConfig
from skilld.core.address import ListenError
from skilld.transports import listener
from skilld.v1 import skill_service_pb2 as v1
from skilld.v1 import skill_service_pb2_grpc as v1_grpc

CALL = v1.InvokeRequest(skill="echo", input_json='{"text": "a"}')


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate authority, and certificates of a server and a client, as PEM files."""
    folder = tmp_path_factory.mktemp("certificates")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl("req", "-x509", *curve, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
    for name in ("server", "client"):
        openssl(
            "req", "-x509", *curve, "-subj", f"/CN={name}", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
            "-keyout", f"{name}.key", "-out", f"{name}.pem",
        )  # fmt: skip
    return folder


def tls_of(folder: Path, *, client_ca: bool = False) -> TlsConfig:
    return TlsConfig(
        certificate_chain=folder / "server.pem",
        private_key=folder / "server.key",
        client_ca=folder / "ca.pem" if client_ca else None,
    )


def client_credentials(folder: Path, *, with_certificate: bool) -> grpc.ChannelCredentials:
    key, chain = (folder / f"client.{kind}" for kind in ("key", "pem"))
    return grpc.ssl_channel_credentials(
        (folder / "ca.pem").read_bytes(),
        key.read_bytes() if with_certificate else None,
        chain.read_bytes() if with_certificate else None,
    )


@pytest.mark.parametrize(
    ("text", "host", "port", "is_loopback"),
    [
        ("127.0.0.1:7070", "127.0.0.1", 7070, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:7070", "::1", 7070, True),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
        ("0.0.0.0:7070", "0.0.0.0", 7070, False),
        ("[::]:7070", "::", 7070, False),
        ("box.local:7070", "box.local", 7070, False),
        ("192.168.1.5:7070", "192.168.1.5", 7070, False),
    ],
)
def test_address_is_read(text: str, host: str, port: int, is_loopback: bool) -> None:
    address = listener.tcp_address_of(GrpcConfig(tcp=text, allow_plaintext_on_network=True))
    assert address is not None
    assert (address.host, address.port, address.is_loopback) == (host, port, is_loopback)
    assert str(address) == text


@pytest.mark.parametrize("text", ["7070", ":7070", "a:b:1", "::1:7070", "h:70700", "h:", "a b:1"])
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ListenError, match="write host:port") as caught:
        listener.tcp_address_of(GrpcConfig(tcp=text, allow_plaintext_on_network=True))
    assert caught.value.reason == "BAD_ADDRESS"


@pytest.mark.parametrize("tcp", ["0.0.0.0:0", "[::]:0", "192.0.2.1:7070", "box.local:7070"])
def test_network_without_tls_is_refused_in_plain_words(tcp: str) -> None:
    with pytest.raises(ListenError, match="everybody there can read") as caught:
        listener.tcp_address_of(GrpcConfig(tcp=tcp))
    assert caught.value.reason == "PLAINTEXT_ON_NETWORK"


async def test_network_without_tls_is_served_when_the_operator_says_so(
    open_daemon: OpenDaemon,
) -> None:
    config = GrpcConfig(tcp="0.0.0.0:0", allow_plaintext_on_network=True)
    async with open_daemon(grpc_config=config) as daemon:
        port = daemon.target.rpartition(":")[2]
        assert port != "0"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert (await v1_grpc.SkillServiceStub(channel).Invoke(CALL)).output_json == '"a"'


async def test_tls_listener_serves_encrypted_calls_only(
    open_daemon: OpenDaemon, certificates: Path
) -> None:
    config = GrpcConfig(tcp="0.0.0.0:0", tls=tls_of(certificates))
    async with open_daemon(grpc_config=config) as daemon:
        port = daemon.target.rpartition(":")[2]
        credentials = client_credentials(certificates, with_certificate=False)
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            assert (await v1_grpc.SkillServiceStub(channel).Invoke(CALL)).output_json == '"a"'
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await v1_grpc.SkillServiceStub(channel).Invoke(CALL)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_mutual_tls_turns_clients_without_a_certificate_away(
    open_daemon: OpenDaemon, certificates: Path
) -> None:
    config = GrpcConfig(tcp="127.0.0.1:0", tls=tls_of(certificates, client_ca=True))
    async with open_daemon(grpc_config=config) as daemon:
        known = client_credentials(certificates, with_certificate=True)
        async with grpc.aio.secure_channel(daemon.target, known) as channel:
            assert (await v1_grpc.SkillServiceStub(channel).Invoke(CALL)).output_json == '"a"'
        unknown = client_credentials(certificates, with_certificate=False)
        async with grpc.aio.secure_channel(daemon.target, unknown) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await v1_grpc.SkillServiceStub(channel).Invoke(CALL)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("broken", "how"),
    [
        ("certificate_chain", "missing"),
        ("certificate_chain", "not PEM"),
        ("certificate_chain", "of another key"),
        ("private_key", "missing"),
        ("private_key", "not PEM"),
        ("private_key", "of another key"),
        ("client_ca", "missing"),
        ("client_ca", "not PEM"),
    ],
)
def test_tls_file_that_does_not_fit_is_refused_by_name(
    certificates: Path, tmp_path: Path, broken: str, how: str
) -> None:
    path = tmp_path / "broken.pem"
    if how == "not PEM":
        path.write_text("nonsense")
    if how == "of another key":
        suffix = "key" if broken == "private_key" else "pem"
        path.write_bytes((certificates / f"client.{suffix}").read_bytes())
    tls = tls_of(certificates, client_ca=True).model_copy(update={broken: path})
    with pytest.raises(ListenError, match=str(path)) as caught:
        listener.tls_credentials(tls)
    assert caught.value.reason == "BAD_TLS"


async def test_socket_folder_is_for_owner_and_group(
    open_daemon: OpenDaemon, tmp_path: Path
) -> None:
    path = tmp_path / "made" / "s"
    old_umask = os.umask(0o077)
    try:
        async with open_daemon(grpc_config=GrpcConfig(socket_path=path)) as daemon:
            assert daemon.target == f"unix:{path}"
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(old_umask)
    assert not path.exists()


async def test_socket_of_a_dead_daemon_is_replaced(
    open_daemon: OpenDaemon, on_socket: GrpcConfig
) -> None:
    assert on_socket.socket_path is not None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(on_socket.socket_path))
    assert on_socket.socket_path.exists()
    async with open_daemon() as daemon:
        assert (await daemon.stub.Invoke(CALL)).output_json == '"a"'


async def test_socket_of_a_living_daemon_is_left_to_it(
    daemon: Daemon, open_daemon: OpenDaemon
) -> None:
    with pytest.raises(ListenError, match="already running") as caught:
        async with open_daemon():
            pass
    assert caught.value.reason == "ALREADY_RUNNING"
    assert (await daemon.stub.Invoke(CALL)).output_json == '"a"'


def test_file_that_is_no_socket_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="is not a socket"):
        listener.prepare_socket(path)
    assert path.read_text() == "precious"


def test_socket_path_beyond_the_limit_of_the_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="107 bytes"):
        listener.prepare_socket(tmp_path / ("x" * 120))


def test_socket_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ListenError, match="Not a directory"):
        listener.prepare_socket(tmp_path / "file" / "skilld" / "s")


async def test_port_in_use_is_told_and_the_socket_not_left_behind(
    open_daemon: OpenDaemon, on_socket: GrpcConfig
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        tcp = f"127.0.0.1:{taken.getsockname()[1]}"
        config = on_socket.model_copy(update={"tcp": tcp})
        with pytest.raises(ListenError, match="Address already in use"):
            async with open_daemon(grpc_config=config):
                pass
    assert on_socket.socket_path is not None
    assert not on_socket.socket_path.exists()


async def test_daemon_without_a_listener_is_refused(open_daemon: OpenDaemon) -> None:
    with pytest.raises(ListenError, match=r"set grpc\.socket_path"):
        async with open_daemon(grpc_config=GrpcConfig()):
            pass
