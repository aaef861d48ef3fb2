"""Keys on the command line: making them, reading them, and the passphrases they need."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from skilld.cli.console import out, print_json
from skilld.core.errors import ArtefactError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

PASSPHRASE_VARIABLE = "SKILLD_KEY_PASSPHRASE"


def keygen_command(options: argparse.Namespace) -> int:
    """Make key pairs."""
    from skilld.updates.publishing import make_key

    made = []
    for path in options.files:
        passphrase = None if options.no_passphrase else _new_passphrase(path)
        key = make_key(path, passphrase=passphrase)
        made.append({"keyid": key.keyid, "private": str(path)})
        if not options.json:
            out.print(
                f"[bold]{path}[/] and {path.with_suffix('.pub').name}: key {key.keyid[:16]}…",
                highlight=False,
            )
    if options.json:
        print_json(made)
    return 0


def signers_of(options: argparse.Namespace) -> list[CryptoSigner]:
    """The keys of the command line, read before anything is changed."""
    from skilld.updates.publishing import is_encrypted, read_signer

    return [
        read_signer(path, passphrase=_passphrase(path) if is_encrypted(path) else None)
        for path in options.key
    ]


def _passphrase(path: Path) -> str:
    if (known := os.environ.get(PASSPHRASE_VARIABLE)) is not None:
        return known
    _check_terminal(path)
    return getpass.getpass(f"Passphrase of {path}: ")


def _new_passphrase(path: Path) -> str:
    if (known := os.environ.get(PASSPHRASE_VARIABLE)) is not None:
        first = second = known
    else:
        _check_terminal(path)
        first = getpass.getpass(f"New passphrase of {path}: ")
        second = getpass.getpass("The same again: ")
    if first != second:
        raise ArtefactError("the two passphrases differ", path=path, reason="BAD_PASSPHRASE")
    if not first:
        raise ArtefactError(
            "an empty passphrase protects nothing",
            path=path,
            hint="--no-passphrase leaves the key unencrypted",
            reason="BAD_PASSPHRASE",
        )
    return first


def _check_terminal(path: Path) -> None:
    if not sys.stdin.isatty():
        raise ArtefactError(
            f"needs a passphrase, and there is no terminal; set {PASSPHRASE_VARIABLE}",
            path=path,
            reason="NO_PASSPHRASE",
        )
