"""`Tally`: what a run has counted, and every promise it saw broken. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from field.box_config import SWAP
from field.caller import ANSWERED, CallRecord
from field.processes import Life

NO_DAEMON = "UNAVAILABLE"  # nothing listens, or it died with the call in its hands
UPDATING = "UPDATING"
_MAX_FAULTS = 50


@dataclass
class Tally:
    """See the module docstring.

    Attributes:
        kills: by the step a job was in, and whether the daemon was not ready yet.
        updates: by how they ended.
        calls: by what became of them.
        blows: restarts of the broker and cuts of the line that were ordered.
        line_bytes: that came out of the line at the box, of everything.
        sent_bytes: of blobs, by the depot; not all of it reached the line.
        resent_bytes: of them sent before in the same update.
        new_bytes: of releases, which were on the box in no form.
        blackout_s: longest time between two answers of a skill, while the daemon lived, by form.
        dead_s: the same, over deaths of the daemon.
        line: what the line did by itself.
        faults: promises that were broken.
    """

    kills: Counter[str] = field(default_factory=Counter)
    updates: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    line_bytes: int = 0
    sent_bytes: int = 0
    resent_bytes: int = 0
    new_bytes: int = 0
    blackout_s: dict[str, float] = field(default_factory=dict)
    dead_s: float = 0.0
    line: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    _answered: dict[str, CallRecord] = field(default_factory=dict)

    def fault(self, text: str) -> None:
        """A promise was broken."""
        if len(self.faults) < _MAX_FAULTS:
            self.faults.append(text)

    def book(
        self,
        records: Iterable[CallRecord],
        lives: Sequence[Life],
        allowed: Collection[str],
    ) -> None:
        """Take calls in.

        Args:
            records: in the order they ended, by skill.
            lives: of the daemon, at least all during these calls.
            allowed: digests of the engines that may answer.
        """
        for record in records:
            kind, problem = judge(record, lives)
            self.calls[kind] += 1
            if problem:
                self.fault(f"{record.skill}: {problem}")
            if record.result != ANSWERED:
                continue
            if record.digest not in allowed:
                self.fault(f"{record.skill}: answered by {record.digest[:12]}, which none serves")
            before = self._answered.get(record.skill)
            self._answered[record.skill] = record
            if before is not None:
                self._gap(before.ended_s, record.ended_s, lives)

    def _gap(self, from_s: float, to_s: float, lives: Sequence[Life]) -> None:
        if was_down(from_s, to_s, lives):
            self.dead_s = max(self.dead_s, to_s - from_s)
            return
        form = next((life.form for life in reversed(lives) if life.born_s <= from_s), "")
        self.blackout_s[form] = max(self.blackout_s.get(form, 0.0), to_s - from_s)


def judge(record: CallRecord, lives: Sequence[Life]) -> tuple[str, str]:
    """What to count a call as, and what is wrong about it; "" for nothing."""
    reason = record.result
    if reason == ANSWERED:
        return ANSWERED, ""
    took = f"{reason} after {record.ended_s - record.began_s:.3f} s"
    if reason == NO_DAEMON:
        if was_down(record.began_s, record.ended_s, lives):
            return "no daemon", ""
        return reason, f"{took}, with a daemon that was up"
    if reason == UPDATING:
        if any(
            life.form == SWAP and overlaps(record.began_s, record.ended_s, life) for life in lives
        ):
            return "UPDATING, no memory for two", ""
        return reason, f"{took}, although there was memory for two"
    return reason, f"{took}, which is no stated reason"


def was_down(from_s: float, to_s: float, lives: Sequence[Life]) -> bool:
    """Whether no daemon was ready at some moment of this time."""
    if not lives:
        return True
    ends = [-math.inf, *(math.inf if life.died_s is None else life.died_s for life in lives)]
    begins = [*(math.inf if life.ready_s is None else life.ready_s for life in lives), math.inf]
    return any(down_s <= to_s and up_s >= from_s for down_s, up_s in zip(ends, begins, strict=True))


def overlaps(from_s: float, to_s: float, life: Life) -> bool:
    """Whether the process was there at some moment of this time."""
    return life.born_s <= to_s and (life.died_s is None or life.died_s >= from_s)
