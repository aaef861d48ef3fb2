"""`bundle`: what a release is: its files, their chunks, and the description that is signed."""

from skilld.updates.bundle.packing import pack
from skilld.updates.bundle.release import Release, parse_release, target_path

__all__ = ["Release", "pack", "parse_release", "target_path"]
