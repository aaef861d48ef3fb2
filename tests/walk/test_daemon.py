"""The daemon as its operator meets it: a process with a socket, signals and an exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skilld.core.errors import SkilldError
from skilld.transports.grpc_client import SkillClient

CopyEngine = Callable[[Path, str], Path]
PICK = json.dumps({"lines": ["E12 drive fault"]})
COUNT = json.dumps({"text": "go"})


def skilld(*arguments: str | Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "skilld.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        input=stdin,
    )


class Daemon:
    """A running `skilld serve` and a client of it."""

    def __init__(self, socket_path: Path, *arguments: str | Path) -> None:
        self.address = f"unix:{socket_path}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "skilld.cli", "serve"),
                *map(str, arguments),
                *("--socket", str(socket_path)),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        ready = threading.Event()

        def read_log() -> None:
            assert self.process.stderr is not None
            for line in self.process.stderr:
                self.log.append(line)
                if " ready with " in line:
                    ready.set()
            ready.set()

        self._reader = threading.Thread(target=read_log, daemon=True)
        self._reader.start()
        assert ready.wait(30), self.log
        assert self.process.poll() is None, self.log
        self.client = SkillClient(self.address)

    def signal_and_wait(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(20)
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def end(self) -> None:
        self.client.close()
        self.process.kill()
        self.wait()


@pytest.fixture(scope="module")
def steady(tiny_engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for the tests that do it no harm."""
    daemon = Daemon(tmp_path_factory.mktemp("steady") / "run" / "skilld.sock", tiny_engine)
    yield daemon
    daemon.end()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str | Path) -> Daemon:
            daemon = Daemon(tmp_path / "run" / "skilld.sock", *arguments)
            stack.callback(daemon.end)
            return daemon

        yield start


