"""Noise as it happens to text: fingers, cameras, other people's software.

Functions take and return text and draw only from the `rng` they get. They are for words; keep
codes and numbers whose exact form is a label away from all but `full_width` and
`half_width_kana`, which NFKC undoes.
"""

from __future__ import annotations

from random import Random

_NEIGHBOURS = {
    "a": "qsz", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj",
    "i": "uo", "j": "hk", "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o",
    "q": "wa", "r": "et", "s": "ad", "t": "ry", "u": "yi", "v": "cb", "w": "qe", "x": "zc",
    "y": "tu", "z": "x",
}  # fmt: skip
_LOOKALIKES = {"o": "0", "l": "1", "i": "l", "s": "5", "B": "8", "O": "0", "I": "l", "e": "c"}
_KANA = str.maketrans(
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲンァィゥェォャュョッー",
    "ｱｲｳｴｵｶｷｸｹｺｻｼｽｾｿﾀﾁﾂﾃﾄﾅﾆﾇﾈﾉﾊﾋﾌﾍﾎﾏﾐﾑﾒﾓﾔﾕﾖﾗﾘﾙﾚﾛﾜｦﾝｧｨｩｪｫｬｭｮｯｰ",
)
_VOICED = dict(
    zip(
        "ガギグゲゴザジズゼゾダヂヅデドバビブベボ",
        "カキクケコサシスセソタチツテトハヒフヘホ",
        strict=True,
    )
)
_HALF_VOICED = dict(zip("パピプペポ", "ハヒフヘホ", strict=True))


def typo(text: str, rng: Random) -> str:
    """One slip of the finger in a Latin word of four letters or more; else the text as it is."""
    places = [
        i
        for i in range(1, len(text) - 1)
        if text[i].isascii()
        and text[i].islower()
        and text[i - 1].isascii()
        and text[i - 1].isalpha()
        and text[i + 1].isascii()
        and text[i + 1].isalpha()
    ]
    if not places:
        return text
    i = rng.choice(places)
    match rng.randrange(4):
        case 0:
            return text[:i] + text[i + 1 :]
        case 1:
            return text[:i] + text[i] + text[i:]
        case 2:
            return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
        case _:
            return text[:i] + rng.choice(_NEIGHBOURS[text[i]]) + text[i + 1 :]


def misread(text: str, rng: Random) -> str:
    """One letter taken for its lookalike, as a camera reading a panel does."""
    places = [i for i in range(1, len(text)) if text[i] in _LOOKALIKES and text[i - 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    return text[:i] + _LOOKALIKES[text[i]] + text[i + 1 :]


def recase(text: str, rng: Random) -> str:
    """All upper, all lower, or a capital for every word."""
    return rng.choice((str.upper, str.lower, str.title))(text)


def full_width(text: str) -> str:
    """ASCII as full-width characters, as a Japanese input method leaves it."""
    return "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else "\u3000" if c == " " else c for c in text
    )


def half_width_kana(text: str) -> str:
    """Katakana as half-width characters, as old panels print it."""
    out = []
    for char in text:
        if char in _VOICED:
            out.append(_VOICED[char].translate(_KANA) + "ﾞ")
        elif char in _HALF_VOICED:
            out.append(_HALF_VOICED[char].translate(_KANA) + "ﾟ")
        else:
            out.append(char.translate(_KANA))
    return "".join(out)


def truncate(text: str, rng: Random) -> str:
    """The end cut off, up to a third of the text."""
    if len(text) < 12:
        return text
    return text[: rng.randrange(len(text) * 2 // 3, len(text))]
