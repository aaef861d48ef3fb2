"""The configuration we write, in the hands of the real mosquitto."""

from __future__ import annotations

import asyncio
import getpass
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chaos_updates.link import LinkRule
from chaos_updates.proxy import BadLine
from tests.transports.conftest import OpenDaemon, until
from tests.transports.mqtt.conftest import (
    Bridged,
    Broker,
    Client,
    Connect,
    Robot,
    StartBroker,
    free_port,
    program,
)

from skilld.cli import main
from skilld.config import MqttConfig, MqttTlsConfig
from skilld.core.errors import SkilldError
from skilld.mqtt.topics import Topics
from skilld.transports.mqtt import MqttBridge
from skilld.transports.mqtt.broker_config import (
    BrokerConfig,
    BrokerTls,
    Roles,
    development_text,
)
from skilld.transports.mqtt.loop_time import measure_loop_time

NOT_AUTHORIZED = 135
ROLES = Roles(
    robots=("robot1", "robot2"), field_teams=("team1",), depots=("depot1",), boxes=("box1", "box2")
)
NAMES = [*ROLES.robots, *ROLES.field_teams, *ROLES.depots, *ROLES.boxes]


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of an authority, a broker, and of every name; and one of a stranger."""
    folder = tmp_path_factory.mktemp("pem")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    for authority in ("ca", "other-ca"):
        openssl(
            *("req", "-x509", *curve, "-subj", f"/CN={authority}"),
            *("-keyout", f"{authority}.key", "-out", f"{authority}.pem"),
        )
    for name in ("broker", *NAMES, "stranger", "unlisted"):
        authority = "other-ca" if name == "stranger" else "ca"
        subject = "robot1" if name == "stranger" else name
        openssl(
            *("req", "-x509", *curve, "-subj", f"/CN={subject}"),
            *("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
        )
    return folder


@pytest.fixture(scope="module")
def guarded(pem: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker as `skilld broker-config` sets it up for a site."""
    folder = tmp_path_factory.mktemp("guarded")
    port = free_port()
    arguments = ["broker-config", str(folder), "--port", str(port), "--data", str(folder)]
    arguments += ["--user", getpass.getuser(), "--ca", str(pem / "ca.pem")]
    arguments += ["--certificate", str(pem / "broker.pem"), "--key", str(pem / "broker.key")]
    for role, names in (
        ("robot", ROLES.robots),
        ("field-team", ROLES.field_teams),
        ("depot", ROLES.depots),
        ("box", ROLES.boxes),
    ):
        for name in names:
            arguments += [f"--{role}", name]
    assert main(arguments) == 0
    broker = Broker(folder / "mosquitto.conf", port)
    yield broker
    broker.stop()


def tls_of(pem: Path, name: str) -> dict[str, str]:
    return {
        "ca": str(pem / "ca.pem"),
        "certificate": str(pem / f"{name}.pem"),
        "key": str(pem / f"{name}.key"),
    }


async def may_publish(client: Client, topic: str) -> bool:
    client.publish(topic, b"x")
    reason = await client.event("published")
    assert reason.value in {0, 16, NOT_AUTHORIZED}
    return bool(reason.value != NOT_AUTHORIZED)


