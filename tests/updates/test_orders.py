"""Who may cancel and commit, and that it needs no source."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.updates.test_trust import Site

from skilld.core.errors import SkilldError, UnavailableError, UpdateError
from skilld.updates.box import BoxFacts
from skilld.updates.box.intake import Intake
from skilld.updates.trust import (
    BlobRange,
    BlobSource,
    Command,
    FolderSource,
    Order,
    TrustedRepository,
    sign_order,
)

MakeEngine = Callable[..., Path]
Publisher = Any  # the class of conftest.py, which cannot be imported by name
CANCEL = Order(job="j1", command=Command.CANCEL)


class NoSource:
    """A source that is away; counts who asks."""

    num_asked = 0

    def metadata(self, name: str, max_bytes: int) -> bytes:
        self.num_asked += 1
        raise UnavailableError("no way there", reason="SOURCE_UNAVAILABLE")

    def blocks(self, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
        raise AssertionError("nobody asks for blobs")


@pytest.fixture
def site(publisher: Publisher, make_engine: MakeEngine, tmp_path: Path) -> Site:
    publisher.publish(make_engine())
    return Site(publisher, tmp_path)


def intake(site: Site, trust: TrustedRepository) -> Intake:
    facts = BoxFacts("box1", "0.1.0", "x86_64")
    return Intake(site.files, trust, facts, on_progress=lambda *figures: None)


def signed(site: Site, order: Order = CANCEL, *, by: str = "jobs") -> bytes:
    return sign_order(order, [site.publisher.keys[by]])


def refusal(site: Site, trust: TrustedRepository, data: bytes, source: BlobSource) -> str:
    with pytest.raises(SkilldError) as error:
        intake(site, trust).order(data, source)
    return error.value.reason


@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_order_is_judged_without_a_source(site: Site, *, is_restarted: bool) -> None:
    trust = site.refresh()
    if is_restarted:
        trust = site.box()
    assert intake(site, trust).order(signed(site), source := NoSource()) == CANCEL
    assert source.num_asked == 0


def test_an_order_is_judged_after_a_look_that_failed(site: Site) -> None:
    trust = site.refresh()
    with pytest.raises(UnavailableError):
        trust.refresh(NoSource())
    assert intake(site, trust).order(signed(site), NoSource()) == CANCEL


def test_an_order_nobody_trusts_is_held_against_newer_keys_before_it_is_refused(
    site: Site,
) -> None:
    trust = site.refresh()
    order = signed(site, by="mallory")
    assert refusal(site, trust, order, NoSource()) == "SOURCE_UNAVAILABLE"
    folder = FolderSource(site.publisher.folder)
    assert refusal(site, trust, order, folder) == "UNSIGNED_ORDER"
    publisher = site.publisher
    publisher.repository().delegate_jobs(publisher.public("mallory"), threshold=1)
    assert publisher.sign("targets", "mallory", "online") == []
    assert intake(site, trust).order(order, folder) == CANCEL
    assert refusal(site, trust, signed(site), folder) == "UNSIGNED_ORDER"  # it may no more


def test_a_box_that_never_saw_its_repository_cannot_judge(site: Site) -> None:
    assert refusal(site, site.box(), signed(site), NoSource()) == "SOURCE_UNAVAILABLE"


def test_metadata_that_has_expired_vouches_for_nobody(site: Site) -> None:
    site.refresh()
    site.clock_s += 400 * 86400
    assert refusal(site, site.box(), signed(site), NoSource()) == "SOURCE_UNAVAILABLE"


def test_an_older_cache_does_not_bring_back_older_keys(site: Site, tmp_path: Path) -> None:
    site.refresh()
    older = shutil.copytree(site.cache, tmp_path / "older")
    publisher = site.publisher
    publisher.repository().delegate_jobs(publisher.public("mallory"), threshold=1)
    assert publisher.sign("targets", "mallory", "online") == []
    site.refresh()
    shutil.rmtree(site.cache)
    older.rename(site.cache)
    with pytest.raises(UpdateError) as error:
        site.box().recall()
    assert error.value.reason == "ROLLBACK"
    assert refusal(site, site.box(), signed(site), NoSource()) == "SOURCE_UNAVAILABLE"


@pytest.mark.parametrize(("data", "reason"), [(b"{}", "BAD_ORDER"), (b"x" * 20_000, "BAD_ORDER")])
def test_what_is_no_order_costs_no_look(site: Site, data: bytes, reason: str) -> None:
    source = NoSource()
    assert refusal(site, site.refresh(), data, source) == reason
    assert source.num_asked == 0


def test_an_order_for_other_boxes_is_none_for_this_one(site: Site) -> None:
    other = Order(job="j1", command=Command.CANCEL, boxes=("box2",))
    assert refusal(site, site.refresh(), signed(site, other), NoSource()) == "NOT_FOR_THIS_BOX"
