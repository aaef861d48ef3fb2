"""Which boxes a command is about, and the line to their broker."""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from skilld.core.errors import InvalidRequestError


def add_box_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name boxes."""
    parser.add_argument("--box", action="append", default=[], help="repeat for several")
    parser.add_argument(
        "--group", action="append", default=[], help="boxes of a group; repeat for several"
    )
    parser.add_argument(
        "--fleet",
        type=Path,
        metavar="FILE.toml",
        help="the groups: a table [groups] with a list of boxes for each name",
    )


def boxes_of(options: argparse.Namespace) -> list[str]:
    """The boxes they name, each once, in order; empty when they name none.

    Raises:
        InvalidRequestError: reason NO_FLEET.
        ArtefactError: reason BAD_FLEET.
    """
    boxes = list(options.box)
    if options.group:
        from skilld.updates.fleet.groups import boxes_of_groups

        if options.fleet is None:
            raise InvalidRequestError(
                "--group needs --fleet FILE.toml, where the groups are", reason="NO_FLEET"
            )
        boxes += boxes_of_groups(options.fleet, options.group)
    return list(dict.fromkeys(boxes))


def seconds(text: str) -> float:
    """A number of seconds, as the value of an option."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.1 <= value <= 1e7:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.1 and 10000000 seconds")
    return value


@contextlib.contextmanager
def broker_lines(say: Callable[[str], None]) -> Iterator[None]:
    """Have what the connection to the broker logs said as lines, while this lasts."""
    logger = logging.getLogger("skilld.mqtt")
    handler, before = _Lines(say), (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class _Lines(logging.Handler):
    """Warnings; and that a connection is there, once one was missing."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._say = say
        self._was_away = False

    def emit(self, record: logging.LogRecord) -> None:
        is_bad = record.levelno >= logging.WARNING
        if is_bad or self._was_away:
            self._say(record.getMessage())
        self._was_away = is_bad
