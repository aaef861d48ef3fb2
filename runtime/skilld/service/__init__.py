"""What any transport may ask: skills, calls, and the state of the box."""

from skilld.service.call import Call, Delta, Outcome, Usage
from skilld.service.json_input import parse_input
from skilld.service.skill_service import SkillService, error_of
from skilld.service.status import BoxStatus, EngineStatus, RefusedEngine

__all__ = [
    "BoxStatus",
    "Call",
    "Delta",
    "EngineStatus",
    "Outcome",
    "RefusedEngine",
    "SkillService",
    "Usage",
    "error_of",
    "parse_input",
]
