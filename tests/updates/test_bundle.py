"""A release is named, cut and checked so that nothing in it can do harm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skilld.core.errors import ArtefactError, UpdateError
from skilld.core.manifest import FileEntry, file_sha256, read_manifest, write_manifest
from skilld.updates.bundle import Release, pack, parse_release
from skilld.updates.bundle.chunks import MAX_CHUNK_BYTES, SMALL_TENSOR_BYTES, cut
from skilld.updates.bundle.file_kinds import FileKind, check_text, kind_of
from skilld.updates.bundle.paths import check_no_clash, check_path
from skilld.updates.bundle.release import MAX_RELEASE_BYTES

MakeEngine = Callable[..., Path]


def _new_bytes(release: Release, old: Release) -> int:
    """What a box that has `old` must fetch for `release`."""
    have = {chunk.sha256 for file in old.files for chunk in file.chunks}
    return sum(
        num_bytes
        for sha256, num_bytes in {
            c.sha256: c.num_bytes for file in release.files for c in file.chunks
        }.items()
        if sha256 not in have
    )


@pytest.mark.parametrize("path", ["model.xml", "skills/plc-triage.toml", "a/b/c.json", "_x.json"])
def test_a_plain_relative_path_is_taken(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("../x.xml", "a/../x.xml", "/etc/passwd", "a//b.xml", "", "a/", ".hidden", "a/.b"),
        *("C:x.xml", "a\\b.xml", "a\x00.xml", "a\n.xml", "ü.xml", "a b.xml", "x.xml.", "~/x"),
        *("con.xml", "skills/NUL.toml", "a/b/c/d.xml", "x" * 65, "a/" * 70 + "x", "-rf.xml"),
    ],
)
def test_a_path_that_could_leave_the_folder_or_mean_two_files_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"plain relative|device|deeper|longer"):
        check_path(path)


@given(st.text(max_size=40))
def test_no_accepted_path_leaves_its_folder(path: str) -> None:
    try:
        check_path(path)
    except ValueError:
        return
    assert (Path("/release") / path).resolve().is_relative_to("/release")


@pytest.mark.parametrize(
    "paths",
    [("a.xml", "A.xml"), ("a", "a/b.xml"), ("a/b.xml", "a"), ("S/x.toml", "s/y.toml")],
)
def test_names_that_clash_where_letter_case_is_ignored_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"same|is a file"):
        check_no_clash(paths)


@pytest.mark.parametrize(
    "path",
    ["model.pt", "x.pkl", "run.py", "lib.so", "orphan.bin", "skills/x.json", "a.onnx", "README.md"],
)
def test_files_that_are_not_allowed_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"no kind of file|not the weights"):
        kind_of(path, ["model.xml", path])


def test_weights_are_allowed_beside_their_own_graph() -> None:
    assert kind_of("model.bin", ["model.xml", "model.bin"]) is FileKind.IR_WEIGHTS


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (FileKind.JSON, b"{"),
        (FileKind.SKILL, b"= 1"),
        (FileKind.GOLDEN, b"[1]\n"),
        (FileKind.IR_GRAPH, b"<html/>"),
        (FileKind.IR_GRAPH, b"<net"),
        (FileKind.IR_GRAPH, b'<!DOCTYPE net [<!ENTITY a "aa">]><net>&a;</net>'),
    ],
)
def test_text_that_is_not_what_its_name_says_is_refused(kind: FileKind, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|Invalid|object|root is|not XML|DOCTYPE"):
        check_text(kind, content)


@given(
    st.integers(0, 3 * MAX_CHUNK_BYTES),
    st.lists(st.integers(1, 3 * MAX_CHUNK_BYTES), max_size=20, unique=True),
)
def test_chunks_cover_a_file_and_none_is_too_large(size: int, offsets: list[int]) -> None:
    boundaries = sorted(offset for offset in offsets if offset < size)
    lengths = cut(size, boundaries)
    assert sum(lengths) == size
    assert all(1 <= length <= MAX_CHUNK_BYTES for length in lengths)


def test_a_large_tensor_has_chunks_of_its_own() -> None:
    large = SMALL_TENSOR_BYTES + 5
    assert cut(10 + large + 20 + 30, [10, 10 + large, 30 + large]) == [10, large, 50]


def test_packing_describes_every_file_of_the_engine(make_engine: MakeEngine) -> None:
    engine = make_engine()
    release = parse_release(pack(engine, seq=3).to_bytes())
    assert release.skill == "toy"
    assert release.seq == 3
    assert {file.path for file in release.files} == {
        str(path.relative_to(engine)) for path in engine.rglob("*") if path.is_file()
    }
    assert release.self_test.num_cases == 1
    assert release.skills[0].id == "echo"
    assert release.requires.runtime_version == "2026.4"


def test_a_release_that_changes_a_tenth_of_the_tensors_needs_less_than_15_percent(
    make_engine: MakeEngine,
) -> None:
    sizes = [200_000] * 40 + [300] * 40
    old = pack(make_engine(sizes=sizes), seq=1)
    changed = make_engine(sizes=sizes, changed=range(0, 80, 10), version="1.1.0")
    new = pack(changed, seq=2)
    share = _new_bytes(new, old) / new.num_bytes
    assert 0.09 < share < 0.15


def test_a_file_that_grows_in_front_keeps_the_chunks_behind(make_engine: MakeEngine) -> None:
    old = pack(make_engine(sizes=[300, 40_000, 300, 50_000]), seq=1)
    new = pack(make_engine(sizes=[300, 40_000, 300, 50_000, 70_000]), seq=2)
    assert _new_bytes(new, old) < 70_000 + 10_000


def test_safetensors_are_cut_at_their_tensors(make_engine: MakeEngine) -> None:
    def adapter(note: str, second: bytes) -> bytes:
        header = {
            "__metadata__": {"note": note},
            "a": {"dtype": "U8", "shape": [50_000], "data_offsets": [0, 50_000]},
            "b": {"dtype": "U8", "shape": [60_000], "data_offsets": [50_000, 110_000]},
        }
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + b"\1" * 50_000 + second

    releases = []
    for note, second in (("x", b"\2" * 60_000), ("longer header", b"\3" * 60_000)):
        engine = make_engine()
        _add(engine, "adapter.safetensors", adapter(note, second))
        releases.append(pack(engine, seq=1))
    # The header and the second tensor; the first tensor moved and is still the same chunk.
    assert 60_000 <= _new_bytes(releases[1], releases[0]) < 65_000


def test_a_damaged_safetensors_file_is_refused(make_engine: MakeEngine) -> None:
    engine = make_engine()
    _add(engine, "adapter.safetensors", (1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(ArtefactError, match="safetensors"):
        pack(engine, seq=1)


def _add(engine: Path, name: str, content: bytes) -> None:
    (engine / name).write_bytes(content)
    entry = FileEntry(sha256=file_sha256(engine / name), num_bytes=len(content))
    manifest = read_manifest(engine)
    write_manifest(engine, manifest.model_copy(update={"files": {**manifest.files, name: entry}}))


@pytest.mark.parametrize("name", ["run.py", "weights.pt", "skills/x.so"])
def test_packing_refuses_files_that_are_not_allowed(make_engine: MakeEngine, name: str) -> None:
    engine = make_engine()
    _add(engine, name, b"print()")
    with pytest.raises(ArtefactError) as error:
        pack(engine, seq=1)
    assert error.value.reason == "NOT_RELEASABLE"


@pytest.mark.parametrize("name", ["model.bin", "skills"])
def test_packing_refuses_symbolic_links(make_engine: MakeEngine, tmp_path: Path, name: str) -> None:
    engine = make_engine()
    (engine / name).rename(tmp_path / "elsewhere")
    (engine / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtefactError, match="symbolic link"):
        pack(engine, seq=1)


def _document(make_engine: MakeEngine) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(pack(make_engine(), seq=1).to_bytes())
    return document


@pytest.mark.parametrize("path", ["../../etc/cron.d/x.xml", "/x.xml", "run.py", "MODEL.XML"])
def test_a_description_with_a_hostile_path_is_refused(make_engine: MakeEngine, path: str) -> None:
    document = _document(make_engine)
    document["files"][1]["path"] = path
    with pytest.raises(UpdateError) as error:
        parse_release(json.dumps(document).encode())
    assert error.value.reason == "BAD_RELEASE"


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://elsewhere/"},
        {"seq": 0},
        {"skill": "../x"},
        {"files": []},
        {"schema_version": 2},
        {"engine": {"kind": "pickle", "entry": "model.xml", "digest": "0" * 64, "memory_bytes": 1}},
    ],
)
def test_a_description_with_unknown_or_impossible_fields_is_refused(
    make_engine: MakeEngine, change: dict[str, Any]
) -> None:
    with pytest.raises(UpdateError) as error:
        parse_release(json.dumps({**_document(make_engine), **change}).encode())
    assert error.value.reason == "BAD_RELEASE"


def test_chunks_that_do_not_make_up_the_file_are_refused(make_engine: MakeEngine) -> None:
    document = _document(make_engine)
    document["files"][0]["num_bytes"] += 1
    with pytest.raises(UpdateError, match="not as long as the file"):
        parse_release(json.dumps(document).encode())


def test_a_description_of_a_mebibyte_is_refused() -> None:
    with pytest.raises(UpdateError) as error:
        parse_release(b" " * (MAX_RELEASE_BYTES + 1))
    assert error.value.reason == "RELEASE_TOO_LARGE"
