"""What `update_bench` says: tables, goals, and every figure as JSON."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from field.box_config import BESIDE, SWAP
from rich.console import Console

from benchmarks import update_peer
from benchmarks.report import Grid, spread, write_markdown
from benchmarks.update_blackout import NUM_CALLERS, Exchanges
from benchmarks.update_transfer import NUM_TENSORS, Transfers, summary

WINDOW_BYTES = update_peer.IN_FLIGHT * update_peer.BLOCK_BYTES
_MAX_CHANGE = 0.15
_MAX_SLOWER = 2.0


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that was measured."""

    transfers: Transfers
    exchanges: dict[str, Exchanges]


def write_report(
    console: Console, options: argparse.Namespace, results: Results, *, facts: dict[str, str]
) -> None:
    """Show every table, and write the report.

    Args:
        console: where to show them.
        options: of the command: `out`, `json`.
        results: what was measured.
        facts: of the machine.
    """
    transfers = results.transfers
    grids = [
        _throughput(transfers),
        _bytes(transfers),
        _calls(results.exchanges),
        _goals(results),
    ]
    for grid in grids:
        grid.show(console)
    path: Path = options.out / "update.md"
    write_markdown(path, title="Update bench", notes=_notes(transfers), grids=grids, facts=facts)
    console.print(f"written: {path}")
    if options.json is not None:
        figures = {**_figures(results), "circumstances": facts}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def percentile(values: Sequence[float], percent: int) -> float:
    """The value this share of all stay within; nan for too few."""
    if len(values) < 2:
        return math.nan
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _throughput(transfers: Transfers) -> Grid:
    ratios = [ours / raw for ours, raw in zip(transfers.box_mb_s, transfers.raw_mb_s, strict=True)]
    return Grid(
        f"Throughput over loopback, release of {transfers.release_bytes / 1e6:.1f} MB",
        ["", "MB/s (rounds)"],
        [
            ["raw mosquitto, the same bytes", spread(transfers.raw_mb_s)],
            ["depot to box, durable on its disk", spread(transfers.box_mb_s)],
            ["ratio within a round", spread(ratios, digits=2)],
        ],
    )


def _bytes(transfers: Transfers) -> Grid:
    middle, largest = summary(transfers.shipped)
    change = transfers.change_bytes / transfers.change_release_bytes
    return Grid(
        "Bytes on the line",
        ["", "bytes", "of the release"],
        [
            [
                f"sent again after a kill -9, the most of {len(transfers.resent_bytes)}",
                f"{max(transfers.resent_bytes):,}",
                f"{max(transfers.resent_bytes) / transfers.release_bytes:.1%}",
            ],
            ["blocks asked for at once", f"{WINDOW_BYTES:,}", ""],
            [
                f"a tenth of {NUM_TENSORS} equal tensors changed",
                f"{transfers.change_bytes:,}",
                f"{change:.1%}",
            ],
            [
                f"the shipped engine, a tenth of its bytes, median of {len(transfers.shipped)}",
                "",
                f"{middle:.1%}",
            ],
            ["the same, the worst", "", f"{largest:.1%}"],
        ],
    )


def _calls(exchanges: dict[str, Exchanges]) -> Grid:
    rows = []
    for form, seen in exchanges.items():
        for when, times_ms in (("normal", seen.normal_ms), ("exchange", seen.swap_ms)):
            rows.append(
                [
                    f"{form}, {when}",
                    f"{len(times_ms):,}",
                    f"{percentile(times_ms, 50):.1f}",
                    f"{percentile(times_ms, 99):.1f}",
                    "" if when == "normal" else f"{sum(seen.failed.values()):,}",
                    "" if when == "normal" else spread(seen.exchange_s, digits=2),
                    "" if when == "normal" else spread(seen.blackout_s, digits=2),
                ]
            )
    columns = ["", "answered", "p50 ms", "p99 ms", "not answered", "exchange s", "blackout s"]
    return Grid(f"Calls while a version takes over, {NUM_CALLERS} callers", columns, rows)