PUBLISHING = [
    ("robot1", "skilld/box/box1/skill/echo/req/robot1", True),
    ("robot1", "skilld/pool/echo/req/robot1", True),
    ("robot1", "skilld/box/box1/cancel/robot1", True),
    ("robot1", "skilld/pool/echo/cancel/robot1", True),
    ("robot1", "skilld/box/box1/skill/echo/req", False),
    ("robot1", "skilld/box/box1/skill/echo/req/robot2", False),
    ("robot1", "skilld/pool/echo/req/robot2", False),
    ("robot1", "skilld/box/box1/cancel/robot2", False),
    ("robot1", "skilld/box/box1/status", False),
    ("robot1", "skilld/box/robot1/status", False),
    ("robot1", "skilld/box/box1/skill/echo/meta", False),
    ("robot1", "skilld/client/robot1/resp", False),
    ("robot1", "skilld/client/robot2/resp", False),
    ("robot1", "skilld/box/box1/ota/job/echo", False),
    ("robot1", "skilld/depot/depot1/get/robot1", False),
    ("robot1", "$SYS/broker/version", False),
    ("robot1", "other/topic", False),
    ("team1", "skilld/pool/echo/req/team1", True),
    ("team1", "skilld/box/box1/ota/job/echo", True),
    ("team1", "skilld/box/box1/ota/order/echo", True),
    ("team1", "skilld/box/box1/ota/status/echo", False),
    ("team1", "skilld/box/box1/status", False),
    ("depot1", "skilld/box/box1/ota/job/echo", False),
    ("depot1", "skilld/box/box1/ota/data/depot1", True),
    ("depot1", "skilld/box/box1/ota/data/depot2", False),
    ("depot1", "skilld/pool/echo/req/depot1", False),
    ("depot1", "skilld/box/box1/status", False),
    ("box1", "skilld/box/box1/status", True),
    ("box1", "skilld/box/box1/skill/echo/meta", True),
    ("box1", "skilld/client/robot1/resp/a", True),
    ("box1", "skilld/depot/depot1/get/box1", True),
    ("box1", "skilld/box/box1/ota/status/echo", True),
    ("box1", "skilld/box/box2/status", False),
    ("box1", "skilld/box/box1/ota/job/echo", False),
    ("box1", "skilld/box/box2/ota/status/echo", False),
    ("box1", "skilld/depot/depot1/get/box2", False),
    ("box1", "skilld/pool/echo/req/robot1", False),
    ("unlisted", "skilld/pool/echo/req/unlisted", False),
    ("unlisted", "skilld/box/unlisted/status", False),
]


@pytest.mark.parametrize("name", [*NAMES, "unlisted"])
async def test_who_may_publish_what(
    guarded: Broker, pem: Path, connect: Connect, name: str
) -> None:
    client = await connect(guarded, name, tls=tls_of(pem, name))
    for who, topic, is_allowed in PUBLISHING:
        if who == name:
            assert await may_publish(client, topic) == is_allowed, topic


@pytest.mark.parametrize(
    ("writer", "topic", "reader", "is_allowed", "meeting"),
    [
        ("box1", "skilld/client/robot1/resp/1", "robot1", True, "skilld/client/robot1/resp"),
        ("box1", "skilld/client/robot2/resp/1", "robot1", False, "skilld/client/robot1/resp"),
        ("box1", "skilld/client/team1/resp/1", "robot1", False, "skilld/client/robot1/resp"),
        ("robot1", "skilld/pool/echo/req/robot1", "box1", True, "skilld/pool/echo/cancel/robot1"),
        ("robot1", "skilld/pool/echo/req/robot1", "robot2", False, None),
        ("robot1", "skilld/box/box1/skill/echo/req/robot1", "box2", False, None),
        ("team1", "skilld/box/box1/ota/job/echo", "box1", True, "skilld/box/box1/ota/order/echo"),
        ("team1", "skilld/box/box1/ota/job/echo", "box2", False, None),
        ("box1", "skilld/box/box1/ota/status/echo", "team1", True, None),
        ("depot1", "skilld/box/box1/ota/data/depot1", "robot1", False, None),
        ("box1", "skilld/depot/depot1/get/box1", "depot1", True, None),
        ("box1", "skilld/box/box1/status", "robot1", True, None),
        ("box1", "skilld/box/box1/status", "unlisted", False, None),
    ],
)
async def test_who_may_read_what(
    guarded: Broker,
    pem: Path,
    connect: Connect,
    writer: str,
    topic: str,
    reader: str,
    is_allowed: bool,
    meeting: str | None,
) -> None:
    sender = await connect(guarded, writer, tls=tls_of(pem, writer))
    listener = await connect(guarded, reader, tls=tls_of(pem, reader))
    witness = await connect(guarded, "witness", tls=tls_of(pem, _who_reads(topic)))
    await witness.subscribe(topic)
    filters = ["#"] if meeting is None else [topic, "#", meeting]
    await listener.subscribe(*filters)
    sender.publish(topic, b"secret")
    assert (await witness.next()).payload == b"secret"
    if meeting is not None:
        sender.publish(meeting, b"meeting")
        messages = [await listener.next()]
        while messages[-1].payload != b"meeting":
            messages.append(await listener.next())
        payloads = [message.payload for message in messages]
    elif is_allowed:
        payloads = [(await listener.next()).payload]
    else:
        # The broker works on one packet of a client after the other: what it had for the listener
        # is out before it answers this.
        await listener.subscribe("nothing")
        payloads = [(await listener.next()).payload] if listener.has_more() else []
    assert (b"secret" in payloads) == is_allowed


