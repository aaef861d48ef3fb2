"""The demonstration: a real daemon with every shipped engine, real calls over gRPC, and tables.

The inputs are the golden cases of every shipped skill; all are asked, some are shown (`--all`:
every one). A table shows what the daemon answered, not what the golden case says; whether they
agree is a column. `--ask` lets people type instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ask import ask
from mqtt_caller import BOX, MqttCaller, broker, skill_kind
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from showing import answer_lines, input_lines

from skilld.core.errors import SkilldError
from skilld.transports.grpc_client import SkillClient

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
SHOWN_PER_SKILL = 4
_WARM_UP_CALLS = 2

console = Console()

Case = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What came back for one case.

    Attributes:
        shown: the answer for people.
        is_right: it is what the case says.
        cost: for people; empty when the call failed.
        total_ms: as the daemon counts; None when the call failed.
    """

    shown: Text
    is_right: bool
    cost: str = ""
    total_ms: float | None = None


def main() -> int:
    """Run the demonstration; returns its exit code."""
    parser = argparse.ArgumentParser(description="Start skilld and call every shipped skill.")
    parser.add_argument("--all", action="store_true", help="show every case, not the first few")
    parser.add_argument("--ask", action="store_true", help="type your own inputs instead")
    parser.add_argument("--keep", action="store_true", help="leave the daemon running until Ctrl-C")
    options = parser.parse_args()
    if options.ask:
        ask(console, ROOT / "engines")
        return 0
    # The default action would skip the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="skilld-demo-") as folder:
        socket_path = Path(folder) / "skilld.sock"
        with (
            broker(Path(folder)) as port,
            _daemon(Path(folder), socket_path, port),
            SkillClient(f"unix:{socket_path}") as client,
        ):
            cases = _golden_cases()
            _call_everything(client, cases, num_shown=None if options.all else SHOWN_PER_SKILL)
            _call_over_mqtt(client, cases, port)
            _how_to_go_on(cases)
            if options.keep:
                where = "" if port is None else f" and to the broker on 127.0.0.1:{port}"
                console.print(f"\nlistening on unix:{socket_path}{where}; Ctrl-C ends it")
                signal.pause()
    return 0


