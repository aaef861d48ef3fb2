"""`verify`: golden cases and measurements of an engine on this machine, into its manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skilld.builder.golden import GOLDEN_NAME, GoldenCase, read_golden
from skilld.builder.local_runner import Generation, LocalRunner
from skilld.builder.measurement import measure
from skilld.core.errors import EngineError
from skilld.core.manifest import EngineManifest, GoldenResult, write_manifest
from skilld.skills import RegisteredSkill
from skilld.skills.answer import Answer, read_answer


@dataclass(frozen=True, slots=True)
class FailedCase:
    """A golden case that was answered otherwise.

    Attributes:
        case: as written.
        answer: what came instead: an `Answer`, or the error that decoding ended with.
    """

    case: GoldenCase
    answer: Answer | EngineError


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes:
        manifest: as rewritten.
        failed: every golden case that did not pass.
    """

    manifest: EngineManifest
    failed: tuple[FailedCase, ...]


def verify(
    engine_dir: Path, *, num_threads: int, progress: Callable[[str, float], None]
) -> Verification:
    """Check an engine folder, run its golden cases, measure it, and write both down.

    Golden cases run in the fast mode, as they would be served, once with jump-forward decoding
    and drafts and once without; the rate at which both give the same tokens is recorded.

    Args:
        engine_dir: the folder.
        num_threads: CPU threads of a step.
        progress: called with what is being done and the fraction done, 0 to 1.

    Raises:
        ArtefactError: the folder is damaged, or a skill or golden case in it is wrong.
        InvalidRequestError: a golden input does not fit the context.
    """
    progress("loading", 0.0)
    cases = read_golden(engine_dir / GOLDEN_NAME)
    failed: list[FailedCase] = []
    results: list[GoldenResult] = []
    with LocalRunner(engine_dir, num_threads=num_threads) as runner:
        for entry in runner.catalog:
            mine = [case for case in cases if case.skill == entry.skill.id]
            progress(f"golden cases of {entry.skill.id}", len(results) / 2 / len(cases or [1]))
            result, wrong = _run_golden(runner, entry, mine)
            results.append(result)
            failed += wrong
        manifest = runner.manifest
    progress("measuring", 0.5)
    _, measurements = measure(engine_dir, num_threads=num_threads)
    manifest = manifest.model_copy(update={"measurements": measurements, "golden": tuple(results)})
    write_manifest(engine_dir, manifest)
    progress("done", 1.0)
    return Verification(manifest, tuple(failed))


def _run_golden(
    runner: LocalRunner, entry: RegisteredSkill, cases: Sequence[GoldenCase]
) -> tuple[GoldenResult, list[FailedCase]]:
    inputs: list[dict[str, Any]] = [case.input for case in cases]
    jumped = list(runner.generate(entry, inputs))
    walked = list(runner.generate(entry, inputs, jump_forward=False, max_draft=0))
    failed = []
    for case, generation in zip(cases, jumped, strict=True):
        answer = _answer(entry, generation)
        if answer != Answer(case.output, abstain_reason=case.abstain):
            failed.append(FailedCase(case, answer))
    same = [a.token_ids == b.token_ids for a, b in zip(jumped, walked, strict=True)]
    result = GoldenResult(
        skill=entry.skill.id,
        num_cases=len(cases),
        num_passed=len(cases) - len(failed),
        jump_forward_agreement=sum(same) / len(same) if same else None,
    )
    return result, failed


def _answer(entry: RegisteredSkill, generation: Generation) -> Answer | EngineError:
    assert generation.decoding.finish_reason is not None
    try:
        return read_answer(
            entry,
            generation.token_ids,
            marked=generation.call.marked,
            finish_reason=generation.decoding.finish_reason,
            min_probability=generation.decoding.min_probability,
        )
    except EngineError as error:
        return error
