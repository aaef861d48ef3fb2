"""`run`: one contender in a process of its own, its memory watched from outside."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import psutil

_SAMPLE_INTERVAL_S = 0.1
_GRACE_S = 10.0
_SHOWN_LINES = 15


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended well.

    Attributes:
        stdout: all of it.
        stderr: all of it.
        elapsed_s: from its start to its end.
        resident_bytes: median over the second half of its life, when it was at work.
    """

    stdout: str
    stderr: str
    elapsed_s: float
    resident_bytes: float


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Finished:
    """Run a command to its end.

    Args:
        command: the program and its arguments.
        environment: variables on top of ours.

    Raises:
        RuntimeError: it failed; carries the end of its standard error.
    """
    samples: list[int] = []
    started_s = time.perf_counter()
    with child(
        command, environment=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        watched = psutil.Process(process.pid)
        while True:
            try:
                stdout, stderr = process.communicate(timeout=_SAMPLE_INTERVAL_S)
                break
            except subprocess.TimeoutExpired:
                with contextlib.suppress(psutil.Error):
                    samples.append(watched.memory_info().rss)
    if process.returncode != 0:
        last_words = "\n".join(stderr.splitlines()[-_SHOWN_LINES:])
        raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{last_words}")
    elapsed_s = time.perf_counter() - started_s
    at_work = samples[len(samples) // 2 :]
    return Finished(stdout, stderr, elapsed_s, statistics.median(at_work) if at_work else 0.0)


@contextlib.contextmanager
def child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    stdout: int | IO[str] | None = None,
    stderr: int | IO[str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block, whatever ends it."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
