"""Shipped skills that point at their input: no caller and no model brings one to a halt."""

from __future__ import annotations

import functools
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from skilld.core.errors import EngineError, InvalidRequestError
from skilld.core.request import FinishReason
from skilld.engine.base import StepOutput
from skilld.skills import RegisteredSkill, Skill, read_skill
from skilld.skills.answer import UNRESOLVED, Answer, read_answer
from skilld.skills.pointing.marks import MARKS

Register = Callable[..., RegisteredSkill]

ENGINES = Path(__file__).resolve().parents[2] / "engines"
SKILLS = {
    path.stem: path
    for path in sorted(ENGINES.glob("*/skills/*.toml"))
    if "\n[spans]" in path.read_text(encoding="utf-8")
}
TOOLS = [
    {
        "name": "set_pump_speed",
        "description": "Set the speed of a pump in rpm",
        "parameters": {
            "type": "object",
            "properties": {
                "pump": {"type": "string"},
                "speed": {"type": "number", "maximum": 3000},
                "mode": {"enum": ["slow", "fast"]},
                "ramp": {"type": "boolean"},
            },
            "required": ["pump", "speed"],
        },
    },
    {"name": "stop", "description": "", "parameters": {"type": "object"}},
]
WORDS = [
    *("TT-101", "P-12", "E1203", "ALM", "14:05", "9:30", "午後3時", "85.5", "12", "-3", "250mm/s"),
    *("1/2", "0x1F", "°C", "bar", "rpm", "axis", "motor", "the", "to", "and", "red", "box", "棚"),
    *("赤い箱", "ポンプ", "を", "に", "二十", "twelve", "2026-11-22", "14:05:22.123", "10.0.0.1"),
    *("\ue001", "\ue0c3", '"', "\\", "{", "½", "㎜", "\n"),
]


def input_of(skill: Skill, text: str) -> dict[str, Any]:
    """A valid input whose marked fields say this."""
    assert skill.spans is not None
    values: dict[str, Any] = {}
    for name in skill.spans.fields:
        schema = skill.input_schema["properties"][name]
        if schema["type"] == "array":
            lines = [line[: schema["items"]["maxLength"]] for line in text.split("\n")]
            values[name] = lines[: schema["maxItems"]]
        else:
            values[name] = text[: schema["maxLength"]]
    if skill.spans.tools is not None:
        values[skill.spans.tools] = TOOLS
    return values


@pytest.fixture(scope="module", params=sorted(SKILLS))
def entry(request: pytest.FixtureRequest, register: Register) -> RegisteredSkill:
    return register(SKILLS[request.param].read_text(encoding="utf-8"))


@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    words=st.lists(st.sampled_from(WORDS), max_size=25),
    seed=st.integers(0, 1 << 16),
    likes_marks=st.booleans(),
)
def test_whatever_the_model_wants_the_answer_is_typed_or_declined(
    entry: RegisteredSkill, words: list[str], seed: int, likes_marks: bool
) -> None:
    call = entry.prepare(input_of(entry.skill, " ".join(words)))
    assert call.marked is not None
    decoding = entry.decoding(call)
    random = np.random.default_rng(seed)
    liked = [entry.tokenizer.encode_value(mark)[0] for mark in sorted(call.marked.present)]
    tokens = decoding.start()
    while decoding.finish_reason is None:
        draft = list(decoding.draft)
        size = (len(draft) + 1, entry.manifest.vocabulary.size)
        lines = random.normal(scale=4.0, size=size).astype(np.float32)
        if likes_marks:
            lines[:, liked] += 8.0
        output = StepOutput(lines, lines.argmax(axis=-1).tolist(), step_ms=1.0)
        tokens += decoding.advance(output, 0, draft)
    read = functools.partial(
        read_answer,
        entry,
        tokens,
        marked=call.marked,
        finish_reason=decoding.finish_reason,
        min_probability=1.0,
    )
    if decoding.finish_reason is FinishReason.LENGTH:
        with pytest.raises(EngineError, match="did not end within"):
            read()
    else:
        assert_kept(entry, read())


def assert_kept(entry: RegisteredSkill, answer: Answer) -> None:
    """The skill keeps its contract."""
    if answer.abstain_reason is not None:
        assert answer.abstain_reason in {*entry.skill.abstain.reasons, UNRESOLVED}
        return
    Draft202012Validator(entry.skill.public_output_schema).validate(answer.output)
    assert not MARKS.search(json.dumps(answer.output, ensure_ascii=False))


UNITS = [
    *("a", "A", "1", "0", "-", ".", "/", "_", ":", "a-", "A-", "A1", "A1-", "1.", "1,", "1-"),
    *("1:", "12:", "mm", "1mm", "no ", "ァ", "漢", "あ", "é", "#", "ALM ", "0x", "x1", "AM ", " "),
]
TAILS = ["", "!", "#", " ", "1", "a", "あ"]
# A pattern that takes exponential time takes years on these texts, others about a second.
MARK_ALL = """
import json, pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from skilld.skills import read_skill
spans = read_skill(pathlib.Path(sys.argv[1])).spans
for values in json.load(sys.stdin):
    spans.mark(values)
"""


def hostile_texts(length: int) -> Iterator[str]:
    for unit in UNITS:
        for tail in TAILS:
            yield (unit * length)[: length - len(tail)] + tail
    for first, second in itertools.product(UNITS[:16], repeat=2):
        yield (first * length)[: length // 2] + (second * length)[: length // 2]


@pytest.mark.parametrize("name", sorted(SKILLS))
def test_patterns_get_through_any_text(name: str) -> None:
    skill = read_skill(SKILLS[name])
    inputs = [input_of(skill, f"{text}\n{text}") for text in hostile_texts(300)]
    # In a process of its own, which the kernel ends when it takes too long.
    subprocess.run(
        [sys.executable, "-c", MARK_ALL, str(SKILLS[name])],
        input=json.dumps(inputs),
        text=True,
        check=True,
    )


def test_what_explodes_in_its_normal_form_is_refused() -> None:
    for path in SKILLS.values():
        skill = read_skill(path)
        assert skill.spans is not None
        with pytest.raises(InvalidRequestError, match="NFKC"):
            skill.spans.mark(input_of(skill, "\ufdfa" * 400))
