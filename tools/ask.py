"""`tools/demo --ask`: type a sentence, see what a skill makes of it.

All shipped engines are loaded into this process, because how sure an answer is, is not part of
the daemon's protocol. The answer is the one the daemon would give.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from showing import answer_lines

from skilld.app import find_engines, num_threads_of
from skilld.builder.golden import GOLDEN_NAME, read_golden
from skilld.builder.local_runner import LocalRunner
from skilld.config import EngineConfig
from skilld.core.errors import SkilldError
from skilld.core.manifest import read_manifest
from skilld.skills import RegisteredSkill, Skill
from skilld.skills.answer import LOW_CONFIDENCE, Answer, read_answer

TOOLS: list[dict[str, Any]] = [
    {
        "name": "create_work_order",
        "description": "Create a maintenance work order for a machine",
        "parameters": {
            "type": "object",
            "properties": {
                "asset": {"type": "string"},
                "priority": {"type": "string", "enum": ["low", "normal", "high", "emergency"]},
            },
            "required": ["asset"],
        },
    },
    {
        "name": "get_asset_history",
        "description": "List past repairs of a machine",
        "parameters": {
            "type": "object",
            "properties": {
                "asset": {"type": "string"},
                "days": {"type": "integer", "description": "How many days back"},
            },
            "required": ["asset"],
        },
    },
    {
        "name": "set_pump_speed",
        "description": "Set the speed of a pump in rpm",
        "parameters": {
            "type": "object",
            "properties": {"pump": {"type": "string"}, "rpm": {"type": "number"}},
            "required": ["pump", "rpm"],
        },
    },
    {
        "name": "check_stock",
        "description": "Look up how many of a spare part are in stock",
        "parameters": {
            "type": "object",
            "properties": {"part_number": {"type": "string"}},
            "required": ["part_number"],
        },
    },
]


def ask(console: Console, engines_dir: Path) -> None:
    """Load the engines below a folder and answer until the input ends."""
    with contextlib.ExitStack() as stack:
        skills: dict[str, tuple[LocalRunner, RegisteredSkill]] = {}
        with console.status("loading engines"):
            for engine_dir in find_engines([engines_dir]):
                threads = num_threads_of(EngineConfig(), read_manifest(engine_dir))
                runner = LocalRunner(engine_dir, num_threads=threads, max_batch=1)
                stack.enter_context(runner)
                skills |= {entry.skill.id: (runner, entry) for entry in runner.catalog}
                _warm_up(engine_dir, skills)
        names = sorted(skills)
        console.print(
            "The skills learned from synthetic data. A number or a name chooses one, an empty "
            "line chooses anew, Ctrl-D ends."
        )
        with contextlib.suppress(EOFError):
            while True:
                if (name := _choose(console, names, skills)) is not None:
                    _ask_one(console, *skills[name])
        console.print()


def input_of(skill: Skill, lines: Sequence[str]) -> dict[str, Any]:
    """What was typed, as the skill wants it; tools are those of this module.

    Args:
        skill: its first field that holds text, or lines of text, is filled.
        lines: not empty.
    """
    tools = None if skill.spans is None else skill.spans.tools
    values: dict[str, Any] = {}
    for name in skill.input_schema["required"]:
        if name == tools:
            values[name] = TOOLS
        elif takes_lines(skill):
            values[name] = list(lines)
        else:
            values[name] = "\n".join(lines)
    return values


def takes_lines(skill: Skill) -> bool:
    """Whether the skill's text is several lines, each of its own."""
    first: Mapping[str, Any] = skill.input_schema["properties"][skill.input_schema["required"][0]]
    return first.get("type") == "array"


def _warm_up(engine_dir: Path, skills: Mapping[str, tuple[LocalRunner, RegisteredSkill]]) -> None:
    """The first call of an engine finds everything cold."""
    for case in read_golden(engine_dir / GOLDEN_NAME)[:2]:
        runner, entry = skills[case.skill]
        list(runner.generate(entry, [case.input], exact_confidence=True))


def _choose(
    console: Console,
    names: Sequence[str],
    skills: Mapping[str, tuple[LocalRunner, RegisteredSkill]],
) -> str | None:
    console.print()
    for number, name in enumerate(names, start=1):
        about = escape(skills[name][1].skill.description)
        line = f"  {number} [bold]{name}[/]  {about}"
        console.print(line, no_wrap=True, overflow="ellipsis", highlight=False)
    typed = console.input("skill> ").strip()
    if typed.isdigit() and 1 <= int(typed) <= len(names):
        return names[int(typed) - 1]
    return typed if typed in names else None


def _ask_one(console: Console, runner: LocalRunner, entry: RegisteredSkill) -> None:
    """Questions to one skill, until an empty line."""
    if takes_lines(entry.skill):
        console.print("[dim]several lines, then an empty one[/]")
    if entry.skill.spans is not None and entry.skill.spans.tools is not None:
        names = ", ".join(tool["name"] for tool in TOOLS)
        console.print(f"[dim]tools: {names}[/]", highlight=False)
    while lines := _typed(console, entry.skill):
        values = input_of(entry.skill, lines)
        if violations := entry.input_validator.violations(values, limit=1):
            path, problem = violations[0]
            console.print(f"[red]the skill does not take this:[/] {path}", end=" ")
            console.print(problem[:200], markup=False)
            continue
        try:
            _show(console, runner, entry, values)
        except SkilldError as error:
            console.print(f"[red]{error.reason}[/]", end=" ")
            console.print(error.message, markup=False)


def _typed(console: Console, skill: Skill) -> list[str]:
    lines: list[str] = []
    while line := console.input(f"{skill.id}> " if not lines else "... ").strip():
        lines.append(line)
        if not takes_lines(skill):
            break
    return lines


def _show(
    console: Console, runner: LocalRunner, entry: RegisteredSkill, values: dict[str, Any]
) -> None:
    started_s = time.perf_counter()
    (generation,) = runner.generate(entry, [values], exact_confidence=True)
    assert generation.decoding.finish_reason is not None
    sure = generation.decoding.min_probability
    answer: Answer = read_answer(
        entry,
        generation.token_ids,
        marked=generation.call.marked,
        finish_reason=generation.decoding.finish_reason,
        min_probability=sure,
    )
    taken_ms = (time.perf_counter() - started_s) * 1000.0
    if answer.abstain_reason is None:
        console.print(answer_lines(answer.output), style="green", markup=False, highlight=False)
    else:
        least = entry.skill.abstain.min_confidence
        why = f", less than {least}" if answer.abstain_reason == LOW_CONFIDENCE else ""
        console.print(f"abstains: {answer.abstain_reason}{why}", style="yellow", highlight=False)
    console.print(f"{taken_ms:.1f} ms, confidence {sure:.2f}", style="dim", highlight=False)
