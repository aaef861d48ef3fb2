"""Clock styles of logs: how the same moment looks on different machines.

A moment is seconds since 2025-01-01 in a calendar without leap days.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _fields(at_s: float) -> dict[str, Any]:
    """Calendar fields of seconds since 2025-01-01, without leap days."""
    whole = int(at_s)
    ms = round((at_s - whole) * 1000)
    if ms == 1000:
        whole, ms = whole + 1, 0
    day, second = divmod(whole, 86400)
    year, day = 2025 + day // 365, day % 365
    month = 0
    while day >= _DAYS[month]:
        day -= _DAYS[month]
        month += 1
    hour, rest = divmod(second, 3600)
    return {
        "Y": year, "y": year % 100, "M": month + 1, "D": day + 1, "h": hour, "m": rest // 60,
        "s": rest % 60, "ms": ms, "mon": _MONTHS[month], "h12": (hour - 1) % 12 + 1,
        "ap": "AM" if hour < 12 else "PM", "jap": "午前" if hour < 12 else "午後",
        "jh": hour % 12,
    }  # fmt: skip


def _clock(pattern: str) -> Callable[[float, float], str]:
    return lambda at_s, _: pattern.format(**_fields(at_s))


CLOCKS: Mapping[str, Callable[[float, float], str]] = {
    "none": lambda *_: "",
    "iso": _clock("{Y}-{M:02}-{D:02}T{h:02}:{m:02}:{s:02}"),
    "iso_z": _clock("{Y}-{M:02}-{D:02}T{h:02}:{m:02}:{s:02}Z"),
    "iso_ms": _clock("{Y}-{M:02}-{D:02}T{h:02}:{m:02}:{s:02}.{ms:03}"),
    "iso_space": _clock("{Y}-{M:02}-{D:02} {h:02}:{m:02}:{s:02}"),
    "iso_comma": _clock("{Y}-{M:02}-{D:02} {h:02}:{m:02}:{s:02},{ms:03}"),
    "slash": _clock("{Y}/{M:02}/{D:02} {h:02}:{m:02}:{s:02}"),
    "dmy": _clock("{D:02}.{M:02}.{Y} {h:02}:{m:02}:{s:02}"),
    "dmy_ms": _clock("{D:02}.{M:02}.{Y} {h:02}:{m:02}:{s:02}.{ms:03}"),
    "us": _clock("{M}/{D}/{Y} {h12}:{m:02}:{s:02} {ap}"),
    "syslog": _clock("{mon} {D:2} {h:02}:{m:02}:{s:02}"),
    "time": _clock("{h:02}:{m:02}:{s:02}"),
    "time_ms": _clock("{h:02}:{m:02}:{s:02}.{ms:03}"),
    "hm": _clock("{h:02}:{m:02}"),
    "iso_hm": _clock("{Y}-{M:02}-{D:02} {h:02}:{m:02}"),
    "iso_offset": _clock("{Y}-{M:02}-{D:02}T{h:02}:{m:02}:{s:02}+01:00"),
    "slash_hm": _clock("{Y}/{M}/{D} {h}:{m:02}"),
    "slash_ms": _clock("{Y}/{M:02}/{D:02} {h:02}:{m:02}:{s:02}.{ms:03}"),
    "slash_short": _clock("{y:02}/{M:02}/{D:02} {h:02}:{m:02}:{s:02}"),
    "split_comma": _clock("{Y}/{M:02}/{D:02},{h:02}:{m:02}:{s:02}"),
    "split_tab": _clock("{D:02}.{M:02}.{Y}\t{h:02}:{m:02}:{s:02}"),
    "dmy_dash": _clock("{D:02}-{M:02}-{Y} {h:02}:{m:02}:{s:02}"),
    "mon_dmy": _clock("{D:02} {mon} {Y} {h:02}:{m:02}:{s:02}"),
    "mon_dash": _clock("{D:02}-{mon}-{Y} {h:02}:{m:02}:{s:02}"),
    "mon_us": _clock("{mon} {D}, {Y} {h12}:{m:02}:{s:02} {ap}"),
    "hm_ap": _clock("{h12}:{m:02} {ap}"),
    "hm_loose": _clock("{h}:{m:02}"),
    "hm_h": _clock("{h}h{m:02}"),
    "epoch_ms": lambda at_s, _: str(int((1735689600 + at_s) * 1000)),
    "ja_hm": _clock("{h}時{m:02}分"),
    "ja_md": _clock("{M}月{D}日 {h}時{m:02}分"),
    "ja_date": _clock("{Y}年{M}月{D}日 {h}時{m:02}分{s:02}秒"),
    "ja_time": _clock("{jap}{jh}時{m:02}分"),
    "ja_short": _clock("{M}/{D} {h:02}:{m:02}"),
    "epoch": lambda at_s, _: str(int(1735689600 + at_s)),
    "uptime": lambda at_s, start_s: f"{at_s - start_s + start_s % 9000 * 7 + 0.000431:.6f}",
    "relative": lambda at_s, start_s: (
        "+" + CLOCKS["time_ms"](at_s - start_s + start_s % 3000, start_s)
    ),
    "tplus": lambda at_s, start_s: f"T+{at_s - start_s + start_s % 3000:.1f}s",
}
RESOLUTION_S = dict.fromkeys(CLOCKS, 1.0) | {
    "iso_ms": 0.004, "iso_comma": 0.004, "dmy_ms": 0.004, "time_ms": 0.004, "hm": 60.0,
    "ja_time": 60.0, "ja_short": 60.0, "iso_hm": 60.0, "slash_hm": 60.0, "slash_ms": 0.004,
    "hm_ap": 60.0, "hm_loose": 60.0, "hm_h": 60.0, "ja_hm": 60.0, "ja_md": 60.0,
    "epoch_ms": 0.004, "uptime": 0.001, "relative": 0.004, "tplus": 0.1,
}  # fmt: skip
