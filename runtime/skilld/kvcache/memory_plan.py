"""`MemoryPlan`: will these engines fit? Arithmetic over `EngineNeed`s; nothing is loaded.

Everything counts: the process, weights and workspace of every engine, and the KV budget, all of
it, because load may fill it. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from skilld.kvcache.engine_need import EngineNeed, SkillNeed
from skilld.kvcache.kv_memory import MAX_PINNED_SHARE

# A daemon under load, less what its engines own: interpreter, OpenVINO with its CPU plugin, gRPC,
# thread stacks, and what malloc does not give back. Measured on x86-64 Linux, two cores, Python
# 3.11, OpenVINO 2026.4.1.
PROCESS_BYTES: Final = 160 << 20
_LOWER_GUARANTEES_TOKENS: Final = (512, 256, 128)


@dataclass(frozen=True, slots=True)
class CallFit:
    """How many calls of one size can run at once.

    Attributes:
        skill: its id.
        prompt_tokens: of such a call.
        max_tokens: most tokens of its answer.
        call_bytes: cache memory it reserves.
        alone: calls at once when nothing else runs and minima are lent: class `batch`.
        with_minima: calls at once with every other engine's minimum kept: any class, any time.
        is_batch_bound: whether `max_num_seqs` and not memory sets `with_minima`.
    """

    skill: str
    prompt_tokens: int
    max_tokens: int
    call_bytes: int
    alone: int
    with_minima: int
    is_batch_bound: bool


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One engine of a plan.

    Attributes:
        need: what it asks for.
        pinned_bytes: cache memory its skills' prefixes hold for good.
        typical: per skill that has golden cases, a call with the longest golden prompt.
        worst: per skill, a call that fills the context.
    """

    need: EngineNeed
    pinned_bytes: int
    typical: tuple[CallFit, ...]
    worst: tuple[CallFit, ...]


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """See the module docstring; all in bytes.

    Attributes:
        total_bytes: for everything.
        process_bytes: of the daemon before its first engine.
        kv_budget_bytes: cache memory of all engines together; negative when not even the weights
            fit and no budget was asked for.
        kv_min_bytes: the sum of the engines' guarantees.
        pinned_cap_bytes: most that pinned prefixes may hold.
        shared_bytes: of the budget, what no engine is guaranteed.
        needed_bytes: process, weights, workspace, and the KV budget asked for, or the guarantees
            if they are more.
        fits: the answer.
        advice: one sentence; what to change when it does not fit, "" when it does.
        engines: in the order given.
    """

    total_bytes: int
    process_bytes: int
    kv_budget_bytes: int
    kv_min_bytes: int
    pinned_cap_bytes: int
    shared_bytes: int
    needed_bytes: int
    fits: bool
    advice: str
    engines: tuple[EnginePlan, ...]


def plan_memory(
    needs: Sequence[EngineNeed],
    *,
    total_bytes: int,
    kv_budget_bytes: int | None = None,
    process_bytes: int = PROCESS_BYTES,
) -> MemoryPlan:
    """Lay these engines out in so much memory.

    Args:
        needs: of each engine.
        total_bytes: for everything.
        kv_budget_bytes: asked for; None gives the cache what weights and workspace leave.
        process_bytes: of the daemon before its first engine.
    """
    fixed_bytes = process_bytes + sum(need.fixed_bytes for need in needs)
    kv_min_bytes = sum(need.min_bytes for need in needs)
    budget_bytes = total_bytes - fixed_bytes if kv_budget_bytes is None else kv_budget_bytes
    needed_bytes = fixed_bytes + max(kv_min_bytes, kv_budget_bytes or 0)
    pinned_cap_bytes = int(max(0, budget_bytes) * MAX_PINNED_SHARE)
    pinned = _pinned_bytes(needs, pinned_cap_bytes)
    firm_bytes = [max(need.min_bytes, held) for need, held in zip(needs, pinned, strict=True)]
    engines = []
    for index, need in enumerate(needs):
        cap_bytes = budget_bytes if need.max_bytes is None else min(need.max_bytes, budget_bytes)
        others_bytes = sum(firm_bytes) - firm_bytes[index]
        fit_of = _fitting(
            need,
            alone_bytes=min(cap_bytes, budget_bytes - sum(pinned) + pinned[index]) - pinned[index],
            kept_bytes=min(cap_bytes, budget_bytes - others_bytes) - pinned[index],
        )
        engines.append(
            EnginePlan(
                need=need,
                pinned_bytes=pinned[index],
                typical=tuple(
                    fit_of(skill, skill.prompt_tokens)
                    for skill in need.skills
                    if skill.prompt_tokens is not None
                ),
                worst=tuple(
                    fit_of(skill, max(0, need.context_limit - skill.max_tokens))
                    for skill in need.skills
                ),
            )
        )
    fits = needed_bytes <= total_bytes and kv_min_bytes <= budget_bytes
    plan = MemoryPlan(
        total_bytes=total_bytes,
        process_bytes=process_bytes,
        kv_budget_bytes=budget_bytes,
        kv_min_bytes=kv_min_bytes,
        pinned_cap_bytes=pinned_cap_bytes,
        shared_bytes=max(0, budget_bytes - sum(firm_bytes)),
        needed_bytes=needed_bytes,
        fits=fits,
        advice="",
        engines=tuple(engines),
    )
    return plan if fits else replace(plan, advice=_advice(plan, kv_budget_bytes))


