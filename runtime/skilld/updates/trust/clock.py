"""What time it is on a box whose clock may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime

# Of this version of skilld; a clock before it is certainly wrong.
BUILT_S = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())


def trusted_time(clock_s: float, *, latest_issued_s: int) -> float:
    """The time to judge expiry by.

    A clock that was never set (1970) would make everything look fresh for ever. Then the time at
    which the newest accepted metadata was issued stands in for it: signed, and never too late. A
    clock that is ahead makes things look expired, which stops installing and nothing else.

    Args:
        clock_s: what the clock says, in seconds since 1970.
        latest_issued_s: the largest issue time in metadata ever accepted here; 0 if none was.
    """
    return clock_s if clock_s >= BUILT_S else float(max(BUILT_S, latest_issued_s))
