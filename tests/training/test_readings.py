from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from skilld.training.readings import Reading


@pytest.mark.parametrize("direction", ["high", "low"])
def test_the_severity_is_that_of_the_worst_limit_passed(direction: str) -> None:
    quantity = {"direction": direction, "units": [["bar", 2.0, 9.0, 1], ["C", 40, 120, 0]]}
    sign = 1 if direction == "high" else -1
    seen: Counter[str] = Counter()
    for seed in range(2000):
        reading = Reading.sample(Random(seed), quantity)
        written = {
            severity: float(reading.bound[slot])
            for slot, severity in (("w", "warning"), ("a", "alarm"), ("t", "critical"))
            if reading.bound[slot]
        }
        value = float(reading.bound["v"])
        passed = [name for name, limit in written.items() if sign * (value - limit) > 0]
        inside = "warning" if len(written) == 1 and "warning" not in written else "info"
        assert reading.severity == (passed[-1] if passed else inside)
        limits = list(written.values())
        assert limits == sorted(limits, reverse=direction == "low")
        assert len(set(limits)) == len(limits)
        seen[reading.severity] += 1
    assert set(seen) == {"info", "warning", "alarm", "critical"}
    assert min(seen.values()) > 40