def _who_reads(topic: str) -> str:
    """A name that may read this topic for certain."""
    if topic.startswith("skilld/client/"):
        return topic.split("/")[2]
    if topic.startswith("skilld/depot/"):
        return "depot1"
    return "robot1" if topic.endswith("/status") else "box1"


@pytest.mark.parametrize("name", ["stranger", "nobody"])
async def test_without_a_certificate_of_the_site_nobody_comes_in(
    guarded: Broker, pem: Path, name: str
) -> None:
    tls = {"ca": str(pem / "ca.pem")} if name == "nobody" else tls_of(pem, name)
    client = Client(guarded.port, name, tls=tls)
    try:
        reason = await client.event("disconnected")
        assert reason.is_failure
    finally:
        await client.close()


@pytest.fixture
async def box1(guarded: Broker, pem: Path, open_daemon: OpenDaemon) -> AsyncIterator[Bridged]:
    config = config_of(guarded, pem, "box1")
    async with open_daemon() as daemon:
        bridge = MqttBridge(daemon.box.service, config)
        bridge.start()
        bridged = Bridged(daemon, bridge)
        await bridged.connected()
        yield bridged
        await bridge.stop()


def config_of(broker: Broker, pem: Path, name: str) -> MqttConfig:
    return MqttConfig(
        broker=broker.address,
        box=name,
        tls=MqttTlsConfig(
            ca=pem / "ca.pem",
            certificate_chain=pem / f"{name}.pem",
            private_key=pem / f"{name}.key",
        ),
    )


async def test_calls_go_through_the_guarded_broker(
    guarded: Broker, pem: Path, box1: Bridged, connect: Connect
) -> None:
    robot = Robot(await connect(guarded, "robot1", tls=tls_of(pem, "robot1")))
    await robot.client.subscribe(f"{robot.replies}/#", "skilld/box/+/status")
    status = await robot.client.next()
    assert (status.topic, status.json["state"]) == ("skilld/box/box1/status", "online")
    for topic in ("skilld/pool/echo/req/robot1", None):
        reply = await robot.call({"text": "drive"}, topic=topic)
        assert reply.json["output"] == "drive"
    loop = await measure_loop_time(config_of(guarded, pem, "box1"), Topics("skilld", "box1"))
    assert 0 < loop.p10_ms <= loop.p50_ms <= loop.p99_ms


