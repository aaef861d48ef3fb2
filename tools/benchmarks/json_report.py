"""What `json_bench` says: tables, goals and a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.closed_loop import Answer, Window, percentile
from benchmarks.report import Grid, spread, write_markdown

OURS = "skilld"
GUIDED = "llama-server, json_schema"
PLAIN = "llama-server, its grammar, no spaces"
UNBOUND = "llama-server, no schema"
_GOALS = {1: 2.0, 8: 4.0}
_NOTES = [
    "One model of random weights in the shape of Qwen2.5-0.5B: int8 for skilld, Q8_0 for "
    "llama.cpp. The prompt has about 150 tokens, the first 125 the same in every call; both "
    "sides may keep those in a cache. The answer is a record of seven fields: a code by pattern, "
    "three enumerations, a number, a boolean, and a name of 12 to 16 characters; at most 128 "
    "tokens, greedy. Clients ask again as soon as they are answered, skilld over gRPC on a unix "
    "socket, llama.cpp over HTTP on the loopback interface, and share the processor with the "
    "servers. An answer counts by the share of its time that lies within the window; one that is "
    "not there some seconds after the window counts as answered then, which flatters the slow.",
    "`json_schema` is what a user of llama.cpp would send. Random weights make it look worse than "
    "it is, in three ways: its grammar admits white space between the parts of an answer, and "
    "random weights use it; its greedy choice spells keys in more tokens than needed, where we "
    "feed the tokens the tokenizer gives; and a first choice hardly ever fits the grammar, so that "
    "every token pays for a mask over the whole vocabulary, while with a trained model few do.",
    "So there are two more: `its grammar, no spaces` is the grammar the server makes of the "
    "schema, with the rule for white space emptied. `no schema` decodes freely as many tokens as "
    "one of our answers has: what llama.cpp would take if the model were perfect and the schema "
    "cost nothing. No trained model can make llama.cpp faster than that.",
]


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured.

    Attributes:
        clients: numbers of them.
        rounds: a window by contender and number of clients, ours first.
    """

    clients: Sequence[int]
    rounds: Sequence[Mapping[tuple[str, int], Window]]

    @property
    def contenders(self) -> list[str]:
        """Names, ours first."""
        return list(dict.fromkeys(name for name, _ in self.rounds[0]))

    def rates(self, name: str, clients: int) -> list[float]:
        """Answers per second of every round."""
        return [windows[name, clients].per_s() for windows in self.rounds]

    def latencies_ms(self, name: str, clients: int) -> list[float]:
        """Of all rounds."""
        return [ms for windows in self.rounds for ms in windows[name, clients].latencies_ms()]

    def mean(self, name: str, clients: int, amount: Callable[[Answer], float]) -> float:
        """Over the answers of all rounds; nan when there were none."""
        amounts = [
            amount(request.answer)
            for windows in self.rounds
            for request in windows[name, clients].served
            if request.is_answered
        ]
        return statistics.fmean(amounts) if amounts else math.nan

    def ratios(self, peer: str, clients: int) -> list[float]:
        """Our answers per second over a peer's, within every round."""
        both = zip(self.rates(OURS, clients), self.rates(peer, clients), strict=True)
        return [ours / theirs for ours, theirs in both]


def write_report(
    console: Console, folder: Path, results: Results, *, facts: dict[str, str]
) -> None:
    """Print the tables and write `json.md` and `json.png`."""
    grids = [_speeds(results), _answers(results)]
    if len(results.contenders) > 1:
        grids += [_ratios(results), _goals(results)]
    for grid in grids:
        grid.show(console)
    _plot(folder / "json.png", results)
    write_markdown(
        folder / "json.md",
        title="JSON bench",
        notes=_NOTES,
        grids=grids,
        facts=facts,
        plot="json.png",
    )
    console.print(f"written: {folder / 'json.md'}")


def _cases(results: Results) -> list[tuple[str, int]]:
    return [(name, clients) for clients in results.clients for name in results.contenders]


