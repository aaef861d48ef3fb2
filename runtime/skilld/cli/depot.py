"""`skilld depot`: a repository folder, served over MQTT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from skilld.cli.console import out
from skilld.cli.mqtt_options import add_mqtt_options, mqtt_config
from skilld.config import parse_bytes
from skilld.core.errors import ArtefactError

if TYPE_CHECKING:
    from skilld.updates.depot import Depot


def add_depot_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `skilld depot`."""
    parser.add_argument("repository", type=Path, help="folder that `skilld release` publishes in")
    parser.add_argument("--name", default="depot", help="of this depot, in topics")
    parser.add_argument(
        "--rate", type=_rate, metavar="BYTES", help='per second at most, for instance "2MiB"'
    )
    add_mqtt_options(parser, "--key")


def depot_command(options: argparse.Namespace) -> int:
    """Serve a repository until interrupted."""
    from skilld.updates.depot import Depot, DepotLimits

    folder: Path = options.repository
    if not (folder / "metadata").is_dir():
        raise ArtefactError(
            "holds no repository",
            path=folder,
            hint="`skilld release init` makes one",
            reason="NO_REPOSITORY",
        )
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    depot = Depot(folder, mqtt_config(options), options.name, DepotLimits(bytes_per_s=options.rate))
    out.print(
        f"depot {options.name} serves {folder} over {options.broker}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    asyncio.run(_serve(depot))
    return 0


async def _serve(depot: Depot) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    depot.start()
    try:
        await ended.wait()
    finally:
        await depot.stop()


def _rate(text: str) -> int:
    try:
        rate = parse_bytes(int(text) if text.isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if rate < 1:
        raise argparse.ArgumentTypeError(f"{text} per second would never end")
    return rate
