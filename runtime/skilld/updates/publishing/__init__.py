"""`publishing`: keys, and the folder of signed releases, on the side of those who release."""

from skilld.updates.publishing.drafts import Lifetimes
from skilld.updates.publishing.keys import is_encrypted, make_key, read_public_key, read_signer
from skilld.updates.publishing.repository import Repository
from skilld.updates.publishing.signing import Waiting

__all__ = [
    "Lifetimes",
    "Repository",
    "Waiting",
    "is_encrypted",
    "make_key",
    "read_public_key",
    "read_signer",
]
