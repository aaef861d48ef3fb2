"""`Lane`: everything the scheduler keeps of one engine, and the batch it would run next."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from skilld.core.batch import Batch, Row
from skilld.core.request import Request, RequestClass
from skilld.kvcache import CacheGeometry, EngineCache, Holding
from skilld.scheduler.cost_model import CostModel
from skilld.scheduler.feasibility import MIN_CHUNK_TOKENS, Demand, Pace
from skilld.scheduler.request_queue import RequestQueue

_EWMA_WEIGHT = 0.1
_MIN_BOUND_STEPS = 4
_ROUNDING_MS = 1e-6  # a sum of costs may not equal the cost of the sum to the last bit


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the scheduler must know about an engine.

    Attributes:
        geometry: of its cache.
        context_limit: most tokens of one sequence.
        max_num_seqs: most rows of one batch.
        max_num_batched_tokens: most new tokens of one batch.
        max_queued: most waiting requests.
        max_queued_per_client: most waiting requests of one client.
        weight: share of device time, relative to other engines.
    """

    geometry: CacheGeometry
    context_limit: int
    max_num_seqs: int = 16
    max_num_batched_tokens: int = 512
    max_queued: int = 256
    max_queued_per_client: int = 64
    weight: float = 1.0


@dataclass(slots=True, eq=False)
class Running:
    """An admitted request.

    Attributes:
        request: what was asked.
        holding: what it holds of the cache.
        order: counts admissions; the newest has the largest.
        request_class: what it counts as; batch work that waited long counts as interactive.
        last_step_s: when it took part in a step last; its admission before that.
        num_steps: that chose tokens of it.
    """

    request: Request
    holding: Holding
    order: int
    request_class: RequestClass
    last_step_s: float
    num_steps: int = 0


@dataclass(slots=True)
class LaneFigures:
    """What happened in a lane so far; counts."""

    num_deadline_refusals: int = 0
    num_deadline_misses: int = 0
    num_preemptions: int = 0
    num_recomputed_tokens: int = 0
    num_prompt_tokens: int = 0
    num_prefix_tokens: int = 0
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0


