"""What a box takes from a repository that it does not trust, and every way to fool it."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.updates.simulated_files import SimulatedFiles
from tuf.api.metadata import Metadata

from skilld.core.errors import NotFoundError, SkilldError, UnavailableError, UpdateError
from skilld.updates.trust import (
    BlobRange,
    Command,
    FolderSource,
    HttpSource,
    Order,
    TrustedRepository,
    sign_order,
)
from skilld.updates.trust.clock import BUILT_S, trusted_time

MakeEngine = Callable[..., Path]
Publisher = Any  # the class of conftest.py, which cannot be imported by name


class Site:
    """A box beside its publisher, with a clock that can be set."""

    def __init__(self, publisher: Publisher, tmp_path: Path) -> None:
        self.publisher = publisher
        self.cache = tmp_path / "tuf"
        self.files = SimulatedFiles()
        self.clock_s = publisher.now.timestamp()
        self.root = publisher.root_bytes()

    def box(self) -> TrustedRepository:
        return TrustedRepository(self.files, self.cache, self.root, clock=lambda: self.clock_s)

    def refresh(self, folder: Path | None = None) -> TrustedRepository:
        box = self.box()
        box.refresh(FolderSource(folder or self.publisher.folder))
        return box

    def refused(self, folder: Path | None = None) -> str:
        """The reason why a refresh is refused."""
        with pytest.raises(SkilldError) as error:
            self.refresh(folder)
        return error.value.reason

    def copy(self, tmp_path: Path, name: str = "copy") -> Path:
        return Path(shutil.copytree(self.publisher.folder, tmp_path / name))


@pytest.fixture
def site(publisher: Publisher, tmp_path: Path, make_engine: MakeEngine) -> Site:
    publisher.publish(make_engine())
    return Site(publisher, tmp_path)


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_bytes())
    edit(document["signed"])
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")


def test_a_signed_release_is_found(site: Site) -> None:
    release = site.refresh().release("toy", 1)
    assert (release.skill, release.seq) == ("toy", 1)


def test_a_refresh_with_nothing_new_is_fine(site: Site) -> None:
    site.refresh()
    site.refresh()


def test_a_release_nobody_signed_is_unknown(site: Site) -> None:
    with pytest.raises(UpdateError) as error:
        site.refresh().release("toy", 2)
    assert error.value.reason == "UNKNOWN_RELEASE"


@pytest.mark.parametrize(
    ("role", "reason"),
    [
        ("timestamp", "UNSIGNED"),
        ("snapshot", "METADATA_MISMATCH"),
        ("targets", "METADATA_MISMATCH"),
    ],
)
def test_arbitrary_install_tampered_metadata_is_refused(site: Site, role: str, reason: str) -> None:
    newest = sorted(site.publisher.folder.glob(f"metadata/*{role}.json"))[-1]
    change(newest, lambda signed: signed.update({"expires": "2099-01-01T00:00:00Z"}))
    assert site.refused() == reason


def test_arbitrary_install_a_changed_description_is_refused(site: Site) -> None:
    for blob in site.publisher.folder.glob("blobs/*"):
        if b'"schema_version"' in blob.read_bytes():
            blob.write_bytes(blob.read_bytes().replace(b'"seq":1', b'"seq":9'))
    with pytest.raises(UpdateError) as error:
        site.refresh().release("toy", 1)
    assert error.value.reason == "DIGEST_MISMATCH"


def test_wrong_key_a_release_signed_by_somebody_else_is_refused(
    site: Site, make_engine: MakeEngine
) -> None:
    publisher = site.publisher
    publisher.repository().publish(make_engine())
    waiting = publisher.sign("mallory", "online")
    assert [w.role for w in waiting] == ["skill-toy"]
    # Put where boxes look, with a signature of the wrong key, bracketed by the real online key.
    draft = publisher.folder / "staged/skill-toy.json"
    metadata: Metadata[Any] = Metadata.from_file(str(draft))
    metadata.sign(publisher.keys["mallory"])
    version = metadata.signed.version
    metadata.to_file(str(publisher.folder / f"metadata/{version}.skill-toy.json"))
    draft.unlink()
    publisher.repository().renew("snapshot")
    publisher.repository().advance([publisher.keys["online"]])
    box = site.refresh()
    with pytest.raises(UpdateError) as error:
        box.release("toy", 2)
    assert error.value.reason == "UNSIGNED"


def test_wrong_key_a_repository_with_another_root_is_refused(
    site: Site, tmp_path: Path, make_engine: MakeEngine
) -> None:
    other = type(site.publisher)(tmp_path / "other")
    other.create()
    other.publish(make_engine())
    assert site.refused(other.folder) == "UNSIGNED"


def test_rollback_an_older_repository_is_refused(
    site: Site, tmp_path: Path, make_engine: MakeEngine
) -> None:
    old = site.copy(tmp_path)
    site.publisher.publish(make_engine(version="2"))
    site.refresh()
    assert site.refused(old) == "ROLLBACK"


def test_rollback_after_the_cache_was_lost_an_older_repository_is_refused(
    site: Site, tmp_path: Path, make_engine: MakeEngine
) -> None:
    old = site.copy(tmp_path)
    site.publisher.publish(make_engine(version="2"))
    site.refresh()
    shutil.rmtree(site.cache)
    assert site.refused(old) == "ROLLBACK"
    assert site.refresh().release("toy", 2).seq == 2


def test_freeze_a_repository_that_is_not_renewed_expires(site: Site) -> None:
    site.refresh()
    site.clock_s += timedelta(days=31).total_seconds()
    assert site.refused() == "EXPIRED"
    site.publisher.now += timedelta(days=31)
    site.publisher.repository().renew("snapshot")
    site.publisher.sign("online")
    site.refresh()


def test_mix_and_match_states_that_do_not_belong_together_are_refused(
    site: Site, tmp_path: Path, make_engine: MakeEngine
) -> None:
    old = site.copy(tmp_path)
    site.publisher.publish(make_engine(version="2"))
    new = site.publisher.folder / "metadata"
    newest = max(new.glob("*.snapshot.json"), key=lambda path: int(path.name.split(".")[0]))
    former = max(
        (old / "metadata").glob("*.snapshot.json"), key=lambda path: int(path.name.split(".")[0])
    )
    shutil.copyfile(former, newest)
    assert site.refused() == "METADATA_MISMATCH"


def test_endless_data_metadata_without_an_end_is_refused(site: Site) -> None:
    (site.publisher.folder / "metadata/timestamp.json").write_bytes(b" " * (20 << 20))
    assert site.refused() == "METADATA_TOO_LARGE"


def test_endless_data_a_description_without_an_end_is_cut_and_refused(site: Site) -> None:
    for blob in site.publisher.folder.glob("blobs/*"):
        blob.write_bytes(b"[" + blob.read_bytes() * 3)
    with pytest.raises(UpdateError) as error:
        site.refresh().release("toy", 1)
    assert error.value.reason == "DIGEST_MISMATCH"


def test_revoked_key_what_it_signs_later_is_refused(
    site: Site, tmp_path: Path, make_engine: MakeEngine
) -> None:
    publisher = site.publisher
    site.refresh()
    before = site.copy(tmp_path)
    (new,) = publisher.public("root3")
    publisher.repository().change_root_keys(
        "targets", add=[new], revoke=[publisher.public("targets")[0].keyid]
    )
    assert publisher.sign("root1", "root2", "root3", "online") == []
    site.refresh()
    # The thief of the old targets key still has the repository of before, and signs there.
    thief = type(publisher)(before)
    thief.keys, thief.now = publisher.keys, publisher.now
    thief.repository().delegate_skill("toy", thief.public("mallory"), threshold=1)
    thief.sign("targets", "online")
    thief.repository().publish(make_engine(version="evil"))
    assert thief.sign("mallory", "online") == []
    shutil.rmtree(site.cache)
    assert site.refused(before) == "ROLLBACK"
    # A cleverer one also has the key of snapshot and timestamp, and passes the new root on.
    for _ in range(5):
        thief.repository().renew("snapshot")
        thief.sign("online")
    shutil.copy(publisher.folder / "metadata/2.root.json", before / "metadata")
    assert site.refused(before) == "UNSIGNED"


def test_revoked_key_of_a_skill_cannot_sign_releases_any_more(
    site: Site, make_engine: MakeEngine
) -> None:
    publisher = site.publisher
    publisher.repository().delegate_skill("toy", publisher.public("mallory"), threshold=1)
    assert [w.role for w in publisher.sign("targets", "online")] == ["skill-toy"]
    assert publisher.sign("mallory", "online") == []
    publisher.repository().publish(make_engine(version="2"))
    assert [w.role for w in publisher.sign("toy", "online")] == ["skill-toy"]
    assert publisher.sign("mallory", "online") == []
    assert site.refresh().release("toy", 2).seq == 2


def test_one_root_key_alone_cannot_change_the_root(site: Site) -> None:
    publisher = site.publisher
    publisher.repository().change_root_keys("root", add=publisher.public("mallory"), threshold=1)
    waiting = publisher.sign("root1", "mallory")
    assert [(w.role, w.missing) for w in waiting] == [("root", 1)]
    forged = publisher.folder / "staged/root.json"
    shutil.copyfile(forged, publisher.folder / "metadata/2.root.json")
    assert site.refused() == "UNSIGNED"


def test_a_root_changed_by_enough_keys_is_followed(site: Site) -> None:
    publisher = site.publisher
    for name in ("root1", "root2"):
        publisher.repository().change_root_keys(
            "root",
            add=publisher.public("mallory" if name == "root1" else "toy"),
            revoke=[publisher.public(name)[0].keyid],
        )
        assert publisher.sign("root1", "root2", "root3", "mallory", "toy", "online") == []
    site.refresh()
    shutil.rmtree(site.cache)
    site.refresh()


def test_a_stolen_online_key_cannot_stop_updates_for_ever(
    site: Site, make_engine: MakeEngine
) -> None:
    publisher = site.publisher
    path = publisher.folder / "metadata/timestamp.json"
    metadata: Metadata[Any] = Metadata.from_file(str(path))
    metadata.signed.version = 2_000_000_000
    metadata.sign(publisher.keys["online"])
    real = path.read_bytes()
    metadata.to_file(str(path))
    site.refresh()
    path.write_bytes(real)
    assert site.refused() == "ROLLBACK"
    online = publisher.public("online")[0].keyid
    for role in ("snapshot", "timestamp"):
        publisher.repository().change_root_keys(
            role, add=publisher.public("mallory"), revoke=[online]
        )
    assert publisher.sign("root1", "root2", "mallory") == []
    publisher.repository().publish(make_engine(version="2"))
    assert publisher.sign("toy", "mallory") == []
    assert site.refresh().release("toy", 2).seq == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[" * 10_000])
def test_damaged_metadata_is_refused_and_a_damaged_cache_is_not(site: Site, damage: bytes) -> None:
    site.refresh()
    for path in site.cache.rglob("*.json"):
        path.write_bytes(damage)
    site.refresh()
    (site.publisher.folder / "metadata/timestamp.json").write_bytes(damage)
    assert site.refused() == "BAD_METADATA"


def test_a_source_that_is_not_there_is_not_an_attack(site: Site, tmp_path: Path) -> None:
    assert site.refused(tmp_path / "no-stick") == "SOURCE_UNAVAILABLE"


def test_clock_at_1970_expiry_is_judged_by_the_newest_metadata_ever_accepted(site: Site) -> None:
    site.refresh()
    site.clock_s = 0.0
    site.refresh()
    assert site.box().now_s() == site.publisher.now.timestamp()
    # A year later the site is still published, the stick in the box is not.
    old = site.publisher.now
    site.publisher.now = old + timedelta(days=300)
    site.publisher.repository().renew("snapshot")
    site.publisher.sign("online")
    site.refresh()
    assert site.box().now_s() == site.publisher.now.timestamp()


def test_clock_at_1970_on_a_new_box_is_the_day_the_software_was_built() -> None:
    assert trusted_time(0.0, latest_issued_s=0) == BUILT_S
    assert trusted_time(BUILT_S + 5.0, latest_issued_s=BUILT_S + 100) == BUILT_S + 5.0


def test_clock_at_2100_stops_installing_until_it_is_set_right(site: Site) -> None:
    site.refresh()
    right = site.clock_s
    site.clock_s = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
    assert site.refused() == "EXPIRED"
    site.clock_s = right
    site.refresh()


def test_a_record_that_cannot_be_written_blocks_installing(site: Site) -> None:
    site.files.is_read_only = True
    assert site.refused() == "STORE_FAILED"


def test_a_job_is_taken_from_those_who_may_sign_jobs(site: Site) -> None:
    box = site.refresh()
    assert box.job(site.publisher.job("j1", 1)).seq == 1


@pytest.mark.parametrize("name", ["mallory", "toy", "online", "root1", "targets"])
def test_a_job_signed_by_another_key_is_refused(site: Site, name: str) -> None:
    with pytest.raises(UpdateError) as error:
        site.refresh().job(site.publisher.job("j1", 1, signed_by=name))
    assert error.value.reason == "UNSIGNED_JOB"


def test_a_job_that_was_changed_is_refused(site: Site) -> None:
    data = site.publisher.job("j1", 1)
    with pytest.raises(UpdateError) as error:
        site.refresh().job(data.replace(b'seq\\":1', b'seq\\":2'))
    assert error.value.reason == "UNSIGNED_JOB"


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"null", b"{}", b" " * 20_000, b'{"text": "{}", "signatures": {}}'),
        b'{"text": "{\\"kind\\":\\"skilld-job-1\\",\\"id\\":\\"a\\",\\"issued_s\\":1,'
        b'\\"skill\\":\\"toy\\",\\"seq\\":1,\\"url\\":\\"http://x\\"}", "signatures": {}}',
    ],
)
def test_a_job_that_is_none_or_says_more_than_which_release_is_refused(
    site: Site, data: bytes
) -> None:
    with pytest.raises(UpdateError) as error:
        site.refresh().job(data)
    assert error.value.reason == "BAD_JOB"


def test_an_order_is_taken_from_those_who_may_sign_jobs(site: Site) -> None:
    publisher = site.publisher
    order = Order(job="j1", command=Command.CANCEL, boxes=("box-1",))
    trusted = site.refresh()
    assert trusted.order(sign_order(order, [publisher.keys["jobs"]])) == order
    for signer in ("online", "mallory"):
        with pytest.raises(UpdateError) as error:
            trusted.order(sign_order(order, [publisher.keys[signer]]))
        assert error.value.reason == "UNSIGNED_ORDER"


def test_a_signed_job_is_no_order(site: Site) -> None:
    with pytest.raises(UpdateError) as error:
        site.refresh().order(site.publisher.job("j1", 1))
    assert error.value.reason == "BAD_ORDER"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A web server that does not know ranges, as Python's own."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="web")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_plain_web_server_is_a_source(site: Site) -> None:
    with serving(site.publisher.folder) as url:
        box = site.box()
        source = HttpSource(url)
        box.refresh(source)
        release = box.release("toy", 1)
        weights = next(file for file in release.files if file.path == "model.bin")
        wanted = [BlobRange(weights.sha256, 100, 50), BlobRange(weights.sha256, 0, 10)]
        content = (site.publisher.folder / "blobs" / weights.sha256).read_bytes()
        assert [data for _, data in source.blocks(wanted)] == [content[100:150], content[:10]]
        with pytest.raises(NotFoundError):
            list(source.blocks([BlobRange("0" * 64, 0, 1)]))
    with pytest.raises(UnavailableError):
        HttpSource(url, timeout_s=0.5).metadata("timestamp.json", 100)


@contextlib.contextmanager
def answering(status: int, body: bytes, headers: dict[str, str]) -> Iterator[str]:
    """A web server that says the same to everybody, over connections it would keep."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, name="web")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def blocks(url: str, *lengths: int, **settings: Any) -> list[int]:
    """Ask for parts of some lengths; how long the answers are."""
    wanted = [BlobRange("0" * 64, 0, length) for length in lengths]
    return [len(data) for _, data in HttpSource(url, **settings).blocks(wanted)]


