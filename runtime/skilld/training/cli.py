"""The command line of `tools/train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def main() -> None:
    """Train the specialists of engine folders."""
    parser = argparse.ArgumentParser(prog="tools/train", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="+", help="engines/<name>")
    arguments = parser.parse_args()
    from skilld.training.specialist import make_specialist

    console = Console(soft_wrap=True)
    for folder in arguments.folder:
        make_specialist(folder, console=console)
