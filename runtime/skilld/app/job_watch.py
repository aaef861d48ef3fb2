"""`JobWatch`: jobs that lie in the source itself, as `metadata/job-<name>.json`, one per name.

A web server or a stick needs nothing else. A job's signatures say whether it counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from skilld.core.errors import NotFoundError, SkilldError
from skilld.updates.box.updater_thread import UpdaterThread
from skilld.updates.trust import BlobSource

_log = logging.getLogger("skilld.updates")

_MAX_JOB_BYTES = 1 << 16


class JobWatch:
    """See the module docstring.

    Args:
        source: of its own; it is asked on other threads than the updater's.
        names: of everything that may be updated.
        updater: whom jobs are handed to.
        poll_s: seconds between two looks.
    """

    def __init__(
        self, source: BlobSource, names: Collection[str], updater: UpdaterThread, *, poll_s: float
    ) -> None:
        self._source = source
        self._names = sorted(names)
        self._updater = updater
        self._poll_s = poll_s
        self._seen: dict[str, bytes] = {}
        self._refused: dict[str, str] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            for name in self._names:
                try:
                    await self._look(name)
                except NotFoundError:
                    continue
                except SkilldError as error:  # what is wrong now may be right the next time
                    if error.message != self._refused.get(name):
                        _log.warning("%s: no job: %s", name, error.message)
                        self._refused[name] = error.message
            await asyncio.sleep(self._poll_s)

    async def _look(self, name: str) -> None:
        data = await asyncio.to_thread(self._source.metadata, f"job-{name}.json", _MAX_JOB_BYTES)
        if data != self._seen.get(name):
            await asyncio.wrap_future(self._updater.order(lambda updater: updater.submit(data)))
            self._seen[name] = data
