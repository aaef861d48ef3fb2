"""What callers notice of an update: calls before it, and while one version takes over.

A daemon with a shipped engine, over MQTT to a depot; callers over gRPC who ask again as soon as
they are answered. An exchange is the time from the first write of the state file that says so
(ACTIVATING, or DRAINING) until the one that says TRIAL: loading the new version, its self-test,
the switch, and unloading the old one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from field.box_config import BESIDE, SWAP, box_configs
from field.broker import SiteBroker, Team
from field.caller import ANSWERED, Caller, CallRecord
from field.processes import BoxProcess, depot_process
from field.releases import ReleaseSite

from benchmarks.update_download import BOX, DEPOT
from skilld.updates.bundle.release import CommitRule
from skilld.updates.machine import SkillState, Step

NUM_CALLERS = 4
_QUIET_S = 5.0
_WARM_UP_S = 3.0
_LOOK_S = 0.002
_PATIENCE_S = 120.0
_RULE = CommitRule(min_requests=20, min_seconds=0.5)


@dataclass
class Exchanges:
    """What callers saw in one form of exchange.

    Attributes:
        normal_ms: of answered calls while nothing was going on.
        swap_ms: of answered calls that were under way during an exchange.
        failed: calls that were not answered, during the whole measurement, by reason.
        num_calls: all calls of the measurement.
        exchange_s: how long each exchange took.
        blackout_s: for each, the longest time between two answers.
    """

    normal_ms: list[float] = field(default_factory=list)
    swap_ms: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    num_calls: int = 0
    exchange_s: list[float] = field(default_factory=list)
    blackout_s: list[float] = field(default_factory=list)


def measure(
    shipped: Path, folder: Path, *, updates: int, step: Callable[[str], None]
) -> dict[str, Exchanges]:
    """Measure both forms.

    Args:
        shipped: an engine that serves.
        folder: for everything.
        updates: per form.
        step: told what is begun.
    """
    site = ReleaseSite(folder / "site", [shipped], seed=3, num_cases=12)
    (name,) = site.engines
    results: dict[str, Exchanges] = {}
    with ExitStack() as stack:
        broker = stack.enter_context(SiteBroker(folder))
        team = stack.enter_context(Team(broker.port, box=BOX, depot=DEPOT))
        address = f"127.0.0.1:{broker.port}"
        stack.enter_context(depot_process(site.repository, address, folder / "depot.log"))
        for form in (BESIDE, SWAP):
            here = folder / form.replace(" ", "-")
            here.mkdir()
            store = here / "store"
            config = box_configs(site, store, port=broker.port, box=BOX, depot=DEPOT)[form]
            box = BoxProcess(here)
            with ExitStack() as life:
                life.callback(box.stop)
                box.start(config, form=form)
                box.wait_ready()
                callers = [
                    life.enter_context(Caller(box.address, site.cases[name], pause_s=0.0))
                    for _ in range(NUM_CALLERS)
                ]
                time.sleep(_WARM_UP_S)
                result = results[form] = Exchanges()
                for number in range(updates):
                    step(f"{form}, update {number + 1} of {updates}")
                    _update(site, team, name, store, callers, result)
    return results


def _update(
    site: ReleaseSite,
    team: Team,
    name: str,
    store: Path,
    callers: Sequence[Caller],
    result: Exchanges,
) -> None:
    published = site.publish(name, share=0.1, commit=_RULE)
    for caller in callers:
        caller.take()
    quiet_s = time.monotonic()
    time.sleep(_QUIET_S)
    ordered_s = time.monotonic()
    job_id, job = site.job(published.release)
    team.publish_job(name, job)
    begun_s, ended_s = _watch(store / "state" / f"{name}.json", job_id)
    records = sorted(
        (record for caller in callers for record in caller.take()), key=lambda r: r.ended_s
    )
    result.num_calls += len(records)
    result.failed.update(record.result for record in records if record.result != ANSWERED)
    answered = [record for record in records if record.result == ANSWERED]
    result.normal_ms += _times_ms(answered, quiet_s, ordered_s)
    result.swap_ms += _times_ms(answered, begun_s, ended_s)
    result.exchange_s.append(ended_s - begun_s)
    ends_s = [record.ended_s for record in answered if record.ended_s >= quiet_s]
    result.blackout_s.append(max((b - a for a, b in pairwise(ends_s) if b >= begun_s), default=0.0))


def _watch(path: Path, job_id: str) -> tuple[float, float]:
    """When the exchange began and ended; returns when the update is committed.

    Raises:
        RuntimeError: it was not.
    """
    until_s = time.monotonic() + _PATIENCE_S
    begun_s = ended_s = 0.0
    while time.monotonic() < until_s:
        now_s = time.monotonic()
        record = None
        if path.exists():
            record = SkillState.model_validate_json(path.read_bytes()).job
        if record is not None and record.job.id == job_id:
            if record.step in (Step.DRAINING, Step.ACTIVATING) and not begun_s:
                begun_s = now_s
            if record.step is Step.TRIAL and not ended_s:
                ended_s = now_s
            if not record.is_open:
                if record.reason or not begun_s or not ended_s:
                    raise RuntimeError(f"the update ended as {record}")
                return begun_s, ended_s
        time.sleep(_LOOK_S)
    raise RuntimeError("the update did not end")


def _times_ms(records: Sequence[CallRecord], from_s: float, to_s: float) -> list[float]:
    """Of calls that were under way at some moment of this time."""
    return [
        (record.ended_s - record.began_s) * 1e3
        for record in records
        if record.ended_s >= from_s and record.began_s <= to_s
    ]
