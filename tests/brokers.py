"""A real mosquitto with our own configuration, for every room that speaks to one."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skilld.transports.mqtt.broker_config import BrokerLimits, development_text

PATIENCE_S = 60.0  # a machine with other work to do may let a test wait


def program(name: str) -> str:
    """Where a program of mosquitto is; without it these tests must not look as if they passed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install mosquitto mosquitto-clients")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto of our own configuration."""

    def __init__(self, config_path: Path, port: int) -> None:
        self.port = port
        self._config_path = config_path
        self._log_path = config_path.with_suffix(".log")
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        with self._log_path.open("a") as log:
            self._process = subprocess.Popen(
                [program("mosquitto"), "-c", str(self._config_path)], stderr=log, text=True
            )
        for _ in range(int(PATIENCE_S / 0.02)):
            assert self._process.poll() is None, self.log()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            threading.Event().wait(0.02)
        pytest.fail(f"mosquitto does not listen: {self.log()}")

    def reload(self) -> None:
        """Have it read its files again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def log(self) -> str:
        return self._log_path.read_text()


StartBroker = Callable[..., Broker]


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Starts brokers with our development configuration."""
    with contextlib.ExitStack() as stack:

        def start(limits: BrokerLimits | None = None) -> Broker:
            port = free_port()
            path = tmp_path / f"mosquitto-{port}.conf"
            path.write_text(development_text(port=port, limits=limits))
            broker = Broker(path, port)
            stack.callback(broker.stop)
            return broker

        yield start


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One broker for the tests that do it no harm."""
    port = free_port()
    path = tmp_path_factory.mktemp("broker") / "mosquitto.conf"
    path.write_text(development_text(port=port))
    broker = Broker(path, port)
    yield broker
    broker.stop()
