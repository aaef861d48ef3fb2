"""`daemon`: `skilld serve` in a process of its own, as anybody would start it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.process import child
from skilld.transports.grpc_client import SkillClient

_START_TIMEOUT_S = 60.0


@contextmanager
def daemon(
    engines: Sequence[Path], *, num_threads: int | None = None, config: Path | None = None
) -> Iterator[str]:
    """A daemon that does not outlive the block; yields its address, a unix socket.

    Args:
        engines: their folders.
        num_threads: of a step; None for its default.
        config: file with other settings than the defaults.

    Raises:
        RuntimeError: it did not start, or refused an engine; carries its log.
    """
    with tempfile.TemporaryDirectory(prefix="skilld-bench-") as folder:
        socket, log_path = Path(folder) / "skilld.sock", Path(folder) / "log"
        command = [sys.executable, "-m", "skilld.cli", "serve", *map(str, engines)]
        command += ["--socket", str(socket)]
        if num_threads is not None:
            command += ["--num-threads", str(num_threads)]
        if config is not None:
            command += ["--config", str(config)]
        with log_path.open("w", encoding="utf-8") as log, child(command, stderr=log) as process:
            address = f"unix:{socket}"
            with SkillClient(address) as client:
                is_ready = client.wait_ready(_START_TIMEOUT_S)
                if (
                    not is_ready
                    or process.poll() is not None
                    or len(client.status().engines) != len(engines)
                ):
                    raise RuntimeError("the daemon did not start:\n" + log_path.read_text("utf-8"))
            yield address
