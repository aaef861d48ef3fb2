"""The command line of `tools/train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def main() -> None:
    """Train the specialist of an engine folder, or the base of several."""
    parser = argparse.ArgumentParser(prog="tools/train", description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="+", help="engines/<name>")
    arguments = parser.parse_args()
    from skilld.training.specialist import is_base, make_base, make_specialist

    console = Console(soft_wrap=True)
    for folder in arguments.folder:
        (make_base if is_base(folder) else make_specialist)(folder, console=console)
