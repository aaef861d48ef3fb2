"""`BoxProcess` and `depot_process`: the daemon and a depot, as anybody would start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Life:
    """One process, from its start to its death; times are of the monotonic clock.

    Attributes:
        born_s: when it was started.
        form: how it was set up, in the words of whoever started it.
        ready_s: when it said it was ready; None if it never came so far.
        died_s: when it was killed; None while it lives.
    """

    born_s: float
    form: str
    ready_s: float | None = None
    died_s: float | None = None


class BoxProcess:
    """`skilld serve` on a unix socket; started and killed again and again.

    Args:
        folder: for socket, configuration and log.
    """

    def __init__(self, folder: Path) -> None:
        self.lives: list[Life] = []
        self.log_path = folder / "box.log"
        self._config = folder / "skilld.toml"
        self._socket = folder / "skilld.sock"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()

    @property
    def address(self) -> str:
        """Of the gRPC server."""
        return f"unix:{self._socket}"

    @property
    def has_died(self) -> bool:
        """It has ended although nobody told it to."""
        return self._process is not None and self._process.poll() is not None

    @property
    def is_ready(self) -> bool:
        """It has said so."""
        return self._ready.is_set()

    def start(self, config: str, *, form: str = "") -> None:
        """Start it; does not wait.

        Args:
            config: text of its configuration.
            form: written down with its life.
        """
        assert self._process is None
        self._config.write_text(config, encoding="utf-8")
        life = Life(time.monotonic(), form)
        ready = self._ready = threading.Event()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "skilld.cli", "serve"),
                *("--config", str(self._config), "--socket", str(self._socket)),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._process = process
        self.lives.append(life)

        def read_log() -> None:
            assert process.stderr is not None
            with self.log_path.open("a", encoding="utf-8") as log, process.stderr as lines:
                print(f"--- start {len(self.lives)}, pid {process.pid}, {form}", file=log)
                for line in lines:
                    log.write(line)
                    log.flush()
                    if " ready with " in line:
                        life.ready_s = time.monotonic()
                        ready.set()

        self._reader = threading.Thread(target=read_log, name="box-log", daemon=True)
        self._reader.start()

    def wait_ready(self) -> None:
        """Wait until it says so.

        Raises:
            RuntimeError: it ended, or took too long.
        """
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self._ready.wait(0.05):
            if self.has_died:
                raise RuntimeError(f"the daemon has ended by itself; see {self.log_path}")
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the daemon is not ready in time; see {self.log_path}")

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""
        assert self._process is not None
        self.lives[-1].died_s = time.monotonic()  # calls fail from here on
        os.kill(self._process.pid, signal.SIGKILL)
        self._end()

    def stop(self) -> int | None:
        """SIGTERM, and SIGKILL if that is not enough; its exit code, None if it did not run."""
        if self._process is None:
            return None
        self.lives[-1].died_s = time.monotonic()
        process = self._process
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
        self._end()
        return process.returncode

    def _end(self) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.wait()
        self._reader.join(_STOP_TIMEOUT_S)
        self._process = None


@contextmanager
def depot_process(repository: Path, broker: str, log_path: Path) -> Iterator[None]:
    """`skilld depot`, for as long as the block."""
    with log_path.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "skilld.cli", "depot", str(repository), "--broker", broker],
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(_STOP_TIMEOUT_S)
