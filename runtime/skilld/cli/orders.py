"""`skilld release cancel` and `commit`: signed orders about a job that is under way."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from skilld.cli.box_options import add_box_options, boxes_of, broker_lines, seconds
from skilld.cli.console import err, out, print_json
from skilld.cli.jobs import job_signers_of
from skilld.cli.mqtt_options import add_mqtt_options, mqtt_config
from skilld.core.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import CryptoSigner

    from skilld.updates.fleet.job_holders import Holder
    from skilld.updates.fleet.link import FleetLink
    from skilld.updates.trust import Command

EXIT_NO = 1
_MAX_BOXES = 256  # of one order


def add_order_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of both commands."""
    parser.add_argument("job", help="its id")
    parser.add_argument("--release", help="name of its release, where boxes tell nothing of it")
    add_mqtt_options(parser)
    add_box_options(parser)
    parser.add_argument(
        "--timeout-s", type=seconds, default=30.0, metavar="N", help="for the broker to take it"
    )


def cancel_command(options: argparse.Namespace) -> int:
    """Have boxes undo a job."""
    from skilld.updates.trust import Command

    return _order(options, Command.CANCEL)


def commit_command(options: argparse.Namespace) -> int:
    """Have boxes end a trial well."""
    from skilld.updates.trust import Command

    return _order(options, Command.COMMIT)


def _order(options: argparse.Namespace, command: Command) -> int:
    signers = job_signers_of(options)
    boxes = boxes_of(options)
    with broker_lines(_say):
        holders = asyncio.run(_send(options, command, boxes, signers))
    if options.json:
        print_json(
            [
                {"box": h.box, "release": h.release, "sent": not h.refusal, "why": h.refusal}
                for h in holders
            ]
        )
    else:
        for holder in holders:
            what = f"not sent: {holder.refusal}" if holder.refusal else f"{command} sent"
            where = f"{holder.box} {holder.release}".strip()
            out.print(f"{where}: {what}", markup=False, highlight=False, soft_wrap=True)
    return 0 if any(not holder.refusal for holder in holders) else EXIT_NO


async def _send(
    options: argparse.Namespace,
    command: Command,
    boxes: Sequence[str],
    signers: list[CryptoSigner],
) -> list[Holder]:
    from skilld.updates.fleet.link import FleetLink

    link = FleetLink(mqtt_config(options), release=options.release, boxes=boxes)
    link.start()
    try:
        await link.ready(options.timeout_s)
        holders = _holders(link, options, command, boxes)
        _send_to(link, options.job, command, holders, signers)
        await link.settled(options.timeout_s)
    finally:
        await link.stop()
    return holders


def _holders(
    link: FleetLink, options: argparse.Namespace, command: Command, boxes: Sequence[str]
) -> list[Holder]:
    from skilld.updates.fleet.job_holders import Holder, job_holders

    holders = job_holders(
        options.job,
        command,
        reports=link.reports,
        jobs=link.jobs,
        wanted=boxes,
        release=options.release,
    )
    if not holders:
        where = f"of {', '.join(boxes)} " if boxes else ""
        raise NotFoundError(
            f"no box {where}has or tells of job {options.job}; --release and --box send the order "
            "all the same",
            reason="UNKNOWN_JOB",
        )
    known = {holder.box for holder in holders}
    return holders + [
        Holder(box, options.release or "", "nothing tells of this job there")
        for box in boxes
        if box not in known
    ]


def _send_to(
    link: FleetLink,
    job: str,
    command: Command,
    holders: Sequence[Holder],
    signers: list[CryptoSigner],
) -> None:
    from pydantic import ValidationError

    from skilld.updates.fleet.campaign import send_order
    from skilld.updates.trust import Order

    for release in sorted({holder.release for holder in holders}):
        named = [h.box for h in holders if h.release == release and not h.refusal]
        for begin in range(0, len(named), _MAX_BOXES):
            try:
                order = Order(
                    job=job, command=command, boxes=tuple(named[begin : begin + _MAX_BOXES])
                )
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(map(str, first["loc"]))
                raise InvalidRequestError(f"{key}: {first['msg']}", reason="BAD_ORDER") from error
            send_order(link, release, order, signers)


def _say(line: str) -> None:
    err.print(line, markup=False, highlight=False, soft_wrap=True)
