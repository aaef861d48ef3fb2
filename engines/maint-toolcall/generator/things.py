"""What tools are about, and the nouns for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Thing:
    """What a tool is about."""

    id: str
    cls: str
    words: tuple[tuple[str, str], ...]  # singular and plural
    ja: tuple[str, ...]
    same: str
    key: tuple[str, ...]
    keynames: tuple[str, ...]
    units: tuple[str, ...]
    is_held: bool
    may: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    tell: tuple[str, ...] = ()

    @property
    def nouns(self) -> set[str]:
        """All that it may be called."""
        return {one for one, _ in self.words} | {many for _, many in self.words} | set(self.ja)


def read_things(tables: Mapping[str, Any]) -> list[Thing]:
    """The things of things.toml, class by class."""
    made = []
    for cls, table in tables.items():
        for is_held, key in ((False, "train"), (True, "held")):
            for entry in table[key]:
                words = tuple(plural(word) for word in entry["words"])
                made.append(
                    Thing(
                        id=words[0][0].replace(" ", "-").lower(),
                        cls=cls,
                        words=words,
                        ja=tuple(entry["ja"]),
                        same=entry.get("same", words[0][0]),
                        key=tuple(table["key"]),
                        keynames=tuple(table["keynames"]),
                        units=tuple(entry.get("units", ())),
                        is_held=is_held,
                        may=tuple(entry.get("may", ())),
                        ask=tuple(entry.get("ask", ())),
                        tell=tuple(entry.get("tell", ())),
                    )
                )
    return made


def plural(word: str) -> tuple[str, str]:
    """A noun ("one" or "one|many") with its plural."""
    one, _, many = word.partition("|")
    return one, many or (one + "es" if one.endswith(("s", "sh", "ch", "x")) else one + "s")


def article(word: str) -> str:
    """Of a noun, indefinite."""
    return "an" if word[:1].lower() in "aeiou" and not word.lower().startswith("u") else "a"