def test_every_client_command_works_and_json_is_json(steady: Daemon) -> None:
    where = ("--address", steady.address)
    listed = json.loads(skilld("list", "--json", *where).stdout)
    assert [skill["id"] for skill in listed] == ["count", "pick"]
    called = skilld("call", "pick", PICK, "--json", *where)
    assert called.returncode == 0
    answer = json.loads(called.stdout)
    assert (answer["output"] is None) != (answer["abstain"] is None)
    assert answer["usage"]["output_tokens"] > answer["usage"]["num_steps"]
    piped = skilld("call", "count", "-", "--stream", *where, stdin=COUNT)
    assert len(json.loads(piped.stdout)) == 300
    status = json.loads(skilld("ps", "--json", *where).stdout)
    assert int(status["engines"][0]["ended"]["stop"]) >= 2
    kv = {name: int(num_bytes) for name, num_bytes in status["kv"].items()}
    assert kv["used_bytes"] == kv["reserved_bytes"] == 0
    # Blocks are smaller than pages here: each may keep one page per cache tensor.
    assert 0 < kv["cached_bytes"] <= kv["resident_bytes"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("call", "pick", '{"lines": [1]}'), 4, "INVALID_INPUT: input of skill 'pick': $.lines[0]"),
        (("call", "pick", '{"lines": '), 4, "INPUT_NOT_JSON: the input is not JSON"),
        (("call", "pick", "[]"), 4, "must be a JSON object, not list"),
        (("call", "nothing", "{}"), 4, "UNKNOWN_SKILL: no skill 'nothing' on this box"),
        (("call", "count", COUNT, "--timeout-s", "0.01"), 4, "DEADLINE"),
        (("inspect", "/nonexistent"), 3, "NO_ENGINE: /nonexistent: holds no engine"),
        (("build", "/nonexistent"), 3, "BAD_RECIPE: /nonexistent/recipe.toml: cannot be read"),
        (("serve", "/nonexistent"), 3, "NO_ENGINE"),
        (("serve", "ENGINE", "--kv-budget", "900000GiB"), 3, "DOES_NOT_FIT"),
        (("call", "pick"), 2, "usage:"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    steady: Daemon, tiny_engine: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    arguments = tuple(str(tiny_engine) if a == "ENGINE" else a for a in arguments)
    where = ("--address", steady.address) if arguments[0] == "call" else ()
    done = skilld(*arguments, *where)
    assert done.returncode == code
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_sigterm_lets_the_running_call_finish_and_refuses_new_ones(
    serve: Callable[..., Daemon], tiny_engine: Path
) -> None:
    daemon = serve(tiny_engine)
    events = daemon.client.stream("count", COUNT)
    next(events)
    daemon.process.send_signal(signal.SIGTERM)
    *_, last = events
    assert len(json.loads(last.result.output_json)) == 300
    assert daemon.wait() == 0
    assert any("SIGTERM" in line for line in daemon.log)
    with pytest.raises(SkilldError) as refused:
        daemon.client.invoke("pick", PICK, timeout_s=2.0)
    assert refused.value.reason in {"NO_DAEMON", "DRAINING"}


def test_after_sigkill_it_starts_again_on_the_same_socket(
    serve: Callable[..., Daemon], tiny_engine: Path
) -> None:
    first = serve(tiny_engine)
    events = first.client.stream("count", COUNT)
    next(events)
    assert first.signal_and_wait(signal.SIGKILL) == -signal.SIGKILL
    with pytest.raises(SkilldError):
        list(events)
    second = serve(tiny_engine)
    assert second.client.invoke("pick", PICK).usage.output_tokens > 0
    assert second.client.status().kv.used_bytes == 0


def test_a_second_daemon_on_the_same_socket_is_refused(
    serve: Callable[..., Daemon], tiny_engine: Path, tmp_path: Path
) -> None:
    daemon = serve(tiny_engine)
    rival = skilld("serve", tiny_engine, "--socket", tmp_path / "run" / "skilld.sock")
    assert rival.returncode == 3
    assert "Traceback" not in rival.stderr
    assert daemon.client.invoke("pick", PICK).usage.output_tokens > 0


def flip_last_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda d: flip_last_byte(d / "model.bin"), "DIGEST_MISMATCH"),
        (lambda d: (d / "model.xml").unlink(), "DIGEST_MISMATCH"),
        (lambda d: (d / "manifest.json").write_text("{"), "BAD_MANIFEST"),
        (lambda d: (d / "manifest.json").write_text('{"name": "x"}'), "BAD_MANIFEST"),
        (lambda d: (d / "manifest.json").write_bytes(b"\xff\x00"), "BAD_MANIFEST"),
    ],
)
def test_a_damaged_engine_is_refused_and_the_others_are_served(
    serve: Callable[..., Daemon],
    copy_engine: CopyEngine,
    tmp_path: Path,
    damage: Callable[[Path], object],
    reason: str,
) -> None:
    copy_engine(tmp_path / "engines", "good")
    damage(copy_engine(tmp_path / "engines", "bad"))
    daemon = serve(tmp_path / "engines")
    assert daemon.client.invoke("good-pick", PICK).usage.output_tokens > 0
    with pytest.raises(SkilldError) as refused:
        daemon.client.invoke("bad-pick", PICK)
    assert refused.value.reason == "ENGINE_REFUSED"
    (engine,) = daemon.client.status().refused
    assert engine.reason == reason
    assert engine.path.endswith("bad")


def test_a_set_that_does_not_fit_is_refused_with_the_way_out(
    copy_engine: CopyEngine, tmp_path: Path
) -> None:
    copy_engine(tmp_path / "engines", "first")
    copy_engine(tmp_path / "engines", "second")
    socket = ("--socket", tmp_path / "run" / "skilld.sock")
    refused = skilld("serve", tmp_path / "engines", "--kv-budget", "300KiB", *socket)
    assert refused.returncode == 3
    said = " ".join(refused.stderr.split())
    assert "DOES_NOT_FIT" in said
    assert "2 engines are guaranteed 384 KiB of KV cache, the budget is 300 KiB" in said
    assert "raise memory.kv_budget_bytes to 384KiB" in said


def test_top_and_plan_work_beside_a_daemon(steady: Daemon, tiny_engine: Path) -> None:
    shown = skilld("top", "--once", "--address", steady.address)
    assert shown.returncode == 0
    assert "tiny" in shown.stdout
    status = json.loads(skilld("top", "--once", "--json", "--address", steady.address).stdout)
    assert status["kv_limit_bytes"] == status["kv"]["budget_bytes"]
    assert status["engines"][0]["weight"] == 1.0
    plan = json.loads(skilld("plan", tiny_engine, "--budget", "2GiB", "--json").stdout)
    assert plan["kv_min_bytes"] == int(status["engines"][0]["kv_min_bytes"])
    planned_bytes = (
        plan["needed_bytes"] - plan["kv_min_bytes"] + int(status["kv"]["resident_bytes"])
    )
    assert int(status["resident_bytes"]) <= planned_bytes
