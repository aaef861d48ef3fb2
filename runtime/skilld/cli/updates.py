"""`skilld updates`: how the updates of a box stand, read from its store."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from skilld.cli.console import out, print_json
from skilld.core.errors import ArtefactError

if TYPE_CHECKING:
    from skilld.updates.machine import SkillState


def default_store_dir() -> Path:
    """Where the store is when nobody says otherwise."""
    if from_environment := os.environ.get("SKILLD_STORE"):
        return Path(from_environment)
    if os.geteuid() == 0:
        return Path("/var/lib/skilld")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "skilld"


def add_updates_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `skilld updates`."""
    parser.add_argument(
        "--store",
        type=Path,
        help="folder of the store; SKILLD_STORE or the usual place when left out",
    )


def updates_command(options: argparse.Namespace) -> int:
    """Show the state of every name that was ever updated."""
    from skilld.updates.box.states import StateStore
    from skilld.updates.store import DiskFiles, ReleaseStore

    folder = options.store or default_store_dir()
    if not folder.is_dir():
        raise ArtefactError(
            "is no store of releases",
            path=folder,
            hint="--store names another; a box that was never updated has none",
            reason="NO_STORE",
        )
    files = DiskFiles(folder)
    store = StateStore(files, ReleaseStore(files))
    states = [store.read(skill) for skill in store.skills()]
    if options.json:
        print_json([state.model_dump(mode="json") for state in states])
        return 0
    table = Table("release", "serves", "before", "job", "state", "why")
    for state in states:
        table.add_row(*_row(state))
    out.print(table)
    return 0


def _row(state: SkillState) -> tuple[str, ...]:
    record = state.job
    serves = "built in" if state.serving is None else str(state.serving)
    bad = f"\n[red]bad: {', '.join(map(str, state.bad))}[/]" if state.bad else ""
    if record is None:
        return state.skill, serves + bad, str(state.previous or "-"), "-", "-", ""
    how = record.step or record.outcome or ""
    return (
        state.skill,
        serves + bad,
        str(state.previous or "-"),
        f"{record.job.id}\n[dim]wants {record.job.seq}[/]",
        f"{record.status}\n[dim]{how}[/]",
        f"{record.reason}\n{record.message}".strip(),
    )
