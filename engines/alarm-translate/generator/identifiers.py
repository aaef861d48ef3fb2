"""Numbers, tags, codes and times of day, with those that training never sees."""

from __future__ import annotations

from random import Random

from skilld.training.example import Draw

from .meaning import Message
from .terms import Term

HELD_TAGS = ("QX", "ZK", "TK", "HV", "WJ")
HELD_CODES = ("DQ", "HX", "MOTN", "UF")
HELD_NUMBERS = ("47", "63", "91")
"""Beginnings of tags, alarm codes and numbers that training never sees."""


def new_numbers(m: Message, quantity: Term, count: int) -> list[str]:
    """Different numbers within the range of a quantity, as printed."""
    rng = m.rng
    lowest, highest = map(float, quantity.columns[1:3])
    places = 0 if highest >= 200 else 2 if highest <= 12 and rng.random() < 0.4 else 1
    if places == 1 and rng.random() < (0.65 if highest > 30 else 0.15):
        places = 0
    if highest <= 12 and places == 0:
        places = 1
    found: list[str] = []
    while len(found) < count:
        if m.draw.held_values:
            tail = "".join(rng.choices("0123456789", k=rng.randrange(2)))
            text = rng.choice(HELD_NUMBERS) + tail
            if places:
                text += f".{rng.randrange(10)}"
        else:
            number = rng.uniform(lowest, highest)
            if places == 0 and abs(number) > 60 and rng.random() < 0.5:
                number = round(number, -1)
            text = f"{number:.{places}f}"
            if abs(number) >= 1000 and rng.random() < 0.15:
                text = f"{number:,.{places}f}"
        if text not in found:
            found.append(text)
    return found


def new_count(m: Message) -> str:
    """A plain whole number of a thing: mostly one digit."""
    rng = m.rng
    if m.draw.held_values:
        tail = rng.choice(("", "", str(rng.randrange(10))))
        return rng.choice(HELD_NUMBERS) + tail
    if rng.random() < 0.75:
        return str(rng.randrange(1, 10))
    return str(rng.choice((10, 11, 12, rng.randrange(13, 100), rng.randrange(100, 400))))


def new_tag(rng: Random, draw: Draw) -> str:
    """The tag of a device: TT-101, CV12."""
    letters = "".join(rng.choices("ABCDEFGHKLMPRSTVXY", k=rng.choice((1, 1, 2, 2, 2, 3))))
    if draw.held_values:
        letters = rng.choice(HELD_TAGS)
    digits = "".join(rng.choices("0123456789", k=rng.choice((2, 3, 3, 4))))
    form = rng.choice(("{}-{}", "{}-{}", "{}{}", "{}{}", "{}-{}A", "{}{}-2", "{}_{}", "{}-{}-1"))
    return form.format(letters, digits)


def new_code(rng: Random, draw: Draw) -> str:
    """The code of an alarm: ALM 401, SRVO-050, E23; or digits alone."""
    digits = "".join(rng.choices("0123456789", k=rng.choice((2, 3, 3, 4))))
    if draw.held_values:
        return f"{rng.choice(HELD_CODES)}-{digits}"
    return rng.choice(
        (
            digits, digits, f"ALM {digits}", f"ALM{digits}", f"ERR {digits}", f"E{digits}",
            f"E-{digits}", f"AL.{digits[:2]}", f"SRVO-{digits}", f"F{digits}", f"A{digits}",
            f"W{digits}", f"SV{digits}", f"EX{digits}", f"0x{digits}A", f"16#{digits}",
            f"A{digits}.{digits[0]}", f"ALM-{digits}", f"ERR-{digits}", f"WRN {digits}",
            f"{rng.choice('ABCDEGHKMP')}{rng.choice('LMRST')}-{digits}",
            f"MSG {digits}", f"AL-{digits}",
        )
    )  # fmt: skip


def size_of(number: str) -> float:
    """The value of a printed number."""
    return float(number.replace(",", ""))


def new_clock(rng: Random) -> str:
    """A time of day: 14:05, 9:30, 22:10:05."""
    hour, minute = rng.randrange(24), rng.randrange(60)
    clock = f"{hour:02d}:{minute:02d}" if rng.random() < 0.8 else f"{hour}:{minute:02d}"
    return f"{clock}:{rng.randrange(60):02d}" if rng.random() < 0.2 else clock
