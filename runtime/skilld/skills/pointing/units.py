"""Units as people write them, and numbers taken from one into another of the same kind."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit.

    Attributes:
        quantity: what it measures; only units of one quantity convert.
        factor: how many of the quantity's smallest unit here it is.
    """

    quantity: str
    factor: Decimal


_TABLE: Final = {
    "time": "ms,millisecond,msec 1; s,sec,second,秒 1000; min,minute,分 60000;"
    " h,hr,hour,時間 3600000; d,day,日 86400000; week,週間 604800000",
    "length": "um,micron,µm 1; mm,millimeter,millimetre,ミリ 1000; cm,centimeter,centimetre 10000;"
    " m,meter,metre 1000000; km 1000000000",
    "mass": "mg 1; g,gram 1000; kg,kilo,kilogram 1000000; t,ton,tonne 1000000000",
    "volume": "ml 1; cl 10; l,liter,litre 1000; m3 1000000",
    "pressure": "pa,pascal 1; mbar,hpa 100; kpa 1000; bar 100000; mpa 1000000",
    "power": "w,watt 1; kw 1000; mw 1000000",
    "energy": "wh 1; kwh 1000; mwh 1000000",
    "voltage": "mv 1; v,volt 1000; kv 1000000",
    "current": "ma 1; a,amp,ampere 1000; ka 1000000",
    "frequency": "hz,hertz 1; khz 1000; mhz 1000000",
}
_UNITS: Final = {
    word: Unit(quantity, Decimal(entry.split()[-1]))
    for quantity, entries in _TABLE.items()
    for entry in entries.split(";")
    for word in entry.split()[0].split(",")
}
_BEHIND: Final = re.compile(r"\s?([a-zµ]+3?|時間|週間|ミリ|[分秒日])", re.IGNORECASE)
# A single letter is a unit only where one must follow: behind a number.
_SHORT: Final = 1


def unit_behind(text: str) -> Unit | None:
    """The unit that a text begins with, as it does behind a number: " min long", "mm"."""
    found = _BEHIND.match(unicodedata.normalize("NFKC", text))
    return None if found is None else _unit(found[1])


def unit_named(words: Iterable[str]) -> Unit | None:
    """The first unit among the words of a name or a description.

    Single letters count only as the last word, as in `delay_s`.
    """
    listed = list(words)
    for i, word in enumerate(listed):
        if len(word) > _SHORT or i == len(listed) - 1 > 0:
            unit = _unit(word)
            if unit is not None:
                return unit
    return None


def converted(number: int | float, *, said: Unit | None, wanted: Unit | None) -> int | float:
    """A number said in one unit, in another.

    Returns:
        The number as it is when a unit is not known or they measure different things; an
        integer when the result is whole.
    """
    if said is None or wanted is None or said == wanted or said.quantity != wanted.quantity:
        return number
    value = Decimal(str(number)) * said.factor / wanted.factor
    return int(value) if value == value.to_integral_value() else float(value)


def _unit(word: str) -> Unit | None:
    lower = word.lower()
    return _UNITS.get(lower) or _UNITS.get(lower.removesuffix("s"))
