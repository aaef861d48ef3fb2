"""The engines in the repository are whole, small, and answer what their golden cases say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skilld.app import Box, find_engines
from skilld.builder.golden import GOLDEN_NAME, read_golden
from skilld.config import Config
from skilld.core.manifest import read_manifest, verify_files
from skilld.service import Call

ENGINES = Path(__file__).resolve().parents[2] / "engines"
SHIPPED = find_engines([ENGINES])
MAX_ENGINE_BYTES = 8 << 20


def test_every_recipe_has_its_engine() -> None:
    recipes = {path.parent for path in ENGINES.glob("*/recipe.toml")}
    assert {engine_dir.parent for engine_dir in SHIPPED} == recipes


@pytest.mark.parametrize("engine_dir", SHIPPED, ids=lambda path: path.parent.name)
def test_it_is_what_its_manifest_says_and_fits_in_git(engine_dir: Path) -> None:
    manifest = read_manifest(engine_dir)
    verify_files(engine_dir, manifest)
    assert sum(entry.num_bytes for entry in manifest.files.values()) < MAX_ENGINE_BYTES
    assert manifest.measurements is not None
    assert manifest.golden


@pytest.mark.parametrize("engine_dir", SHIPPED, ids=lambda path: path.parent.name)
def test_its_skills_are_those_of_the_recipe_folder(engine_dir: Path) -> None:
    for built in sorted((engine_dir / "skills").glob("*.toml")):
        source = engine_dir.parent / "skills" / built.name
        assert built.read_bytes() == source.read_bytes(), "build the engine again"
    golden = engine_dir.parent / GOLDEN_NAME
    assert (engine_dir / GOLDEN_NAME).read_bytes() == golden.read_bytes(), "build it again"


async def test_golden_cases_are_answered_as_written() -> None:
    box = Box(Config(engines=(ENGINES,)))
    box.start()
    try:
        wrong = []
        for engine_dir in SHIPPED:
            cases = read_golden(engine_dir / GOLDEN_NAME)
            assert len(cases) >= 20
            for case in cases:
                outcome = await box.service.invoke(Call(case.skill, case.input, timeout_s=60.0))
                if (outcome.output, outcome.abstain_reason) != (case.output, case.abstain):
                    wrong.append(json.dumps(case.input, ensure_ascii=False))
        # Quantized arithmetic differs a little between processors; the manifest says how the
        # machine that verified the engine did.
        assert len(wrong) <= len(SHIPPED), wrong
    finally:
        await box.stop()
