"""What the commands share: two consoles, a progress bar, JSON, amounts of memory, the daemon."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from skilld.config import default_socket_path

if TYPE_CHECKING:
    from skilld.transports.grpc_client import SkillClient

ResultT = TypeVar("ResultT")

_BAR_CELLS = 20

out = Console()
err = Console(stderr=True)


def with_progress(
    work: Callable[[Callable[[str, float], None]], ResultT], *, is_quiet: bool
) -> ResultT:
    """Run `work` with a progress bar on standard error, or with none."""
    bar = Progress(
        TextColumn("{task.description:<36}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=is_quiet,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        return work(lambda what, done: bar.update(task, description=what, completed=done))


def print_json(value: object) -> None:
    """Print a value for scripts."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def size(num_bytes: float) -> str:
    """An amount of memory for people."""
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.2f} GiB"


def byte_bar(held: int, total: int) -> Text:
    """A bar, and how many bytes of how many are there; nothing when there are none to wait for."""
    if not total:
        return Text()
    held = min(held, total)
    cells = _BAR_CELLS * held // total
    return Text.assemble(
        ("█" * cells, "green"),
        ("·" * (_BAR_CELLS - cells), "dim"),
        f"\n{size(held)} of {size(total)}",
        no_wrap=True,
    )


def plain(text: str) -> str:
    """Text of others, without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:1000])


def connect(options: argparse.Namespace) -> SkillClient:
    """A client of the daemon that `--address` names, or of the one on the default socket."""
    from skilld.transports.grpc_client import SkillClient  # gRPC takes its time to import

    return SkillClient(options.address or f"unix:{default_socket_path()}")