def test_a_web_server_that_knows_ranges_is_a_source() -> None:
    with answering(206, b"x" * 100, {}) as url:
        assert blocks(url, 100, 100) == [100, 100]


def test_endless_data_a_web_server_that_sends_more_than_asked_is_cut_off() -> None:
    with answering(206, b"x" * 1_000_000, {}) as url:
        assert blocks(url, 100, 1000) == [100, 1000]


def test_slow_retrieval_a_web_server_that_trickles_is_given_up() -> None:
    with answering(206, b"x" * 1_000_000, {}) as url, pytest.raises(UnavailableError) as error:
        blocks(url, 1_000_000, block_timeout_s=0.0)
    assert error.value.reason == "SOURCE_UNAVAILABLE"


@pytest.mark.parametrize("status", [301, 416, 500, 503])
def test_a_web_server_in_trouble_is_asked_again_later(status: int) -> None:
    with (
        answering(status, b"", {"Location": "http://elsewhere.invalid/"}) as url,
        pytest.raises(UnavailableError),
    ):
        blocks(url, 100)


@pytest.mark.parametrize("name", ["../secret.json", "a/b.json", ".x.json", "timestamp.txt", ""])
def test_a_folder_gives_out_metadata_only(tmp_path: Path, name: str) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "secret.json").write_bytes(b"1")
    with pytest.raises(NotFoundError):
        FolderSource(tmp_path).metadata(name, 100)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_stick_with_links_and_pipes_on_it_does_no_harm(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "blobs" / ("0" * 64)
    path.parent.mkdir()
    (tmp_path / "secret").write_bytes(b"1")
    match kind:
        case "link":
            path.symlink_to(tmp_path / "secret")
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()

    def read() -> Iterable[tuple[BlobRange, bytes]]:
        return list(FolderSource(tmp_path).blocks([BlobRange(path.name, 0, 1)]))

    with pytest.raises((NotFoundError, UnavailableError)):
        read()


class LosesBlobs(FolderSource):
    """A source whose blobs do not arrive, as on a line that is bad."""

    def blocks(self, wanted: Iterable[BlobRange]) -> Iterator[tuple[BlobRange, bytes]]:
        return iter(())


def test_a_description_that_did_not_arrive_is_no_bad_release(site: Site) -> None:
    box = site.box()
    box.refresh(LosesBlobs(site.publisher.folder))
    with pytest.raises(UnavailableError) as error:
        box.release("toy", 1)
    assert error.value.reason == "SOURCE_UNAVAILABLE"
    assert site.refresh().release("toy", 1).seq == 1
