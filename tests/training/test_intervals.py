from __future__ import annotations

import numpy as np
import pytest

from skilld.training.intervals import interval, percentiles, resamples, share


def test_an_interval_is_as_wide_as_the_normal_one_where_that_holds() -> None:
    rows = [(int(i % 4 == 0), 1) for i in range(1000)]
    low, high = interval(resamples(1000, seed=3), rows)
    width = 2 * 1.96 * (0.25 * 0.75 / 1000) ** 0.5
    assert low < 0.25 < high
    assert high - low == pytest.approx(width, rel=0.15)


def test_the_same_seed_gives_the_same_interval() -> None:
    rows = [(int(i % 3 == 0), 1) for i in range(50)]
    one, other = (interval(resamples(50, seed=7), rows) for _ in range(2))
    assert one == other


def test_a_ratio_is_resampled_with_both_its_sides() -> None:
    rows = [(1, 1)] * 8 + [(0, 1)] * 2 + [(0, 0)] * 990  # ten abstentions in a thousand examples
    low, high = interval(resamples(1000, seed=1), rows)
    assert share(rows) == 0.8
    assert low < 0.6 < 0.9 < high


def test_all_right_is_not_proven_to_be_always_right() -> None:
    low, high = interval(resamples(60, seed=1), [(1, 1)] * 60)
    assert high == 1.0
    assert low == pytest.approx(0.95, abs=0.002)
    low, high = interval(resamples(60, seed=1), [(0, 1)] * 60)
    assert low == 0.0
    assert high == pytest.approx(0.05, abs=0.002)
    assert interval(resamples(2, seed=1), [(1, 1)] * 2)[0] == 0.0


def test_a_share_of_nothing_is_none() -> None:
    assert share([(0, 0), (0, 0)]) is None


def test_percentiles_leave_a_fortieth_on_either_side() -> None:
    assert percentiles(np.arange(1001.0)) == (25.0, 975.0)