@contextlib.contextmanager
def _daemon(folder: Path, socket_path: Path, port: int | None) -> Iterator[None]:
    started_s = time.monotonic()
    config = folder / "skilld.toml"
    mqtt = "" if port is None else f'[mqtt]\nbroker = "127.0.0.1:{port}"\nbox = "{BOX}"\n'
    config.write_text(mqtt, encoding="utf-8")
    daemon = subprocess.Popen(
        [
            *(sys.executable, "-m", "skilld.cli", "serve", ROOT / "engines"),
            *("--socket", socket_path, "--config", config),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with SkillClient(f"unix:{socket_path}") as probe:
            while not (socket_path.exists() and probe.wait_ready(0.2)):
                if daemon.poll() is not None or time.monotonic() - started_s > START_TIMEOUT_S:
                    daemon.kill()
                    assert daemon.stderr is not None
                    raise SystemExit(f"the daemon did not start:\n{daemon.stderr.read()}")
                time.sleep(0.02)
        console.print(f"daemon ready after {time.monotonic() - started_s:.1f} s, pid {daemon.pid}")
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _call_everything(
    client: SkillClient, cases: dict[str, list[Case]], *, num_shown: int | None
) -> None:
    summary = Table(title="All skills, resident together")
    for name in ("skill", "right", "p50 ms", "p95 ms"):
        summary.add_column(name, justify="left" if name == "skill" else "right")
    for skill in client.skills():
        mine = cases.get(skill.id, [])
        for case in mine[:_WARM_UP_CALLS]:
            _call(client, case)
        told = [_call(client, case) for case in mine]
        console.print(f"\n[bold]{skill.id}[/] {skill.version}: {escape(skill.description)}")
        console.print(_table(mine, told, num_shown=num_shown))
        times_ms = [one.total_ms for one in told if one.total_ms is not None]
        if len(times_ms) > 1:
            cuts_ms = statistics.quantiles(times_ms, n=20, method="inclusive")
            right = f"{sum(one.is_right for one in told)} of {len(told)}"
            summary.add_row(skill.id, right, f"{cuts_ms[9]:.1f}", f"{cuts_ms[18]:.1f}")
    console.print()
    console.print(summary)
    status = client.status()
    console.print(
        f"memory of the daemon: {status.resident_bytes / 2**20:.0f} MiB resident with "
        f"{len(status.engines)} engines; KV cache {status.kv.resident_bytes / 2**20:.1f} MiB of "
        f"{status.kv.budget_bytes / 2**20:.0f} MiB",
        highlight=False,
    )
    console.print(
        "The data are synthetic: generators in engines/ made them, and golden cases were chosen "
        "among answers that\nwere right. How right a skill is on other inputs is in its "
        "engines/<name>/README.md.",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def _call_over_mqtt(client: SkillClient, cases: dict[str, list[Case]], port: int | None) -> None:
    """The same calls through a broker; says so where there is none."""
    if port is None:
        console.print(
            "no mosquitto on this machine, so no calls over MQTT: apt-get install mosquitto",
            style="yellow",
        )
        return
    table = Table(title="The same over MQTT 5, through a mosquitto of its own")
    for name in ("skill", "answers", "there and back, p50 ms", "of it the daemon"):
        table.add_column(name, justify="left" if name == "skill" else "right")
    with contextlib.closing(MqttCaller(port)) as caller:
        for skill in client.skills():
            elapsed_ms, daemon_ms = [], []
            for case in cases.get(skill.id, []):
                kind = skill_kind(skill.id, json.dumps(case["input"], ensure_ascii=False), None)
                started_s = time.perf_counter()
                reply = json.loads(caller.call(kind))
                if reply["status"] != "error":
                    elapsed_ms.append((time.perf_counter() - started_s) * 1e3)
                    daemon_ms.append(float(reply["usage"]["total_ms"]))
            if elapsed_ms:
                p50s = (f"{statistics.median(times):.1f}" for times in (elapsed_ms, daemon_ms))
                table.add_row(skill.id, str(len(elapsed_ms)), *p50s)
    console.print()
    console.print(table)


def _call(client: SkillClient, case: Case) -> Told:
    text = json.dumps(case["input"], ensure_ascii=False)
    try:
        result = client.invoke(case["skill"], text)
    except SkilldError as error:
        return Told(Text(f"{error.reason}: {error.message}", style="red"), is_right=False)
    if result.WhichOneof("outcome") == "abstain":
        shown = Text(f"abstains: {result.abstain.reason}", style="yellow")
        is_right = result.abstain.reason == case.get("abstain")
    else:
        answer = json.loads(result.output_json)
        shown = Text(answer_lines(answer))
        is_right = answer == case.get("output")
    usage = result.usage
    cost = (
        f"{usage.total_ms:.1f} ms\n"
        f"first token {usage.first_token_ms:.1f} ms\n"
        f"tokens {usage.prompt_tokens} + {usage.output_tokens}\n"
    )
    return Told(shown, is_right, cost, usage.total_ms)


def _table(cases: list[Case], told: list[Told], *, num_shown: int | None) -> Table:
    table = Table(show_lines=True)
    table.add_column("input", ratio=5, overflow="fold")
    table.add_column("typed answer", ratio=4, overflow="fold")
    table.add_column("cost", width=19)
    # From all over the file: its parts show different things.
    step = max(1, len(cases) // num_shown) if num_shown else 1
    for case, one in list(zip(cases, told, strict=True))[::step][:num_shown]:
        cost = Text(one.cost)
        cost.append(*("as expected", "green") if one.is_right else ("unexpected", "red"))
        table.add_row(Text(input_lines(case["input"])), one.shown, cost)
    return table


def _golden_cases() -> dict[str, list[Case]]:
    cases: dict[str, list[Case]] = {}
    for path in sorted(ROOT.glob("engines/*/engine/golden.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            cases.setdefault(str(case["skill"]), []).append(case)
    return cases


def _how_to_go_on(cases: dict[str, list[Case]]) -> None:
    skilld = os.path.relpath(Path(sys.executable).parent / "skilld", Path.cwd())
    answered = [case for each in cases.values() for case in each if "output" in case]
    example = min(answered, key=lambda case: len(json.dumps(case["input"])))
    text = shlex.quote(json.dumps(example["input"], ensure_ascii=False))
    ways = {
        "tools/demo --ask": "type your own sentences",
        f"{skilld} serve engines": "run the daemon, then in another terminal",
        f"{skilld} list": "what it can do",
        f"{skilld} call {example['skill']} {text}": "",
        f"{skilld} ps": "engines, memory, queues",
        f"{skilld} eval {example['skill']}": "how right it is, beside rules and neighbours",
    }
    console.print("\n[bold]To go on[/]")
    for command, what in ways.items():
        line = f"  {command:<40} {what}".rstrip()
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print("  any gRPC client with protos/skilld/v1, or with reflection", highlight=False)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
