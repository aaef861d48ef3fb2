"""The demonstration: a real daemon, real calls over gRPC, and a table of what came back.

The inputs are golden cases of every shipped skill, some of them or (`--all`) every one. The table
shows what the daemon answered, not what the golden case says; whether they agree is a column.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from skilld.core.errors import SkilldError
from skilld.transports.grpc_client import SkillClient

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
CASES_PER_SKILL = 8

console = Console()


def main() -> int:
    """Run the demonstration; returns its exit code."""
    parser = argparse.ArgumentParser(description="Start skilld and call every shipped skill.")
    parser.add_argument("--all", action="store_true", help="every golden case, not the first few")
    parser.add_argument("--keep", action="store_true", help="leave the daemon running until Ctrl-C")
    options = parser.parse_args()
    # The default action would skip the clean-up below.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="skilld-demo-") as folder:
        socket_path = Path(folder) / "skilld.sock"
        with _daemon(socket_path), SkillClient(f"unix:{socket_path}") as client:
            _call_everything(client, per_skill=None if options.all else CASES_PER_SKILL)
            _how_to_go_on()
            if options.keep:
                console.print(f"\nlistening on unix:{socket_path}; Ctrl-C ends it")
                signal.pause()
    return 0


@contextlib.contextmanager
def _daemon(socket_path: Path) -> Iterator[None]:
    started_s = time.monotonic()
    daemon = subprocess.Popen(
        [sys.executable, "-m", "skilld.cli", "serve", ROOT / "engines", "--socket", socket_path],
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


def _call_everything(client: SkillClient, *, per_skill: int | None) -> None:
    cases = _golden_cases()
    for skill in client.skills():
        table = Table(title=f"{skill.id} {skill.version}: {skill.description}", show_lines=True)
        table.add_column("input", ratio=5, overflow="fold")
        table.add_column("typed answer", ratio=3, overflow="fold")
        table.add_column("cost", width=20)
        mine = cases.get(skill.id, [])
        # From all over the file: its parts show different things.
        for case in mine[:: max(1, len(mine) // per_skill) if per_skill else 1]:
            text = json.dumps(case["input"], ensure_ascii=False)
            try:
                result = client.invoke(skill.id, text)
            except SkilldError as error:
                table.add_row(_shown(case["input"]), Text(f"{error.reason}: {error.message}"))
                continue
            if result.WhichOneof("outcome") == "abstain":
                answer: object = None
                shown = Text(f"abstains: {result.abstain.reason}", style="yellow")
                is_expected = result.abstain.reason == case.get("abstain")
            else:
                answer = json.loads(result.output_json)
                shown = Text(_lines(answer))
                is_expected = answer == case.get("output")
            usage = result.usage
            cost = Text(
                f"first token {usage.first_token_ms:5.1f} ms\n"
                f"total       {usage.total_ms:5.1f} ms\n"
                f"tokens {usage.prompt_tokens:>4} + {usage.output_tokens}\n"
                f"  of them forced {usage.forced_tokens}\n"
                f"KV held {usage.kv_bytes / 1024:5.0f} KiB\n"
            )
            cost.append(*("as expected", "green") if is_expected else ("unexpected", "red"))
            table.add_row(_shown(case["input"]), shown, cost)
        console.print(table)


def _golden_cases() -> dict[str, list[dict[str, object]]]:
    cases: dict[str, list[dict[str, object]]] = {}
    for path in sorted(ROOT.glob("engines/*/engine/golden.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            cases.setdefault(str(case["skill"]), []).append(case)
    return cases


def _shown(value: object) -> Text:
    if isinstance(value, dict) and len(value) == 1:
        (inner,) = value.values()
        if isinstance(inner, list):
            return Text("\n".join(map(str, inner)))
    return Text(json.dumps(value, ensure_ascii=False))


def _lines(answer: object) -> str:
    if isinstance(answer, dict):
        return "\n".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in answer.items())
    return json.dumps(answer, ensure_ascii=False)


def _how_to_go_on() -> None:
    skilld = os.path.relpath(Path(sys.executable).parent / "skilld", Path.cwd())
    console.print(
        f"""
[bold]To go on[/]
  {skilld} serve engines                     run the daemon, then in another terminal
  {skilld} list                              what it can do
  {skilld} call plc-triage '{{"lines": ["10:02:11 DRV-07 F3021 overcurrent"]}}'
  {skilld} ps                                engines, memory, queues
  {skilld} inspect engines/plc-triage        what is inside an engine
  any gRPC client with protos/skilld/v1, or with reflection""",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
