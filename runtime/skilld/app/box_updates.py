"""`BoxUpdates`: the updater of a daemon, and what it is connected with.

jobs and orders    over the broker (`UpdateLink`), jobs in the source too (`JobWatch`)
releases           from the source
the box            `BoxActivation` loads and exchanges engines, `Trials` watches them
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
from typing import Any

import skilld
from skilld.app.box import Box
from skilld.app.box_activation import BoxActivation
from skilld.app.box_plan import total_bytes_of
from skilld.app.host_memory import HostMemory
from skilld.app.job_watch import JobWatch
from skilld.app.resident import configured_engines
from skilld.app.trials import Trials
from skilld.app.update_source import is_depot, open_update_source
from skilld.config import Config
from skilld.core.errors import ArtefactError
from skilld.core.hours import Hours
from skilld.updates.box import BoxFacts, Updater
from skilld.updates.box.update_link import UpdateLink
from skilld.updates.box.updater_thread import UpdaterThread
from skilld.updates.depot import MqttSource
from skilld.updates.machine import SkillState, Status
from skilld.updates.store import DiskFiles, check_rights
from skilld.updates.trust import TrustedRepository, open_source
from skilld.updates.trust.clock import BUILT_S

_log = logging.getLogger("skilld.updates")

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
        SkilldError: the root of trust cannot be read, others can change the store, or the broker
            cannot be used as configured.
    """

    def __init__(
        self, config: Config, host: HostMemory, *, clock: Callable[[], float] = time.time
    ) -> None:
        updates, facts = config.updates, facts_of(config, host)
        check_rights(updates.store)
        self._config = config
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._trials = Trials()
        self._activation = BoxActivation(config, host, trials=self._trials)
        self._link = None
        if config.mqtt.broker is not None:
            self._link = UpdateLink(config.mqtt, facts.name)
        files = DiskFiles(updates.store)
        trust = TrustedRepository(
            files, updates.store / "tuf", _read_root(updates.root), clock=clock
        )
        self._source = open_update_source(
            config,
            box=facts.name,
            has_orders=lambda: not self._updater.inbox.empty(),
            should_stop=lambda: self._updater.has_other_work(),
        )
        self._updater = Updater(
            files,
            updates.store,
            trust=trust,
            source=self._source,
            activation=self._activation,
            facts=facts,
            listener=self,
            why_no_download=lambda: why_no_download(updates.download_hours, clock()),
        )
        self.folders: Mapping[str, Path | None] = self._updater.start()
        self._thread = UpdaterThread(
            self._updater,
            reports=self._trials.reports,
            on_dead=self._on_dead,
            interrupt=self._interrupt,
        )

    def start(self, box: Box) -> None:
        """Begin to look for jobs; from inside the running event loop, once the box is started."""
        self._activation.attach(box)
        box.service.on_ended = self._trials.ended
        for name, message in box.lost.items():
            self._updater.lost(name, message)
        names = {*configured_engines(self._config.engines), *self.folders}
        self._loop = asyncio.get_running_loop()
        if self._link is not None:
            self._link.start(self._thread, self._updater.states(), names)
        where, poll_s = self._config.updates.source, self._config.updates.poll_s
        assert where is not None
        if not is_depot(where):  # on the broker, jobs have topics of their own
            watch = JobWatch(open_source(where), names, self._thread, poll_s=poll_s)
            self._task = asyncio.create_task(watch.run(), name="skilld-jobs")
        self._thread.start()

    async def stop(self) -> None:
        """End after the action at hand. Before the box stops: a self-test must not be cut off."""
        if self._loop is None:
            return
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if not await asyncio.to_thread(self._thread.stop, _STOP_TIMEOUT_S):
            _log.error("the updater did not end within %.0f s", _STOP_TIMEOUT_S)
        endings = [self._link.stop()] if self._link is not None else []
        if isinstance(self._source, MqttSource):
            endings.append(asyncio.to_thread(self._source.close))
        await asyncio.gather(*endings)

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
        if self._link is not None:
            self._tell(self._link.on_state, state)

    def on_progress(self, skill: str, held_bytes: int, total_bytes: int) -> None:
        """See `Listener`."""
        _log.debug("%s: %d of %d bytes", skill, held_bytes, total_bytes)
        if self._link is not None:
            self._tell(self._link.on_progress, skill, held_bytes, total_bytes)

    def on_wait(self, skill: str, reason: str, message: str) -> None:
        """See `Listener`."""
        if self._link is not None:
            self._tell(self._link.on_wait, skill, reason, message)

    def on_answer(self, skill: str, job_id: str, status: Status, reason: str) -> None:
        """See `Listener`."""
        _log.info("job %s: %s %s", job_id, status, reason)
        if self._link is not None:
            self._tell(self._link.on_answer, skill, job_id, status, reason)

    def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
        """On the event loop; what happens before there is one, `start` finds in the states."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it was closed this moment
                self._loop.call_soon_threadsafe(what, *arguments)

    def _interrupt(self) -> None:
        if isinstance(self._source, MqttSource):
            self._source.interrupt()

    def _on_dead(self, error: BaseException) -> None:
        _log.critical("no more updates until the next start: %s", error)
        if self._link is not None:
            self._tell(self._link.on_dead, str(error) or repr(error))


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


def why_no_download(hours: Hours | None, clock_s: float) -> str:
    """Why nothing may be downloaded now; "" if it may.

    Args:
        hours: when it may; None for always.
        clock_s: seconds since 1970. A clock that was never set says nothing: then it may, else a
            box without a battery for its clock might never be updated.
    """
    if hours is None or clock_s < BUILT_S or hours.contains(clock_s):
        return ""
    return f"downloads run {hours}, by this machine's clock"


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
