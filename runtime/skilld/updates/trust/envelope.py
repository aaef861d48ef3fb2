"""What travels of a signed document: its exact text, and signatures over it by key."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.signer import CryptoSigner, Signature

from skilld.core.errors import UpdateError

MAX_ENVELOPE_BYTES = 16 << 10

DocumentT = TypeVar("DocumentT", bound=BaseModel)


class _Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    signatures: dict[str, str] = Field(max_length=16)


def seal(document: BaseModel, signers: list[CryptoSigner]) -> bytes:
    """A document with the signatures of some keys, as JSON."""
    text = document.model_dump_json()
    signatures = [signer.sign(text.encode()) for signer in signers]
    return json.dumps(
        {"text": text, "signatures": {s.keyid: s.signature for s in signatures}}
    ).encode()


def open_envelope(
    data: bytes, kind: type[DocumentT], *, name: str
) -> tuple[DocumentT, bytes, dict[str, Signature]]:
    """Take a signed document apart; nothing in it is trusted yet.

    Args:
        data: as it arrived.
        kind: of the document. It says itself what it is, so that a signature over one kind is
            never one over another.
        name: of the kind, for errors: "job".

    Returns:
        The document, the bytes that were signed, and the signatures by key.

    Raises:
        UpdateError: reason BAD_JOB for a job, BAD_ORDER for an order.
    """
    reason = f"BAD_{name.upper()}"
    if len(data) > MAX_ENVELOPE_BYTES:
        raise UpdateError(f"{name}: {len(data)} bytes, at most {MAX_ENVELOPE_BYTES}", reason=reason)
    try:
        envelope = _Envelope.model_validate_json(data)
        document = kind.model_validate_json(envelope.text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UpdateError(f"no {name}: {key}: {first['msg']}", reason=reason) from error
    signatures = {
        keyid: Signature(keyid, signature) for keyid, signature in envelope.signatures.items()
    }
    return document, envelope.text.encode(), signatures


def claimed_id(data: bytes) -> str:
    """What a document nobody may trust calls itself; "" if it does not."""
    try:
        claimed = json.loads(json.loads(data[:MAX_ENVELOPE_BYTES])["text"])["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return claimed[:64] if isinstance(claimed, str) else ""
