"""The composition root: builds everything once, in the order of its dependencies."""

from skilld.app.box import Box, find_engines, num_threads_of
from skilld.app.daemon import run

__all__ = ["Box", "find_engines", "num_threads_of", "run"]
