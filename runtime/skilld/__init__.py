"""skilld: the skill daemon for edge boxes."""

__version__ = "0.1.0"
