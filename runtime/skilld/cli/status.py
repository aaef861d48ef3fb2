"""`skilld ps` and `skilld top`: how the daemon is doing, once and live."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from skilld.cli.console import connect, out, print_json, size

if TYPE_CHECKING:
    from skilld.transports.grpc_client import EngineMessage, SkillClient, StatusMessage

_BAR_CELLS = 24
# What lies in the cache, from the immovable to what goes first: figure, colour, cell.
_BAR = (
    ("pinned", "magenta", "█"),
    ("firm", "green", "█"),
    ("revocable", "yellow", "▓"),
    ("cached", "blue", "▒"),
)


def ps_command(options: argparse.Namespace) -> int:
    """Show engines, skills, memory, queues and rates."""
    with connect(options) as client:
        status = client.status()
    if options.json:
        print_json(_as_dict(status))
        return 0
    out.print(*_box_lines(status), sep="\n", highlight=False)
    table = Table("engine")
    table.add_column("KV bytes", no_wrap=True)
    table.add_column("running\nqueued\nbatch", justify="right", no_wrap=True)
    table.add_column("ms/step\ntokens/s", justify="right", no_wrap=True)
    table.add_column("calls", justify="right", no_wrap=True)
    for engine in status.engines:
        amounts = {
            "min": engine.kv_min_bytes,
            "used": engine.kv.used_bytes,
            "cached": engine.kv.cached_bytes,
            "reserved": engine.kv.reserved_bytes,
            "resident": engine.kv.resident_bytes,
            "max": engine.kv.budget_bytes,
        }
        calls = {
            **engine.ended,
            "refused": engine.num_deadline_refusals,
            "missed": engine.num_deadline_misses,
        }
        table.add_row(
            f"{engine.name} {engine.version}\n[dim]{engine.precision} {engine.digest[:12]}[/]\n"
            + "\n".join(f"  {skill}" for skill in engine.skills),
            "\n".join(f"{name:<8} {size(amount):>9}" for name, amount in amounts.items()),
            f"{engine.running}\n{engine.waiting}\n{engine.mean_batch:.1f}",
            f"{engine.step_ms:.2f}\n{engine.tokens_per_s:.0f}",
            "\n".join(f"{count} {how}" for how, count in sorted(calls.items())),
        )
    out.print(table)
    for refused in status.refused:
        out.print(f"[bold red]refused[/] {refused.path}: {refused.reason}")
        out.print(f"  {refused.message}", markup=False)
    return 0


def top_command(options: argparse.Namespace) -> int:
    """Show memory and load of every engine, again and again."""
    with connect(options) as client:
        status = client.status()
        if options.once and options.json:
            print_json(_as_dict(status))
        elif options.once or not (options.json or out.is_terminal):
            out.print(top_view(status))
        else:
            try:
                _watch(client, status, interval_s=options.interval, as_json=options.json)
            except KeyboardInterrupt:
                return 0  # the way to leave it
    return 0


def _watch(client: SkillClient, status: StatusMessage, *, interval_s: float, as_json: bool) -> None:
    """Until interrupted."""
    if as_json:
        while True:
            print(json.dumps(_as_dict(status)), flush=True)
            time.sleep(interval_s)
            status = client.status()
    with Live(top_view(status), console=out, auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(interval_s)
            before, status = status, client.status()
            live.update(top_view(status, before), refresh=True)


def top_view(status: StatusMessage, before: StatusMessage | None = None) -> Group:
    """One picture of the box.

    Args:
        status: now.
        before: an earlier one: device time is then that spent since, not since the start.
    """
    earlier_ms = {} if before is None else {e.name: e.device_ms for e in before.engines}
    device_ms = {e.name: e.device_ms - earlier_ms.get(e.name, 0.0) for e in status.engines}
    all_ms = sum(device_ms.values())
    table = Table(box=None, padding=(0, 2, 1, 0), header_style="dim")
    table.add_column("engine", overflow="fold", min_width=8)
    table.add_column("KV cache", no_wrap=True)
    for column in (
        "running\nqueued\nbatch",
        "ms/step\ntokens/s\ndevice",
        "prefix\ndrafts",
        "refused\nmissed\npreempted",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for engine in status.engines:
        kv = engine.kv
        amounts = (
            f"{size(kv.used_bytes)} + {size(kv.cached_bytes)} cached\n"
            f"min {size(engine.kv_min_bytes)}, max {size(kv.budget_bytes)}"
        )
        table.add_row(
            engine.name,
            Text.assemble(_bar(engine, status.kv.budget_bytes), "\n", amounts),
            f"{engine.running}\n{engine.waiting}\n{engine.mean_batch:.1f}",
            f"{engine.step_ms:.2f}\n{engine.tokens_per_s:.0f}\n"
            + _share(device_ms[engine.name], all_ms),
            _share(engine.num_prefix_tokens, engine.num_prompt_tokens)
            + "\n"
            + _share(engine.num_accepted_tokens, engine.num_draft_tokens),
            f"{engine.num_deadline_refusals}\n{engine.num_deadline_misses}\n"
            f"{engine.num_preemptions}",
        )
    legend = Text.assemble(*((f"{cell} {name}  ", colour) for name, colour, cell in _BAR))
    legend.append(
        "of the budget\nprefix: prompt tokens found in the cache; drafts: guesses that were right\n"
        "refused, missed: deadlines; device: share of its time",
        "dim",
    )
    return Group(*_box_lines(status), table, legend)


def _box_lines(status: StatusMessage) -> Iterable[Text]:
    kv = status.kv
    yield Text.assemble(
        ("skilld ", "bold"),
        f"{status.version}, pid {status.pid}, up {status.uptime.ToSeconds()} s, "
        f"{size(status.resident_bytes)} resident",
        (", draining" if status.draining else "", "bold red"),
    )
    line = Text(f"KV cache: budget {size(kv.budget_bytes)}")
    if status.kv_limit_bytes < kv.budget_bytes:
        line.append(f", {size(status.kv_limit_bytes)} while memory is short", "bold red")
    line.append(
        f", reserved {size(kv.reserved_bytes)} ({size(kv.firm_bytes)} firm),\n"
        f"  ledger {size(kv.used_bytes + kv.cached_bytes)}, resident {size(kv.resident_bytes)}"
    )
    yield line


def _bar(engine: EngineMessage, budget_bytes: int) -> Text:
    """What lies in the cache, a cell for whatever is there, however little."""
    kv = engine.kv
    amounts = {
        "pinned": kv.pinned_bytes,
        "firm": kv.firm_bytes - kv.pinned_bytes,
        "revocable": kv.revocable_bytes,
        "cached": kv.cached_bytes,
    }
    bar = Text()
    for name, colour, cell in _BAR:
        exact = amounts[name] / max(1, budget_bytes) * _BAR_CELLS
        num_cells = max(round(exact), 1 if amounts[name] else 0)
        bar.append(cell * min(num_cells, _BAR_CELLS - len(bar)), colour)
    bar.append("·" * (_BAR_CELLS - len(bar)), "dim")
    return bar


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "-"


def _as_dict(status: StatusMessage) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    fields: dict[str, Any] = MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields
