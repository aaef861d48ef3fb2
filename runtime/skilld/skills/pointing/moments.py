"""`moment_value`: which of two dates and times, as logs write them, is the earlier one."""

from __future__ import annotations

import re
from typing import Final

_MONTHS: Final = "janfebmaraprmayjunjulaugsepoctnovdec"
_YEAR_FIRST: Final = re.compile(
    r"(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?"
)
_YEAR_LAST: Final = re.compile(
    r"(?P<a>\d{1,2})(?P<by>[-/.])(?P<b>\d{1,2})[-/.](?P<year>\d{4}|\d{2})"
)
_NAMED: Final = re.compile(
    r"(?:(?P<day>\d{1,2})[-. ])?(?P<name>[A-Z][a-z]{2})[a-z]*\.?[- ]*"
    r"(?:(?P<b>\d{1,2})\b(?!:),?)?(?:[-. ]?(?P<year>\d{4}))?"
)
_NO_YEAR: Final = re.compile(r"(?<![\d:.])(?P<month>\d{1,2})[-/月](?P<day>\d{1,2})日?(?![-/\d])")
_TIME: Final = re.compile(
    r"(?P<before>午前|午後|[AP]M)?\s*(?P<h>\d{1,2})(?:[:h](?P<m>\d{2})|時(?:(?P<n>\d{1,2})分?|半)?)"
    r":?(?:(?P<s>\d{1,2})(?:[.,:](?P<f>\d{1,6}))?秒?)?\s*(?P<after>[AP]\.?M\.?)?",
    re.IGNORECASE,
)
_COUNTER: Final = re.compile(r"\d+(?:\.\d+)?")


def moment_value(text: str) -> float | None:
    """Seconds of a date with a time, or of one of them, on a scale that tells only the order.

    `1/2/2026` is read month first, `1.2.2026` and `1-2-2026` day first. A number without hours
    and minutes (seconds since some start) is taken as it is.

    Returns:
        None if the text is nothing of the kind.
    """
    days, rest = _date(text)
    if found := _TIME.search(rest):
        hour = int(found["h"])
        half = (found["before"] or found["after"] or "").lower().replace(".", "")
        if half in ("午後", "pm") and hour < 12:
            hour += 12
        if half in ("午前", "am") and hour == 12:
            hour = 0
        minute = 30 if "半" in found[0] else int(found["m"] or found["n"] or 0)
        second = int(found["s"] or 0) + float(f"0.{found['f'] or 0}")
        return days * 86400.0 + hour * 3600 + minute * 60 + second
    if days:
        return days * 86400.0
    counter = _COUNTER.search(rest)
    return None if counter is None else float(counter[0])


def _date(text: str) -> tuple[int, str]:
    """Days on a scale of 31 to a month, 0 without a date, and the text around the date."""
    for form in (_YEAR_FIRST, _YEAR_LAST, _NAMED, _NO_YEAR):
        found = form.search(text)
        if found is None:
            continue
        parts = found.groupdict()
        if form is _YEAR_LAST:
            month, day = int(parts["a"]), int(parts["b"])
            if parts["by"] != "/" or month > 12:
                month, day = day, month
        elif form is _NAMED:
            written = parts["day"] or parts["b"]
            if parts["name"].lower() not in _MONTHS or written is None:
                continue
            month, day = _MONTHS.index(parts["name"].lower()) // 3 + 1, int(written)
        else:
            month, day = int(parts["month"]), int(parts["day"])
        year = int(parts.get("year") or 0) % 100
        return (year * 12 + month) * 31 + day, f"{text[: found.start()]} {text[found.end() :]}"
    return 0, text
