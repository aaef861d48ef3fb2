"""Key files: an ed25519 private key as PEM, and its public half beside it as JSON.

The private one is encrypted, or readable by its owner alone; the public one is given to others.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from skilld.core.errors import ArtefactError

PRIVATE_SUFFIX = ".pem"
PUBLIC_SUFFIX = ".pub"


def make_key(path: Path, *, passphrase: str | None) -> SSlibKey:
    """Write a new key pair: `path` and the same name with `.pub`.

    Args:
        path: of the private key; ends in ".pem".
        passphrase: to encrypt it with; None leaves it readable by this user alone.

    Raises:
        ArtefactError: reason KEY_EXISTS, or KEY_NOT_WRITTEN; no file is ever overwritten.
    """
    if path.suffix != PRIVATE_SUFFIX:
        raise ArtefactError(f"must end in {PRIVATE_SUFFIX}", path=path, reason="BAD_KEY_FILE")
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        encryption = BestAvailableEncryption(passphrase.encode())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    public = CryptoSigner(key).public_key
    public_path = path.with_suffix(PUBLIC_SUFFIX)
    if public_path.exists():
        raise ArtefactError("exists already", path=public_path, reason="KEY_EXISTS")
    _write_new(path, private, mode=0o600)
    document = {"keyid": public.keyid, **public.to_dict()}
    _write_new(public_path, json.dumps(document, indent=2).encode() + b"\n", mode=0o644)
    return public


def read_signer(path: Path, *, passphrase: str | None = None) -> CryptoSigner:
    """Read a private key.

    Raises:
        ArtefactError: reason BAD_KEY_FILE: missing, open to other users, encrypted and no
            passphrase or a wrong one given, or not an ed25519 key.
    """
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise _bad_key(path, f"cannot be read: {error.strerror}") from error
    is_encrypted = b"ENCRYPTED" in data
    if not is_encrypted and stat.S_IMODE(mode) & 0o077:
        raise _bad_key(path, "is not encrypted and other users can read it: chmod 600 it")
    if is_encrypted and passphrase is None:
        raise _bad_key(path, "is encrypted: a passphrase is needed")
    try:
        key = load_pem_private_key(
            data, passphrase.encode() if is_encrypted and passphrase is not None else None
        )
    except (ValueError, TypeError) as error:
        hint = "the passphrase is wrong, or the file damaged" if is_encrypted else "is no PEM key"
        raise _bad_key(path, hint) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _bad_key(path, "is not an ed25519 key")
    return CryptoSigner(key)


def is_encrypted(path: Path) -> bool:
    """Whether a private key file needs a passphrase; False if it cannot be read."""
    try:
        return b"ENCRYPTED" in path.read_bytes()
    except OSError:
        return False


def read_public_key(path: Path) -> SSlibKey:
    """Read a public key file.

    Raises:
        ArtefactError: reason BAD_KEY_FILE.
    """
    try:
        document = json.loads(path.read_bytes())
        key = SSlibKey.from_dict(str(document.pop("keyid")), document)
    except OSError as error:
        raise _bad_key(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_key(path, "is not a public key; `skilld release keygen` makes one") from error
    if key.keytype != "ed25519":
        raise _bad_key(path, "is not an ed25519 key")
    return key


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise ArtefactError(
            "exists already", path=path, hint="keys are never overwritten", reason="KEY_EXISTS"
        ) from error
    except OSError as error:
        raise ArtefactError(
            f"cannot be written: {error.strerror}", path=path, reason="KEY_NOT_WRITTEN"
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _bad_key(path: Path, message: str) -> ArtefactError:
    return ArtefactError(message, path=path, reason="BAD_KEY_FILE")
