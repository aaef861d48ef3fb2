"""`store`: files that survive a power cut: blobs, releases, one state file per skill."""

from skilld.updates.store.blobs import BlobStore
from skilld.updates.store.files import DiskFiles, Files
from skilld.updates.store.releases import ReleaseStore
from skilld.updates.store.rights import check_rights

__all__ = [
    "BlobStore",
    "DiskFiles",
    "Files",
    "ReleaseStore",
    "check_rights",
]