# paho leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
async def test_why_there_is_no_connection_is_said(
    guarded: Broker, pem: Path, open_daemon: OpenDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(guarded, pem, "box1")
    assert config.tls is not None
    wrong = config.model_copy(
        update={"tls": config.tls.model_copy(update={"ca": pem / "other-ca.pem"})}
    )
    async with open_daemon() as daemon:
        bridge = MqttBridge(daemon.box.service, wrong)
        bridge.start()
        await until(lambda: "certificate verify failed" in caplog.text)
        await bridge.stop()


async def test_a_field_team_calls_with_mosquittos_own_client(
    guarded: Broker, pem: Path, box1: Bridged
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [
            *(program("mosquitto_rr"), "-h", "127.0.0.1", "-p", str(guarded.port), "-W", "10"),
            *("--cafile", str(pem / "ca.pem"), "--cert", str(pem / "team1.pem")),
            *("--key", str(pem / "team1.key"), "-e", "skilld/client/team1/resp"),
            *("-t", "skilld/pool/echo/req/team1", "-m", json.dumps({"text": "drive"})),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["output"] == "drive"


async def test_a_box_that_may_not_say_how_it_is_does_not_get_in_the_way(
    guarded: Broker,
    pem: Path,
    open_daemon: OpenDaemon,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = await connect(guarded, "team1", tls=tls_of(pem, "team1"))
    await watcher.subscribe("skilld/box/robot2/status")
    async with open_daemon() as daemon:
        bridge = MqttBridge(daemon.box.service, config_of(guarded, pem, "robot2"))
        bridge.start()
        await Bridged(daemon, bridge).connected()
        await bridge.stop()
    await watcher.subscribe("skilld/client/team1/resp")
    assert not watcher.has_more()
    assert caplog.text.count("refuses messages of this box: Not authorized") == 1


def test_a_broker_that_holds_packets_back_is_named(
    start_broker: StartBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    path = tmp_path / "slow.conf"
    text = development_text(port=port)
    path.write_text(text.replace("set_tcp_nodelay true", "set_tcp_nodelay false"))
    slow = Broker(path, port)
    try:
        assert main(["doctor", "--broker", slow.address, "--json"]) == 1
    finally:
        slow.stop()
    check = next(c for c in json.loads(capsys.readouterr().out) if c["check"] == "broker")
    assert not check["ok"]
    assert "set_tcp_nodelay true" in check["found"]
    quick = start_broker()
    main(["doctor", "--broker", quick.address, "--json"])
    check = next(c for c in json.loads(capsys.readouterr().out) if c["check"] == "broker")
    assert "set_tcp_nodelay" not in check["found"]
    assert "ms at the median" in check["found"]


def test_a_broker_that_is_far_away_is_named_and_not_taken_for_one_that_holds_back(
    start_broker: StartBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    with BadLine(start_broker().port, LinkRule(delay_s=0.02, loss=0.0), seed=1) as line:
        assert main(["doctor", "--broker", f"127.0.0.1:{line.port}", "--json"]) == 1
    check = next(c for c in json.loads(capsys.readouterr().out) if c["check"] == "broker")
    assert not check["ok"]
    assert "more than 20 ms is slow" in check["found"]
    assert "the network is slow, or the broker is far away" in check["found"]
    assert "set_tcp_nodelay" not in check["found"]


def test_doctor_says_what_is_wrong_with_a_configuration_or_a_broker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "skilld.toml"
    for text, said in (
        ('[mqtt]\nbroker = "127.0.0.1:1"\n', "NO_BROKER"),
        ('[mqtt]\nbroker = "plant.example:1883"\n', "PLAINTEXT_ON_NETWORK"),
        ('[mqtt]\nbroker = "127.0.0.1:1"\nprefix = "a/#"\n', "BAD_TOPIC"),
        ('[mqtt]\nbroke = "x"\n', "did you mean `broker`?"),
    ):
        config.write_text(text)
        assert main(["doctor", "--config", str(config), "--json"]) == 1
        checks = json.loads(capsys.readouterr().out)
        assert said in checks[-1]["found"]


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (Roles(robots=("a/b",)), "is no name"),
        (Roles(robots=("+",)), "is no name"),
        (Roles(robots=("a\ntopic readwrite #",)), "is no name"),
        (Roles(robots=("a",), boxes=("a",)), "two roles"),
    ],
)
def test_names_cannot_write_rules(pem: Path, roles: Roles, said: str) -> None:
    config = BrokerConfig(
        pem, BrokerTls(pem / "ca.pem", pem / "broker.pem", pem / "broker.key"), roles
    )
    with pytest.raises(SkilldError, match=said):
        config.acl_text()


def test_a_broker_for_the_network_is_not_written_without_certificates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["broker-config", str(tmp_path / "b"), "--robot", "r"]) == 3
    assert "--development" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_the_development_form_is_for_this_machine_only() -> None:
    text = development_text(port=1883)
    listeners = [line for line in text.splitlines() if line.startswith("listener")]
    assert listeners == ["listener 1883 127.0.0.1"]
