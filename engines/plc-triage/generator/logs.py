"""Logs: lines that share a clock, a machine and a layout."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from skilld.training import noise
from skilld.training.clocks import CLOCKS, RESOLUTION_S
from skilld.training.example import Draw
from skilld.training.grammar import Grammar

from .layouts import Layout
from .names import NameBook, Names


@dataclass(slots=True)
class Line:
    """One line before it is written."""

    role: str  # "root", "fault", "follower", "repeat", "chatter"
    message: str
    code: str | None
    level: str
    at_s: float = 0.0
    has_clock: bool = True


@dataclass(slots=True)
class Log:
    """What all lines of one log share."""

    layout: Layout
    ts_style: str
    start_s: float
    machine: str
    host: str
    tag: str
    seq: int
    pid: int
    level_words: dict[str, str]


class LogWriter:
    """Lists lines and writes them.

    Args:
        names: for machines, tags and hosts.
        grammar: what layouts and names are made of.
    """

    def __init__(self, names: NameBook, grammar: Grammar) -> None:
        self._names = names
        self._grammar = grammar

    def new(self, rng: Random, layout: Layout, names: Names) -> Log:
        """A log without lines."""
        machines = names.machine_ja if layout.lang == "ja" else names.machine_en
        return Log(
            layout=layout,
            ts_style=rng.choice(layout.ts),
            start_s=float(rng.randrange(0, 86400 * 700)),
            machine=rng.choice(machines),
            host=self._grammar.expand(rng.choice(names.host), rng),
            tag=self._grammar.expand(rng.choice(names.tag), rng),
            seq=rng.choice((1, rng.randrange(1, 100), rng.randrange(100, 9000))),
            pid=rng.randrange(100, 32000),
            level_words=layout.level_words(rng),
        )

    def listed(self, rng: Random, log: Log, ordered: list[Line]) -> list[Line]:
        """Give every line its time, then list them as such logs are listed."""
        step_s = RESOLUTION_S[log.ts_style]
        longest_s = rng.choice((2.0, 30.0, 240.0))
        # Clocks without a date or in 12 hours must not wrap within one log.
        at_s = log.start_s - log.start_s % 43200 + rng.uniform(3600, 34000)
        at_s -= at_s % step_s
        log.start_s = at_s
        order = rng.choices(("clock", "newest_first", "mixed"), (60, 18, 22))[0]
        for line in ordered:
            line.at_s = at_s
            gap_s = rng.uniform(0.0, longest_s)
            # Equal clocks leave the order to the position, so only where that tells it.
            is_tie = order == "clock" and rng.random() < 0.08
            at_s += 0.0 if is_tie else max(step_s, gap_s - gap_s % step_s)
        if log.ts_style == "none" or len(ordered) < 2:
            return ordered
        match order:
            case "clock":
                if rng.random() < 0.08:
                    for line in ordered[1:]:
                        line.has_clock = rng.random() < 0.5
                return ordered
            case "newest_first":
                return ordered[::-1]
            case _:
                mixed = list(ordered)
                rng.shuffle(mixed)
                return mixed

    def write(self, rng: Random, log: Log, line: Line, draw: Draw) -> str:
        """One line as text."""
        layout = log.layout.line
        while "«" in layout:
            start, end = layout.index("«"), layout.index("»")
            kept = layout[start + 1 : end] if line.code is not None else ""
            # A column stays when it is empty; «code» alone is a column.
            layout = layout[:start] + kept + layout[end + 1 :]
        if not line.has_clock and layout.startswith("{ts} "):
            layout = layout[5:]
        if rng.random() < 0.06:
            log.tag = self._grammar.expand(rng.choice(self._names.open.tag), rng)
        message = line.message
        if log.layout.caps:
            message = message.upper()
        if line.role in ("chatter", "follower") and rng.random() < 0.05:
            message = noise.truncate(message, rng)
        bound = {
            "ts": CLOCKS[log.ts_style](line.at_s, log.start_s),
            "lvl": log.level_words[line.level],
            "code": line.code or "",
            "msg": message,
            "mc": log.machine,
            "tag": log.tag,
            "host": log.host,
            "seq": str(log.seq),
            "pid": str(log.pid),
        }
        log.seq += 1
        text = self._grammar.expand(layout, rng, bound=bound)
        much = 5 if draw.is_noisy else 1
        if log.layout.lang != "en" and rng.random() < 0.04 * much:
            text = noise.half_width_kana(text)
        elif rng.random() < 0.02 * much:
            text = noise.full_width(text)
        return text.strip()
