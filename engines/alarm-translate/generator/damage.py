"""Ways an alarm line can be damaged until nobody can read it."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable, Mapping
from random import Random

_JUNK = ("?", "#", "□", "\ufffd", "*", "~^|\\%&", "xqzjvw", "�?¿")


def _junk(text: str, rng: Random) -> str:
    junk = rng.choice(_JUNK)
    return "".join(rng.choice(junk) if rng.random() < 0.68 else char for char in text)


def _mojibake(text: str, rng: Random) -> str:
    """UTF-8 read as something else; plain English survives that, so it is hit harder."""
    if text.isascii():
        return _junk(text, rng)
    return text.encode().decode(rng.choice(("latin-1", "cp1252", "cp932")), errors="replace")


def _codepage(text: str, rng: Random) -> str:
    """Bytes of a Japanese code page read as another one."""
    if text.isascii():
        return _shuffle(text, rng)
    written = rng.choice(("cp932", "euc_jp"))
    read = rng.choice(("latin-1", "cp1252", "cp437"))
    return text.encode(written, errors="replace").decode(read, errors="replace")


def _escape(text: str, rng: Random) -> str:
    form = rng.choice(("\\x{:02x}", "%{:02X}", "&#{};", "={:02X}"))
    return "".join(form.format(byte) for byte in text.encode()[: rng.randint(5, 18)])


def _base64(text: str, rng: Random) -> str:
    return base64.b64encode(text.encode())[: rng.randint(12, 60)].decode()


def _hex(text: str, rng: Random) -> str:
    return text.encode()[: rng.randint(6, 24)].hex(rng.choice((" ", ":", "-")))


def _thin(text: str, rng: Random) -> str:
    """Most letters missing."""
    return "".join(char for char in text if char == " " or rng.random() < 0.3)


def _shuffle(text: str, rng: Random) -> str:
    letters = list(text)
    rng.shuffle(letters)
    return "".join(letters)


def _swap(text: str, rng: Random) -> str:
    """Every letter another one."""
    pool = (
        string.ascii_lowercase if text.isascii() else "ぬぺヱッヴゐむヘぞヌろゅヨヲふほ鬱彁壺龠麤朧"
    )
    return "".join(rng.choice(pool) if char.isalpha() else char for char in text)


def _stutter(text: str, rng: Random) -> str:
    start = rng.randrange(max(1, len(text) - 3))
    part = text[start : start + rng.randint(1, 3)].strip() or "#"
    return part * rng.randint(5, 9)


def _initials(text: str, rng: Random) -> str:
    """One letter of each word, or of each few characters."""
    words = text.split() if text.isascii() else [text[i : i + 4] for i in range(0, len(text), 4)]
    gap = rng.choice((" ", "  ", ".. ", " _ "))
    return gap.join(rng.choice(word) for word in words)


KINDS: Mapping[str, Callable[[str, Random], str]] = {
    "junk": _junk,
    "mojibake": _mojibake,
    "codepage": _codepage,
    "escape": _escape,
    "base64": _base64,
    "hex": _hex,
    "thin": _thin,
    "shuffle": _shuffle,
    "swap": _swap,
    "stutter": _stutter,
    "initials": _initials,
}
"""Name of the kind to what it makes of a line; families of negatives.toml name one."""
