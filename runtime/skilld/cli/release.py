"""`skilld release`: keys, a repository of signed releases in a folder, and boxes that take them."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from skilld.cli.console import err, out, print_json, size
from skilld.cli.fleet import add_fleet_options, fleet_command
from skilld.cli.jobs import add_job_options, count, job_command
from skilld.cli.keys import keygen_command, signers_of
from skilld.cli.orders import add_order_options, cancel_command, commit_command
from skilld.cli.push import add_push_options, push_command
from skilld.core.errors import ArtefactError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from skilld.updates.publishing import Repository, Waiting

EXIT_NO = 1
_ROLES = ("root", "targets", "snapshot", "timestamp")


def add_release_commands(release: argparse.ArgumentParser) -> None:
    """Add what follows `skilld release` on the command line."""
    commands = release.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str,
        command: Callable[[argparse.Namespace], int],
        text: str,
        *,
        signs: bool = True,
        opens: bool = True,  # the repository
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        sub.add_argument("--json", action="store_true", help="print JSON for scripts")
        if opens:
            sub.add_argument("repository", type=Path, help="folder of the repository")
        if signs:
            sub.add_argument(
                "--key",
                type=Path,
                action="extend",
                nargs="+",
                default=[],
                metavar="FILE.pem",
                help="private keys to sign with",
            )
        if signs and opens:
            sub.add_argument(
                "--expires-days",
                type=_days,
                metavar="N",
                help="life of all that is signed anew; else 365, snapshot and timestamp 30",
            )
        return sub

    keygen = add(
        "keygen", keygen_command, "Make key pairs; never overwrites one.", signs=False, opens=False
    )
    keygen.add_argument(
        "files", type=Path, nargs="+", metavar="FILE.pem", help="FILE.pub comes beside each"
    )
    keygen.add_argument(
        "--no-passphrase", action="store_true", help="leave it readable by this user, unencrypted"
    )

    init = add("init", init_command, "Begin a repository: who may sign what.")
    _public(init, "--root", "owners of the root", is_list=True)
    init.add_argument("--threshold", type=count, required=True, help="root signatures needed")
    _public(init, "--targets", "who says whose releases are whose")
    _public(init, "--online", "signs snapshot and timestamp, often and unattended")

    delegate = add("delegate", delegate_command, "Say who may sign a skill's releases, or jobs.")
    whose = delegate.add_mutually_exclusive_group(required=True)
    whose.add_argument("--skill", help="name of the engine whose releases are meant")
    whose.add_argument("--jobs", action="store_true", help="jobs, which make boxes update")
    _public(delegate, "--owner", "who may sign; replaces those before", is_list=True)
    delegate.add_argument("--threshold", type=count, default=1, help="signatures needed")

    rotate = add("rotate", rotate_command, "Change the keys of a top-level role.")
    rotate.add_argument("role", choices=_ROLES)
    for flag, text in (("--add", "key it gets"), ("--revoke", "key it loses")):
        rotate.add_argument(
            flag, type=Path, action="append", default=[], metavar="FILE.pub", help=text
        )
    rotate.add_argument("--threshold", type=count, help="signatures it needs from now on")

    publish = add("publish", publish_command, "Add an engine folder as the next release.")
    publish.add_argument("engine", type=Path, help="engine folder")
    publish.add_argument("--min-requests", type=int, help="of a trial, before it is committed")
    publish.add_argument("--min-seconds", type=float, help="of a trial, before it is committed")
    publish.add_argument("--max-error-rate", type=float, help="0..1; above it a trial has failed")
    publish.add_argument("--max-p95-ms", type=float, help="above it a trial has failed")

    add("sign", sign_command, "Add signatures to what waits for them.")
    renew = add("renew", renew_command, "Sign again with a new date of expiry.")
    renew.add_argument("--role", action="append", help="snapshot and timestamp when left out")
    add("list", list_command, "List releases, dates of expiry, and what waits.", signs=False)

    job = add("job", job_command, "Sign a job: which release boxes shall run.", opens=False)
    add_job_options(job)
    job.add_argument("--out", type=Path, help="file; standard output when left out")
    job.add_argument("--box", action="append", default=[], help="this box only; repeat for several")
    add_push_options(
        add("push", push_command, "Have boxes take a release, wave by wave.", opens=False)
    )
    for name, command, text in (
        ("cancel", cancel_command, "Have boxes undo a job where it is not committed."),
        ("commit", commit_command, "Have boxes end the trial of a job well, now."),
    ):
        add_order_options(add(name, command, text, opens=False))
    add_fleet_options(
        add("fleet", fleet_command, "Show what boxes tell of updates.", signs=False, opens=False)
    )


def init_command(options: argparse.Namespace) -> int:
    """Begin a repository."""
    from skilld.updates.publishing import read_public_key

    repository = _repository(options)
    signers = signers_of(options)
    repository.create(
        root=[read_public_key(path) for path in options.root],
        threshold=options.threshold,
        targets=read_public_key(options.targets),
        online=read_public_key(options.online),
    )
    return _advance(options, repository, signers)


def delegate_command(options: argparse.Namespace) -> int:
    """Say who may sign."""
    from skilld.updates.publishing import read_public_key

    repository = _repository(options)
    signers = signers_of(options)
    owners = [read_public_key(path) for path in options.owner]
    if options.jobs:
        repository.delegate_jobs(owners, threshold=options.threshold)
    else:
        repository.delegate_skill(options.skill, owners, threshold=options.threshold)
    return _advance(options, repository, signers)


def rotate_command(options: argparse.Namespace) -> int:
    """Change the keys of a top-level role."""
    from skilld.updates.publishing import read_public_key

    repository = _repository(options)
    signers = signers_of(options)
    repository.change_root_keys(
        options.role,
        add=[read_public_key(path) for path in options.add],
        revoke=[read_public_key(path).keyid for path in options.revoke],
        threshold=options.threshold,
    )
    return _advance(options, repository, signers)


def publish_command(options: argparse.Namespace) -> int:
    """Add a release."""
    from pydantic import ValidationError

    from skilld.updates.bundle.release import CommitRule

    rule = {
        name: value
        for name in ("min_requests", "min_seconds", "max_error_rate", "max_p95_ms")
        if (value := getattr(options, name)) is not None
    }
    try:
        commit = CommitRule.model_validate(rule)
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        raise ArtefactError(f"{flag}: {first['msg']}", path=options.engine) from error
    repository = _repository(options)
    signers = signers_of(options)
    release = repository.publish(options.engine, commit=commit)
    if not options.json:
        chunks = sum(len(file.chunks) for file in release.files)
        out.print(
            f"[bold]{release.skill} {release.seq}[/] (version {release.version}): "
            f"{len(release.files)} files, {chunks} chunks, {size(release.num_bytes)}",
            highlight=False,
        )
    return _advance(options, repository, signers, skill=release.skill, seq=release.seq)


def sign_command(options: argparse.Namespace) -> int:
    """Add signatures."""
    if not options.key:
        raise ArtefactError("no --key to sign with", path=options.repository, reason="NO_KEY")
    repository, signers = _repository(options), signers_of(options)
    before = set(repository.drafts())
    code = _advance(options, repository, signers)
    if not before and not options.json:
        err.print("nothing waited for a signature", highlight=False)
    return code


def renew_command(options: argparse.Namespace) -> int:
    """Sign again."""
    repository = _repository(options)
    signers = signers_of(options)
    for role in options.role or ("snapshot", "timestamp"):
        repository.renew(role)
    return _advance(options, repository, signers)


def list_command(options: argparse.Namespace) -> int:
    """List a repository."""
    from skilld.updates.publishing import Repository

    repository = Repository(options.repository)
    releases, expiries = repository.releases(), repository.expiries()
    waiting = repository.drafts()
    if not expiries and not waiting:
        raise ArtefactError(
            "holds no repository",
            path=options.repository,
            hint="`skilld release init` makes one",
            reason="NO_REPOSITORY",
        )
    if options.json:
        print_json(
            {
                "releases": [dataclasses.asdict(release) for release in releases],
                "expires": {role: date.isoformat() for role, date in expiries.items()},
                "waiting": waiting,
            }
        )
        return 0
    table = Table("release", "number", "version", "size", "description")
    for release in releases:
        table.add_row(
            release.skill,
            str(release.seq),
            release.version,
            size(release.num_bytes),
            f"{release.sha256[:16]}…",
        )
    out.print(table)
    for role, date in expiries.items():
        days = (date.timestamp() - time.time()) / 86400
        colour = "red" if days < 0 else "yellow" if days < 7 else "dim"
        verb = "expired" if days < 0 else "expires"
        out.print(f"  {role} {verb} [{colour}]{date:%Y-%m-%d}[/]", highlight=False)
    for role in waiting:
        out.print(f"  [bold yellow]{role} waits for signatures[/]")
    return 0


def _advance(
    options: argparse.Namespace,
    repository: Repository,
    signers: list[CryptoSigner],
    **facts: Any,
) -> int:
    waiting = repository.advance(signers)
    if options.json:
        print_json({**facts, "waiting": [_as_dict(draft) for draft in waiting]})
    else:
        for draft in waiting:
            keys = ", ".join(keyid[:12] for keyid in draft.keyids) or "those it will get"
            err.print(
                f"[bold yellow]{draft.role}[/] waits for {draft.missing} signature(s) of: {keys}",
                highlight=False,
            )
        if not waiting:
            out.print(f"[green]published[/] in {options.repository}", highlight=False)
    return EXIT_NO if waiting else 0


def _as_dict(draft: Waiting) -> dict[str, object]:
    return {"role": draft.role, "missing": draft.missing, "keyids": list(draft.keyids)}


def _repository(options: argparse.Namespace) -> Repository:
    from skilld.updates.publishing import Lifetimes, Repository

    days = options.expires_days
    return Repository(
        options.repository,
        lifetimes=None if days is None else Lifetimes(days, days, days, days),
    )


def _public(
    parser: argparse.ArgumentParser, flag: str, text: str, *, is_list: bool = False
) -> None:
    if is_list:
        parser.add_argument(
            flag,
            type=Path,
            required=True,
            action="extend",
            nargs="+",
            metavar="FILE.pub",
            help=text,
        )
    else:
        parser.add_argument(flag, type=Path, required=True, metavar="FILE.pub", help=text)


def _days(text: str) -> int:
    days = count(text)
    if days > 3650:
        raise argparse.ArgumentTypeError(f"{text} days are more than ten years")
    return days
