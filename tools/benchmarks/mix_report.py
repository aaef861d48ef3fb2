"""What `mix_bench` says: tables, goals and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.closed_loop import Window, percentile
from benchmarks.report import Grid, spread, write_markdown

_NOTES = [
    "Three models of random weights stay loaded: one in the shape of Qwen2.5-0.5B, two in the "
    "shape of SmolLM2-135M. Twelve clients, four for each model, ask again as soon as they are "
    "answered: 128 tokens of prompt, no two alike, and exactly 32 tokens of answer, greedy, end "
    "tokens ignored. A request counts by the share of its time that lies within the window.",
    "One set of numbers serves everybody. skilld and openvino-genai run the very same graph and "
    "int8 weights, llama.cpp has them in Q8_0. Cache: u8 for the first two, f16 for llama.cpp, its "
    "default. No contender may find a prompt in a cache.",
    "skilld is one daemon, asked over gRPC on a unix socket, text in and text out; llama.cpp is a "
    "server for each model, asked over HTTP on the loopback interface, text in and text out; "
    "openvino-genai is in its own process with token ids in and out, so that it is charged for "
    "no transport and no tokenizer. The clients of the first two share the processor with them.",
    "Settings of the peers were tried beforehand in a short window each, and the one that did "
    "most work runs in the rounds as `tuned`. `defaults` leaves everything to the peer: a server "
    "with no option but the slots that four streams need, a pipeline with no property at all, each "
    "stepped by a thread of its own. They run in the first round only. A request that is still "
    "open some seconds after the window counts as answered then, which flatters who is slow.",
    "Requests of all models together favour a contender that serves small models first. `work` "
    "does not: it is 2 operations per weight for every token, prompts included, and the ratio of "
    "requests/s is also given for each model.",
]


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured.

    Attributes:
        models: names, the largest first.
        work_per_s: of a window, in 1e9 operations per second.
        tuning: `work_per_s` of each setting tried; empty when none was.
        rounds: a window for each contender, ours first.
        goals: peers, of which the best counts, and how many times their requests we want.
    """

    models: Sequence[str]
    work_per_s: Callable[[Window], float]
    tuning: Mapping[str, float]
    rounds: Sequence[Mapping[str, Window]]
    goals: Sequence[tuple[Sequence[str], float]]

    @property
    def contenders(self) -> list[str]:
        """Names, ours first."""
        return list(self.rounds[0])

    def of(self, contender: str, figure: Callable[[Window], float]) -> list[float]:
        """A figure of a contender in every round it ran in."""
        return [figure(windows[contender]) for windows in self.rounds if contender in windows]

    def ratios(self, peer: str, figure: Callable[[Window], float]) -> list[float]:
        """Ours over a peer's within every round the peer ran in."""
        return [
            figure(windows[self.contenders[0]]) / figure(windows[peer])
            for windows in self.rounds
            if peer in windows
        ]

    def latencies_ms(self, contender: str, model: str | None = None) -> list[float]:
        """Of all rounds."""
        return [
            latency
            for windows in self.rounds
            if contender in windows
            for latency in windows[contender].latencies_ms(model=model)
        ]


def write_report(
    console: Console, folder: Path, results: Results, *, facts: dict[str, str]
) -> None:
    """Print the tables and write `mix.md` and `mix.png`."""
    grids = [_rates(results), _latencies(results), _ratios(results), _goals(results)]
    if results.tuning:
        rows = [[setting, f"{rate:.1f}"] for setting, rate in results.tuning.items()]
        grids.append(Grid("Tuning: one short window each", ["setting", "work, 1e9/s"], rows))
    for grid in grids:
        grid.show(console)
    _plot(folder / "mix.png", results)
    write_markdown(
        folder / "mix.md",
        title="Mix bench",
        notes=_NOTES,
        grids=grids,
        facts=facts,
        plot="mix.png",
    )
    console.print(f"written: {folder / 'mix.md'}")


