"""Jobs on the command line: what they say, and `skilld release job`, which writes one to a file."""

from __future__ import annotations

import argparse
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skilld.cli.console import out, print_json
from skilld.cli.keys import signers_of
from skilld.core.errors import ArtefactError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from skilld.updates.trust import Job


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add what a job says."""
    parser.add_argument("skill", metavar="release", help="name of the release: its engine's")
    parser.add_argument("seq", type=count, help="its number")
    parser.add_argument("--id", help="of the job; random when left out")
    parser.add_argument(
        "--deadline-s", type=count, metavar="N", help="seconds from now for it to be activated"
    )
    parser.add_argument("--manual", action="store_true", help="end the trial by an order only")
    parser.add_argument("--force", action="store_true", help="even if it went wrong there before")


def job_of(options: argparse.Namespace, boxes: Sequence[str]) -> Job:
    """The job these options ask for, issued now.

    Raises:
        ArtefactError: one of them cannot be part of a job.
    """
    from pydantic import ValidationError

    from skilld.updates.trust import Job

    now_s = int(time.time())
    try:
        return Job(
            id=options.id or uuid.uuid4().hex,
            issued_s=now_s,
            skill=options.skill,
            seq=options.seq,
            boxes=tuple(boxes),
            deadline_s=None if options.deadline_s is None else now_s + options.deadline_s,
            commit="manual" if options.manual else "auto",
            force=options.force,
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ArtefactError(str(first["msg"]), path=Path(options.skill), key=key) from error


def job_signers_of(options: argparse.Namespace) -> list[CryptoSigner]:
    """The keys of the command line, of which there must be one.

    Raises:
        ArtefactError: reason NO_KEY, or one cannot be read.
    """
    if not options.key:
        raise ArtefactError(
            "boxes believe signed jobs and orders only",
            path=Path("--key"),
            hint="name a key that `skilld release delegate --jobs` gave that right",
            reason="NO_KEY",
        )
    return signers_of(options)


def job_command(options: argparse.Namespace) -> int:
    """Sign a job."""
    from skilld.updates.trust import sign_job

    signers = job_signers_of(options)
    job = job_of(options, options.box)
    data = sign_job(job, signers)
    if options.out is None:
        print(data.decode())
    else:
        options.out.write_bytes(data)
        if options.json:
            print_json(job.model_dump(mode="json"))
        else:
            out.print(f"[bold]{options.out}[/]: job {job.id} for {job.skill} {job.seq}")
    return 0


def count(text: str) -> int:
    """A number from 1, as the value of an option."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1")
    return int(text)
