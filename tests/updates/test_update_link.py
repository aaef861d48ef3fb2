"""A running box is updated over a real broker, and seen only through what the broker keeps."""

from __future__ import annotations

import functools
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import Broker, StartBroker, broker, start_broker
from tests.updates.running import NAME, NEVER, PlantSite, call, field_team, running
from tests.updates.test_depot import Served

from skilld.app import update_source
from skilld.config import MqttConfig
from skilld.core.errors import SkilldError
from skilld.core.hours import Hours
from skilld.updates.box.update_link import UpdateLink
from skilld.updates.depot.mqtt_source import SourceLimits
from skilld.updates.trust import Command

__all__ = ["broker", "start_broker"]

Publisher = Any  # the class of conftest.py, which cannot be imported by name


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path) -> PlantSite:
    return PlantSite(publisher, tmp_path)


@pytest.fixture
def own_broker(start_broker: StartBroker) -> Broker:
    return start_broker()


@pytest.fixture
def depot(site: PlantSite, own_broker: Broker) -> Iterator[Served]:
    served = Served(site.folder, own_broker)
    yield served
    served.close()


async def test_a_job_over_the_broker_ends_in_a_committed_release(
    site: PlantSite, own_broker: Broker, depot: Served
) -> None:
    digest = site.release(1)
    config = site.config(own_broker.address, "mqtt:depot")
    async with field_team(own_broker) as team, running(config) as box:
        team.job(site.job("j1", 1))
        report = await team.ended("j1")
        assert (report.outcome, report.active, report.reason) == ("COMMITTED", 1, "")
        steps = [r.step for r in team.reports if r.job == "j1" and r.step]
        assert steps == sorted(steps, key=steps.index)  # never back and forth
        assert steps[-1] in ("ACTIVATING", "TRIAL")  # the last one lasts no time
        assert [r.rev for r in team.reports] == sorted(r.rev for r in team.reports)
        assert await call(box) == digest


async def test_jobs_that_are_refused_are_answered(
    site: PlantSite, own_broker: Broker, depot: Served
) -> None:
    site.release(1)
    async with (
        field_team(own_broker) as team,
        running(site.config(own_broker.address, "mqtt:depot")),
    ):
        stale = site.job("j0", 1)
        team.job(site.job("j1", 1, signed_by="mallory"))
        assert await team.answer("j1") == ("REJECTED", "UNSIGNED_JOB")
        team.job(b"no job")
        assert await team.answer("") == ("REJECTED", "BAD_JOB")
        team.job(site.job("j2", 1, boxes=("another",)))
        assert await team.answer("j2") == ("REJECTED", "NOT_FOR_THIS_BOX")
        team.job(site.job("j3", 1), release="another")
        assert await team.answer("j3", release="another") == ("REJECTED", "OTHER_RELEASE")
        team.job(site.job("j4", 7))
        report = await team.ended("j4")
        assert (report.status, report.reason) == ("REJECTED", "UNKNOWN_RELEASE")
        team.job(stale)
        assert await team.answer("j0") == ("REJECTED", "STALE_JOB")


async def test_a_trial_ends_by_order(site: PlantSite, own_broker: Broker, depot: Served) -> None:
    site.release(1, commit=NEVER)
    async with (
        field_team(own_broker) as team,
        running(site.config(own_broker.address, "mqtt:depot")),
    ):
        team.job(site.job("j1", 1))
        await team.at("j1", "TRIAL")
        team.order(site.order("j1", Command.CANCEL))
        report = await team.ended("j1")
        assert (report.status, report.outcome) == ("CANCELED", "ROLLBACK_COMPLETE")
        team.job(site.job("j2", 1, commit="manual"))
        await team.at("j2", "TRIAL")
        team.order(site.order("j2", Command.COMMIT, signed_by="mallory"))
        team.order(site.order("j2", Command.COMMIT))
        report = await team.ended("j2")
        assert (report.outcome, report.active) == ("COMMITTED", 1)


async def test_a_stick_brings_what_a_job_over_the_broker_wants(
    site: PlantSite, own_broker: Broker
) -> None:
    site.release(1)
    job = site.job("j1", 1)
    async with field_team(own_broker) as team:
        team.job(job)  # before there is a box
        async with running(site.config(own_broker.address, str(site.folder))):
            assert (await team.ended("j1")).outcome == "COMMITTED"
        num_reports = len(team.reports)
        site.release(2)
        async with running(site.config(own_broker.address, str(site.folder))):
            (site.folder / f"metadata/job-{NAME}.json").write_bytes(site.job("j2", 2))
            assert (await team.ended("j2")).outcome == "COMMITTED"
        redone = [r for r in team.reports[num_reports:] if r.job == "j1" and r.is_open]
        assert redone == []


