"""What the page for operators promises is shown by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.updates.test_attacks import ATTACKS

from skilld.updates.machine import Outcome, Status, Step

PAGE = (Path(__file__).parents[2] / "docs/updates.md").read_text(encoding="utf-8")
TESTS = Path(__file__).parents[1]


def test_every_test_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+)::(test_\w+)(?:\[[^\]]*\])?`", PAGE)
    assert len(named) > 50
    for file, test in named:
        texts = [path.read_text(encoding="utf-8") for path in TESTS.rglob(f"{file}.py")]
        definition = re.compile(rf"^(async )?def {test}\(", re.MULTILINE)
        assert any(definition.search(text) for text in texts), test


def test_every_attack_is_on_the_page_with_what_the_box_says() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    for name, (_, _, reason) in ATTACKS.items():
        (row,) = [line for line in rows if f"[{name}]" in line]
        assert reason == "DOWNLOADING" or reason in row, name
    assert set(re.findall(r"\[([a-z0-9-]+)\]", PAGE)) == set(ATTACKS)


def test_every_state_and_outcome_is_on_the_page() -> None:
    for word in (*Step, *Outcome, *Status):
        if word not in (Status.QUEUED, Status.IN_PROGRESS):
            assert f"| `{word}` |" in PAGE, word
