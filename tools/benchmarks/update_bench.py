"""`tools/bench update`: what an update costs the line, and what callers notice of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import update_blackout, update_transfer
from benchmarks.report import circumstances, new_console, progress
from benchmarks.update_report import Results, write_report

_ROOT = Path(__file__).resolve().parent.parent.parent
_SHIPPED = _ROOT / "engines/plc-triage/engine"
_FORMS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--engine", type=Path, default=_SHIPPED, help="that serves; its folder")
    parser.add_argument("--mb", type=int, default=20, help="size of the release that travels")
    parser.add_argument("--rounds", type=int, default=7, help="of the throughput")
    parser.add_argument("--kills", type=int, default=5, help="in the middle of a download")
    parser.add_argument("--updates", type=int, default=6, help="under load, in each form")
    parser.add_argument("--quick", action="store_true", help="2 rounds, 1 kill, 1 update")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure here")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/bench"), help="where the report goes"
    )


def main(options: argparse.Namespace) -> int:
    """Run the bench; returns the exit code, which says nothing about goals."""
    console = new_console()
    rounds, kills, updates = options.rounds, options.kills, options.updates
    if options.quick:
        rounds, kills, updates = 2, 1, 1
    facts = circumstances(sys.argv[1:])
    engine: Path = options.engine.absolute()
    total = rounds + kills + 2 + _FORMS * updates
    with (
        tempfile.TemporaryDirectory(prefix="skilld-bench-") as folder,
        progress(console, total=total) as (say, done),
    ):
        count = 0

        def step(text: str) -> None:
            nonlocal count
            if count:
                done()
            count += 1
            say(text)

        for name in ("transfer", "blackout"):
            (Path(folder) / name).mkdir()
        results = Results(
            update_transfer.measure(
                engine,
                Path(folder) / "transfer",
                num_bytes=options.mb * 1_000_000,
                rounds=rounds,
                kills=kills,
                step=step,
            ),
            update_blackout.measure(engine, Path(folder) / "blackout", updates=updates, step=step),
        )
        done()
    write_report(console, options, results, facts=facts)
    return 0
