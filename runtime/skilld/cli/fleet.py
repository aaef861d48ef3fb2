"""`skilld release fleet`: what boxes tell of their updates."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from skilld.cli.box_options import add_box_options, boxes_of, broker_lines, seconds
from skilld.cli.console import byte_bar, err, out, plain, print_json
from skilld.cli.mqtt_options import add_mqtt_options, mqtt_config

if TYPE_CHECKING:
    from skilld.updates.fleet.link import FleetLink
    from skilld.updates.fleet.report import Report

_TICK_S = 1.0
_COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "REJECTED": "red", "TIMED_OUT": "red"}


def add_fleet_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `skilld release fleet`."""
    add_mqtt_options(parser)
    add_box_options(parser)
    parser.add_argument("--release", metavar="NAME", help="of this name only")
    parser.add_argument("--watch", action="store_true", help="again and again, until interrupted")
    parser.add_argument(
        "--timeout-s", type=seconds, default=30.0, metavar="N", help="for the broker to answer"
    )


def fleet_command(options: argparse.Namespace) -> int:
    """Show what boxes tell of their updates."""
    boxes = boxes_of(options)
    with broker_lines(_say):
        asyncio.run(_watch(options, boxes) if options.watch else _look(options, boxes))
    return 0


async def _look(options: argparse.Namespace, boxes: Sequence[str]) -> None:
    from skilld.updates.fleet.link import FleetLink

    link = FleetLink(mqtt_config(options), release=options.release, boxes=boxes)
    link.start()
    try:
        await link.ready(options.timeout_s)
    finally:
        await link.stop()
    _complain(link)
    reports = _chosen(link, boxes)
    if options.json:
        print_json(_documents(link, reports))
    else:
        out.print(fleet_table(reports, _silent(reports, boxes), link.offline))


async def _watch(options: argparse.Namespace, boxes: Sequence[str]) -> None:
    """Until interrupted, which is the way to leave it."""
    from skilld.updates.fleet.link import FleetLink

    interrupted = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    link = FleetLink(mqtt_config(options), release=options.release, boxes=boxes)
    link.start()
    live = None if options.json else Live(console=out, auto_refresh=False)
    shown: object = None
    try:
        while not interrupted.is_set():
            await link.news(_TICK_S)
            link.tend()
            _complain(link)
            reports = _chosen(link, boxes)
            if not link.is_ready or shown == (reports, link.offline):
                continue
            shown = (reports, set(link.offline))
            if live is None:
                print(json.dumps(_documents(link, reports)), flush=True)
            else:
                live.start()  # the first time
                live.update(
                    fleet_table(reports, _silent(reports, boxes), link.offline), refresh=True
                )
    finally:
        if live is not None:
            live.stop()
        await link.stop()


def fleet_table(
    reports: Sequence[Report], silent: Sequence[str], offline: Collection[str]
) -> RenderableType:
    """A row for each box and release.

    Args:
        reports: what boxes tell.
        silent: boxes that tell nothing.
        offline: boxes that are away, so that what they tell is of before.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("box", "release", "serves", "job", "state", "why"):
        table.add_column(column, overflow="fold")
    for report in reports:
        serves = "built in" if report.active is None else str(report.active)
        bad = f"\nbad: {', '.join(map(str, report.bad))}" if report.bad else ""
        wants = "" if report.job is None else f"{plain(report.job)}\nwants {report.seq}"
        status = "" if report.status is None else str(report.status)
        state = [
            Text(status, _COLOURS.get(status, "")),
            Text(str(report.step or report.outcome or ""), "dim"),
            byte_bar(report.held_bytes, report.total_bytes),
        ]
        table.add_row(
            _name(report.box, offline),
            report.release,
            Text.assemble(serves, (bad, "red")),
            Text(wants),
            Text("\n").join(part for part in state if part),
            Text("\n".join(plain(text) for text in (report.reason, report.message) if text)),
        )
    for box in silent:
        name = _name(box, offline)
        table.add_row(name, "", "", "", Text("tells nothing", "dim"), "")
    return table


def _name(box: str, offline: Collection[str]) -> Text:
    return Text.assemble(box, ("\noffline", "red") if box in offline else "")


def _documents(link: FleetLink, reports: Sequence[Report]) -> list[dict[str, Any]]:
    return [{**r.model_dump(mode="json"), "is_offline": r.box in link.offline} for r in reports]


def _chosen(link: FleetLink, boxes: Sequence[str]) -> list[Report]:
    return [
        report for (box, _), report in sorted(link.reports.items()) if not boxes or box in boxes
    ]


def _silent(reports: Sequence[Report], boxes: Sequence[str]) -> list[str]:
    telling = {report.box for report in reports}
    return [box for box in boxes if box not in telling]


def _complain(link: FleetLink) -> None:
    for line in link.take_problems():
        _say(line)


def _say(line: str) -> None:
    err.print(plain(line), markup=False, highlight=False, soft_wrap=True)
