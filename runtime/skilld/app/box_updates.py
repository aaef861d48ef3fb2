"""`BoxUpdates`: the updater of a daemon, with the source it asks and the jobs it finds there.

A job lies in the source beside the other metadata, as `metadata/job-<name>.json`, one per name; a
web server or a stick needs nothing else. Its signatures say whether it counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import platform
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import skilld
from skilld.app.box import Box
from skilld.app.box_activation import BoxActivation
from skilld.app.box_plan import total_bytes_of
from skilld.app.host_memory import HostMemory
from skilld.app.resident import configured_engines
from skilld.app.trials import Trials
from skilld.config import Config
from skilld.core.errors import ArtefactError, NotFoundError, SkilldError
from skilld.updates.box import BoxFacts, Updater
from skilld.updates.box.updater_thread import UpdaterThread
from skilld.updates.machine import SkillState, Status
from skilld.updates.store import DiskFiles
from skilld.updates.trust import TrustedRepository, open_source

_log = logging.getLogger("skilld.updates")

_MAX_JOB_BYTES = 1 << 16
_STOP_TIMEOUT_S = 20.0  # a version is loaded, tested and the other one drained in less


class BoxUpdates:
    """See the module docstring. Make it before the box, which must load what it says.

    Args:
        config: with a source of updates.
        host: how much memory there is.
        clock: seconds since 1970.

    Attributes:
        folders: what to load for every name that was updated; None for the configured engine.

    Raises:
        ArtefactError: the root of trust cannot be read.
    """

    def __init__(
        self, config: Config, host: HostMemory, *, clock: Callable[[], float] = time.time
    ) -> None:
        updates = config.updates
        assert updates.source is not None
        self._config = config
        self._poll_s = updates.poll_s
        self._jobs = open_source(updates.source)  # of its own: it is asked on another thread
        self._seen: dict[str, bytes] = {}
        self._refused: dict[str, str] = {}
        self._task: asyncio.Task[None] | None = None
        self._trials = Trials()
        self._activation = BoxActivation(config, host, trials=self._trials)
        files = DiskFiles(updates.store)
        self._updater = Updater(
            files,
            updates.store,
            trust=TrustedRepository(
                files, updates.store / "tuf", _read_root(updates.root), clock=clock
            ),
            source=open_source(updates.source),
            activation=self._activation,
            facts=facts_of(config, host),
            listener=self,
        )
        self.folders: Mapping[str, Path | None] = self._updater.start()
        self._thread = UpdaterThread(
            self._updater, reports=self._trials.reports, on_dead=self._on_dead
        )

    def start(self, box: Box) -> None:
        """Begin to look for jobs; from inside the running event loop, once the box is started."""
        self._activation.attach(box)
        box.service.on_ended = self._trials.ended
        for name, message in box.lost.items():
            self._updater.lost(name, message)
        self._thread.start()
        self._task = asyncio.create_task(self._watch(), name="skilld-jobs")

    async def stop(self) -> None:
        """End after the action at hand. Before the box stops: a self-test must not be cut off."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            if not await asyncio.to_thread(self._thread.stop, _STOP_TIMEOUT_S):
                _log.error("the updater did not end within %.0f s", _STOP_TIMEOUT_S)

    def on_state(self, state: SkillState) -> None:
        """See `Listener`."""
        record = state.job
        if record is not None:
            _log.info(
                "%s: job %s is %s%s",
                state.skill,
                record.job.id,
                record.step or record.outcome or record.status,
                f": {record.reason} {record.message}" if record.reason else "",
            )

    def on_progress(self, skill: str, held_bytes: int, total_bytes: int) -> None:
        """See `Listener`."""
        _log.debug("%s: %d of %d bytes", skill, held_bytes, total_bytes)

    def on_answer(self, job_id: str, status: Status, reason: str) -> None:
        """See `Listener`."""
        _log.info("job %s: %s %s", job_id, status, reason)

    def _on_dead(self, error: BaseException) -> None:
        _log.critical("no more updates until the next start: %s", error)

    async def _watch(self) -> None:
        names = {*configured_engines(self._config.engines), *self.folders}
        while True:
            for name in sorted(names):
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
        data = await asyncio.to_thread(self._jobs.metadata, f"job-{name}.json", _MAX_JOB_BYTES)
        if data != self._seen.get(name):
            await asyncio.wrap_future(self._thread.order(lambda updater: updater.submit(data)))
            self._seen[name] = data


def facts_of(config: Config, host: HostMemory) -> BoxFacts:
    """What this box is."""
    return BoxFacts(
        name=config.mqtt.box or socket.gethostname(),
        skilld_version=skilld.__version__,
        arch=platform.machine(),
        runtime_versions={"openvino": importlib.metadata.version("openvino")},
        memory_bytes=total_bytes_of(config, host),
        reserve_bytes=config.updates.reserve_bytes,
    )


def _read_root(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtefactError(
            f"cannot be read: {error.strerror}",
            path=path,
            key="updates.root",
            hint="take 1.root.json of the repository, by a way you trust",
            reason="BAD_CONFIG",
        ) from error
