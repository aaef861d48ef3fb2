"""`SiteBroker`: a mosquitto that can be restarted, and `Team`: who orders and listens there."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from skilld.core.errors import InvalidRequestError
from skilld.mqtt.topics import DepotTopics, UpdateTopics
from skilld.transports.mqtt.broker_config import development_text
from skilld.updates.fleet.report import Report, read_report

_PATIENCE_S = 20.0
_PREFIX = "skilld"


def mosquitto_program() -> str:
    """Where it is.

    Raises:
        RuntimeError: nowhere.
    """
    program = shutil.which(
        "mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/sbin"
    )
    if program is None:
        raise RuntimeError("mosquitto is missing: apt-get install mosquitto")
    return program


class SiteBroker:
    """A mosquitto with our development configuration, which keeps what is retained.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._folder = folder
        text = development_text(port=self.port).replace(
            "persistence false", f"persistence true\npersistence_location {folder}/"
        )
        # Started by root it becomes another user, who may not write here.
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"user root\n{text}", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when it listens.

        Raises:
            RuntimeError: it does not.
        """
        with (self._folder / "mosquitto.log").open("a") as log:
            self._process = subprocess.Popen(
                [mosquitto_program(), "-c", str(self._config)], stderr=log
            )
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port)),
            ):
                return
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"mosquitto did not start; see {self._folder}/mosquitto.log")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; what is retained is kept in a file."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE_S)
            self._process = None


class Team:
    """The field team: publishes jobs, reads reports, and counts what a depot sends.

    Its line to the broker is good. Callbacks come on paho's thread.

    Args:
        port: of the broker, on 127.0.0.1.
        box: whom it looks after.
        depot: whose answers it counts.
    """

    def __init__(self, port: int, *, box: str, depot: str) -> None:
        self._topics = UpdateTopics(_PREFIX)
        self._box = box
        self._data_topic = DepotTopics(_PREFIX, depot).data(box)
        self._port = port
        self._lock = threading.Lock()
        self._reports: dict[str, Report] = {}
        self._sent: dict[tuple[str, str], int] = {}
        self._sent_bytes = 0
        self._is_up = threading.Event()
        self.bad_reports: list[str] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="team", protocol=mqtt.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [(self._topics.every(box, "status"), 1), (self._data_topic, 0)]
        )
        self._client.on_subscribe = lambda *_: self._is_up.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        if not self._is_up.wait(_PATIENCE_S):
            raise RuntimeError("the broker does not take a subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish_job(self, release: str, job: bytes) -> None:
        """Retained, for the box; returns when the broker has it.

        Raises:
            RuntimeError: it did not take it.
        """
        deadline_s = time.monotonic() + _PATIENCE_S
        topic = self._topics.job(self._box, release)
        while time.monotonic() < deadline_s:
            # The broker may just have been restarted; the same job twice is one job.
            with contextlib.suppress(RuntimeError):
                told = self._client.publish(topic, job, qos=1, retain=True)
                told.wait_for_publish(1.0)
                if told.is_published():
                    return
            time.sleep(0.1)
        raise RuntimeError("the broker did not take the job")

    def report(self, release: str) -> Report | None:
        """The last one of a name."""
        with self._lock:
            return self._reports.get(release)

    def take_sent_bytes(self) -> tuple[int, int]:
        """Bytes of blobs the depot has sent since the last look, and those of them sent again."""
        with self._lock:
            sent, self._sent_bytes = self._sent_bytes, 0
            resent = sent - sum(self._sent.values())
            self._sent = {}
            return sent, resent

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == self._data_topic:
            user = dict(getattr(message.properties, "UserProperty", ()))
            if "digest" in user and "error" not in user:
                with self._lock:
                    self._sent_bytes += len(message.payload)
                    self._sent[user["digest"], user.get("offset", "")] = len(message.payload)
            return
        try:
            report = read_report(bytes(message.payload))
        except InvalidRequestError as error:
            self.bad_reports.append(str(error))
            return
        with self._lock:
            self._reports[report.release] = report
