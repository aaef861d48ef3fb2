"""Choose golden cases of an engine among validation examples that it answers right.

Golden cases tell whether an engine that was moved, built again or updated still does what it did.
They say nothing about how often it is right: that is what `skilld eval` is for.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from skilld.app import find_engines
from skilld.builder.golden import GOLDEN_NAME
from skilld.builder.local_runner import LocalRunner
from skilld.cli.engine_answers import Asking, replies
from skilld.core.manifest import FileEntry, file_sha256, read_manifest, write_manifest
from skilld.training.evaluation import is_right
from skilld.training.example import Example
from skilld.training.preparation import prepare


def main() -> None:
    """Write the golden cases of one engine."""
    parser = argparse.ArgumentParser(prog="tools/golden", description=__doc__)
    parser.add_argument("engine", type=Path, help="engines/<name>, built")
    parser.add_argument("--count", type=int, default=48, help="cases (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    options = parser.parse_args()
    prepared = prepare(options.engine)
    (engine_dir,) = find_engines([options.engine])
    examples = prepared.tests["validation"]
    with LocalRunner(engine_dir, num_threads=options.threads) as runner:
        entry = runner.catalog.get(prepared.skill.id)
        asked = replies(runner, entry, [e.input for e in examples], Asking(exact_confidence=True))
        least = max(entry.skill.abstain.min_confidence, 0.9)
        right = [
            example
            for example, reply in zip(examples, asked, strict=True)
            if is_right(reply.answer, example) and reply.confidence >= least
        ]
    chosen = _spread(right, options.count)
    text = "".join(
        json.dumps(_case(prepared.skill.id, example), ensure_ascii=False) + "\n"
        for example in chosen
    )
    for folder in (options.engine, engine_dir):
        (folder / GOLDEN_NAME).write_text(text, encoding="utf-8")
    _list_in_manifest(engine_dir)
    Console().print(
        f"{len(chosen)} cases of {len({e.family for e in chosen})} families, chosen among "
        f"{len(right)} sure and right answers to {len(examples)} inputs; now: "
        f"skilld verify {options.engine}"
    )


def _list_in_manifest(engine_dir: Path) -> None:
    """The engine holds other golden cases than it was built with: its manifest must say so."""
    path = engine_dir / GOLDEN_NAME
    entry = FileEntry(sha256=file_sha256(path), num_bytes=path.stat().st_size)
    manifest = read_manifest(engine_dir)
    files = {**manifest.files, GOLDEN_NAME: entry}
    write_manifest(engine_dir, manifest.model_copy(update={"files": files}))


def _spread(examples: list[Example], count: int) -> list[Example]:
    """So many of them, of as many families as there are."""
    by_family: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_family[example.family].append(example)
    families = sorted(by_family)
    Random(0).shuffle(families)
    chosen: list[Example] = []
    while families and len(chosen) < count:
        for family in list(families):
            chosen.append(by_family[family].pop())
            if not by_family[family]:
                families.remove(family)
    return chosen[:count]


def _case(skill_id: str, example: Example) -> dict[str, Any]:
    if example.is_abstain:
        return {"skill": skill_id, "input": example.input, **example.answer}
    return {"skill": skill_id, "input": example.input, "output": example.answer}


if __name__ == "__main__":
    main()
