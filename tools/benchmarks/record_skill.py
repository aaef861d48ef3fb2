"""The skill of `json_bench`: a log in, a typed record out, as a specialist of a plant would have.

Every string of the record is bounded, so that a model of random weights, which never thinks of a
closing quote, ends its answers all the same.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

RECORD_SKILL = "bench-record"
MAX_TOKENS = 128
_INSTRUCTIONS = (
    "You read the log of a production line and name the root cause of a stop as a record. "
    "The code is the letter and the four digits of the first fault in the log. The subsystem is "
    "the part of the machine that failed. The severity says how bad it is. The first line is the "
    "number of the line that shows the fault. The action is what the operator should do next, and "
    "a human is needed when the line cannot go on without one. Copy the name of the station. "
    "Later lines are often only a consequence of the first, so look at the times.\n"
    "Log:\n"
)
_ENDING = "\nRecord:\n"
_SUBSYSTEMS = [
    "drive",
    "hydraulics",
    "pneumatics",
    "safety",
    "sensor",
    "network",
    "power",
    "thermal",
    "vision",
    "conveyor",
    "control",
    "mechanical",
]
_ACTIONS = [
    "reset",
    "inspect",
    "replace",
    "cool_down",
    "stop_line",
    "check_wiring",
    "lubricate",
    "recalibrate",
    "restart_network",
    "call_maintenance",
    "monitor",
    "refill",
    "clean",
    "clear_jam",
]
_EVENTS = (
    "axis {n} following error",
    "motor {n} over current",
    "valve {n} did not close",
    "light curtain {n} interrupted",
    "oil temperature {n} degrees",
    "no answer from node {n}",
)

RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "fault_code": {"type": "string", "pattern": "^[A-Z][0-9]{4}$"},
        "subsystem": {"enum": _SUBSYSTEMS},
        "severity": {"enum": ["info", "warning", "alarm", "critical"]},
        "first_line": {"type": "integer", "minimum": 1, "maximum": 8},
        "action": {"enum": _ACTIONS},
        "needs_human": {"type": "boolean"},
        "station": {"type": "string", "minLength": 12, "maxLength": 16},
    },
    "required": [
        *("fault_code", "subsystem", "severity", "first_line"),
        *("action", "needs_human", "station"),
    ],
    "additionalProperties": False,
}


def record_skill() -> str:
    """TOML of the skill."""
    schema = "".join(f"{key} = {_toml(value)}\n" for key, value in RECORD_SCHEMA.items())
    return (
        f'id = "{RECORD_SKILL}"\nversion = "0"\ndescription = "Names the cause of a stop."\n'
        f"prompt = {json.dumps(_INSTRUCTIONS + '{lines}' + _ENDING)}\ntimeout_s = 600.0\n\n"
        f"[decoding]\nmax_tokens = {MAX_TOKENS}\n\n"
        '[input_schema]\ntype = "object"\nrequired = ["lines"]\nadditionalProperties = false\n'
        'properties.lines.type = "string"\n\n'
        f"[output_schema]\n{schema}"
    )


def prompt(lines: str) -> str:
    """What the skill makes of a log."""
    return _INSTRUCTIONS + lines + _ENDING


class Logs:
    """Logs, no two alike.

    Args:
        seed: of the choice.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def lines(self) -> str:
        """A new log of two lines."""
        drawn = [int(number) for number in self._random.integers(1000, 10_000, size=4)]
        event = _EVENTS[drawn[0] % len(_EVENTS)].format(n=drawn[1] % 90 + 10)
        return (
            f"{drawn[2] % 24:02}:{drawn[3] % 60:02} station press {drawn[0] % 40} E{drawn[1]} "
            f"{event}\n{drawn[2] % 24:02}:{drawn[2] % 60:02} line stopped"
        )


def _toml(value: Any) -> str:  # Any: a JSON value
    """As TOML, in which all but objects are written alike."""
    if isinstance(value, dict):
        inside = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return "{ " + inside + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
