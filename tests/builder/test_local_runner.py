"""A shipped engine, run in this process, answers the same however its steps are cut."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skilld.builder.local_runner import LocalRunner
from skilld.engine import Mode
from skilld.training.example import read_examples

SOURCE = Path(__file__).resolve().parents[2] / "engines" / "plc-triage"


@pytest.fixture(scope="module")
def exact_runner() -> Iterator[LocalRunner]:
    with LocalRunner(SOURCE / "engine", mode=Mode.PARITY, num_threads=2, max_batch=8) as runner:
        yield runner


@pytest.fixture(scope="module")
def inputs() -> list[dict[str, Any]]:
    # Not the golden cases: of those the engine is sure, one and all.
    return [dict(case.input) for case in read_examples(SOURCE / "handmade.jsonl")[:48]]


def test_drafts_and_forced_tokens_change_no_answer(
    exact_runner: LocalRunner, inputs: list[dict[str, Any]]
) -> None:
    entry = exact_runner.catalog.get("plc-triage")
    plain = list(exact_runner.generate(entry, inputs, jump_forward=False, max_draft=0))
    jumped = list(exact_runner.generate(entry, inputs, max_draft=0))
    drafted = list(exact_runner.generate(entry, inputs))
    expected = [generation.token_ids for generation in plain]
    assert [generation.token_ids for generation in jumped] == expected
    assert [generation.token_ids for generation in drafted] == expected
    steps = [sum(g.num_steps for g in run) for run in (plain, jumped, drafted)]
    assert steps[2] < steps[1] < steps[0]
    assert sum(g.decoding.num_accepted_tokens for g in drafted) > 0


def test_an_exact_confidence_declines_the_same_answers(
    exact_runner: LocalRunner, inputs: list[dict[str, Any]]
) -> None:
    entry = exact_runner.catalog.get("plc-triage")
    abstain = entry.skill.abstain.model_copy(update={"min_confidence": 0.9})
    entry = dataclasses.replace(entry, skill=entry.skill.model_copy(update={"abstain": abstain}))
    cheap = [g.decoding.min_probability for g in exact_runner.generate(entry, inputs)]
    exact = [
        g.decoding.min_probability
        for g in exact_runner.generate(entry, inputs, exact_confidence=True)
    ]
    assert [p < 0.9 for p in cheap] == [p < 0.9 for p in exact]
    assert all(a <= b * (1 + 1e-4) for a, b in zip(cheap, exact, strict=True))
    assert min(exact) < 0.9 < max(exact)


def test_an_engine_with_recurrent_state_gets_no_drafts(
    exact_runner: LocalRunner, inputs: list[dict[str, Any]]
) -> None:
    entry = exact_runner.catalog.get("plc-triage")
    cache = entry.manifest.cache.model_copy(update={"state_bytes_per_sequence": 4096})
    stateful = dataclasses.replace(
        entry, manifest=entry.manifest.model_copy(update={"cache": cache})
    )
    for catalogued, drafts in ((entry, True), (stateful, False)):
        generations = list(exact_runner.generate(catalogued, inputs[:16]))
        assert any(g.decoding.num_draft_tokens for g in generations) == drafts
