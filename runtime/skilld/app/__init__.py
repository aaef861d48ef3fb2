"""The composition root: builds everything once, in the order of its dependencies."""

from skilld.app.box import Box
from skilld.app.daemon import run
from skilld.app.resident import find_engines, num_threads_of

__all__ = ["Box", "find_engines", "num_threads_of", "run"]
