"""What both benches say about themselves: machine, command, tables on screen and in Markdown."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from skilld.builder.host import cpu_features, cpu_name

_TELLING_PACKAGES = ("skilld", "openvino", "numpy", "grpcio")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: a title, column names, and rows of as many cells."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self, console: Console) -> None:
        """Print it."""
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="right" if index else "left", no_wrap=index > 0)
        for row in self.rows:
            # The range below the median keeps the table narrow.
            table.add_row(*(cell.replace(" (", "\n(") for cell in row))
        console.print(table)

    def markdown(self) -> str:
        """The same as Markdown, its title as a heading."""
        lines = [
            f"## {self.title}",
            "",
            "| " + " | ".join(self.columns) + " |",
            "|---|" + "---:|" * (len(self.columns) - 1),
            *("| " + " | ".join(row) + " |" for row in self.rows),
        ]
        return "\n".join(lines)


def new_console() -> Console:
    """As wide as the terminal, or as the tables need when there is none."""
    return Console(width=None if sys.stdout.isatty() else 120)


@contextlib.contextmanager
def progress(
    console: Console, *, total: int
) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """A progress bar: a way to say what runs, and one to count it as done."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task("", total=total)
        yield (
            lambda text: bar.update(task, description=text, refresh=True),
            lambda: bar.advance(task),
        )


def spread(values: Sequence[float], *, digits: int = 0) -> str:
    """The median, and what the rounds ranged over."""
    median = statistics.median(values)
    return f"{median:,.{digits}f} ({min(values):,.{digits}f}..{max(values):,.{digits}f})"


def circumstances(arguments: Sequence[str], *, program: str = "tools/bench") -> dict[str, str]:
    """Where, when and how: all one needs to repeat a measurement.

    Call it before measuring: it tells the load of the machine by others.

    Args:
        arguments: of the command line; absolute paths say nothing elsewhere and are left out.
        program: that takes them.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(
            [program, *("PATH" if Path(a).is_absolute() else a for a in arguments)]
        ),
        "processor": f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores usable",
        "instructions": ", ".join(cpu_features()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{name} {_version(name)}" for name in _TELLING_PACKAGES),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def write_markdown(
    path: Path,
    *,
    title: str,
    notes: Sequence[str],
    grids: Sequence[Grid],
    facts: dict[str, str],
    plot: str | None = None,
) -> None:
    """Write one report.

    Args:
        path: of the Markdown file.
        title: of the report.
        notes: paragraphs below the title.
        grids: the tables.
        facts: from `circumstances`, with what the bench adds.
        plot: file name of the picture beside it; None without one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [
        f"# {title}",
        *notes,
        *([] if plot is None else [f"![{title}]({plot})"]),
        *(grid.markdown() for grid in grids),
        "## Circumstances",
        "\n".join(f"- {key}: {value}" for key, value in facts.items()),
    ]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
