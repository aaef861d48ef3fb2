"""`skilld release push`: has boxes take a release, wave by wave."""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from skilld.cli.box_options import add_box_options, boxes_of, broker_lines, seconds
from skilld.cli.console import err
from skilld.cli.jobs import add_job_options, count, job_of, job_signers_of
from skilld.cli.mqtt_options import add_mqtt_options, mqtt_config
from skilld.core.errors import ArtefactError, InvalidRequestError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from skilld.cli.rollout_view import RolloutView
    from skilld.updates.fleet.rollout import Rollout
    from skilld.updates.trust import Job

EXIT_NO = 1
EXIT_INTERRUPTED = 130


def add_push_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `skilld release push`."""
    add_job_options(parser)
    add_mqtt_options(parser)
    add_box_options(parser)
    parser.add_argument(
        "--canary",
        type=_count_or_none,
        default=1,
        metavar="N",
        help="boxes that go first and must all commit; 1 when left out, 0 for none",
    )
    parser.add_argument(
        "--wave", type=count, metavar="N", help="boxes at a time after that; else all that are left"
    )
    parser.add_argument(
        "--max-failures",
        type=_limit,
        default="0",
        metavar="N or N%",
        help="boxes that may fail; one more, and nobody else is asked and the rest is cancelled",
    )
    parser.add_argument(
        "--stuck-s",
        type=seconds,
        default=1800.0,
        metavar="N",
        help="a box that gets no further for so long counts as failed; more than a trial lasts",
    )
    parser.add_argument(
        "--repository", type=Path, help="look first whether it has this release, and signed"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="stay and show how it goes; several waves need this command to stay anyway",
    )
    parser.add_argument(
        "--timeout-s",
        type=seconds,
        default=30.0,
        metavar="N",
        help="of a command that does not stay: for the broker to take the job",
    )


def push_command(options: argparse.Namespace) -> int:
    """Have boxes take a release."""
    from skilld.cli.rollout_view import view_of
    from skilld.updates.fleet.rollout import Rollout, RolloutPlan

    signers = job_signers_of(options)
    boxes = boxes_of(options)
    if not boxes:
        raise InvalidRequestError("which boxes? --box NAME, or --group NAME", reason="NO_BOX")
    job = job_of(options, boxes)
    plan = RolloutPlan(
        release=job.skill,
        seq=job.seq,
        job=job.id,
        boxes=job.boxes,
        num_canaries=options.canary,
        wave_size=options.wave,
        max_failures=options.max_failures(len(boxes)),
        stuck_s=options.stuck_s,
    )
    if options.repository is not None:
        _check_published(options.repository, job, signers, stuck_s=options.stuck_s)
    view = view_of(watches=options.watch, as_json=options.json)()
    with broker_lines(view.say):
        return asyncio.run(_roll_out(options, Rollout(plan), job, signers, view))


async def _roll_out(
    options: argparse.Namespace,
    rollout: Rollout,
    job: Job,
    signers: list[CryptoSigner],
    view: RolloutView,
) -> int:
    """Stay until the last wave has ended, or give the only one to the broker and leave."""
    from skilld.updates.fleet.campaign import Campaign
    from skilld.updates.fleet.link import FleetLink
    from skilld.updates.fleet.rollout import Ending

    stays = options.watch or len(rollout.plan.waves) > 1
    ending: Ending | None = None
    interrupted = asyncio.Event()
    link = FleetLink(mqtt_config(options), release=job.skill, boxes=job.boxes)
    campaign = Campaign(link, rollout, job, signers, on_change=view.show, on_problem=view.say)
    link.start()
    try:
        if stays:
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
            ending = await campaign.run(interrupted)
        else:
            await campaign.send(options.timeout_s)
        view.end(rollout, ending)
    finally:
        view.close()
        await link.stop()
    if ending is not None:
        return 0 if ending is Ending.COMMITTED else EXIT_NO
    if not options.json:
        hint = _how_to_go_on(rollout) if stays else f"the broker has job {job.id}"
        err.print(hint, highlight=False, markup=False, soft_wrap=True)
    return EXIT_INTERRUPTED if stays else 0


def _how_to_go_on(rollout: Rollout) -> str:
    plan = rollout.plan
    return (
        "interrupted: boxes that have the job go on with it, nobody else is asked.\n"
        f"To go on: the same command with --id {plan.job}\n"
        f"To undo it where it is not committed: skilld release cancel {plan.job} "
        f"--release {plan.release} --key ... --broker ..."
    )


def _check_published(
    folder: Path, job: Job, signers: list[CryptoSigner], *, stuck_s: float
) -> None:
    """See that boxes could believe the job and find the release, as they would.

    Raises:
        UpdateError: they could not.
        ArtefactError: reason NO_REPOSITORY.
        InvalidRequestError: reason STUCK_TOO_SOON.
    """
    from skilld.updates.store import DiskFiles
    from skilld.updates.trust import FolderSource, TrustedRepository, sign_job

    root = folder / "metadata/1.root.json"
    if not root.is_file():
        raise ArtefactError("holds no repository", path=folder, reason="NO_REPOSITORY")
    with tempfile.TemporaryDirectory(prefix="skilld-push-") as scratch:
        files = DiskFiles(Path(scratch))
        box = TrustedRepository(files, Path(scratch) / "tuf", root.read_bytes(), clock=time.time)
        box.refresh(FolderSource(folder))
        release = box.release(job.skill, job.seq)
        box.job(sign_job(job, signers))
    if release.commit.min_seconds >= stuck_s:
        raise InvalidRequestError(
            f"a trial of {job.skill} {job.seq} lasts {release.commit.min_seconds:.0f} s, in which "
            f"a box has nothing to say; --stuck-s must be more",
            reason="STUCK_TOO_SOON",
        )


def _count_or_none(text: str) -> int:
    return 0 if text == "0" else count(text)


def _limit(text: str) -> Callable[[int], int]:
    """How many of so many boxes may fail."""
    number = text.removesuffix("%")
    if not number.isdecimal() or (number != text and int(number) > 100):
        raise argparse.ArgumentTypeError(f"{text} is neither a number nor a percentage")
    if number == text:
        return lambda _boxes: int(number)
    return lambda boxes: boxes * int(number) // 100
