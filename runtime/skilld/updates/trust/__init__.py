"""`trust`: a repository of signed releases seen from a box, whatever carries it there."""

from skilld.updates.trust.client import TrustedRepository
from skilld.updates.trust.job import Job, sign_job
from skilld.updates.trust.order import Command, Order, sign_order
from skilld.updates.trust.sources import (
    BlobRange,
    BlobSource,
    FolderSource,
    HttpSource,
    open_source,
)

__all__ = [
    "BlobRange",
    "BlobSource",
    "Command",
    "FolderSource",
    "HttpSource",
    "Job",
    "Order",
    "TrustedRepository",
    "open_source",
    "sign_job",
    "sign_order",
]
