"""The report of `overhead_bench`: tables, a plot, and the names of the kinds of calls."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.report import Grid, spread, write_markdown

HEALTH, TEXT, JSON = "health check", "one token", "JSON answer"
LOOP, MQTT_TEXT, MQTT_JSON = "broker and back", "one token, MQTT", "JSON answer, MQTT"
_GOALS_P50_MS = {TEXT: 1.0, MQTT_TEXT: 2.0}
_OVER_MQTT = (LOOP, MQTT_TEXT, MQTT_JSON)


@dataclass(slots=True)
class Series:
    """What the calls of one kind took.

    Attributes:
        latencies_ms: of calls one after the other, per round.
        rates: calls per second of every round, by how they were made.
        daemon_us: processor time of the daemon per call, of every round, likewise.
    """

    latencies_ms: list[list[float]] = field(default_factory=list)
    rates: dict[str, list[float]] = field(default_factory=dict)
    daemon_us: dict[str, list[float]] = field(default_factory=dict)

    def percentile_ms(self, percent: int) -> float:
        """Latency that this share of all calls stayed within."""
        every = [latency for latencies in self.latencies_ms for latency in latencies]
        return statistics.quantiles(every, n=100, method="inclusive")[percent - 1]


Results = dict[str, Series]
Stages = dict[str, dict[str, float]]


def write_report(
    console: Console,
    options: argparse.Namespace,
    results: Results,
    *,
    stages: Stages,
    tables: str,
    facts: dict[str, str],
) -> None:
    """Show every table and write the report.

    Args:
        console: where to show them.
        options: of the command: `out`, `json`.
        results: what calls took, by kind.
        stages: where the time goes, in microseconds.
        tables: of the profiler; "" for none.
        facts: of the machine.
    """
    grids = [_latency_grid(results), _rate_grid(results), _stage_grid(stages), _goal_grid(results)]
    for grid in grids:
        grid.show(console)
    if tables:
        console.print(tables, markup=False, highlight=False)
    _plot(options.out / "overhead.png", results, stages)
    notes = [
        "Calls through the whole daemon, over a unix socket, on an engine that answers from a "
        "script: what is left is what skilld adds to a call. The floor is a health check on the "
        "same server. `one token`: free text, a prompt of 2 tokens, one step. `JSON answer`: the "
        "tokenizer of a shipped engine, an output schema of six fields, 18 tokens of which the "
        "schema forces some. Calls one at a time come from a blocking client, the others from "
        "one asyncio client; it is a process of its own, on the same processor, and often the "
        "slower of the two.",
        "Calls over MQTT go through a mosquitto on the same machine, with the configuration that "
        "`skilld broker-config --development` writes, at QoS 1, from a blocking client. Their "
        "floor is a message that the client sends to itself through the broker: half the way.",
        "Where the time goes was measured in a run of its own, with a clock at every point.",
    ]
    if tables:
        notes.append(f"What both threads spend their time in:\n\n```\n{tables.strip()}\n```")
    write_markdown(
        options.out / "overhead.md",
        title="Overhead bench",
        notes=notes,
        grids=grids,
        facts=facts,
        plot="overhead.png",
    )
    console.print(f"written: {options.out / 'overhead.md'}")
    if options.json is not None:
        content = {
            "facts": facts,
            "calls": {
                name: {
                    "latencies_ms": series.latencies_ms,
                    "calls_per_s": series.rates,
                    "daemon_us": series.daemon_us,
                }
                for name, series in results.items()
            },
            "stages_us": stages,
        }
        options.json.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _latency_grid(results: Results) -> Grid:
    rows = []
    for name, series in results.items():
        floor_ms = results[LOOP if name in _OVER_MQTT else HEALTH].percentile_ms(50)
        medians = [statistics.median(latencies) for latencies in series.latencies_ms]
        rows.append(
            [
                name,
                spread(medians, digits=2),
                f"{series.percentile_ms(90):.2f}",
                f"{series.percentile_ms(99):.2f}",
                f"{series.percentile_ms(50) - floor_ms:.2f}",
            ]
        )
    columns = ["call", "p50 ms (rounds)", "p90 ms", "p99 ms", "p50 above the floor, ms"]
    return Grid("Latency, one connection, one call at a time", columns, rows)


def _rate_grid(results: Results) -> Grid:
    rows = [
        [f"{name}, {way}", spread(series.rates[way]), spread(series.daemon_us[way])]
        for name, series in results.items()
        for way in series.rates
    ]
    return Grid("Calls per second", ["call", "calls/s", "daemon, CPU us per call"], rows)


def _stage_grid(stages: Stages) -> Grid:
    rows = [[stage, *(f"{stages[name][stage]:.0f}" for name in stages)] for stage in stages[TEXT]]
    return Grid("Where the time goes, medians", ["stage", *(f"{n}, us" for n in stages)], rows)


def _goal_grid(results: Results) -> Grid:
    rows = []
    for name, goal_ms in _GOALS_P50_MS.items():
        if name in results:
            measured = results[name].percentile_ms(50)
            verdict = "met" if measured < goal_ms else "missed"
            rows.append([f"{name}, p50 ms", f"< {goal_ms:.2f}", f"{measured:.2f}", verdict])
    return Grid("Goals", ["figure", "goal", "measured", ""], rows)


def _plot(path: Path, results: Results, stages: Stages) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    for name, series in results.items():
        latencies = sorted(latency for round_ms in series.latencies_ms for latency in round_ms)
        shares = [(index + 1) / len(latencies) for index in range(len(latencies))]
        left.plot(latencies, shares, label=name)
    for goal_ms in _GOALS_P50_MS.values():
        left.axvline(goal_ms, color="lightgrey", linewidth=0.8, zorder=0)
    left.set_xlim(0, max(series.percentile_ms(99) for series in results.values()) * 1.1)
    left.set_ylim(0, 1)
    left.set_xlabel("latency of a call, ms")
    left.set_ylabel("share of calls answered within")
    left.legend(frameon=False)
    names = list(stages)
    bottoms = [0.0] * len(names)
    for stage in reversed(stages[TEXT]):
        heights = [stages[name][stage] for name in names]
        right.bar(names, heights, bottom=bottoms, label=stage, width=0.5)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]
    right.set_ylabel("microseconds of a call")
    _legend_upwards(right)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _legend_upwards(panel: Any) -> None:  # Any: matplotlib has no types
    """A legend in the order of the bars, from the top down."""
    handles: Sequence[Any]
    handles, labels = panel.get_legend_handles_labels()
    panel.legend(
        handles[::-1],
        labels[::-1],
        frameon=False,
        fontsize=8,
        loc="upper left",
        bbox_to_anchor=(1, 1),
    )
