"""`tools/chaos`: the command line."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

from benchmarks.report import Grid, circumstances, new_console
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chaos_updates.link import LinkRule
from chaos_updates.run import Plan, run
from chaos_updates.tally import Tally

ROOT = Path(__file__).resolve().parent.parent.parent
_ENGINES = ("plc-triage", "robot-command")
_INTERRUPTED = 130


def main() -> int:
    """Run it; returns the exit code, 1 for a broken promise."""
    parser = argparse.ArgumentParser(
        prog="tools/chaos",
        description="Breaks what it can, and says whether anything was lost.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    updates = commands.add_parser(
        "updates",
        help="updates over a bad line, to a box that is killed again and again",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    updates.add_argument("--kills", type=int, default=200, help="of the daemon, with SIGKILL")
    updates.add_argument("--seed", type=int, help="of all decisions; random when left out")
    updates.add_argument("--minutes", type=float, help="begin no new update after this time")
    updates.add_argument("--delay-ms", type=float, default=50.0, help="of the line, each way")
    updates.add_argument("--loss", type=float, default=0.05, help="of segments on the line, 0..1")
    updates.add_argument("--json", type=Path, metavar="FILE", help="also write every figure here")
    updates.add_argument("--keep", type=Path, metavar="FOLDER", help="leave logs and store here")
    # The default action would leave daemon, depot and broker behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _updates(parser.parse_args())
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _updates(options: argparse.Namespace) -> int:
    console = new_console()
    facts = circumstances(sys.argv[1:], program="tools/chaos")
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    folder = options.keep or Path(tempfile.mkdtemp(prefix="skilld-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        engines=[ROOT / "engines" / name / "engine" for name in _ENGINES],
        num_kills=options.kills,
        seed=seed,
        max_s=None if options.minutes is None else 60 * options.minutes,
        rule=LinkRule(options.delay_ms / 1e3, options.loss, cut_every_s=60.0),
    )
    console.print(f"seed {seed}, logs in {folder}", highlight=False)
    started_s = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as bar:
        task = bar.add_task("", total=plan.num_kills)
        said, num_faults = "", 0

        def show(text: str, tally: Tally) -> None:
            nonlocal said, num_faults
            bar.update(task, completed=sum(tally.kills.values()), description=text)
            for fault in tally.faults[num_faults:]:
                console.print(f"broken promise: {fault}", markup=False, soft_wrap=True)
            num_faults = len(tally.faults)
            if text != said:
                said = text
                console.print(
                    f"{time.monotonic() - started_s:6.0f} s  {text}; so far "
                    f"{sum(tally.kills.values())} kills, {sum(tally.updates.values())} updates, "
                    f"{sum(tally.calls.values()):,} calls, {len(tally.faults)} faults",
                    highlight=False,
                )

        tally = run(plan, folder, show=show)
    elapsed_s = time.monotonic() - started_s
    for grid in _grids(tally, elapsed_s):
        grid.show(console)
    _say(console, tally, plan, folder)
    if options.json is not None:
        _write(options.json, tally, facts, seed=seed, elapsed_s=elapsed_s)
    if not tally.faults and options.keep is None:
        shutil.rmtree(folder)
    return 1 if tally.faults else 0


def _grids(tally: Tally, elapsed_s: float) -> list[Grid]:
    num_kills = sum(tally.kills.values())
    new = f"{tally.new_bytes / 1e6:.1f} MB"
    line = [[what, f"{count:,}"] for what, count in tally.line.items()]
    per_kill = tally.resent_bytes / max(1, num_kills)
    return [
        _counted("Kills, by the step of the update", tally.kills),
        _counted("Updates, by how they ended", tally.updates),
        _counted("Calls, by what became of them", tally.calls),
        Grid(
            "Line and broker",
            ["what", ""],
            [
                *line,
                *([what, str(count)] for what, count in tally.blows.items()),
                ["came to the box, all in all", f"{tally.line_bytes / 1e6:.1f} MB"],
                ["blobs sent by the depot", f"{tally.sent_bytes / 1e6:.1f} MB"],
                ["new to the box, of all releases", new],
                ["sent again in the same update", f"{tally.resent_bytes / 1e6:.1f} MB"],
                ["the same, per kill", f"{per_kill / 1e3:.0f} kB"],
            ],
        ),
        Grid(
            "Longest time between two answers of a skill",
            ["", "s"],
            [
                *([f"daemon up, {form}", f"{s:.2f}"] for form, s in tally.blackout_s.items()),
                ["over deaths of the daemon", f"{tally.dead_s:.2f}"],
                ["the whole run", f"{elapsed_s:.0f}"],
            ],
        ),
    ]


def _counted(title: str, counts: dict[str, int]) -> Grid:
    rows = [[what, f"{count:,}"] for what, count in sorted(counts.items())]
    return Grid(title, ["", "count"], [*rows, ["all", f"{sum(counts.values()):,}"]])


def _say(console: Console, tally: Tally, plan: Plan, folder: Path) -> None:
    num_kills = sum(tally.kills.values())
    for fault in tally.faults:
        console.print("[bold red]broken promise:[/]", end=" ")
        console.print(fault, markup=False, highlight=False, soft_wrap=True)
    if tally.faults:
        console.print(f"seed {plan.seed}; logs and store are in {folder}", highlight=False)
    elif num_kills < plan.num_kills:
        console.print(f"[yellow]time was up after {num_kills} of {plan.num_kills} kills[/]")
    else:
        console.print(f"[bold green]{num_kills} kills, and nothing was lost[/]")


def _write(path: Path, tally: Tally, facts: dict[str, str], *, seed: int, elapsed_s: float) -> None:
    figures = {
        field.name: getattr(tally, field.name)
        for field in fields(tally)
        if not field.name.startswith("_")
    }
    figures |= {"seed": seed, "elapsed_s": round(elapsed_s, 1), "circumstances": facts}
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
