"""`skilld updates`: how the updates of a box stand, read from its store."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from skilld.cli.console import byte_bar, out, print_json
from skilld.core.errors import ArtefactError

if TYPE_CHECKING:
    from skilld.updates.box.wait_notes import WaitNote
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
    parser.add_argument("--watch", action="store_true", help="show it again and again")
    parser.add_argument(
        "--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks (1.0)"
    )


def updates_command(options: argparse.Namespace) -> int:
    """Show the state of every name that was ever updated."""
    folder = options.store or default_store_dir()
    if not folder.is_dir():
        raise ArtefactError(
            "is no store of releases",
            path=folder,
            hint="--store names another; a box that was never updated has none",
            reason="NO_STORE",
        )
    view = StoreView(folder)
    if options.watch:
        try:
            _watch(view, interval_s=max(0.1, options.interval), as_json=options.json)
        except KeyboardInterrupt:
            return 0  # the way to leave it
    elif options.json:
        print_json(view.records())
    else:
        out.print(view.table())
    return 0


def _watch(view: StoreView, *, interval_s: float, as_json: bool) -> None:
    """Until interrupted."""
    if as_json:
        while True:
            print(json.dumps(view.records()), flush=True)
            time.sleep(interval_s)
    with Live(view.table(), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(interval_s)
            live.update(view.table(), refresh=True)


class StoreView:
    """What a store says of the updates of its box.

    Args:
        folder: of the store; a daemon may be writing to it.
    """

    def __init__(self, folder: Path) -> None:
        from skilld.updates.box.download_view import DownloadView
        from skilld.updates.box.states import StateStore
        from skilld.updates.store import DiskFiles, ReleaseStore

        self._files = DiskFiles(folder)
        self._states = StateStore(self._files, ReleaseStore(self._files))
        self._downloads = DownloadView(self._files)

    def records(self) -> list[dict[str, Any]]:
        """For scripts: states, with the bytes of downloads and why what waits does."""
        records = []
        for state in self._read():
            held_bytes, total_bytes = self._downloads.figures(state)
            note = self._note(state)
            records.append(
                state.model_dump(mode="json")
                | {
                    "held_bytes": held_bytes,
                    "total_bytes": total_bytes,
                    "waits": note.model_dump() if note else None,
                }
            )
        return records

    def table(self) -> Table:
        """For people."""
        table = Table("release", "serves", "before", "job", "state", "why")
        for state in self._read():
            table.add_row(*self._row(state))
        return table

    def _read(self) -> list[SkillState]:
        return [self._states.read(skill) for skill in self._states.skills()]

    def _note(self, state: SkillState) -> WaitNote | None:
        from skilld.updates.box.wait_notes import read_wait_note

        is_open = state.job is not None and state.job.is_open
        return read_wait_note(self._files, state.skill) if is_open else None

    def _row(self, state: SkillState) -> tuple[RenderableType, ...]:
        record = state.job
        serves = "built in" if state.serving is None else str(state.serving)
        bad = f"\n[red]bad: {', '.join(map(str, state.bad))}[/]" if state.bad else ""
        if record is None:
            return state.skill, serves + bad, str(state.previous or "-"), "-", "-", ""
        how = f"{record.status}\n[dim]{record.step or record.outcome or ''}[/]"
        figures = self._downloads.figures(state)
        note = self._note(state)
        why = (note.reason, note.message) if note else (record.reason, record.message)
        return (
            state.skill,
            serves + bad,
            str(state.previous or "-"),
            f"{record.job.id}\n[dim]wants {record.job.seq}[/]",
            Group(how, byte_bar(*figures)) if figures[1] else how,
            Text("\n".join(why).strip()),
        )
