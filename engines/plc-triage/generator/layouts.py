"""How a log is laid out, and how it writes levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

LEVEL_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "upper": {
        "critical": ("CRITICAL", "FATAL", "CRIT", "EMERG"),
        "alarm": ("ALARM", "ERROR", "FAULT", "ERR", "ALM"),
        "warning": ("WARNING", "WARN"),
        "info": ("INFO", "OK", "NOTICE", "INFO"),
    },
    "short": {
        "critical": ("CRIT", "FTL", "CRT"),
        "alarm": ("ALM", "ERR", "FLT"),
        "warning": ("WRN", "WARN", "WNG"),
        "info": ("INF", "INFO", "EVT"),
    },
    "letter": {"critical": ("F", "C"), "alarm": ("E", "A"), "warning": ("W",), "info": ("I",)},
    "ja": {
        "critical": ("重大", "重故障", "緊急"),
        "alarm": ("警報", "異常", "アラーム", "故障"),
        "warning": ("警告", "注意", "軽故障"),
        "info": ("情報", "正常", "通知"),
    },
}


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout, which is one family; see the head of families.toml."""

    id: str
    lang: str
    ts: tuple[str, ...]
    line: str
    level: str
    weight: float
    caps: bool
    worded: bool  # a code stands beside numbers, so it must hold a letter to be told apart
    note: bool  # somebody's words, not a machine's: few lines, longer sentences
    held: bool

    def language(self, rng: Random) -> str:
        """Of the next line."""
        return rng.choice(("en", "ja")) if self.lang == "mixed" else self.lang

    def level_words(self, rng: Random) -> dict[str, str]:
        """The word of one log for every tier."""
        return {
            tier: self._level_word(rng, tier) for tier in ("critical", "alarm", "warning", "info")
        }

    def _level_word(self, rng: Random, tier: str) -> str:
        match self.level:
            case "":
                return ""
            case "lower":
                return rng.choice(LEVEL_WORDS["upper"][tier]).lower()
            case "title":
                return rng.choice(LEVEL_WORDS["upper"][tier]).title()
            case style:
                return rng.choice(LEVEL_WORDS[style][tier])


def read_layouts(entries: Sequence[Mapping[str, Any]]) -> dict[str, Layout]:
    """The families of families.toml by id."""
    return {
        entry["id"]: Layout(
            id=entry["id"],
            lang=entry["lang"],
            ts=tuple(entry["ts"]),
            line=entry["line"],
            level=entry["level"],
            weight=entry.get("weight", 1.0),
            caps=entry.get("caps", False),
            worded=entry.get("worded", False),
            note=entry.get("note", False),
            held=entry.get("held", False),
        )
        for entry in entries
    }
