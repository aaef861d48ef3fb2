"""Who may change a store, and what becomes of links in one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.updates.simulated_files import SimulatedFiles
from tests.updates.test_store import put_all

from skilld.cli import main
from skilld.core.errors import ArtefactError
from skilld.updates.bundle import pack
from skilld.updates.store import BlobStore, DiskFiles, Files, ReleaseStore, check_rights
from skilld.updates.store.blobs import blob_path
from skilld.updates.store.files import delete_tree, make_folders, write_durably

MakeEngine = Callable[..., Path]
NOBODY = 65534


@pytest.fixture
def store(tmp_path: Path, make_engine: MakeEngine) -> Path:
    """A store with one release, written by somebody whose umask lets everybody write."""
    before = os.umask(0)
    try:
        files = DiskFiles(tmp_path / "store")
        engine = make_engine()
        release = pack(engine, seq=1)
        put_all(files, engine, release)
        ReleaseStore(files).stage(release)
        make_folders(files, "state")
        write_durably(files, "state/toy.json", b"{}")
        BlobStore(files).partial(
            release.files[-1].model_copy(update={"sha256": "f" * 64})  # one that never ends
        )
    finally:
        os.umask(before)
    return files.root


def test_blobs_are_nobodys_to_write_and_folders_nobody_elses(store: Path) -> None:
    check_rights(store)
    in_release = {"model.xml", "model.bin", "manifest.json", "tokenizer.json", "golden.jsonl"}
    in_release |= {"echo.toml"}
    assert store.stat().st_mode & 0o777 == 0o700
    for path in store.rglob("*"):
        mode = path.stat().st_mode & 0o777
        if path.is_dir():
            assert mode == 0o755, path
        elif path.is_relative_to(store / "blobs") or path.name in in_release:
            assert mode == 0o444, path
        else:
            assert mode == 0o644, path


@pytest.mark.parametrize("kind", ["disk", "simulated"])
def test_a_blob_cannot_be_written_under_any_of_its_names(
    kind: str, tmp_path: Path, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    release = pack(engine, seq=1)
    files: Files = DiskFiles(tmp_path / "store") if kind == "disk" else SimulatedFiles()
    put_all(files, engine, release)
    folder = ReleaseStore(files).stage(release)
    weights = next(file for file in release.files if file.path == "model.bin")
    names = (blob_path(weights.sha256), f"{folder}/model.bin")
    if isinstance(files, DiskFiles):
        assert {(files.root / name).stat().st_mode & 0o222 for name in names} == {0}
    else:
        for name in names:
            with pytest.raises(OSError, match="denied"):
                files.write_at(name, 0, b"!")
            with pytest.raises(OSError, match="denied"):
                files.write(name, b"")
    for name in names:
        files.delete(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("where", [".", "state", "state/toy.json", "releases/toy/1"])
def test_a_store_of_somebody_else_is_named_with_a_way_out(store: Path, where: str) -> None:
    os.chown(store / where, NOBODY, NOBODY)
    with pytest.raises(ArtefactError) as error:
        check_rights(store)
    assert error.value.reason == "UNSAFE_STORE"
    assert error.value.path == store / where
    assert f"belongs to user {NOBODY}" in error.value.message
    assert f"chown -R {os.geteuid()} {store}" in error.value.message


@pytest.mark.parametrize("where", [".", "blobs", "state/toy.json", "releases/toy/1/skills"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_others_can_write_is_named(store: Path, where: str, mode: int) -> None:
    path = store / where
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(ArtefactError, match="chmod -R go-w") as error:
        check_rights(store)
    assert (error.value.reason, error.value.path) == ("UNSAFE_STORE", path)


def test_doctor_looks_at_the_store(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "skilld.toml"

    def finding(reserve: str = "0") -> tuple[bool, str]:
        config.write_text(
            f"[updates]\nsource = '{tmp_path}'\nstore = '{store}'\nreserve_bytes = '{reserve}B'\n"
        )
        main(["doctor", "--config", str(config), "--json"])
        checks = json.loads(capsys.readouterr().out)
        (check,) = [check for check in checks if check["check"] == "store"]
        return check["ok"], check["found"]

    assert finding()[0]
    is_ok, found = finding(reserve=str(1 << 60))
    assert not is_ok
    assert "lower updates.reserve_bytes" in found
    store.chmod(0o777)
    is_ok, found = finding()
    assert not is_ok
    assert found.startswith("UNSAFE_STORE")


def test_a_link_in_a_store_is_named(store: Path, tmp_path: Path) -> None:
    (store / "state/other.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError, match="symbolic link") as error:
        check_rights(store)
    assert error.value.reason == "UNSAFE_STORE"


def test_a_store_may_lie_behind_a_link_and_need_not_exist(store: Path, tmp_path: Path) -> None:
    (tmp_path / "behind").symlink_to(store)
    check_rights(tmp_path / "behind")
    assert DiskFiles(tmp_path / "behind").is_folder("blobs")
    check_rights(tmp_path / "nothing-yet")


def test_links_in_a_store_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    files = DiskFiles(tmp_path / "store")
    make_folders(files, "a")
    files.write("a/real", b"mine")
    (files.root / "a/file").symlink_to(outside / "secret")
    (files.root / "folder").symlink_to(outside)
    assert files.size("a/file") is None
    assert not files.is_folder("folder")
    assert files.list("folder") == []
    for reach in (
        lambda: files.read("a/file"),
        lambda: files.read_at("a/file", 0, 3),
        lambda: files.write("a/file", b"x"),
        lambda: files.write_at("a/file", 0, b"x"),
        lambda: files.allocate("a/file", 3),
        lambda: files.sync("a/file"),
        lambda: files.protect("a/file"),
        lambda: files.read("folder/secret"),
        lambda: files.size("folder/secret"),
        lambda: files.write("folder/new", b"x"),
        lambda: files.make_folder("folder/new"),
        lambda: files.link("a/real", "folder/new"),
        lambda: files.rename("a/real", "folder/new"),
        lambda: files.delete("folder/secret"),
    ):
        with pytest.raises(OSError, match="symbolic links") as error:
            reach()
        assert error.value.errno == errno.ELOOP
    files.rename("a/real", "a/file")  # takes the place of the link, not of what it leads to
    delete_tree(files, "folder")
    assert files.list(".") == ["a"]
    assert files.read("a/file") == b"mine"
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_pipe_in_a_store_keeps_nobody_waiting(tmp_path: Path) -> None:
    files = DiskFiles(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert files.size("pipe") is None
    assert files.read("pipe") == b""
    delete_tree(files, "pipe")
    assert files.list(".") == []