def _speeds(results: Results) -> Grid:
    rows = []
    for name, clients in _cases(results):
        latencies = results.latencies_ms(name, clients)
        rows.append(
            [
                name,
                str(clients),
                spread(results.rates(name, clients), digits=2),
                f"{percentile(latencies, 50):,.0f}",
                f"{percentile(latencies, 99):,.0f}",
                str(len(latencies)),
                str(sum(windows[name, clients].num_given_up for windows in results.rounds)),
            ]
        )
    columns = [
        "contender",
        "clients",
        "answers/s (min..max)",
        "p50 ms",
        "p99 ms",
        "calls",
        "given up",
    ]
    return Grid(f"Rate and latency, {len(results.rounds)} rounds", columns, rows)


def _answers(results: Results) -> Grid:
    rows = []
    for name, clients in _cases(results):
        tokens = results.mean(name, clients, lambda answer: answer.output_tokens)
        chars = results.mean(name, clients, lambda answer: answer.output_chars)
        latency_ms = statistics.fmean(results.latencies_ms(name, clients))
        rows.append(
            [
                name,
                str(clients),
                f"{results.mean(name, clients, lambda answer: answer.prompt_tokens):.0f}",
                f"{tokens:.1f}",
                f"{results.mean(name, clients, lambda answer: answer.forced_tokens):.1f}",
                f"{results.mean(name, clients, lambda answer: answer.num_steps):.1f}",
                "-" if name == UNBOUND else f"{chars:.0f}",
                f"{latency_ms / tokens:.1f}",
                "-" if name == UNBOUND else f"{latency_ms / chars:.1f}",
            ]
        )
    columns = ["contender", "clients", "prompt", "tokens", "forced", "steps", "chars"]
    return Grid("Answers, means", [*columns, "ms/token", "ms/char"], rows)


def _ratios(results: Results) -> Grid:
    rows = []
    for clients in results.clients:
        ours = results.mean(OURS, clients, lambda answer: answer.output_tokens)
        for peer in results.contenders[1:]:
            theirs = results.mean(peer, clients, lambda answer: answer.output_tokens)
            ratios = results.ratios(peer, clients)
            rows.append(
                [
                    f"{OURS} / {peer}",
                    str(clients),
                    spread(ratios, digits=2),
                    f"{statistics.median(ratios) * ours / theirs:.2f}",
                ]
            )
    columns = ["ratio", "clients", "answers/s (min..max)", "per token"]
    return Grid("Ratios within a round; per token: were their answers as short", columns, rows)


def _goals(results: Results) -> Grid:
    rows = []
    for clients in results.clients:
        if (goal := _GOALS.get(clients)) is None:
            continue
        best = max(
            (GUIDED, PLAIN), key=lambda peer: statistics.median(results.rates(peer, clients))
        )
        for peer in (best, UNBOUND):
            measured = statistics.median(results.ratios(peer, clients))
            verdict = "met" if measured >= goal else "missed"
            rows.append(
                [f"{OURS} / {peer}", str(clients), f">= {goal:.1f}", f"{measured:.2f}", verdict]
            )
    title = "Goals, against the better of the two with a schema, and against none"
    return Grid(title, ["ratio", "clients", "goal", "measured", ""], rows)


def _plot(path: Path, results: Results) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(results.clients), figsize=(12, 4), layout="constrained", squeeze=False
    )
    for panel, clients in zip(panels[0], results.clients, strict=True):
        every = [results.rates(name, clients) for name in results.contenders]
        middle = [statistics.median(rates) for rates in every]
        reach = [
            [m - min(rates) for m, rates in zip(middle, every, strict=True)],
            [max(rates) - m for m, rates in zip(middle, every, strict=True)],
        ]
        names = [name.replace(", ", "\n") for name in results.contenders]
        panel.bar(names, middle, yerr=reach, capsize=3)
        panel.set_title(f"{clients} client{'s' if clients > 1 else ''}")
        panel.set_ylabel("answers/s, median; whiskers: min to max")
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
