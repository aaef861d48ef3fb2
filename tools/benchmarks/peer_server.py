"""`llama_server`: llama.cpp's own server as a running peer, spoken to over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks.process import child, run

SERVER = "llama-server"
_HOST = "127.0.0.1"
_START_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.05
_ANSWER_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class ServerSetting:
    """One way to run the server.

    Attributes:
        num_slots: requests it works on at once; it batches them continuously.
        slot_tokens: longest prompt and answer of a slot.
        num_threads: of it, waiting passively: no polling, OpenMP threads asleep between the parts
            of a step. None leaves threads and waiting to its defaults.
    """

    num_slots: int
    slot_tokens: int
    num_threads: int | None

    def __str__(self) -> str:
        if self.num_threads is None:
            return f"-np {self.num_slots}, its defaults else"
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return f"-np {self.num_slots} -cb --poll 0, {threads}, OMP_WAIT_POLICY=passive"


class LlamaClient:
    """One connection to a server.

    Args:
        port: it listens on, on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(_HOST, port, timeout=_ANSWER_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Ends a request that another thread still waits for; the server stops working on it.
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """Call `/completion`.

        Raises:
            RuntimeError: the server refused; carries its words.
        """
        self._connection.request(
            "POST", "/completion", json.dumps(request), {"Content-Type": "application/json"}
        )
        # http.client turns Nagle's algorithm off by itself.
        response = self._connection.getresponse()
        content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{SERVER} said {response.status}: {content[:500]!r}")
        answer: dict[str, Any] = json.loads(content)
        return answer


@contextmanager
def llama_server(binaries: Path, gguf: Path, setting: ServerSetting) -> Iterator[int]:
    """A server that does not outlive the block; yields its port.

    Raises:
        RuntimeError: it did not start; carries the end of its log.
    """
    port = _free_port()
    command = [str(binaries / SERVER), "-m", str(gguf), "--host", _HOST, "--port", str(port)]
    command += ["-np", str(setting.num_slots), "-c", str(setting.num_slots * setting.slot_tokens)]
    # Nothing it would keep of earlier prompts beyond its slots, and no fetching of anything.
    command += ["--cache-ram", "0", "--offline"]
    environment = {}
    if setting.num_threads is not None:
        threads = str(setting.num_threads)
        command += ["-cb", "-t", threads, "-tb", threads, "--poll", "0", "--poll-batch", "0"]
        environment = {"OMP_WAIT_POLICY": "passive"}
    with (
        tempfile.NamedTemporaryFile("w", prefix="llama-server-", suffix=".log") as log,
        child(
            command, environment=environment, stdout=subprocess.DEVNULL, stderr=log.file
        ) as process,
    ):
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not _is_healthy(port):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(
                    f"{SERVER} did not start:\n{Path(log.name).read_text('utf-8')[-2000:]}"
                )
            time.sleep(_POLL_INTERVAL_S)
        yield port


def check_has_server(binaries: Path) -> None:
    """Refuse a folder without the server.

    Raises:
        RuntimeError: there is none.
    """
    if not (binaries / SERVER).is_file():
        raise RuntimeError(f"{binaries} has no {SERVER}; see tools/benchmarks/README.md")


def server_version(binaries: Path) -> str:
    """As it says."""
    finished = run([str(binaries / SERVER), "--version"])
    lines = (finished.stdout + finished.stderr).splitlines()
    telling = [line for line in lines if line.startswith(("version", "built with"))]
    return " ".join(telling).removeprefix("version: ")


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(_HOST, port, timeout=_START_TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