async def test_a_cancellation_ends_a_download_from_a_depot_that_is_gone(
    site: PlantSite, own_broker: Broker, depot: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = functools.partial(SourceLimits, patience_s=1e6)  # nothing but the order can end it
    monkeypatch.setattr(update_source, "SourceLimits", endless)
    site.release(1)
    config = site.config(own_broker.address, "mqtt:depot", max_bytes_per_s=256 << 10)
    async with field_team(own_broker) as team, running(config):
        team.job(site.job("j1", 1))
        await team.report(lambda report: report.held_bytes > 0)
        depot.spoil = lambda message: []
        team.order(site.order("j1", Command.CANCEL))
        report = await team.ended("j1")
        assert (report.status, report.outcome) == ("CANCELED", "NO_STATE_CHANGE")
        held = [r.held_bytes for r in team.reports if r.step == "DOWNLOADING"]
        assert held == sorted(held)
        assert all(held_bytes <= report.total_bytes for held_bytes in held)


async def test_a_job_nobody_can_judge_waits_for_its_depot(
    site: PlantSite, own_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = functools.partial(SourceLimits, patience_s=0.5)
    monkeypatch.setattr(update_source, "SourceLimits", impatient)
    site.release(1)
    config = site.config(own_broker.address, "mqtt:depot")
    async with field_team(own_broker) as team, running(config):
        team.job(site.job("j1", 1))
        assert await team.answer("j1") == ("QUEUED", "SOURCE_UNAVAILABLE")
        depot = Served(site.folder, own_broker)
        try:
            report = await team.ended("j1")
        finally:
            depot.close()
        assert (report.outcome, report.answers) == ("COMMITTED", ())


async def test_a_broker_that_forgot_everything_is_told_again(
    site: PlantSite, own_broker: Broker, depot: Served
) -> None:
    site.release(1, commit=NEVER)
    config = site.config(own_broker.address, "mqtt:depot")
    async with running(config) as box:
        async with field_team(own_broker) as team:
            team.job(site.job("j1", 1, commit="manual"))
            await team.at("j1", "TRIAL")
        own_broker.stop()
        await call(box)  # nobody but the field team misses it
        own_broker.start()
        async with field_team(own_broker) as team:
            report = await team.at("j1", "TRIAL")
            team.order(site.order("j1", Command.COMMIT))
            assert (await team.ended("j1")).rev > report.rev


async def test_an_order_stands_and_what_is_done_is_not_done_again(
    site: PlantSite, own_broker: Broker, depot: Served
) -> None:
    site.release(1, commit=NEVER)
    config = site.config(own_broker.address, "mqtt:depot")
    async with field_team(own_broker) as team:
        team.order(site.order("j1", Command.CANCEL))  # before its job, and before there is a box
        async with running(config):
            await team.report(lambda report: report.rev == 0)
            team.job(site.job("j1", 1))
            assert (await team.ended("j1")).status == "CANCELED"
            num_requests, rev = depot.num_requests, team.reports[-1].rev
            team.forge("other", b"{}")  # nobody says so but us
            await team.cleared("other")
        async with running(config):
            assert (await team.ended("j1")).rev == rev
            team.job(site.job("j2", 9))
            await team.ended("j2")
        assert [r for r in team.reports if r.job == "j1" and r.rev > rev] == []
        assert depot.num_requests > num_requests


async def test_a_broker_that_says_nothing_delays_nobody(site: PlantSite) -> None:
    site.release(1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it listens, and never answers
        config = site.config(f"127.0.0.1:{silent.getsockname()[1]}", str(site.folder))
        (site.folder / f"metadata/job-{NAME}.json").write_bytes(site.job("j1", 1))
        async with running(config) as box:
            digest = await call(box)
            while await call(box) == digest:
                pass
    async with running(config) as box:  # and now there is none at all
        assert await call(box) != digest


async def test_a_download_outside_its_hours_says_so(
    site: PlantSite, own_broker: Broker, depot: Served
) -> None:
    site.release(1)
    begin = datetime.now() + timedelta(hours=2)
    hours = Hours(60 * begin.hour, 60 * begin.hour + 59)
    config = site.config(own_broker.address, "mqtt:depot", download_hours=hours)
    async with field_team(own_broker) as team, running(config):
        team.job(site.job("j1", 1))
        report = await team.report(lambda report: report.reason != "")
        assert (report.step, report.reason) == ("DOWNLOADING", "OUTSIDE_DOWNLOAD_HOURS")
        assert str(hours) in report.message
        team.order(site.order("j1", Command.CANCEL))
        report = await team.ended("j1")
        assert (report.status, report.reason) == ("CANCELED", "CANCELED")


def test_a_box_that_jobs_cannot_name_is_told_so_at_the_start() -> None:
    with pytest.raises(SkilldError, match="'Press 1' is no name"):
        UpdateLink(MqttConfig(broker="127.0.0.1:1"), "Press 1")
