"""Can all admitted deadlines be met? A plan that says when each request would finish at the latest.

The plan is earliest deadline first: the engine of the most urgent request runs until that one is
done, then the engine of the next most urgent one, and so on. It comes in two kinds:

*In lockstep*, every step of an engine holds all its deadline requests, so that they share what a
step costs whatever it holds. Such a plan exists only while one token of each, and a useful piece
of a prefill beside them, fit the engine's longest step.

*In line*, a step is planned for the most urgent request alone; others ride along in spare time.

Both are pessimistic by design: a step that the plan asks for, composed as `Lane.compose` does it,
brings every finish forward by at least the time it takes. So once a plan meets all deadlines, it
goes on meeting them, as long as the scheduler departs from it only by time the plan has to spare.
A request is admitted only while one of the two kinds meets every deadline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skilld.scheduler.cost_model import CostModel

# A shorter piece of a prefill is put off while others run: every row has a cost of its own.
MIN_CHUNK_TOKENS = 8
_ROUNDING_MS = 1e-6


@dataclass(frozen=True, slots=True)
class Demand:
    """What a deadline request still needs.

    Attributes:
        engine: that runs it.
        deadline_s: when it must be done.
        prefill_tokens: to compute before its next token can be chosen.
        steps: most engine steps after that, the choosing one included; at least 1.
        tokens: most tokens those compute.
        cached_tokens: in its cache at the end.
    """

    engine: str
    deadline_s: float
    prefill_tokens: int
    steps: int
    tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What steps of an engine cost, and how large they may be.

    Attributes:
        cost: of its steps.
        bound_ms: no step is planned longer.
        max_step_tokens: most new tokens of one step.
    """

    cost: CostModel
    bound_ms: float
    max_step_tokens: int = 1 << 20


def finish_times_s(
    demands: Sequence[Demand],
    paces: Mapping[str, Pace],
    *,
    now_s: float,
    in_lockstep: bool,
) -> list[float]:
    """When each request finishes under the plan, on the clock of `now_s`.

    Args:
        demands: in order of their deadlines.
        paces: per engine.
        now_s: monotonic time at a step border.
        in_lockstep: which kind of plan.

    Returns:
        In the order of `demands`; all infinite when there is no plan of this kind.
    """
    finish_s = [0.0] * len(demands)
    done_steps = [0] * len(demands)
    is_prefilled = [False] * len(demands)
    elapsed_ms = 0.0
    for index, urgent in enumerate(demands):
        if finish_s[index]:
            continue
        pace = paces[urgent.engine]
        cost = pace.cost
        group = [index]
        if in_lockstep:
            group += (
                other
                for other in range(index + 1, len(demands))
                if demands[other].engine == urgent.engine and not finish_s[other]
            )
        steps = urgent.steps - done_steps[index]
        prefills: list[int] = []
        rows_ms = work_ms = 0.0  # without the margin
        step_tokens = 0
        for other in group:
            demand = demands[other]
            if not is_prefilled[other]:
                is_prefilled[other] = True
                if demand.prefill_tokens:
                    prefills.append(demand.prefill_tokens)
            row_ms = (
                cost.row_ms
                + cost.token_ms * demand.tokens / demand.steps
                + cost.cached_token_ms * demand.cached_tokens
            )
            rows_ms += row_ms
            work_ms += row_ms * min(demand.steps - done_steps[other], steps)
            step_tokens += -(-demand.tokens // demand.steps)
        step_ms = cost.step_ms + rows_ms
        left_ms = pace.bound_ms / cost.margin - step_ms
        if len(group) > 1 and (left_ms < -_ROUNDING_MS or step_tokens > pace.max_step_tokens):
            return [math.inf] * len(demands)
        if prefills:
            chunk = _most_tokens(left_ms, cost, pace.max_step_tokens - step_tokens)
            if len(group) > 1 and chunk < MIN_CHUNK_TOKENS:
                return [math.inf] * len(demands)
            prefill_steps = _num_prefill_steps(prefills, chunk)
            work_ms += prefill_steps * step_ms + cost.token_ms * sum(prefills)
        elapsed_ms += cost.margin * (cost.step_ms * steps + work_ms)
        for other in group:
            done_steps[other] += steps
            if done_steps[other] >= demands[other].steps:
                finish_s[other] = now_s + elapsed_ms / 1000.0
    return finish_s


def _most_tokens(left_ms: float, cost: CostModel, most: int) -> int:
    """Prefill tokens that fit a step beside one token of every row."""
    if left_ms <= 0.0:
        return 0
    return max(0, min(int(left_ms / max(cost.token_ms, 1e-6)), most))


def _num_prefill_steps(prefills: Sequence[int], chunk: int) -> int:
    """Steps before all prefills have their last token left, which the next step takes along."""
    if len(prefills) == 1:
        return -(-(prefills[0] + 1) // (chunk + 1)) - 1
    # They share steps, but a rest of a step may be too short for a piece of the next.
    packed = -(-sum(prefills) // (chunk - MIN_CHUNK_TOKENS + 1))
    return min(packed, sum(-(-tokens // chunk) for tokens in prefills))


def slack_ms(demands: Sequence[Demand], finish_s: Sequence[float]) -> float:
    """Time the plan has to spare before the first deadline would be missed; infinite for none."""
    return 1000.0 * min(
        (d.deadline_s - f for d, f in zip(demands, finish_s, strict=True)), default=math.inf
    )