@dataclass(slots=True, eq=False)
class Lane:
    """See the module docstring.

    Attributes:
        engine: its name.
        limits: of the engine.
        cache: of the engine.
        cost: of its steps.
        queue: requests that wait.
        running: admitted requests by id, oldest first.
        virtual_ms: device time used, divided by weight; lifted when an idle engine gets work.
        device_ms: device time used.
        step_ms: recent average.
        planned: rows, new tokens and cached tokens of the batch composed last.
    """

    engine: str
    limits: EngineLimits
    cache: EngineCache
    cost: CostModel
    queue: RequestQueue
    running: dict[str, Running] = field(default_factory=dict)
    virtual_ms: float = 0.0
    device_ms: float = 0.0
    step_ms: float = 0.0
    planned: tuple[int, int, int] = (0, 0, 0)
    figures: LaneFigures = field(default_factory=LaneFigures)
    _is_short: bool = False  # somebody was left out of the last batch

    def num_of_class(self, request_class: RequestClass) -> int:
        """Admitted requests that count as this class."""
        return sum(run.request_class is request_class for run in self.running.values())

    def held_bytes(self, run: Running) -> int:
        """Cache bytes of a request."""
        geometry = self.limits.geometry
        return (
            len(run.holding.block_ids) * geometry.block_bytes
            + len(run.holding.state_block_ids) * geometry.state_block_bytes
        )

    def has_seat(self, request_class: RequestClass) -> bool:
        """Whether one more request may run; batch work makes way for all other."""
        if len(self.running) < self.limits.max_num_seqs:
            return True
        return request_class is not RequestClass.BATCH and any(
            not run.holding.firm for run in self.running.values()
        )

    def standing(self, now_s: float, aging_s: float) -> RequestClass:
        """The best class among admitted requests; work left alone for long counts as better."""
        for run in self.running.values():
            if run.request_class is not RequestClass.BATCH or now_s - run.last_step_s >= aging_s:
                return RequestClass.INTERACTIVE
        return RequestClass.BATCH

    def bound_ms(self, step_bound_ms: float) -> float:
        """How long a step of this engine may be: a few of its smallest steps at least.

        A prefill cut to less would spend most of its time on what every step costs.
        """
        return max(step_bound_ms, _MIN_BOUND_STEPS * self.cost.bound_ms(1, 1, 0))

    def pace(self, step_bound_ms: float) -> Pace:
        """For `finish_times_s`."""
        return Pace(self.cost, self.bound_ms(step_bound_ms), self.limits.max_num_batched_tokens)

    def least_ms(self) -> float:
        """The smallest step that makes progress takes no longer, whoever's it is."""
        cached = max((run.request.num_computed_tokens for run in self.running.values()), default=0)
        return self.cost.bound_ms(1, 1, cached)

    def deadline_step_ms(self, step_bound_ms: float, *, in_lockstep: bool) -> float:
        """Of the step that the plan asks for, and nothing else in it."""
        runs = [r for r in self.running.values() if r.request_class is RequestClass.DEADLINE]
        if not in_lockstep:
            runs = [min(runs, key=_deadline_s)]
        tokens = sum(len(r.request.tokens) - r.request.num_computed_tokens for r in runs)
        cached = sum(r.request.num_computed_tokens for r in runs)
        tokens = min(tokens, self.limits.max_num_batched_tokens)
        return min(self.cost.bound_ms(len(runs), tokens, cached), self.bound_ms(step_bound_ms))

    def demand_of(self, request: Request, *, num_steps: int, known_tokens: int) -> Demand:
        """What a request still needs.

        Args:
            request: running or waiting.
            num_steps: that chose tokens of it already.
            known_tokens: leading tokens it need not compute.
        """
        expected_tokens = request.expected_tokens or request.max_tokens
        expected_steps = min(request.expected_steps or expected_tokens, expected_tokens)
        tokens = max(1, expected_tokens - request.num_generated_tokens)
        pending = len(request.tokens) - known_tokens
        # The last pending token is computed by the step that chooses the next one.
        return Demand(
            engine=self.engine,
            deadline_s=request.deadline_s or 0.0,
            prefill_tokens=max(0, pending - 1),
            steps=max(1, min(expected_steps - num_steps, tokens)),
            tokens=tokens,
            cached_tokens=len(request.tokens) + tokens,
        )

    def compose(
        self, limit_ms: float, *, aged_since_s: float = -math.inf, in_lockstep: bool = True
    ) -> Batch:
        """The next batch: what is urgent first, decodes before prefills, within a time limit.

        Args:
            limit_ms: the batch is predicted not to take longer, unless it is one row of one
                token, which is as little as can be done.
            aged_since_s: batch work left alone since then counts as interactive.
            in_lockstep: of deadline work too, decodes go before prefills; otherwise the most
                urgent goes first whatever it needs.
        """
        cost = self.cost
        left_ms = limit_ms - cost.margin * cost.step_ms + _ROUNDING_MS
        left_tokens = self.limits.max_num_batched_tokens
        rows: list[Row] = []
        num_new = num_cached = 0
        order = self._in_order(aged_since_s, in_lockstep=in_lockstep)
        owed_ms, owed_tokens = self._owed()
        self._is_short = False
        for run in order:
            request = run.request
            past_len = request.num_computed_tokens
            pending = len(request.tokens) - past_len
            draft = request.draft
            if owed_tokens and run.request_class is RequestClass.DEADLINE:
                owed_ms -= cost.row_bound_ms(pending, past_len)
                owed_tokens -= pending
            count = pending + len(draft)
            row_ms = cost.row_bound_ms(count, past_len)
            # What deadline work must have goes before anybody's guesses.
            if draft and (row_ms > left_ms - owed_ms or count > left_tokens - owed_tokens):
                draft, count = (), pending
                row_ms = cost.row_bound_ms(count, past_len)
            if row_ms > left_ms or count > left_tokens:
                count = min(pending, left_tokens, cost.max_new_tokens(left_ms, past_len))
                if not rows:
                    count = max(count, 1)
                if count < min(pending, MIN_CHUNK_TOKENS) and rows:
                    self._is_short = True
                    continue
                row_ms = cost.row_bound_ms(count, past_len)
            left_ms -= row_ms
            left_tokens -= count
            num_new += count
            num_cached += past_len
            self.cache.extend(run.holding, past_len + count)
            token_ids = request.tokens[past_len : past_len + count]
            if draft:
                token_ids += draft
            is_whole = past_len + count >= len(request.tokens)
            rows.append(
                Row(
                    request.request_id,
                    token_ids,
                    past_len,
                    run.holding.block_ids,
                    run.holding.state_block_ids,
                    1 + len(draft) if is_whole and not request.pins else 0,
                )
            )
        self.planned = (len(rows), num_new, num_cached)
        return Batch(self.engine, rows)

    def book_step(self, step_ms: float) -> None:
        """Learn from the step that ran the batch composed last."""
        self.device_ms += step_ms
        self.virtual_ms += step_ms / self.limits.weight
        self.step_ms += _EWMA_WEIGHT * (step_ms - self.step_ms) if self.step_ms else step_ms
        self.cost.observe(*self.planned, step_ms)
        self.cache.recompute_ms = self.cost.token_ms * self.limits.geometry.block_tokens

    def book_draft(self, num_draft: int, num_accepted: int) -> None:
        """Count how many of the guessed tokens of a row were right."""
        self.figures.num_draft_tokens += num_draft
        self.figures.num_accepted_tokens += num_accepted

    def _owed(self) -> tuple[float, int]:
        """Time and tokens that the next rows of all deadline work take, guesses left out."""
        num_ms, num_tokens = 0.0, 0
        if not any(run.request.draft for run in self.running.values()):
            return num_ms, num_tokens
        for run in self.running.values():
            if run.request_class is RequestClass.DEADLINE:
                past_len = run.request.num_computed_tokens
                pending = len(run.request.tokens) - past_len
                num_ms += self.cost.row_bound_ms(pending, past_len)
                num_tokens += pending
        return num_ms, num_tokens

    def _in_order(self, aged_since_s: float, *, in_lockstep: bool) -> Iterable[Running]:
        runs = self.running.values()
        first = next(iter(runs)).request_class
        if (
            self._is_short
            or first is RequestClass.DEADLINE
            or any(run.request_class is not first for run in runs)
        ):
            return sorted(
                runs, key=partial(_urgency, aged_since_s=aged_since_s, in_lockstep=in_lockstep)
            )
        decodes: list[Running] = []
        prefills: list[Running] = []
        for run in runs:
            (prefills if _is_prefill(run.request) else decodes).append(run)
        return decodes + prefills


def _is_prefill(request: Request) -> bool:
    """Whether its next row is part of a prompt, or of what was lost to a preemption."""
    return request.num_computed_tokens < len(request.prompt)


def _deadline_s(run: Running) -> float:
    return run.request.deadline_s or 0.0


def _urgency(run: Running, *, aged_since_s: float, in_lockstep: bool) -> tuple[int, bool, float]:
    is_prefill = _is_prefill(run.request)
    if run.request_class is RequestClass.DEADLINE:
        return run.request_class, is_prefill and in_lockstep, _deadline_s(run)
    counts_as = run.request_class
    if counts_as is RequestClass.BATCH and run.last_step_s <= aged_since_s:
        counts_as = RequestClass.INTERACTIVE
    # Prefills one after the other, decodes in turns.
    return counts_as, is_prefill, float(run.order) if is_prefill else run.last_step_s
