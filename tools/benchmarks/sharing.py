"""`simulate`: the scheduler under bursts, in virtual time, on engines that are only costs.

The scheduler is the daemon's own, and so are its ledger and cache accounts. What an engine adds
is the time a step takes, and that comes from its fitted cost model. A minute of traffic takes a
second, so many budgets, splits and rates can be tried.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.arrivals import Arrival, Traffic
from skilld.core.errors import DeadlineError, SkilldError
from skilld.core.request import Request, RequestClass
from skilld.kvcache import CacheGeometry, KvLedger
from skilld.scheduler import CostModel, EngineLimits, Scheduler

IN_TIME = 0.99
CONTEXT_TOKENS = 4096
_AT_ONCE_S = 0.02  # a refusal this soon after arrival leaves the caller all its time
_VOCABULARY = 1000


@dataclass(frozen=True, slots=True)
class ResidentCost:
    """An engine as the scheduler sees it.

    Attributes:
        name: of the engine.
        block_tokens: tokens per cache block.
        block_bytes: of one cache block.
        coefficients: of its cost model, in milliseconds.
    """

    name: str
    block_tokens: int
    block_bytes: int
    coefficients: tuple[float, float, float, float]

    def bytes_for(self, num_tokens: int) -> int:
        """Of a sequence that shares nothing."""
        return -(-num_tokens // self.block_tokens) * self.block_bytes

    def unloaded_ms(self, prompt_tokens: int, output_tokens: int) -> float:
        """Of a call that has the box for itself, nothing of its prompt known."""
        cost = CostModel(self.coefficients, is_fixed=True)
        decodes = sum(
            cost.predict_ms(1, 1, prompt_tokens + done) for done in range(1, output_tokens)
        )
        return cost.predict_ms(1, prompt_tokens, 0) + decodes


@dataclass(frozen=True, slots=True)
class Split:
    """How the budget is dealt out.

    Attributes:
        budget_bytes: of all engines together.
        bounds: least and most bytes of each engine.
    """

    budget_bytes: int
    bounds: tuple[tuple[int, int], ...]

    @classmethod
    def shared(cls, budget_bytes: int, num_engines: int) -> Split:
        """Any engine may hold all of it."""
        return cls(budget_bytes, ((0, budget_bytes),) * num_engines)

    @classmethod
    def static(cls, budget_bytes: int, parts: Sequence[float]) -> Split:
        """Each engine has its part, and never more."""
        shares = [int(budget_bytes * part / sum(parts)) for part in parts]
        return cls(budget_bytes, tuple((share, share) for share in shares))


@dataclass(slots=True)
class Tally:
    """What became of the calls.

    Attributes:
        num_calls: that arrived.
        latencies_ms: of those answered in time.
        refused_at_once: told so on arrival that they cannot be done in time.
        refused_later: told so after waiting for cache memory.
        missed: admitted, and not done by their deadline.
    """

    num_calls: int
    latencies_ms: list[float] = field(default_factory=list)
    refused_at_once: int = 0
    refused_later: int = 0
    missed: int = 0

    @property
    def num_failed(self) -> int:
        """Calls refused or late."""
        return self.refused_at_once + self.refused_later + self.missed

    @property
    def in_time(self) -> float:
        """Share of all calls answered by their deadline."""
        return len(self.latencies_ms) / self.num_calls

    def percentile_ms(self, percent: int) -> float:
        """Latency that this share of the answered calls stayed within."""
        if len(self.latencies_ms) < 2:
            return math.nan
        return statistics.quantiles(self.latencies_ms, n=100, method="inclusive")[percent - 1]

    def book_answer(self, latency_s: float, *, is_late: bool) -> None:
        """Count an answer."""
        if is_late:
            self.missed += 1
        else:
            self.latencies_ms.append(latency_s * 1e3)

    def book_error(self, error: SkilldError, waited_s: float) -> None:
        """Count a call that ended with an error."""
        if isinstance(error, DeadlineError) and error.metadata.get("where") == "while running":
            self.missed += 1
        elif waited_s < _AT_ONCE_S:
            self.refused_at_once += 1
        else:
            self.refused_later += 1

    def add(self, other: Tally) -> None:
        """Count the calls of another run too."""
        self.num_calls += other.num_calls
        self.latencies_ms += other.latencies_ms
        self.refused_at_once += other.refused_at_once
        self.refused_later += other.refused_later
        self.missed += other.missed


@dataclass(frozen=True, slots=True)
class Bench:
    """What all contenders have in common.

    Attributes:
        engines: resident together.
        traffic: that they meet.
        patience: a deadline is this many times the unloaded time of a call.
        max_sequences: most rows of one batch.
    """

    engines: tuple[ResidentCost, ...]
    traffic: Traffic
    patience: float
    max_sequences: int = 16

    def ledger(self, split: Split) -> KvLedger:
        """A new ledger with an account for every engine."""
        ledger = KvLedger(split.budget_bytes)
        for engine, (least, most) in zip(self.engines, split.bounds, strict=True):
            ledger.open_account(engine.name, min_bytes=least, max_bytes=most)
        return ledger

    def limits(self, engine: ResidentCost, budget_bytes: int) -> EngineLimits:
        """Of one engine, bounds of queues out of the way."""
        geometry = CacheGeometry(
            block_tokens=engine.block_tokens,
            block_bytes=engine.block_bytes,
            num_blocks=max(1, budget_bytes // engine.block_bytes),
        )
        return EngineLimits(
            geometry=geometry,
            context_limit=CONTEXT_TOKENS,
            max_num_seqs=self.max_sequences,
            max_queued=1 << 20,
            max_queued_per_client=1 << 20,
        )

    @property
    def longest_patience_s(self) -> float:
        """From the arrival of the longest call to its deadline."""
        longest = self.traffic.prompt_tokens[1], self.traffic.output_tokens[1]
        return self.patience * max(engine.unloaded_ms(*longest) for engine in self.engines) / 1e3

    def request(self, number: int, arrival: Arrival, *, start_s: float = 0.0) -> Request:
        """The call as the service would hand it over.

        The caller knows the limit of tokens, and not how many there will be.
        """
        engine = self.engines[arrival.engine]
        max_tokens = self.traffic.output_tokens[1]
        own_tokens = arrival.prompt_tokens - self.traffic.shared_tokens
        prompt = [1] * self.traffic.shared_tokens
        prompt += [2 + (number * 7919 + i * 31) % _VOCABULARY for i in range(own_tokens)]
        limit_s = self.patience * engine.unloaded_ms(arrival.prompt_tokens, max_tokens) / 1e3
        arrival_s = start_s + arrival.time_s
        return Request(
            f"{number}",
            engine.name,
            prompt,
            max_tokens,
            request_class=RequestClass.DEADLINE,
            arrival_s=arrival_s,
            deadline_s=arrival_s + limit_s,
        )


def simulate(
    bench: Bench, split: Split, arrivals: Sequence[Arrival], *, to_the_end: bool = True
) -> Tally:
    """Run the calls through the scheduler, on a clock that only steps move.

    Args:
        bench: engines and traffic.
        split: of the budget.
        arrivals: the calls.
        to_the_end: False stops once too many calls have failed for the rest to make up for it.
    """
    scheduler = Scheduler(bench.ledger(split))
    costs = {e.name: CostModel(e.coefficients, is_fixed=True) for e in bench.engines}
    for engine in bench.engines:
        limits = bench.limits(engine, split.budget_bytes)
        scheduler.add_engine(engine.name, limits, costs[engine.name])
    tally = Tally(len(arrivals))
    requests: dict[str, tuple[Request, int]] = {}
    now_s = 0.0
    next_call = 0
    most_failed = len(arrivals) if to_the_end else (1.0 - IN_TIME) * len(arrivals)
    while True:
        if tally.num_failed > most_failed:
            return tally
        while next_call < len(arrivals) and arrivals[next_call].time_s <= now_s:
            arrival = arrivals[next_call]
            request = bench.request(next_call, arrival)
            next_call += 1
            try:
                scheduler.add(request)
            except SkilldError as error:
                tally.book_error(error, now_s - arrival.time_s)
                continue
            requests[request.request_id] = request, arrival.output_tokens
        batch, ended = scheduler.schedule(now_s)
        for finished in ended:
            del requests[finished.request.request_id]
            tally.book_error(finished.error, now_s - finished.request.arrival_s)
        if batch is None:
            if next_call == len(arrivals):
                assert not requests, "calls are left and none can run"
                return tally
            now_s = max(now_s, arrivals[next_call].time_s)
            continue
        cached = sum(row.past_len for row in batch.rows)
        step_ms = costs[batch.engine].predict_ms(len(batch.rows), batch.num_new_tokens, cached)
        now_s += step_ms / 1e3
        chosen = [row.request_id for row in batch.rows if row.num_logits]
        scheduler.update(
            batch, step_ms=step_ms, new_tokens=dict.fromkeys(chosen, (0,)), now_s=now_s
        )
        for request_id in chosen:
            request, output_tokens = requests[request_id]
            if request.num_generated_tokens == output_tokens:
                del requests[request_id]
                scheduler.finish(request)
                assert request.deadline_s is not None
                tally.book_answer(now_s - request.arrival_s, is_late=now_s > request.deadline_s)


def highest_rate(
    is_in_time: Callable[[float], bool], *, low: float, high: float, precision: float = 0.02
) -> float:
    """The highest rate that is served in time, by bisection.

    Args:
        is_in_time: tries a rate, in calls per second.
        low: to start from; lowered while it fails.
        high: never tried beyond.
        precision: relative, of the result.
    """
    while not is_in_time(low):
        high, low = low, low / 2
        if low < 1e-3:
            return 0.0
    while low * 2 < high and is_in_time(low * 2):
        low *= 2
    high = min(high, low * 2)
    while high / low > 1 + precision:
        middle = math.sqrt(low * high)
        if is_in_time(middle):
            low = middle
        else:
            high = middle
    return low