def _pinned_bytes(needs: Sequence[EngineNeed], cap_bytes: int) -> list[int]:
    """Blocks of every skill's prefix, as long as they stay under the cap."""
    left_bytes = cap_bytes
    pinned = []
    for need in needs:
        held_bytes = 0
        for skill in need.skills:
            prefix_bytes = need.sequence_bytes(skill.prefix_tokens) if skill.prefix_tokens else 0
            if prefix_bytes <= left_bytes:
                held_bytes += prefix_bytes
                left_bytes -= prefix_bytes
        pinned.append(held_bytes)
    return pinned


def _fitting(
    need: EngineNeed, *, alone_bytes: int, kept_bytes: int
) -> Callable[[SkillNeed, int], CallFit]:
    def fit_of(skill: SkillNeed, prompt_tokens: int) -> CallFit:
        call_bytes = need.sequence_bytes(prompt_tokens + skill.max_tokens)
        in_memory = max(0, kept_bytes) // max(1, call_bytes)
        return CallFit(
            skill=skill.skill,
            prompt_tokens=prompt_tokens,
            max_tokens=skill.max_tokens,
            call_bytes=call_bytes,
            alone=min(need.max_num_seqs, max(0, alone_bytes) // max(1, call_bytes)),
            with_minima=min(need.max_num_seqs, in_memory),
            is_batch_bound=in_memory >= need.max_num_seqs,
        )

    return fit_of


# --- what to do when it does not fit -----------------------------------------------------------


def _advice(plan: MemoryPlan, asked_bytes: int | None) -> str:
    """The smallest change first."""
    needs = [engine.need for engine in plan.engines]
    fixed_bytes = plan.process_bytes + sum(need.fixed_bytes for need in needs)
    kv_room_bytes = plan.total_bytes - fixed_bytes
    ways = []
    if asked_bytes is not None and plan.kv_min_bytes <= kv_room_bytes:
        if asked_bytes > kv_room_bytes:
            ways.append(_lower_budget(kv_room_bytes, plan.kv_min_bytes))
        else:
            ways.append(_raise_budget(plan.kv_min_bytes))
    else:
        ways += _lower_guarantees(needs, kv_room_bytes, asked_bytes)
        ways += _leave_out(needs, plan, asked_bytes)
    if plan.needed_bytes > plan.total_bytes:
        first = ""
        if asked_bytes is not None and asked_bytes < plan.kv_min_bytes:
            first = _raise_budget(plan.kv_min_bytes) + " and "
        ways.append(f"{first}give it {amount(plan.needed_bytes)}")
    return ", or ".join(ways)


def _lower_budget(room_bytes: int, min_bytes: int) -> str:
    whole_mib = room_bytes >> 20 << 20
    return f"lower memory.kv_budget_bytes to {_setting(max(whole_mib, min_bytes))}"


def _raise_budget(min_bytes: int) -> str:
    return f"raise memory.kv_budget_bytes to {_setting(min_bytes)}"


def _lower_guarantees(
    needs: Sequence[EngineNeed], room_bytes: int, asked_bytes: int | None
) -> list[str]:
    may_use_bytes = room_bytes if asked_bytes is None else min(asked_bytes, room_bytes)
    for num_tokens in _LOWER_GUARANTEES_TOKENS:
        mins = [min(need.min_bytes, need.sequence_bytes(num_tokens)) for need in needs]
        if sum(mins) <= may_use_bytes:
            changed = ", ".join(
                f"shares.{need.engine}.kv_min_bytes to {_setting(lower)}"
                for need, lower in zip(needs, mins, strict=True)
                if lower < need.min_bytes
            )
            first = ""
            if asked_bytes is not None and asked_bytes > room_bytes:
                first = _lower_budget(room_bytes, sum(mins)) + " and "
            return [f"{first}guarantee each engine {num_tokens} tokens: lower {changed}"]
    return []


def _leave_out(needs: Sequence[EngineNeed], plan: MemoryPlan, asked_bytes: int | None) -> list[str]:
    """The fewest engines whose absence is enough; of equally many, those that free least."""
    for count in range(1, len(needs)):
        enough = []
        for dropped in itertools.combinations(needs, count):
            kept = [need for need in needs if need not in dropped]
            kv_bytes = sum(need.min_bytes for need in kept)
            total_bytes = plan.process_bytes + sum(need.fixed_bytes for need in kept)
            total_bytes += max(kv_bytes, asked_bytes or 0)
            if total_bytes <= plan.total_bytes and kv_bytes <= (asked_bytes or kv_bytes):
                freed_bytes = sum(need.fixed_bytes + need.min_bytes for need in dropped)
                enough.append((freed_bytes, [need.engine for need in dropped]))
        if enough:
            freed_bytes, names = min(enough)
            return [f"leave out {' and '.join(names)}, which frees {amount(freed_bytes)}"]
    return []


def amount(num_bytes: int) -> str:
    """Bytes for people, rounded up."""
    if num_bytes < 10 << 20:
        return f"{-(-num_bytes // 1024):,} KiB"
    return f"{-(-num_bytes // (1 << 20)):,} MiB"


def _setting(num_bytes: int) -> str:
    """Bytes as the configuration takes them, exact."""
    for unit, unit_bytes in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if num_bytes and num_bytes % unit_bytes == 0:
            return f"{num_bytes // unit_bytes}{unit}"
    return f"{num_bytes}B"
