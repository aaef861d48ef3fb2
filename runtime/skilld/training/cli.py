"""The command line of `tools/train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console


def main() -> None:
    """Train the specialist of an engine folder."""
    parser = argparse.ArgumentParser(prog="tools/train", description=__doc__)
    parser.add_argument("engine", type=Path, help="engines/<name>")
    parser.add_argument(
        "--judge-only", action="store_true", help="write the report of the checkpoint again"
    )
    arguments = parser.parse_args()
    from skilld.training.specialist import make_specialist

    make_specialist(
        arguments.engine, console=Console(soft_wrap=True), judge_only=arguments.judge_only
    )
