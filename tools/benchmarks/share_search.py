"""What rates each way of dealing out the memory can serve, tried in virtual time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.arrivals import bursts
from benchmarks.sharing import IN_TIME, Bench, Split, Tally, highest_rate, simulate

_PARTS = 12  # a static split is searched among multiples of a twelfth of the budget
_WORTH_TRYING = 1.03
_MAX_RATE_PER_S = 2000.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to look.

    Attributes:
        num_slots: of traffic per seed.
        num_seeds: pooled into one figure.
        precision: relative, of a rate.
    """

    num_slots: int
    num_seeds: int
    precision: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A way of dealing out the memory, and what to find out about it.

    Attributes:
        name: of the contender.
        bench: engines and traffic.
        split: of the budget; None for the best static one.
        budget_bytes: of all engines together.
        effort: how long to look.
    """

    name: str
    bench: Bench
    split: Split | None
    budget_bytes: int
    effort: Effort


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a trial.

    Attributes:
        trial: the question.
        split: the one that was asked for, or the best static one.
        rate_per_s: highest rate with 99 % of the calls in time.
        tally: at that rate.
    """

    trial: Trial
    split: Split
    rate_per_s: float
    tally: Tally


def find(trial: Trial) -> Found:
    """Answer a trial; takes seconds to a minute of one core."""
    split = trial.split or best_static(trial.bench, trial.budget_bytes, trial.effort)
    seeds = range(1, trial.effort.num_seeds + 1)
    rate = _highest(trial.bench, split, trial.effort, seeds=seeds, low=_first_guess(trial.bench))
    tally = _tally(trial.bench, split, rate, trial.effort, seeds=seeds, to_the_end=True)
    return Found(trial, split, rate, tally)


def best_static(bench: Bench, budget_bytes: int, effort: Effort) -> Split:
    """The static split that serves the highest rate, on traffic that is used for nothing else.

    Engines that need as much cache per token get parts of one size.
    """
    seeds = (1000,)
    needs = [engine.block_bytes for engine in bench.engines]
    kinds = sorted(set(needs))
    guess = Split.static(budget_bytes, [1.0] * len(bench.engines))
    best, best_rate = guess, 0.0
    if fits(bench, guess):
        best_rate = _highest(bench, guess, effort, seeds=seeds, low=_first_guess(bench))
    for parts in _partitions(_PARTS, len(kinds)):
        part_of = dict(zip(kinds, parts, strict=True))
        split = Split.static(budget_bytes, [part_of[need] / needs.count(need) for need in needs])
        if not fits(bench, split):
            continue
        rate = max(best_rate * _WORTH_TRYING, 1e-2)
        if _is_in_time(_tally(bench, split, rate, effort, seeds=seeds, to_the_end=False)):
            best, best_rate = split, _highest(bench, split, effort, seeds=seeds, low=rate)
    return best


def fits(bench: Bench, split: Split) -> bool:
    """Whether every engine may hold its longest call."""
    longest = bench.traffic.prompt_tokens[1] + bench.traffic.output_tokens[1]
    return all(
        most >= engine.bytes_for(longest)
        for engine, (_, most) in zip(bench.engines, split.bounds, strict=True)
    )


def correlated(bench: Bench, correlation: float) -> Bench:
    """The same engines under bursts that coincide more or less."""
    return replace(bench, traffic=replace(bench.traffic, correlation=correlation))


def _highest(
    bench: Bench, split: Split, effort: Effort, *, seeds: Sequence[int], low: float
) -> float:
    return highest_rate(
        lambda rate: _is_in_time(_tally(bench, split, rate, effort, seeds=seeds, to_the_end=False)),
        low=low,
        high=_MAX_RATE_PER_S,
        precision=effort.precision,
    )


def _tally(
    bench: Bench,
    split: Split,
    rate_per_s: float,
    effort: Effort,
    *,
    seeds: Sequence[int],
    to_the_end: bool,
) -> Tally:
    """All seeds pooled, as one stretch of traffic after the other with a pause between."""
    pause_slots = math.ceil(2 * bench.longest_patience_s / bench.traffic.slot_s)
    arrivals = []
    for index, seed in enumerate(seeds):
        later_s = index * (effort.num_slots + pause_slots) * bench.traffic.slot_s
        some = bursts(bench.traffic, rate_per_s=rate_per_s, num_slots=effort.num_slots, seed=seed)
        arrivals += [replace(arrival, time_s=arrival.time_s + later_s) for arrival in some]
    return simulate(bench, split, arrivals, to_the_end=to_the_end)


def _is_in_time(tally: Tally) -> bool:
    # A run that was cut short has not answered the rest.
    return tally.in_time >= IN_TIME


def _first_guess(bench: Bench) -> float:
    """A rate that leaves the device mostly idle: one call at a time, a quarter of the time."""
    calls_ms = [
        engine.unloaded_ms(bench.traffic.prompt_tokens[0], bench.traffic.output_tokens[1])
        for engine in bench.engines
    ]
    return 0.25 * 1e3 * len(calls_ms) / sum(calls_ms)


def _partitions(total: int, count: int) -> Iterator[tuple[int, ...]]:
    """All ways to write `total` as `count` positive numbers."""
    if count == 1:
        yield (total,)
        return
    for first in range(1, total - count + 2):
        for rest in _partitions(total - first, count - 1):
            yield (first, *rest)
