"""`skilld plan`: will these engines fit, and how many calls at once."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

from rich.table import Table

from skilld.cli.console import out, print_json, size
from skilld.config import Config, read_config
from skilld.core.errors import SkilldError
from skilld.kvcache.kv_memory import MAX_PINNED_SHARE
from skilld.kvcache.memory_plan import CallFit, MemoryPlan

EXIT_NO = 1


def plan_command(options: argparse.Namespace) -> int:
    """Say what engines need of a budget; exit code 1 when they do not fit."""
    from skilld.app.box_plan import explain, plan_box, total_bytes_of
    from skilld.app.host_memory import HostMemory

    config = read_config(options.config) if options.config else Config()
    if options.engines:
        config = config.model_copy(update={"engines": tuple(options.engines)})
    if not config.engines:
        raise SkilldError("name engine folders, or a --config that does", reason="NO_ENGINE")
    total_bytes = options.budget or total_bytes_of(config, HostMemory())
    if total_bytes is None:
        raise SkilldError(
            "this machine does not tell its memory: give --budget", reason="NO_BUDGET"
        )
    kv_budget_bytes = options.kv_budget
    if kv_budget_bytes is None and "kv_budget_bytes" in config.memory.model_fields_set:
        kv_budget_bytes = config.memory.kv_budget_bytes
    plan = plan_box(config, total_bytes=total_bytes, kv_budget_bytes=kv_budget_bytes)
    if options.json:
        explanation = {} if plan.fits else {"explanation": explain(plan)}
        print_json({**dataclasses.asdict(plan), **explanation})
    else:
        _print_memory(plan)
        if plan.kv_budget_bytes > 0:
            _print_calls(plan)
        if plan.fits:
            out.print("[green]fits[/]")
        else:
            out.print("[bold red]does not fit[/]:", explain(plan), highlight=False)
    return 0 if plan.fits else EXIT_NO


def _print_memory(plan: MemoryPlan) -> None:
    table = Table("", "weights", "workspace", "KV guaranteed", "KV pinned", "from")
    for column in table.columns[1:5]:
        column.justify = "right"
    for engine in plan.engines:
        need = engine.need
        table.add_row(
            need.engine,
            size(need.weights_bytes),
            size(need.workspace_bytes),
            size(need.min_bytes),
            size(engine.pinned_bytes),
            "measurement" if need.is_measured else "its shape",
        )
    out.print(table)
    fixed_bytes = sum(engine.need.fixed_bytes for engine in plan.engines)
    rows = [
        ("process", plan.process_bytes, "Python, OpenVINO, gRPC"),
        ("weights and workspace", fixed_bytes, ""),
        ("KV budget", plan.kv_budget_bytes, ""),
        ("  guaranteed", plan.kv_min_bytes, "to the engines, each its own"),
        ("  shared", plan.shared_bytes, "whoever needs it"),
        (
            "  pinned prefixes",
            sum(engine.pinned_bytes for engine in plan.engines),
            f"at most {MAX_PINNED_SHARE:.0%} of the budget, {size(plan.pinned_cap_bytes)}",
        ),
        ("memory for everything", plan.total_bytes, ""),
    ]
    sums = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    sums.add_column()
    sums.add_column(justify="right")
    sums.add_column(style="dim")
    for name, num_bytes, remark in rows:
        sums.add_row(name, size(num_bytes) if num_bytes >= 0 else f"-{size(-num_bytes)}", remark)
    out.print(sums)


def _print_calls(plan: MemoryPlan) -> None:
    table = Table(title="calls at once", title_justify="left", title_style="bold")
    table.add_column("skill")
    table.add_column("call")
    for column in ("tokens", "KV", "alone", "minima kept"):
        table.add_column(column, justify="right")
    is_batch_bound = False
    for engine in plan.engines:
        kinds: Sequence[tuple[str, Sequence[CallFit]]] = (
            ("typical", engine.typical),
            ("worst", engine.worst),
        )
        for skill in engine.need.skills:
            for kind, fits in kinds:
                for fit in (fit for fit in fits if fit.skill == skill.skill):
                    is_batch_bound |= fit.is_batch_bound
                    table.add_row(
                        fit.skill,
                        kind,
                        f"{fit.prompt_tokens} + {fit.max_tokens}",
                        size(fit.call_bytes),
                        f"{fit.alone}",
                        f"{fit.with_minima}{'*' if fit.is_batch_bound else ''}",
                    )
    out.print(table)
    out.print(
        "[dim]typical: the longest golden prompt; worst: a full context. alone: nothing else runs "
        "and idle minima are lent,\nwhich batch calls may use; minima kept: any class, at any time"
        + (".\n* bounded by engine.max_num_seqs, not by memory[/]" if is_batch_bound else ".[/]"),
        highlight=False,
    )
