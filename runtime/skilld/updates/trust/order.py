"""`Order`: a signed word about a job that is under way. Like a job it can name nothing but that."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from securesystemslib.signer import CryptoSigner

from skilld.updates.bundle.release import Name
from skilld.updates.trust.envelope import seal
from skilld.updates.trust.job import JobId


class Command(StrEnum):
    """What is to become of the job."""

    CANCEL = "cancel"  # undo it, as soon as that is safe; a committed release stays
    COMMIT = "commit"  # end its trial well, now


class Order(BaseModel):
    """See the module docstring.

    It may arrive late, twice, or for a job that has ended: then nothing happens.

    Attributes:
        kind: so that a signature over something else is never one over an order.
        job: id of the job it is about; of any other it says nothing.
        command: what is to become of it.
        boxes: who is meant; empty for whoever gets it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["skilld-order-1"] = "skilld-order-1"
    job: JobId
    command: Command
    boxes: tuple[Name, ...] = Field(default=(), max_length=256)


def sign_order(order: Order, signers: list[CryptoSigner]) -> bytes:
    """An order with the signatures of some keys."""
    return seal(order, signers)
