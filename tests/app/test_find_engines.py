"""Which folders `skilld serve` takes for engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from skilld.app import find_engines
from skilld.core.errors import ArtefactError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", encoding="utf-8")
    return path.parent


def test_an_engine_is_found_itself_and_up_to_two_levels_down(tmp_path: Path) -> None:
    flat = touch(tmp_path / "a" / "manifest.json")
    nested = touch(tmp_path / "b" / "engine" / "manifest.json")
    touch(tmp_path / "c" / "too" / "deep" / "manifest.json")
    assert find_engines([tmp_path]) == [flat, nested]
    assert find_engines([flat]) == [flat]


def test_what_a_killed_build_left_is_no_engine(tmp_path: Path) -> None:
    whole = touch(tmp_path / "a" / "engine" / "manifest.json")
    touch(tmp_path / "a" / ".engine.building" / "manifest.json")
    assert find_engines([tmp_path]) == [whole]


def test_a_folder_without_engines_is_an_error_that_says_what_one_is(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"holds no engine .*manifest\.json"):
        find_engines([tmp_path])
