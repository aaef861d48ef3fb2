"""What is counted while a release is on trial."""

from __future__ import annotations

import pytest

from skilld.updates.box.trial_meter import TrialMeter
from skilld.updates.machine.events import TrialReport


def test_a_report_holds_what_was_counted() -> None:
    now_s = 10.0
    meter = TrialMeter(lambda: now_s, old_error_rate=0.25)
    for number in range(1, 101):
        meter.answered(elapsed_ms=float(number), is_error=number % 10 == 0)
    meter.crashed()
    now_s = 70.0
    assert meter.report() == TrialReport(
        elapsed_s=60.0,
        num_requests=100,
        num_errors=10,
        p95_ms=95.0,
        old_error_rate=0.25,
        num_crashes=1,
    )
    assert meter.error_rate == 0.1


@pytest.mark.parametrize(("count", "p95_ms"), [(0, None), (19, None), (20, 19.0), (21, 20.0)])
def test_few_answers_have_no_95th_percentile(count: int, p95_ms: float | None) -> None:
    meter = TrialMeter(lambda: 0.0)
    for number in range(1, count + 1):
        meter.answered(elapsed_ms=float(number), is_error=False)
    assert meter.report().p95_ms == p95_ms


def test_old_answers_give_way_to_new_ones() -> None:
    meter = TrialMeter(lambda: 0.0)
    for _ in range(1000):
        meter.answered(elapsed_ms=500.0, is_error=False)
    for _ in range(1000):
        meter.answered(elapsed_ms=5.0, is_error=False)
    assert meter.report().p95_ms == 5.0
