from __future__ import annotations

import pytest

from skilld.training.clocks import CLOCKS, RESOLUTION_S

AT_S = 86400 * 40 + 9 * 3600 + 5 * 60 + 7.25


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("iso_ms", "2025-02-10T09:05:07.250"),
        ("dmy", "10.02.2025 09:05:07"),
        ("us", "2/10/2025 9:05:07 AM"),
        ("syslog", "Feb 10 09:05:07"),
        ("ja_date", "2025年2月10日 9時05分07秒"),
        ("epoch", "1739178307"),
        ("none", ""),
    ],
)
def test_a_moment_in_the_styles_of_different_machines(style: str, text: str) -> None:
    assert CLOCKS[style](AT_S, AT_S) == text


@pytest.mark.parametrize("style", sorted(set(CLOCKS) - {"none"}))
def test_moments_a_resolution_apart_look_different(style: str) -> None:
    start_s = AT_S - AT_S % RESOLUTION_S[style]
    texts = [CLOCKS[style](start_s + i * RESOLUTION_S[style], start_s) for i in range(8)]
    assert len(set(texts)) == 8
