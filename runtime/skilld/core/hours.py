"""`Hours`: a part of every day by the clock on the wall, perhaps over midnight. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo

_MINUTE = r"([01]\d|2[0-3]):([0-5]\d)"


@dataclass(frozen=True, slots=True)
class Hours:
    """See the module docstring.

    It goes by what the clock shows. So where clocks are put forward over it, there is less of it
    that day, or nothing; where they are put back over it, it comes twice.

    Attributes:
        begin: minutes after midnight; inside.
        end: minutes after midnight; outside. Before `begin`, it is that of the next day.
    """

    begin: int
    end: int

    def contains(self, clock_s: float, zone: tzinfo | None = None) -> bool:
        """Whether a moment lies inside.

        Args:
            clock_s: seconds since 1970.
            zone: whose clocks are meant; None for those of this machine.
        """
        shown = datetime.fromtimestamp(clock_s, zone)
        minute = 60 * shown.hour + shown.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end

    def __str__(self) -> str:
        return "-".join(f"{at // 60:02}:{at % 60:02}" for at in (self.begin, self.end))


def parse_hours(text: str) -> Hours:
    """Read "22:00-05:30".

    Raises:
        ValueError: it is nothing of the kind.
    """
    match = re.fullmatch(f"{_MINUTE}-{_MINUTE}", text)
    if match is None:
        raise ValueError(f'{text!r} is no part of a day; write for instance "22:00-05:30"')
    begin, end = 60 * int(match[1]) + int(match[2]), 60 * int(match[3]) + int(match[4])
    if begin == end:
        raise ValueError(f"{text!r} is empty, or the whole day; leave it out for the whole day")
    return Hours(begin, end)
