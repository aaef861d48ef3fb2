"""What the skills of an engine share, and with whom."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

from skilld.skills import RegisteredSkill

Register = Callable[..., RegisteredSkill]
SKILL = """
id = "{id}"
version = "1"
description = "Says yes or no."
prompt = "{{text}}"
timeout_s = 1.0
[decoding]
max_tokens = 9
[input_schema]
type = "object"
required = ["text"]
properties.text = {{ type = "string" }}
[output_schema]
type = "object"
required = ["yes"]
additionalProperties = false
properties.yes = {{ type = "boolean" }}
"""


def test_versions_with_one_vocabulary_share_what_is_compiled_for_it(
    register: Register, tokenizer_path: Path, marked_tokenizer_path: Path
) -> None:
    old, new = (register(SKILL.format(id="a"), marked_tokenizer_path) for _ in range(2))
    other = register(SKILL.format(id="a"), tokenizer_path)
    assert old.compiler is new.compiler is not other.compiler
    assert old.constraints[frozenset()] is new.constraints[frozenset()]
    # Each has a tokenizer of its own: reading templates changes it for a moment.
    assert old.tokenizer is not new.tokenizer


def test_an_engine_that_is_gone_leaves_nothing_compiled(
    register: Register, tokenizer_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"  # of which no other test has an engine
    path.write_text(tokenizer_path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    entry = register(SKILL.format(id="a"), path)
    assert entry.compiler is not None
    seen = weakref.ref(entry.compiler)
    del entry
    gc.collect()
    assert seen() is None
