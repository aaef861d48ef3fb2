"""Times of day, dates and codes as people write them."""

from __future__ import annotations

from random import Random

_EN_STYLES = (
    ("hm",) * 10 + ("ampm",) * 4 + ("short",) * 4 + ("h", "military", "zero", "oclock", "hms")
)
_JA_STYLES = ("hm",) * 6 + ("ji",) * 7 + ("gogo",) * 4


def time_style(rng: Random, lang: str) -> str:
    """How a report writes its times."""
    return rng.choice(_EN_STYLES if lang == "en" else _JA_STYLES)


def clock_of(rng: Random, minute: int, style: str) -> tuple[str, str]:
    """A time of day as written, and as `HH:MM`."""
    hour, past = divmod(minute, 60)
    label = f"{hour:02d}:{past:02d}"
    twelve = hour % 12 or 12
    half = "am" if hour < 12 else "pm"
    if style in ("ampm", "short"):
        half = rng.choice((half, half, half.upper(), f"{half[0]}.m."))
        space = rng.choice(("", " "))
        if minute in (0, 720) and rng.random() < 0.5:
            return ("midnight", "noon")[minute // 720], label
        if past == 0 and (style == "short" or rng.random() < 0.3):
            return f"{twelve}{space}{half}", label
        return f"{twelve}:{past:02d}{space}{half}", label
    match style:
        case "ji" | "gogo":
            if style == "gogo":
                if minute == 720 and rng.random() < 0.7:
                    return "正午", label
                prefix, hour = ("午前", hour) if hour < 12 else ("午後", hour - 12)
                if (prefix, hour) == ("午後", 0):
                    hour = 12
            else:
                prefix = ""
            if past == 0:
                return f"{prefix}{hour}時", label
            if past == 30 and rng.random() < 0.6:
                return f"{prefix}{hour}時半", label
            return f"{prefix}{hour}時{past}分", label
        case "h":
            return f"{hour}h{past:02d}", label
        case "military":
            return f"{hour:02d}{past:02d}{rng.choice(('h', ' hrs', 'hrs', ' h'))}", label
        case "zero" if hour < 10:
            return f"{hour:02d}{past:02d}", label
        case "oclock" if past == 0 and 1 <= hour <= 12:
            return f"{hour} o'clock", label
        case "hms":
            return f"{hour:02d}:{past:02d}:{rng.randrange(60):02d}", label
    if minute == 720 and rng.random() < 0.2:
        return "noon", label
    if rng.random() < 0.03:
        return label + rng.choice(("h", " h", " hrs")), label
    return rng.choice((f"{hour}:{past:02d}", label)), label


def new_code(rng: Random) -> str:
    """An order, part or lot number."""
    letters = "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=rng.randrange(1, 4)))
    digits = "".join(rng.choices("0123456789", k=rng.randrange(3, 7)))
    return rng.choice((digits, f"{letters}{digits}", f"{letters}-{digits}"))


def new_count(rng: Random) -> str:
    """A number of pieces."""
    return str(rng.choice((rng.randrange(1, 20), rng.randrange(20, 2000), rng.randrange(1, 9))))


def new_date(rng: Random) -> str:
    """A day as printed."""
    year, month, day = rng.randrange(2023, 2028), rng.randrange(1, 13), rng.randrange(1, 29)
    return rng.choice(
        (f"{year}-{month:02d}-{day:02d}", f"{year}/{month}/{day}", f"{day}.{month}.{year}",
         f"{month}月{day}日", f"{month}/{day}/{year}")
    )  # fmt: skip


def new_span(rng: Random) -> str:
    """The hours of a shift."""
    start = rng.choice((6, 7, 8, 14, 22, 23))
    return f"{start:02d}:00{rng.choice(('-', ' - ', ' to ', '–'))}{(start + 8) % 24:02d}:00"
