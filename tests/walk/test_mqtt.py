"""A real daemon and a real broker: kill -9, SIGTERM, and the lines of the README."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.brokers import Broker, free_port, program
from tests.walk.test_daemon import Daemon

from skilld.transports.mqtt.broker_config import development_text

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "engines" / "alarm-translate"
PATIENCE_S = 20
INPUT = {"text": "前進 中止"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    port = free_port()
    path = tmp_path / "mosquitto.conf"
    path.write_text(development_text(port=port))
    broker = Broker(path, port)
    yield broker
    broker.stop()


@contextlib.contextmanager
def serving(broker: Broker, tmp_path: Path) -> Iterator[Daemon]:
    config = tmp_path / "skilld.toml"
    config.write_text(f'[mqtt]\nbroker = "{broker.address}"\nbox = "press3"\n')
    daemon = Daemon(tmp_path / "run" / "skilld.sock", ENGINE, "--config", config)
    try:
        yield daemon
    finally:
        daemon.end()


class Watcher:
    """Reads what is said on a topic, with mosquitto's own client."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._process = subprocess.Popen(
            [program("mosquitto_sub"), "-p", str(broker.port), "-q", "1", "-t", topic],
            stdout=subprocess.PIPE,
            text=True,
        )

    def next(self) -> dict[str, object]:
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE_S, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        assert line, "nothing was said"
        said: dict[str, object] = json.loads(line)
        return said

    def until(self, state: str) -> dict[str, object]:
        while (said := self.next())["state"] != state:
            pass
        return said

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def status(broker: Broker) -> Iterator[Watcher]:
    watcher = Watcher(broker, "skilld/box/press3/status")
    yield watcher
    watcher.close()


def ask(broker: Broker, *, wait_s: int = PATIENCE_S) -> dict[str, object]:
    done = subprocess.run(
        [
            *(program("mosquitto_rr"), "-p", str(broker.port), "-W", str(wait_s)),
            *("-t", "skilld/box/press3/skill/alarm-translate/req"),
            *("-e", "skilld/client/me/resp", "-m", json.dumps(INPUT)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_a_box_that_dies_is_said_to_be_offline_and_comes_back_as_another(
    broker: Broker, status: Watcher, tmp_path: Path
) -> None:
    with serving(broker, tmp_path) as daemon:
        first = status.until("online")
        assert ask(broker)["status"] in {"ok", "abstain"}
        assert daemon.signal_and_wait(signal.SIGKILL) == -signal.SIGKILL
    assert status.until("offline")["boot_id"] == first["boot_id"]
    with serving(broker, tmp_path) as daemon:
        second = status.until("online")
        assert second["boot_id"] != first["boot_id"]
        assert ask(broker)["box"] == "press3"
        assert daemon.signal_and_wait(signal.SIGTERM) == 0
    assert status.next()["state"] == "draining"
    assert status.next()["state"] == "offline"


def test_the_daemon_serves_and_stops_without_its_broker(tmp_path: Path) -> None:
    absent = Broker.__new__(Broker)
    absent.port = free_port()
    with serving(absent, tmp_path) as daemon:
        assert daemon.client.invoke("alarm-translate", json.dumps(INPUT)).usage.output_tokens > 0
        assert daemon.signal_and_wait(signal.SIGTERM) == 0
    assert any("cannot be reached" in line for line in daemon.log)


def readme_lines() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("\n## Over MQTT\n", 1)[1].split("\n## ", 1)[0]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [line[2:] for line in block[1].splitlines() if line.startswith("$ ")]


def test_the_lines_of_the_readme_work_as_printed(tmp_path: Path) -> None:
    (tmp_path / "engines").symlink_to(ROOT / "engines")
    port = free_port()
    folders = (Path(sys.executable).parent, Path(program("mosquitto")).parent)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]]),
        "SKILLD_SOCKET": str(tmp_path / "s"),
    }

    def run(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout

    replies: list[dict[str, object]] = []
    with contextlib.ExitStack() as stack:

        def begin(line: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.terminate)
            return process

        listener = None
        for printed in readme_lines():
            line = printed.replace("1883", str(port))
            if line.startswith("mosquitto_sub") and line.endswith("&"):
                listener = begin(line.rstrip("& "))
            elif line.endswith("&"):
                begin(line.rstrip("& "))
                if line.startswith("mosquitto "):
                    wait_for(port)
                else:
                    run(f"mosquitto_sub -p {port} -C 1 -W 20 -t 'skilld/box/+/status'")
            elif line.startswith("mosquitto_pub"):
                assert listener is not None
                # It may be too early for the listener; repeating a request does no harm.
                while listener.poll() is None:
                    run(line)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        listener.wait(0.5)
                assert listener.stdout is not None
                replies.append(json.loads(listener.stdout.read()))
            elif (said := run(line)).startswith("{"):
                replies.append(json.loads(said))
    call, envelope, status = replies
    assert call["status"] == envelope["status"] == "ok"
    assert call["output"] == envelope["output"]
    assert envelope["request_id"] == "7"
    assert status["state"] == "online"


def wait_for(port: int) -> None:
    for _ in range(PATIENCE_S * 20):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        threading.Event().wait(0.05)
    pytest.fail("mosquitto does not listen")
