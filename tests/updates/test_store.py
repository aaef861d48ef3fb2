"""What the store keeps through power cuts, full disks and damage."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.updates.simulated_files import Loss, PowerCut, SimulatedFiles

from skilld.core.errors import UpdateError
from skilld.updates.bundle import Release, pack
from skilld.updates.bundle.release import ReleaseFile
from skilld.updates.store import BlobStore, DiskFiles, Files, ReleaseStore
from skilld.updates.store.blobs import blob_path, local_chunks
from skilld.updates.store.files import make_folders, write_durably

MakeEngine = Callable[..., Path]


@pytest.fixture(params=["disk", "simulated"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return DiskFiles(tmp_path / "store") if request.param == "disk" else SimulatedFiles()


def put_all(files: Files, engine: Path, release: Release) -> int:
    """Download a release from its engine folder; returns the bytes that had to come."""
    blobs, fetched = BlobStore(files), 0
    for file in blobs.missing(release):
        partial = blobs.partial(file)
        for number in partial.missing:
            assert partial.put(number, chunk_bytes(engine, file, number))
            fetched += file.chunks[number].num_bytes
        partial.finish()
    return fetched


def chunk_bytes(engine: Path, file: ReleaseFile, number: int) -> bytes:
    offset = sum(chunk.num_bytes for chunk in file.chunks[:number])
    content = (engine / file.path).read_bytes()
    return content[offset : offset + file.chunks[number].num_bytes]


def weights_of(release: Release) -> ReleaseFile:
    return next(file for file in release.files if file.path == "model.bin")


def rot(files: Files, path: str, offset: int, data: bytes) -> None:
    """The disk itself changes some bytes, whoever may write the file."""
    if isinstance(files, SimulatedFiles):
        files.rot(path, offset, data)
    else:
        assert isinstance(files, DiskFiles)
        full = files.root / path
        full.chmod(0o644)
        content = bytearray(full.read_bytes())
        content[offset : offset + len(data)] = data
        full.write_bytes(content)


def test_both_kinds_of_files_behave_alike(files: Files) -> None:
    make_folders(files, "a/b")
    files.allocate("a/b/x", 4)
    files.write_at("a/b/x", 1, b"zz")
    files.link("a/b/x", "a/y")
    files.write("a/z", b"old")
    files.rename("a/y", "a/z")
    files.sync("a/z")
    assert files.list("a") == ["b", "z"]
    assert files.read("a/z")[1:3] == b"zz"
    assert files.read_at("a/z", 1, 2) == b"zz"
    assert (files.size("a/z"), files.size("a/b"), files.size("q")) == (4, None, None)
    assert files.is_folder("a/b")
    assert files.free_bytes() > 0
    for wrong in (
        lambda: files.delete("a/b"),
        lambda: files.read("q"),
        lambda: files.link("a/z", "a/b/x"),
        lambda: files.make_folder("a"),
        lambda: files.rename("q", "r"),
        lambda: files.write("no/folder", b""),
        lambda: files.write_at("q", 0, b""),
        lambda: files.sync("q"),
        lambda: files.delete("q"),
    ):
        with pytest.raises(OSError, match=r"\w"):
            wrong()
    files.delete("a/b/x")
    files.delete("a/b")
    assert files.list("a/b") == []


def test_the_simulated_disk_loses_what_was_not_synced() -> None:
    files = SimulatedFiles()
    files.write("kept", b"1")
    files.sync("kept")
    files.sync(".")
    files.write("kept", b"22")
    files.write("lost", b"3")
    files.restart(Loss.BYTES)
    assert files.read("lost") == b"\0"
    assert files.read("kept") == b"1\0"
    files.restart(Loss.ALL)
    assert files.list(".") == ["kept"]


@pytest.mark.parametrize("loss", Loss)
def test_a_file_replaced_durably_is_old_or_new_at_every_cut(loss: Loss) -> None:
    for cut_after in range(100):
        files = SimulatedFiles()
        write_durably(files, "state", b"old")
        files.cut_after = files.num_changes + cut_after
        try:
            write_durably(files, "state", b"new!")
        except PowerCut:
            files.restart(loss)
            assert files.read("state") in (b"old", b"new!")
        else:
            files.restart(loss)
            assert files.read("state") == b"new!"
            assert cut_after == 4
            return
    raise AssertionError("never finished")


def test_a_download_goes_on_where_it_was_synced(files: Files, make_engine: MakeEngine) -> None:
    engine = make_engine(sizes=[20_000] * 5)
    file = weights_of(pack(engine, seq=1))
    partial = BlobStore(files).partial(file)
    for number in (3, 1):  # in any order
        assert partial.put(number, chunk_bytes(engine, file, number))
        assert partial.put(number, chunk_bytes(engine, file, number))  # and twice
    partial.checkpoint()
    partial.put(0, chunk_bytes(engine, file, 0))
    if isinstance(files, SimulatedFiles):
        files.restart(Loss.ALL)
    again = BlobStore(files).partial(file)
    # Bytes that were written and not synced may be there all the same: then they count.
    lost = [0] if isinstance(files, SimulatedFiles) else []
    assert again.missing == [*lost, 2, 4]
    assert again.held_bytes == 60_000 - 20_000 * len(lost)


def test_a_chunk_that_was_damaged_on_disk_is_fetched_again(
    files: Files, make_engine: MakeEngine
) -> None:
    engine = make_engine(sizes=[20_000] * 3)
    file = weights_of(pack(engine, seq=1))
    partial = BlobStore(files).partial(file)
    for number in partial.missing:
        partial.put(number, chunk_bytes(engine, file, number))
    partial.checkpoint()
    rot(files, f"partial/{file.sha256}.part", 20_001, b"!")
    assert BlobStore(files).partial(file).missing == [1]


@pytest.mark.parametrize("data", [b"", b"x" * 20_000, b"x" * 90_000])
def test_bytes_that_are_not_the_chunk_are_not_written(
    files: Files, make_engine: MakeEngine, data: bytes
) -> None:
    file = weights_of(pack(make_engine(sizes=[20_000] * 2), seq=1))
    partial = BlobStore(files).partial(file)
    before = files.read(f"partial/{file.sha256}.part")
    assert not partial.put(0, data)
    assert partial.missing == [0, 1]
    assert files.read(f"partial/{file.sha256}.part") == before


def test_chunks_that_are_right_do_not_make_a_wrong_file_right(
    files: Files, make_engine: MakeEngine
) -> None:
    engine = make_engine(sizes=[20_000] * 2)
    file = weights_of(pack(engine, seq=1)).model_copy(update={"sha256": "1" * 64})
    partial = BlobStore(files).partial(file)
    for number in (0, 1):
        partial.put(number, chunk_bytes(engine, file, number))
    with pytest.raises(UpdateError, match="digest"):
        partial.finish()
    assert files.list("partial") == []


def test_a_blob_that_rotted_is_removed_and_missing(files: Files, make_engine: MakeEngine) -> None:
    engine = make_engine()
    release = pack(engine, seq=1)
    put_all(files, engine, release)
    assert BlobStore(files).missing(release) == []
    weights = weights_of(release)
    rot(files, blob_path(weights.sha256), 7, b"!!")
    assert BlobStore(files).missing(release) == [weights]
    assert files.size(blob_path(weights.sha256)) is None


def test_chunks_of_the_old_release_are_found_on_the_disk(
    files: Files, make_engine: MakeEngine
) -> None:
    sizes = [20_000] * 4
    old_engine = make_engine(sizes=sizes)
    old = pack(old_engine, seq=1)
    put_all(files, old_engine, old)
    new = weights_of(pack(make_engine(sizes=sizes, changed=[2], version="2"), seq=2))
    local = local_chunks(files, [old])
    partial = BlobStore(files).partial(new)
    for number in partial.missing:
        if read := local.get(new.chunks[number].sha256):
            assert partial.put(number, read())
    assert partial.missing == [2]


def test_a_staged_release_is_a_whole_engine_folder(tmp_path: Path, make_engine: MakeEngine) -> None:
    files = DiskFiles(tmp_path / "store")
    engine = make_engine()
    release = pack(engine, seq=4)
    put_all(files, engine, release)
    releases = ReleaseStore(files)
    folder = files.root / releases.stage(release)
    assert pack(folder, seq=4) == release
    assert releases.read("toy", 4) == release
    releases.check(release)
    assert (folder / "model.bin").stat().st_nlink == 2
    assert releases.stage(release) == "releases/toy/4"


def test_a_staged_file_that_rots_is_found(files: Files, make_engine: MakeEngine) -> None:
    engine = make_engine()
    release = pack(engine, seq=4)
    put_all(files, engine, release)
    ReleaseStore(files).stage(release)
    rot(files, "releases/toy/4/model.bin", 0, b"\xff\xff\xff")
    with pytest.raises(UpdateError) as error:
        ReleaseStore(files).check(release)
    assert error.value.reason == "DIGEST_MISMATCH"


def test_a_half_made_release_is_made_again(files: Files, make_engine: MakeEngine) -> None:
    engine = make_engine()
    release = pack(engine, seq=4)
    put_all(files, engine, release)
    releases = ReleaseStore(files)
    releases.stage(release)
    files.delete("releases/toy/4/model.bin")
    make_folders(files, "releases/toy/.4.making")
    releases.stage(release)
    releases.check(release)


def test_collecting_keeps_what_kept_releases_need(files: Files, make_engine: MakeEngine) -> None:
    engines = [make_engine(changed=[n], version=str(n)) for n in range(3)]
    releases = [pack(engine, seq=n + 1) for n, engine in enumerate(engines)]
    for engine, release in zip(engines, releases, strict=True):
        put_all(files, engine, release)
        ReleaseStore(files).stage(release)
    make_folders(files, "releases/toy/.9.making")
    BlobStore(files).partial(weights_of(releases[0]))
    assert ReleaseStore(files).collect("toy", kept={2, 3}) == 2
    assert ReleaseStore(files).seqs("toy") == [2, 3]
    assert BlobStore(files).collect(releases[1:], keep_partial=False) == 2  # weights, manifest
    assert files.list("partial") == []
    for release in releases[1:]:
        ReleaseStore(files).check(release)
        assert BlobStore(files).missing(release) == []


def test_a_full_disk_is_an_error_of_the_system(make_engine: MakeEngine) -> None:
    files = SimulatedFiles(capacity_bytes=10_000)
    with pytest.raises(OSError, match="space") as error:
        BlobStore(files).partial(weights_of(pack(make_engine(), seq=1)))
    assert error.value.errno == errno.ENOSPC


def test_a_read_only_store_is_an_error_of_the_system(make_engine: MakeEngine) -> None:
    files = SimulatedFiles()
    files.is_read_only = True
    with pytest.raises(OSError, match="Read-only"):
        BlobStore(files).partial(weights_of(pack(make_engine(), seq=1)))
