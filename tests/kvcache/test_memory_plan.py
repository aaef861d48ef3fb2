"""What a plan promises must hold in the ledger, and following its advice must help."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.config import EngineConfig, parse_bytes
from skilld.core.manifest import EngineManifest, read_manifest
from skilld.kvcache import KvLedger
from skilld.kvcache.engine_need import EngineNeed, SkillNeed, need_of
from skilld.kvcache.memory_plan import MemoryPlan, plan_memory

MIB = 1 << 20
SHIPPED = Path(__file__).parents[2] / "engines/plc-triage/engine"


def shipped_manifest() -> EngineManifest:
    return read_manifest(SHIPPED)


@st.composite
def engine_needs(draw: st.DrawFn, name: str) -> EngineNeed:
    context_limit = draw(st.sampled_from([64, 512, 1024, 4096]))
    need = EngineNeed(
        engine=name,
        weights_bytes=draw(st.integers(0, 900)) * MIB,
        workspace_bytes=draw(st.integers(0, 100)) * MIB,
        is_measured=draw(st.booleans()),
        block_tokens=32,
        block_bytes=draw(st.sampled_from([6144, 60 * 1024, 405 * 1024])),
        state_bytes=draw(st.sampled_from([0, 21504])),
        context_limit=context_limit,
        max_num_seqs=draw(st.sampled_from([1, 4, 16])),
        min_bytes=0,
        max_bytes=draw(st.none() | st.integers(1, 400).map(lambda n: n * MIB)),
        skills=tuple(
            SkillNeed(
                skill=f"{name}-{index}",
                max_tokens=draw(st.integers(1, context_limit - 1)),
                prompt_tokens=draw(st.none() | st.integers(0, context_limit)),
                prefix_tokens=draw(st.sampled_from([0, 40, 300])),
            )
            for index in range(draw(st.integers(1, 2)))
        ),
    )
    min_bytes = need.sequence_bytes(1024)
    if draw(st.booleans()):
        min_bytes = draw(st.integers(0, 20)) * MIB
    if need.max_bytes is not None:
        min_bytes = min(min_bytes, need.max_bytes)
    return replace(need, min_bytes=min_bytes)


@st.composite
def sets_of_needs(draw: st.DrawFn) -> list[EngineNeed]:
    return [draw(engine_needs(name)) for name in "abcd"[: draw(st.integers(1, 4))]]


def ledger_of(plan: MemoryPlan) -> KvLedger:
    """An idle box laid out like the plan, its prefixes pinned."""
    ledger = KvLedger(plan.kv_budget_bytes)
    for engine in plan.engines:
        need = engine.need
        ledger.open_account(
            need.engine,
            min_bytes=need.min_bytes,
            max_bytes=need.max_bytes or plan.kv_budget_bytes,
        )
        account = ledger.accounts[need.engine]
        account.firm_bytes = account.pinned_bytes = account.used_bytes = engine.pinned_bytes
    ledger.check()
    return ledger


def grants(ledger: KvLedger, engine: str, call_bytes: int, *, firm: bool, enough: int) -> int:
    """How many calls the ledger takes at once, counted up to `enough`."""
    for count in range(enough):
        shortfall = ledger.shortfall(engine, call_bytes, firm_bytes=call_bytes if firm else 0)
        if shortfall is None or not shortfall.is_zero:
            return count
        ledger.reserve(engine, call_bytes, firm=firm)
    return enough


@given(sets_of_needs(), st.integers(1, 600))
def test_the_ledger_takes_as_many_calls_as_the_plan_says(
    needs: list[EngineNeed], kv_budget_mib: int
) -> None:
    # A prefix may be pinned beyond an engine's cap or another's minimum; a box then caches it.
    needs = [
        replace(
            need, max_bytes=None, skills=tuple(replace(s, prefix_tokens=0) for s in need.skills)
        )
        for need in needs
    ]
    plan = plan_memory(needs, total_bytes=1 << 40, kv_budget_bytes=kv_budget_mib * MIB)
    if not plan.fits:
        return
    for engine in plan.engines:
        for fit in (*engine.typical, *engine.worst):
            name, limit = engine.need.engine, engine.need.max_num_seqs
            for firm, expected in ((True, fit.with_minima), (False, fit.alone)):
                granted = grants(
                    ledger_of(plan), name, fit.call_bytes, firm=firm, enough=expected + 1
                )
                assert granted == expected or expected == limit
                assert granted >= expected
            assert fit.alone >= fit.with_minima
            assert fit.is_batch_bound == (fit.with_minima == limit)


@given(sets_of_needs(), st.integers(1, 600))
def test_pinned_prefixes_take_room_from_calls_and_stay_under_their_cap(
    needs: list[EngineNeed], kv_budget_mib: int
) -> None:
    plan = plan_memory(needs, total_bytes=1 << 40, kv_budget_bytes=kv_budget_mib * MIB)
    bare = plan_memory(
        [
            replace(need, skills=tuple(replace(s, prefix_tokens=0) for s in need.skills))
            for need in needs
        ],
        total_bytes=1 << 40,
        kv_budget_bytes=kv_budget_mib * MIB,
    )
    assert sum(e.pinned_bytes for e in plan.engines) <= plan.pinned_cap_bytes
    for pinned, free in zip(plan.engines, bare.engines, strict=True):
        for with_pins, without in zip(pinned.worst, free.worst, strict=True):
            assert with_pins.with_minima <= without.with_minima
            assert with_pins.alone <= without.alone


@given(sets_of_needs(), st.integers(100, 4000), st.none() | st.integers(1, 600))
def test_every_way_out_that_is_named_leads_out(
    needs: list[EngineNeed], total_mib: int, kv_budget_mib: int | None
) -> None:
    kv_budget_bytes = None if kv_budget_mib is None else kv_budget_mib * MIB
    plan = plan_memory(needs, total_bytes=total_mib * MIB, kv_budget_bytes=kv_budget_bytes)
    if plan.fits:
        assert plan.advice == ""
        assert plan.needed_bytes <= plan.total_bytes
        return
    assert plan.advice
    for way in plan.advice.split(", or "):
        changed: Sequence[EngineNeed] = needs
        total_bytes, budget_bytes = total_mib * MIB, kv_budget_bytes
        if found := re.search(r"memory\.kv_budget_bytes to (\w+)", way):
            budget_bytes = parse_bytes(found[1])
        if found := re.search(r"give it ([\d,]+) (KiB|MiB)$", way):
            total_bytes = parse_bytes(found[1].replace(",", "") + found[2])
        if found := re.search(r"leave out (.+), which frees", way):
            left_out = found[1].split(" and ")
            changed = [need for need in needs if need.engine not in left_out]
        if lowered := dict(re.findall(r"shares\.(\w+)\.kv_min_bytes to (\w+)", way)):
            changed = [
                replace(need, min_bytes=parse_bytes(lowered[need.engine]))
                if need.engine in lowered
                else need
                for need in needs
            ]
        after = plan_memory(changed, total_bytes=total_bytes, kv_budget_bytes=budget_bytes)
        assert after.fits, way


def test_the_smallest_change_is_named_first() -> None:
    small = EngineNeed("small", 10 * MIB, 0, True, 32, MIB, 0, 1024, 16, min_bytes=32 * MIB)
    large = replace(small, engine="large", weights_bytes=500 * MIB)
    full = plan_memory([small, large], total_bytes=734 * MIB)
    assert full.fits
    assert full.shared_bytes == 0
    tight = plan_memory([small, large], total_bytes=720 * MIB)
    assert tight.advice.startswith(
        "guarantee each engine 512 tokens: lower shares.small.kv_min_bytes to 16MiB, "
    )
    assert "leave out small, which frees 42 MiB" in tight.advice
    too_tight = plan_memory([small, large], total_bytes=300 * MIB)
    assert too_tight.advice == "leave out large, which frees 532 MiB, or give it 734 MiB"


def test_recurrent_state_counts_in_every_sequence() -> None:
    manifest = shipped_manifest()
    cache = manifest.cache.model_copy(update={"state_bytes_per_sequence": 21504})
    hybrid = need_of(manifest.model_copy(update={"cache": cache}), config=EngineConfig())
    pure = need_of(manifest, config=EngineConfig())
    assert hybrid.min_bytes == pure.min_bytes + 21504
    assert pure.min_bytes == manifest.context_limit * manifest.cache.kv_bytes_per_token


def test_a_share_sets_the_guarantee() -> None:
    need = need_of(shipped_manifest(), config=EngineConfig(), min_bytes=5 * MIB)
    assert need.min_bytes == 5 * MIB


def test_parity_mode_needs_a_wider_cache() -> None:
    fast = need_of(shipped_manifest(), config=EngineConfig())
    exact = need_of(shipped_manifest(), config=EngineConfig(mode="parity"))
    shape = shipped_manifest().geometry
    widths = shape.num_layers * shape.num_kv_heads * shape.head_dim
    assert exact.block_bytes == 2 * 4 * widths * 32  # keys and values, f32, tokens of a block
    assert exact.block_bytes > 3 * fast.block_bytes


def test_the_shape_alone_tells_nearly_what_was_measured() -> None:
    manifest = shipped_manifest()
    measured = need_of(manifest, config=EngineConfig())
    guessed = need_of(manifest.model_copy(update={"measurements": None}), config=EngineConfig())
    assert measured.is_measured
    assert not guessed.is_measured
    assert guessed.fixed_bytes == pytest.approx(measured.fixed_bytes, rel=0.25)


def test_larger_steps_need_more_workspace() -> None:
    usual = need_of(shipped_manifest(), config=EngineConfig())
    large = need_of(shipped_manifest(), config=EngineConfig(max_num_batched_tokens=4096))
    assert large.workspace_bytes > usual.workspace_bytes
    assert large.weights_bytes == usual.weights_bytes