def _requests(window: Window) -> float:
    return window.per_s()


def _requests_of(model: str) -> Callable[[Window], float]:
    return lambda window: window.per_s(model=model)


def _output_tokens(window: Window) -> float:
    return window.per_s(lambda request: request.answer.output_tokens)


def _rates(results: Results) -> Grid:
    return Grid(
        f"Rates: median (min..max) of {len(results.rounds)} rounds",
        ["contender", "requests/s", "output tokens/s", "work, 1e9/s"],
        [
            [
                name,
                spread(results.of(name, _requests), digits=2),
                spread(results.of(name, _output_tokens), digits=1),
                spread(results.of(name, results.work_per_s), digits=1),
            ]
            for name in results.contenders
        ],
    )


def _latencies(results: Results) -> Grid:
    rows = []
    for name in results.contenders:
        every = results.latencies_ms(name)
        by_model = [percentile(results.latencies_ms(name, model), 50) for model in results.models]
        figures = [percentile(every, 50), percentile(every, 99), *by_model]
        given_up = sum(w[name].num_given_up for w in results.rounds if name in w)
        times = [f"{figure / 1e3:.2f}" for figure in figures]
        rows.append([name, *times, str(len(every)), str(given_up)])
    columns = ["contender", "p50", "p99", *(f"p50 {model}" for model in results.models)]
    return Grid("Latency of requests of all rounds, in s", [*columns, "requests", "given up"], rows)


def _ratios(results: Results) -> Grid:
    figures = {
        "requests/s": _requests,
        "work": results.work_per_s,
        **{f"of {model}": _requests_of(model) for model in results.models},
    }
    ours = results.contenders[0]
    rows = []
    for peer in results.contenders[1:]:
        shorter = percentile(results.latencies_ms(peer), 99) / percentile(
            results.latencies_ms(ours), 99
        )
        cells = [spread(results.ratios(peer, figure), digits=2) for figure in figures.values()]
        rows.append([f"{ours} / {peer}", *cells, f"{shorter:.2f}"])
    columns = ["ratio", *figures, "p99 shorter"]
    return Grid("Ratios within a round: median (min..max)", columns, rows)


def _goals(results: Results) -> Grid:
    rows = []
    for peers, goal in results.goals:
        best = max(peers, key=lambda peer: statistics.median(results.of(peer, _requests)))
        for title, figure in (("requests/s", _requests), ("work", results.work_per_s)):
            measured = statistics.median(results.ratios(best, figure))
            verdict = "met" if measured >= goal else "missed"
            rows.append(
                [
                    f"{results.contenders[0]} / {best}, {title}",
                    f">= {goal:.2f}",
                    f"{measured:.2f}",
                    verdict,
                ]
            )
    return Grid("Goals, against the best of each peer", ["ratio", "goal", "measured", ""], rows)


def _plot(path: Path, results: Results) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = results.contenders
    figure, (rates, times) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    bottom = [0.0] * len(names)
    for model in results.models:
        values = [statistics.median(results.of(name, _requests_of(model))) for name in names]
        rates.bar(names, values, bottom=bottom, label=model)
        bottom = [a + b for a, b in zip(bottom, values, strict=True)]
    rates.set_ylabel("requests/s, median of rounds")
    rates.legend(frameon=False, loc="upper right")
    for name in names:
        latencies = sorted(results.latencies_ms(name))
        shares = [(index + 1) / len(latencies) for index in range(len(latencies))]
        times.plot([latency / 1e3 for latency in latencies], shares, label=name)
    times.set_xlabel("latency of a request, s")
    times.set_ylabel("share of requests answered within")
    times.set_ylim(0, 1)
    times.set_xlim(left=0)
    times.legend(frameon=False)
    for panel in (rates, times):
        panel.spines[["top", "right"]].set_visible(False)
    rates.set_xticks(range(len(names)), [name.replace(", ", "\n") for name in names], fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
