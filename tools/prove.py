"""Drives the state machine of tests/scheduler/test_machine.py for as long as one likes.

The operations come from a seed, so a run that fails is run again with the same one; operations
and seed are printed with the failure.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

_MACHINE = Path(__file__).parent.parent / "tests" / "scheduler" / "test_machine.py"


def main() -> int:
    """Run and say what happened; 1 when an invariant broke."""
    parser = argparse.ArgumentParser(description="prove the accounts by random operations")
    parser.add_argument("--operations", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    machine = _load(_MACHINE)
    console = Console()
    done = 0
    started_s = time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=options.operations)

        def progress(num_done: int, world: Any) -> None:
            nonlocal done
            done = num_done
            bar.update(task, completed=num_done)
            if not console.is_terminal and num_done % 100_000 == 0:
                print(f"{num_done:,} operations, {world.counts['steps']:,} steps", flush=True)

        try:
            counts = machine.prove(options.operations, options.seed, progress)
        except Exception:
            console.print_exception()
            console.print(
                f"[bold red]broken[/] within 5,000 operations after {done:,}: "
                f"tools/prove --operations {done + 5_000} --seed {options.seed}"
            )
            return 1
        bar.update(task, completed=options.operations)
    seconds = time.monotonic() - started_s
    print(f"{options.operations:,} operations of seed {options.seed} in {seconds:.0f} s, all held:")
    for event, count in sorted(counts.items()):
        print(f"  {event.replace('_', ' '):<22}{count:>12,}")
    return 0


def _load(path: Path) -> ModuleType:
    """Import a test module by its path; tests are no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
