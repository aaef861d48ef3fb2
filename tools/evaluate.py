"""Judge a built engine with the code that judged its checkpoint; see tools/evaluate."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from skilld.app import find_engines
from skilld.builder.local_runner import LocalRunner
from skilld.core.errors import EngineError
from skilld.skills import RegisteredSkill
from skilld.skills.answer import LOW_CONFIDENCE, read_answer
from skilld.training import Example, Score
from skilld.training.evaluation import as_record, score, score_table
from skilld.training.judgement import evaluation_sets
from skilld.training.preparation import prepare

Answer = Mapping[str, Any] | None


def main() -> None:
    """Judge one engine."""
    parser = argparse.ArgumentParser(prog="tools/evaluate", description=__doc__)
    parser.add_argument("engine", type=Path, help="engines/<name>")
    parser.add_argument("--json", type=Path, help="write the scores here, too")
    options = parser.parse_args()
    console = Console(soft_wrap=True)
    prepared = prepare(options.engine)
    (engine_dir,) = find_engines([options.engine])
    scores: dict[str, dict[str, Score]] = {}
    with LocalRunner(engine_dir, num_threads=len(os.sched_getaffinity(0))) as runner:
        entry = runner.catalog.get(prepared.skill.id)
        for split, examples in evaluation_sets(options.engine, prepared).items():
            scores[split] = _judge(runner, entry, examples, split=split)
    console.print(score_table(scores, title=f"{entry.skill.id}, {runner.manifest.precision}"))
    if options.json is not None:
        record = {"engine_digest": runner.manifest.digest, "splits": as_record(scores)}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _judge(
    runner: LocalRunner, entry: RegisteredSkill, examples: Sequence[Example], *, split: str
) -> dict[str, Score]:
    answers: list[Answer] = []
    gated: list[Answer] = []
    generations = runner.generate(entry, [example.input for example in examples])
    for generation in track(generations, description=split, total=len(examples)):
        assert generation.decoding.finish_reason is not None
        confidence = generation.decoding.min_probability
        for results, probability in ((answers, 1.0), (gated, confidence)):
            try:
                answer = read_answer(
                    entry,
                    generation.token_ids,
                    marked=generation.call.marked,
                    finish_reason=generation.decoding.finish_reason,
                    min_probability=probability,
                )
            except EngineError:
                results.append(None)
                continue
            reason = answer.abstain_reason
            results.append(answer.output if reason is None else {"abstain": reason})
    # A gated answer is neither right nor wrong: it is judged on what it did answer.
    kept = [(a, e) for a, e in zip(gated, examples, strict=True) if not _is_low(a)]
    return {
        "engine": score(answers, examples),
        "engine, confident": score([a for a, _ in kept], [e for _, e in kept]),
    }


def _is_low(answer: Answer) -> bool:
    return answer is not None and answer.get("abstain") == LOW_CONFIDENCE


if __name__ == "__main__":
    main()
