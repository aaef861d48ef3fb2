"""Orders to a robot that were meant first and written down afterwards."""

from __future__ import annotations

from .generator import RobotCommandGenerator


def load() -> RobotCommandGenerator:
    """The generator, for `skilld.training`."""
    return RobotCommandGenerator()
