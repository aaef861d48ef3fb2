"""What the counters of an engine say."""

from __future__ import annotations

from skilld.core.request import FinishReason
from skilld.telemetry import EngineCounters, Histogram


def test_a_value_is_counted_under_the_first_bound_that_holds_it() -> None:
    histogram = Histogram((1.0, 2.0, 4.0))
    for value in (0.5, 1.0, 1.5, 4.0, 9.0):
        histogram.book(value)
    assert histogram.snapshot() == {"bounds": (1.0, 2.0, 4.0), "counts": (2, 1, 1, 1), "sum": 16.0}


def test_a_snapshot_stays_as_it_was() -> None:
    histogram = Histogram((1.0,))
    before = histogram.snapshot()
    histogram.book(0.5)
    assert before["counts"] == (0, 0)


def test_calls_and_steps_are_booked_by_duration() -> None:
    counters = EngineCounters("engine")
    counters.book_step(rows=2, chosen_tokens=3, step_ms=0.3, now_s=1.0)
    counters.book_end(FinishReason.STOP, queue_ms=1.0, first_token_ms=4.0, total_ms=9.0)
    counters.book_end(FinishReason.ERROR, queue_ms=2.0, first_token_ms=0.0, total_ms=2.5)
    figures = counters.snapshot(1.0)
    assert figures["ended"] == {"stop": 1, "error": 1}
    assert sum(figures["step_ms_histogram"]["counts"]) == 1
    assert figures["queue_ms_histogram"]["sum"] == 3.0
    # A call that never came to its first token has no time for it.
    assert sum(figures["first_token_ms_histogram"]["counts"]) == 1
    assert figures["call_ms_histogram"]["sum"] == 11.5
    assert figures["num_output_tokens"] == 3
