"""How the generator of an engine folder is found and loaded, and written cases are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from skilld.training.example import load_generator, read_examples

INIT = "from .words import WORDS\n\n\ndef load() -> object:\n    return WORDS\n"


def package(folder: Path, words: str) -> Path:
    (folder / "generator").mkdir(parents=True)
    (folder / "generator" / "__init__.py").write_text(INIT)
    (folder / "generator" / "words.py").write_text(f"WORDS = {words!r}\n")
    return folder


def test_a_generator_may_be_a_package_of_modules(tmp_path: Path) -> None:
    assert cast(object, load_generator(package(tmp_path / "an-engine", "ours"))) == "ours"


def test_a_folder_of_the_same_name_elsewhere_brings_its_own_modules(tmp_path: Path) -> None:
    first = load_generator(package(tmp_path / "a" / "an-engine", "first"))
    second = load_generator(package(tmp_path / "b" / "an-engine", "second"))
    assert (cast(object, first), cast(object, second)) == ("first", "second")


def test_a_folder_without_a_generator_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        load_generator(tmp_path)


def test_a_case_without_an_answer_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps({"input": {}, "abstain": "no_fault"}) + '\n{"input": {}}\n')
    with pytest.raises(ValueError, match=r"cases\.jsonl:2"):
        read_examples(path)