def _goals(results: Results) -> Grid:
    transfers, beside = results.transfers, results.exchanges[BESIDE]
    change = transfers.change_bytes / transfers.change_release_bytes
    slower = percentile(beside.swap_ms, 99) / percentile(beside.normal_ms, 99)
    dropped = sum(beside.failed.values())
    swap = results.exchanges[SWAP].failed
    odd = sum(swap.values()) - swap["UPDATING"]
    resent = max(transfers.resent_bytes)
    rows = [
        _goal(
            "sent again after a kill",
            f"< {WINDOW_BYTES:,} B",
            f"{resent:,} B",
            resent < WINDOW_BYTES,
        ),
        _goal(
            "a tenth of the tensors changed",
            f"< {_MAX_CHANGE:.0%}",
            f"{change:.1%}",
            change < _MAX_CHANGE,
        ),
        _goal(f"{BESIDE}: calls dropped", "0", f"{dropped}", dropped == 0),
        _goal(
            f"{BESIDE}: p99 over normal",
            f"< {_MAX_SLOWER:.1f}",
            f"{slower:.2f}",
            slower < _MAX_SLOWER,
        ),
        _goal(f"{SWAP}: dropped, but for UPDATING", "0", f"{odd}", odd == 0),
    ]
    return Grid("Goals", ["figure", "goal", "measured", ""], rows)


def _goal(what: str, goal: str, measured: str, is_met: bool) -> list[str]:
    return [what, goal, measured, "met" if is_met else "missed"]


def _notes(transfers: Transfers) -> list[str]:
    return [
        "Throughput: a release of equal tensors of random bytes travels from a depot to a box, "
        "each a process of its own, through a mosquitto with the configuration of `skilld "
        "broker-config --development`. Counted from the first request until every blob is checked "
        "against its digests and durable. Raw mosquitto: two processes with a paho client and "
        f"nothing else move as many bytes in the same way: QoS 0, MQTT 5, TCP_NODELAY on all "
        f"sockets, blocks of {update_peer.BLOCK_BYTES >> 10} KiB, {update_peer.IN_FLIGHT} asked "
        "for at once, a SHA-256 over each. It reads no file and writes none, queues nothing and "
        "never asks again. Rounds alternate.",
        "A box that is killed loses what was under way, which is at most what it asks for at once; "
        "counted are blocks of a blob that the depot sent a second time, for one `kill -9` at "
        "another place of the download each time. A change of a tenth of the tensors is counted at "
        "the depot too; for the shipped engine it is counted from the descriptions of releases.",
        f"Calls: a daemon with a shipped engine and {NUM_CALLERS} callers over gRPC who ask again "
        "as soon as they are answered, all on the same processor as the measurement. The exchange "
        "lasts from ACTIVATING (or DRAINING) to TRIAL: load, self-test, switch, unload. In "
        f"`{SWAP}` the configuration leaves no memory for two versions, and callers are told "
        "UPDATING with the time after which to come back; the blackout is the longest time "
        "between two answers.",
    ]


def _figures(results: Results) -> dict[str, Any]:
    transfers = results.transfers
    return {
        "release_bytes": transfers.release_bytes,
        "raw_mb_s": transfers.raw_mb_s,
        "box_mb_s": transfers.box_mb_s,
        "resent_bytes": transfers.resent_bytes,
        "window_bytes": WINDOW_BYTES,
        "change_bytes": transfers.change_bytes,
        "change_release_bytes": transfers.change_release_bytes,
        "shipped_shares": transfers.shipped,
        "exchanges": {
            form: {
                "normal_ms": seen.normal_ms,
                "swap_ms": seen.swap_ms,
                "failed": dict(seen.failed),
                "num_calls": seen.num_calls,
                "exchange_s": seen.exchange_s,
                "blackout_s": seen.blackout_s,
            }
            for form, seen in results.exchanges.items()
        },
    }
