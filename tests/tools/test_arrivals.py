"""What the calls of the share bench look like."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.arrivals import ON_SHARE, Traffic, bursts, on_slots
from benchmarks.sharing import highest_rate

TRAFFIC = Traffic(
    num_engines=3,
    correlation=0.0,
    slot_s=0.5,
    shared_tokens=20,
    prompt_tokens=(30, 60),
    output_tokens=(4, 9),
)


def agreement(correlation: float) -> float:
    """Correlation of the first two engines being on, as it comes out."""
    traffic = replace(TRAFFIC, correlation=correlation)
    first, second, _ = on_slots(traffic, num_slots=20_000, seed=3)
    both = sum(a and b for a, b in zip(first, second, strict=True)) / len(first)
    return (both - ON_SHARE**2) / (ON_SHARE - ON_SHARE**2)


def test_the_same_seed_gives_the_same_calls_and_another_seed_others() -> None:
    calls = bursts(TRAFFIC, rate_per_s=20.0, num_slots=50, seed=1)
    assert calls == bursts(TRAFFIC, rate_per_s=20.0, num_slots=50, seed=1)
    assert calls != bursts(TRAFFIC, rate_per_s=20.0, num_slots=50, seed=2)


def test_calls_come_in_order_at_the_rate_asked_for_and_only_while_their_engine_is_on() -> None:
    calls = bursts(TRAFFIC, rate_per_s=40.0, num_slots=2000, seed=1)
    states = on_slots(TRAFFIC, num_slots=2000, seed=1)
    assert [call.time_s for call in calls] == sorted(call.time_s for call in calls)
    assert all(states[call.engine][int(call.time_s / TRAFFIC.slot_s)] for call in calls)
    assert len(calls) / (2000 * TRAFFIC.slot_s) == pytest.approx(40.0, rel=0.03)
    for engine in range(3):
        assert sum(call.engine == engine for call in calls) / len(calls) == pytest.approx(
            1 / 3, abs=0.02
        )


def test_lengths_stay_within_their_bounds_and_reach_them() -> None:
    calls = bursts(TRAFFIC, rate_per_s=40.0, num_slots=500, seed=1)
    assert {call.prompt_tokens for call in calls} == set(range(30, 61))
    assert {call.output_tokens for call in calls} == set(range(4, 10))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_engines_burst_together_as_much_as_asked_for(correlation: float) -> None:
    assert agreement(correlation) == pytest.approx(correlation, abs=0.03)


def test_the_highest_rate_is_found_from_below_and_from_above() -> None:
    for low in (1.0, 500.0):
        found = highest_rate(lambda rate: rate <= 70.0, low=low, high=1000.0, precision=0.01)
        assert found == pytest.approx(70.0, rel=0.011)
    assert highest_rate(lambda rate: False, low=1.0, high=10.0) == 0.0
