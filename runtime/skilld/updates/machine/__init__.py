"""`machine`: what becomes of an update, decided without a clock, a disk or a thread."""

from skilld.updates.machine.machine import Decision, decide
from skilld.updates.machine.state import JobRecord, Outcome, SkillState, Status, Step

__all__ = [
    "Decision",
    "JobRecord",
    "Outcome",
    "SkillState",
    "Status",
    "Step",
    "decide",
]
