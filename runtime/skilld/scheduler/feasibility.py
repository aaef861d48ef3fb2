"""Can all admitted deadlines be met? A plan that says when each request would finish.

The plan is earliest deadline first over engines: the engine of the most urgent request runs
steps that hold all its deadline requests until that one is done, then the engine of the next
most urgent one, and so on. A set of requests is admitted only while this plan meets every
deadline, and the scheduler departs from it only by time the plan has to spare, so the plan of
what remains stays good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skilld.scheduler.cost_model import CostModel


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


def finish_times_s(
    demands: Sequence[Demand],
    costs: Mapping[str, CostModel],
    *,
    now_s: float,
    step_bounds_ms: Mapping[str, float],
    max_step_tokens: int = 1 << 20,
) -> list[float]:
    """When each request finishes under the plan, on the clock of `now_s`.

    Args:
        demands: in order of their deadlines.
        costs: per engine.
        now_s: monotonic time at a step border.
        step_bounds_ms: per engine; no step is planned longer, so prefills are cut to it.
        max_step_tokens: most new tokens of one step.
    """
    finish_s = [0.0] * len(demands)
    done_steps = [0] * len(demands)
    is_prefilled = [False] * len(demands)
    elapsed_ms = 0.0
    for index, urgent in enumerate(demands):
        if finish_s[index]:
            continue
        cost = costs[urgent.engine]
        group = [
            other
            for other in range(index, len(demands))
            if demands[other].engine == urgent.engine and not finish_s[other]
        ]
        steps = urgent.steps - done_steps[index]
        prefill_tokens = cached_tokens = 0
        row_steps = tokens = 0.0
        for other in group:
            demand = demands[other]
            if not is_prefilled[other]:
                is_prefilled[other] = True
                prefill_tokens += demand.prefill_tokens
            left = min(demand.steps - done_steps[other], steps)
            row_steps += left
            tokens += demand.tokens * left / demand.steps
            cached_tokens += demand.cached_tokens * left
        prefill_steps = 0
        if prefill_tokens:
            room_ms = step_bounds_ms[urgent.engine] - cost.bound_ms(len(group), 0, 0)
            per_step = min(max(1, cost.max_new_tokens(room_ms, 0)), max_step_tokens)
            prefill_steps = math.ceil(prefill_tokens / per_step)
        elapsed_ms += cost.margin * (
            cost.step_ms * (steps + prefill_steps)
            + cost.row_ms * (row_steps + prefill_steps * len(group))
            + cost.token_ms * (prefill_tokens + tokens)
            + cost.cached_token_ms * cached_tokens
        )
        for other in group:
            done_steps[other] += steps
            if done_steps[other] >= demands[other].steps:
                finish_s[other] = now_s + elapsed_ms / 1000.0
    return finish_s


def slack_ms(demands: Sequence[Demand], finish_s: Sequence[float]) -> float:
    """Time the plan has to spare before the first deadline would be missed; infinite for none."""
    return 1000.0 * min(
        (d.deadline_s - f for d, f in zip(demands, finish_s, strict=True)), default=math.inf
    )
