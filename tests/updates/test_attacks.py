"""Attacks on a box as it runs, from the job to what it serves: each ends in an outcome with a name.

Whoever attacks has the source: he may change, keep back, replay and invent whatever comes from it,
and has a key of his own. Release 1 runs; release 2 is published by its owners. However the attack
ends, what ran goes on, nothing is held against any release, and the next one gets in as soon as the
source is honest again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.updates.test_whole_update import UPDATED, Site
from tuf.api.metadata import Metadata, TargetFile, Targets

from skilld.core.errors import SkilldError
from skilld.updates.bundle import pack
from skilld.updates.bundle.release import target_path
from skilld.updates.machine import Status, Step
from skilld.updates.trust import Command, Order, sign_order

MakeEngine = Callable[..., Path]
Publisher = Any  # the class of conftest.py, which cannot be imported by name


class Scene:
    """A box that runs release 1, its publisher with release 2, and a source that is not honest."""

    def __init__(self, publisher: Publisher, make_engine: MakeEngine, tmp_path: Path) -> None:
        self.publisher = publisher
        self.make_engine = make_engine
        self.tmp_path = tmp_path
        publisher.publish(make_engine())
        self.site = Site(publisher, tmp_path / "store")
        assert self.site.update(publisher.job("j1", 1)) == UPDATED
        self.before = self._copy("before")
        publisher.publish(make_engine(changed=[0], version="2"))
        self.job = publisher.job("j2", 2, issued_s=1_900_000_002)
        self.evil = self._copy("evil")

    def _copy(self, name: str) -> Path:
        return Path(shutil.copytree(self.publisher.folder, self.tmp_path / name))

    def thief(self, folder: Path) -> Publisher:
        """Who has all keys the publisher has, and a folder of his own."""
        thief = type(self.publisher)(folder)
        thief.keys, thief.now = self.publisher.keys, self.publisher.now
        return thief

    def copy_anew(self, of: Path) -> None:
        """The dishonest source shows another repository."""
        shutil.rmtree(self.evil)
        shutil.copytree(of, self.evil)

    def newest(self, role: str) -> Path:
        """The newest file of a role at the dishonest source."""
        files = self.evil.glob(f"metadata/*.{role}.json")
        return max(files, key=lambda path: int(path.name.partition(".")[0]))

    def sign_badly(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """The owner of the name signs a description that `skilld` would never make."""
        publisher = self.publisher
        release = pack(self.make_engine(changed=[0], version="2"), seq=2)
        document = json.loads(release.to_bytes())
        edit(document)
        data = json.dumps(document).encode()
        digest = hashlib.sha256(data).hexdigest()
        (publisher.folder / "blobs" / digest).write_bytes(data)
        path = publisher.folder / "metadata" / self.newest("skill-toy").name
        metadata: Metadata[Targets] = Metadata.from_file(str(path))
        target = target_path("toy", 2)
        metadata.signed.targets[target] = TargetFile(len(data), {"sha256": digest}, target)
        metadata.signed.version += 1
        metadata.sign(publisher.keys["toy"])
        metadata.to_file(str(path.with_name(f"{metadata.signed.version}.skill-toy.json")))
        publisher.repository().renew("snapshot")
        publisher.sign("online")
        self.copy_anew(publisher.folder)


@pytest.fixture
def scene(publisher: Publisher, make_engine: MakeEngine, tmp_path: Path) -> Scene:
    return Scene(publisher, make_engine, tmp_path)


def tampered_targets(scene: Scene) -> None:
    path = scene.newest("skill-toy")
    path.write_bytes(path.read_bytes().replace(b'"version":3', b'"version":9'))
    assert b'"version":9' in path.read_bytes()


def tampered_timestamp(scene: Scene) -> None:
    path = scene.evil / "metadata/timestamp.json"
    path.write_bytes(path.read_bytes().replace(b"2027", b"2099"))


def tampered_description(scene: Scene) -> None:
    for blob in scene.evil.glob("blobs/*"):
        if b'"schema_version"' in (data := blob.read_bytes()):
            blob.write_bytes(data.replace(b'"seq":2', b'"seq":7'))


def signed_by_nobody(scene: Scene) -> None:
    thief = scene.thief(scene.evil)
    thief.repository().publish(scene.make_engine(version="evil"))
    draft = scene.evil / "staged/skill-toy.json"
    metadata: Metadata[Targets] = Metadata.from_file(str(draft))
    metadata.sign(scene.publisher.keys["mallory"])
    metadata.to_file(str(scene.evil / f"metadata/{metadata.signed.version}.skill-toy.json"))
    draft.unlink()
    thief.repository().renew("snapshot")
    thief.sign("online")
    scene.job = scene.publisher.job("j2", 3, issued_s=1_900_000_002)


def another_root(scene: Scene) -> None:
    shutil.rmtree(scene.evil)
    stranger = type(scene.publisher)(scene.evil)
    stranger.create()
    stranger.publish(scene.make_engine(version="evil"))


def revoked_key_of_the_name(scene: Scene) -> None:
    owner = scene.publisher
    owner.repository().delegate_skill("toy", owner.public("root3"), threshold=1)
    owner.sign("targets", "online")
    owner.sign("root3", "online")
    scene.copy_anew(owner.folder)
    # Signed once more with the key that counts no more, put where boxes look.
    path = scene.newest("skill-toy")
    metadata: Metadata[Targets] = Metadata.from_file(str(path))
    metadata.signed.version += 1
    metadata.sign(scene.publisher.keys["toy"])
    metadata.to_file(str(path.with_name(f"{metadata.signed.version}.skill-toy.json")))
    thief = scene.thief(scene.evil)
    thief.repository().renew("snapshot")
    thief.sign("online")


def revoked_key_of_jobs(scene: Scene) -> None:
    scene.publisher.repository().delegate_jobs(scene.publisher.public("root3"), threshold=1)
    assert scene.publisher.sign("targets", "online", "root3") == []
    scene.copy_anew(scene.publisher.folder)


def older_repository(scene: Scene) -> None:
    scene.site.updater.submit(scene.job)  # the newer one was seen
    scene.site.updater.cancel("j2")
    scene.job = scene.publisher.job("j3", 2, issued_s=1_900_000_003)
    scene.copy_anew(scene.before)


def older_release(scene: Scene) -> None:
    for seq in (2, 3):
        if seq == 3:
            scene.publisher.publish(scene.make_engine(changed=[1], version="3"))
        job = scene.publisher.job(f"u{seq}", seq, issued_s=1_800_000_000 + seq)
        scene.site.where = str(scene.publisher.folder)
        scene.site.restart()
        assert scene.site.update(job) == UPDATED
    scene.job = scene.publisher.job("j2", 1, issued_s=1_900_000_002)
    scene.copy_anew(scene.publisher.folder)


def frozen(scene: Scene) -> None:
    scene.site.clock_s += timedelta(days=31).total_seconds()


def clock_at_2100(scene: Scene) -> None:
    scene.site.clock_s = datetime(2100, 1, 1, tzinfo=UTC).timestamp()


def mixed(scene: Scene) -> None:
    for path in (scene.before / "metadata").glob("*.snapshot.json"):
        newest = path
    shutil.copyfile(newest, scene.newest("snapshot"))


def endless_metadata(scene: Scene) -> None:
    (scene.evil / "metadata/timestamp.json").write_bytes(b" " * (8 << 20))


def endless_description(scene: Scene) -> None:
    for blob in scene.evil.glob("blobs/*"):
        blob.write_bytes(b"[" + blob.read_bytes() * 3)


def path_out_of_the_folder(scene: Scene) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["files"][-1]["path"] = "../../../state/toy.json"

    scene.sign_badly(edit)


def kind_that_runs(scene: Scene) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["files"][-1]["path"] = "plugin.so"

    scene.sign_badly(edit)


def another_number(scene: Scene) -> None:
    scene.sign_badly(lambda document: document.update({"seq": 5}))


def links_for_files(scene: Scene) -> None:
    secret = scene.tmp_path / "secret"
    secret.write_bytes(b"x" * 50_000)
    for blob in scene.evil.glob("blobs/*"):
        if b'"schema_version"' not in blob.read_bytes():
            blob.unlink()
            blob.symlink_to(secret)


def damaged_chunks(scene: Scene) -> None:
    for blob in scene.evil.glob("blobs/*"):
        if b'"schema_version"' not in (data := blob.read_bytes()):
            blob.write_bytes(bytes(len(data)))


def job_of_another(scene: Scene) -> None:
    scene.job = scene.publisher.job("j2", 2, issued_s=1_900_000_002, signed_by="mallory")


def job_of_the_online_key(scene: Scene) -> None:
    scene.job = scene.publisher.job("j2", 2, issued_s=1_900_000_002, signed_by="online")


def job_that_was_changed(scene: Scene) -> None:
    scene.job = scene.job.replace(b'seq\\":2', b'seq\\":1')


def job_with_an_address(scene: Scene) -> None:
    scene.job = json.dumps(
        {"text": json.dumps({"id": "a", "skill": "toy", "seq": 2, "url": "x"}), "signatures": {}}
    ).encode()


def job_of_before(scene: Scene) -> None:
    scene.job = scene.publisher.job("j0", 2, issued_s=1)


def unknown_release(scene: Scene) -> None:
    scene.job = scene.publisher.job("j2", 77, issued_s=1_900_000_002)


def job_that_came_too_late(scene: Scene) -> None:
    scene.job = scene.publisher.job("j2", 2, issued_s=1_900_000_002, deadline_s=1_700_000_000)


NOT_TAKEN, WAITS = "not taken", "waits"
ATTACKS: dict[str, tuple[Callable[[Scene], None], str, str]] = {
    "arbitrary-install-release-list": (tampered_targets, "REJECTED", "METADATA_MISMATCH"),
    "arbitrary-install-timestamp": (tampered_timestamp, NOT_TAKEN, "UNSIGNED"),
    "arbitrary-install-description": (tampered_description, "REJECTED", "DIGEST_MISMATCH"),
    "arbitrary-install-weights": (damaged_chunks, WAITS, "DOWNLOADING"),
    "wrong-key-release": (signed_by_nobody, "REJECTED", "UNSIGNED"),
    "wrong-key-root": (another_root, NOT_TAKEN, "UNSIGNED"),
    "wrong-key-job": (job_of_another, NOT_TAKEN, "UNSIGNED_JOB"),
    "wrong-key-job-online": (job_of_the_online_key, NOT_TAKEN, "UNSIGNED_JOB"),
    "revoked-key-release": (revoked_key_of_the_name, "REJECTED", "UNSIGNED"),
    "revoked-key-job": (revoked_key_of_jobs, NOT_TAKEN, "UNSIGNED_JOB"),
    "rollback-repository": (older_repository, NOT_TAKEN, "ROLLBACK"),
    "rollback-release": (older_release, "REJECTED", "ROLLBACK"),
    "freeze": (frozen, NOT_TAKEN, "EXPIRED"),
    "clock-at-2100": (clock_at_2100, NOT_TAKEN, "EXPIRED"),
    "mix-and-match": (mixed, NOT_TAKEN, "METADATA_MISMATCH"),
    "endless-data-metadata": (endless_metadata, NOT_TAKEN, "METADATA_TOO_LARGE"),
    "endless-data-description": (endless_description, "REJECTED", "DIGEST_MISMATCH"),
    "path-traversal": (path_out_of_the_folder, "REJECTED", "BAD_RELEASE"),
    "file-kind": (kind_that_runs, "REJECTED", "BAD_RELEASE"),
    "description-of-another": (another_number, "REJECTED", "BAD_RELEASE"),
    "symlinks": (links_for_files, WAITS, "DOWNLOADING"),
    "job-changed": (job_that_was_changed, NOT_TAKEN, "UNSIGNED_JOB"),
    "job-with-address": (job_with_an_address, NOT_TAKEN, "BAD_JOB"),
    "job-stale": (job_of_before, "answered REJECTED", "STALE_JOB"),
    "job-late": (job_that_came_too_late, "TIMED_OUT", "DEADLINE"),
    "job-unknown-release": (unknown_release, "REJECTED", "UNKNOWN_RELEASE"),
}


def told(scene: Scene) -> tuple[str, str]:
    """What the box says to the job: a status and a reason."""
    site = scene.site
    site.where = str(scene.evil)
    site.restart()
    try:
        site.updater.submit(scene.job)
    except SkilldError as error:
        return NOT_TAKEN, error.reason
    while site.updater.work():
        pass
    if site.answers:
        return f"answered {site.answers[-1][1]}", site.answers[-1][2]
    (state,) = site.updater.states()
    assert state.job is not None
    if state.job.is_open:
        return WAITS, state.job.step or ""
    return str(state.job.status), state.job.reason


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_ends_as_its_name_says(scene: Scene, name: str) -> None:
    attack, *expected = ATTACKS[name]
    attack(scene)
    scene.site.answers.clear()
    served = scene.site.box.served
    assert list(told(scene)) == expected
    (state,) = scene.site.updater.states()
    assert scene.site.box.served == served == scene.site.store / f"releases/toy/{state.active}"
    assert state.bad == ()
    # The source is honest again. Who held the online key left version numbers behind.
    publisher, site = scene.publisher, scene.site
    if name == "freeze":
        publisher.now = datetime.fromtimestamp(site.clock_s, UTC)
    site.clock_s = publisher.now.timestamp()
    newest = publisher.repository().publish(scene.make_engine(changed=[2], version="last")).seq
    publisher.sign("toy", "root3")
    for _ in range(5):
        publisher.repository().renew("snapshot")
        assert publisher.sign("online") == []
    signed_by = "root3" if name == "revoked-key-job" else "jobs"
    job = publisher.job("last", newest, issued_s=1_900_000_009, signed_by=signed_by)
    site.where = str(publisher.folder)
    site.restart()
    assert site.update(job) == UPDATED
    assert site.box.served == site.store / f"releases/toy/{newest}"


def test_a_source_that_never_sends_right_bytes_ends_a_job_and_blames_nobody(scene: Scene) -> None:
    damaged_chunks(scene)
    now_s = 0.0
    scene.site.where = str(scene.evil)
    scene.site.restart()
    scene.site.updater._clock = lambda: now_s
    scene.site.updater.submit(scene.job)
    for _ in range(200):
        scene.site.updater.work()
        now_s += 60.0
    (state,) = scene.site.updater.states()
    assert state.job is not None
    assert (state.job.status, state.job.reason) == (Status.FAILED, "DIGEST_MISMATCH")
    assert (state.bad, scene.site.box.served) == ((), scene.site.store / "releases/toy/1")


@pytest.mark.parametrize("signed_by", ["mallory", "online", "toy"])
def test_an_order_that_nobody_entitled_signed_changes_nothing(scene: Scene, signed_by: str) -> None:
    site, publisher = scene.site, scene.publisher
    site.where = str(publisher.folder)
    site.restart()
    site.updater.submit(scene.job)
    order = sign_order(Order(job="j2", command=Command.CANCEL), [publisher.keys[signed_by]])
    with pytest.raises(SkilldError) as error:
        site.updater.order(order)
    assert error.value.reason == "UNSIGNED_ORDER"
    with pytest.raises(SkilldError) as error:
        site.updater.order(scene.job)
    assert error.value.reason == "BAD_ORDER"
    while site.updater.work():
        pass
    (state,) = site.updater.states()
    assert state.job is not None
    assert state.job.step is Step.TRIAL
