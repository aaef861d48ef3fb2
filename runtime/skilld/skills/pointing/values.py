"""What marked text means: numbers and times of day, as people write them."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Final

# Scales such as 1000/60 (m/min in mm/s) are not exact; their products shall be.
_TWELVE_DIGITS: Final = Context(prec=12)
_NUMBER: Final = re.compile(r"[-+−]?(?:\d+(?:[.,]\d+)*|[.]\d+)")
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+")
_WORDS: Final = {
    word: number
    for number, words in {
        0: "zero 零", 1: "one 一", 2: "two 二", 3: "three 三", 4: "four 四", 5: "five 五",
        6: "six 六", 7: "seven 七", 8: "eight 八", 9: "nine 九", 10: "ten 十", 11: "eleven 十一",
        12: "twelve 十二", 13: "thirteen 十三", 14: "fourteen 十四", 15: "fifteen 十五",
        16: "sixteen 十六", 17: "seventeen 十七", 18: "eighteen 十八", 19: "nineteen 十九",
        20: "twenty 二十", 25: "二十五", 30: "thirty 三十", 40: "forty 四十", 50: "fifty 五十",
        60: "sixty 六十", 70: "seventy 七十", 80: "eighty 八十", 90: "ninety 九十",
        100: "hundred 百", 150: "百五十", 200: "二百", 250: "二百五十", 300: "三百", 500: "五百",
        1000: "thousand 千",
    }.items()
    for word in words.split()
}  # fmt: skip
_WORD: Final = re.compile(
    "|".join(sorted(map(re.escape, _WORDS), key=len, reverse=True)), re.IGNORECASE
)
_TOO_LARGE: Final = Decimal(10) ** 15
_NAMED_CLOCKS: Final = {"noon": "12:00", "midnight": "00:00", "正午": "12:00"}
_FOUR_DIGITS: Final = re.compile(r"(\d{2})(\d{2})\s*(?:h|hrs|hours)?", re.IGNORECASE)
_CLOCK: Final = re.compile(
    r"(?P<before>午前|午後|AM|PM)?\s*(?P<hour>\d{1,2})"
    r"(?:(?:[:.h時]|:)\s*(?P<minute>\d{1,2}|半)?)?分?(?::\d{2})?秒?頃?\s*"
    r"(?P<after>[ap]\.?m\.?)?(?:o.?clock)?",
    re.IGNORECASE,
)


def number_value(text: str, *, scale: float = 1.0) -> int | float | None:
    """The first number in a text, times `scale`; an integer if it is whole as written.

    `1,250` is 1250 and `12,5` is 12.5: a comma before groups of three digits parts thousands,
    any other is a decimal comma. English and Japanese words for small numbers count, too.

    Returns:
        None if there is no number, or one of more than 15 digits, which no machine shows: it is
        an identifier, or somebody plays.
    """
    if found := _NUMBER.search(text):
        digits = found[0].replace("−", "-")
        sign = digits.lstrip("+-")
        if _THOUSANDS.fullmatch(sign.split(".")[0]):
            digits = digits.replace(",", "")
        digits = digits.replace(",", ".")
        if digits.count(".") > 1:
            return None
        number = Decimal(digits)
    elif word := _WORD.search(text):
        number = Decimal(_WORDS[word[0].lower()])
    else:
        return None
    if abs(number) >= _TOO_LARGE:
        return None
    if scale != 1.0:
        number = _TWELVE_DIGITS.multiply(number, Decimal(repr(scale)))
        if number == number.to_integral_value():
            return int(number)
    is_whole = number == number.to_integral_value() and "." not in str(number)
    return int(number) if is_whole else float(number)


def clock_value(text: str) -> str | None:
    """A time of day as `HH:MM`; seconds are dropped.

    Returns:
        None if the text is no time of day.
    """
    text = text.strip()
    if named := _NAMED_CLOCKS.get(text.lower()):
        return named
    if digits := _FOUR_DIGITS.fullmatch(text):
        text = f"{digits[1]}:{digits[2]}"
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hour = int(found["hour"])
    minute = 30 if found["minute"] == "半" else int(found["minute"] or 0)
    half = (found["before"] or found["after"] or "").lower().replace(".", "")
    if half in ("午後", "pm") and hour < 12:
        hour += 12
    if half in ("午前", "am") and hour == 12:
        hour = 0
    return f"{hour:02d}:{minute:02d}" if hour < 24 and minute < 60 else None
