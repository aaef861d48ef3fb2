"""A skill file that is wrong is refused when it is read, and the refusal says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from skilld.core.errors import ArtefactError
from skilld.core.request import RequestClass
from skilld.skills import read_skill
from skilld.skills.prompt import Prompt, PromptError
from skilld.skills.tokenizer import Tokenizer

GOOD = """
id = "triage"
version = "1.0.0"
description = "Reads a log."
prompt = "<|in|>{lines}<|out|>"
timeout_s = 1.5
class = "deadline"
[decoding]
max_tokens = 32
[abstain]
reasons = ["not_a_log"]
[input_schema]
type = "object"
required = ["lines"]
[input_schema.properties.lines]
type = "array"
items = {type = "string"}
[output_schema]
type = "object"
required = ["ok"]
[output_schema.properties.ok]
type = "boolean"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "triage.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_skill_is_read_and_its_decoding_schema_admits_abstaining(tmp_path: Path) -> None:
    skill = read_skill(write(tmp_path, GOOD))
    assert skill.request_class is RequestClass.DEADLINE
    output, abstention = skill.decoding_schema["anyOf"]
    assert output["additionalProperties"] is False
    assert abstention["properties"]["abstain"]["enum"] == ["not_a_log"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "timeout_s = 1.5",
            "timeout = 1.5",
            r"timeout: unknown key \(did you mean `timeout_s`\?\)",
        ),
        ("max_tokens", "max_token", r"decoding.max_token: unknown key .*`max_tokens`"),
        ("max_tokens = 32", "max_tokens = 0", r"decoding.max_tokens: .*greater than or equal to 1"),
        ("{lines}", "{line}", r"prompt: \{line\} is not a property of the input \(known: lines\)"),
        ("{lines}", "{lines", r"prompt: .*"),
        ('id = "triage"', 'id = "Tri age"', r"id: String should match"),
        ('type = "boolean"', 'type = "bool"', r"output_schema: .*not a JSON Schema"),
        (
            'type = "boolean"',
            'type = "array"\nuniqueItems = true',
            r"output_schema: \$\.properties\.ok: keyword `uniqueItems` is not in the supported",
        ),
        (
            "[output_schema.properties.ok]",
            "[output_schema.properties.deep]\ntype = 'object'\nadditionalProperties = true\n"
            "[output_schema.properties.ok]",
            r"\$\.properties\.deep: keyword `additionalProperties` must be false",
        ),
        ('type = "object"\nrequired = ["lines"]', 'type = "array"', r"input_schema: .*must be"),
        ("[decoding]", '[decoding]\nformat = "text"', r"output_schema: must be \{type"),
        ("[decoding]", "[decoding", r"is not TOML: .*line 8"),
    ],
)
def test_a_bad_skill_is_refused_with_file_key_and_hint(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(ArtefactError, match=message) as refused:
        read_skill(write(tmp_path, GOOD.replace(old, new, 1)))
    assert refused.value.reason == "BAD_SKILL"
    assert "triage.toml" in refused.value.message


def test_values_are_rendered_by_their_type() -> None:
    prompt = Prompt("a {{x}} {lines}|{n}|{text}", fields=["lines", "n", "text"])
    segments = prompt.render({"lines": ["1", "2"], "n": {"k": [1]}, "text": "{n}"})
    assert "".join(segment.text for segment in segments) == 'a {x} 1\n2|{"k":[1]}|{n}'
    assert [s.text for s in segments if s.is_value] == ["1\n2", '{"k":[1]}', "{n}"]


def test_format_specifications_are_refused() -> None:
    with pytest.raises(PromptError, match="no format"):
        Prompt("{n:>10}", fields=["n"])


def test_a_value_cannot_smuggle_in_a_special_token(tokenizer: Tokenizer) -> None:
    literal = tokenizer.encode_template("<|out|>")
    value = tokenizer.encode_value("<|out|>")
    assert len(literal) == 1
    assert literal[0] not in value
    assert tokenizer.decode(value) == "<|out|>"


def test_long_values_are_encoded_like_short_ones(tokenizer: Tokenizer) -> None:
    text = "drive E12; 油圧 <|out|>\n"
    assert tokenizer.encode_value(text * 500) == tokenizer.encode_value(text) * 500


def test_streamed_text_is_the_text_and_never_half_a_character(tokenizer: Tokenizer) -> None:
    text = "油圧ポンプ異常 pump 圧力低下"
    stream = tokenizer.stream()
    pieces = [stream.push([token_id]) for token_id in tokenizer.encode_value(text)]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize(
    ("template", "prefix"),
    [
        ("be brief. {lines} now answer", "be brief. "),
        ("be {{brief}}. {lines}{other}", "be {brief}. "),
        ("{lines} now answer", ""),
        ("no value at all", "no value at all"),
    ],
)
def test_a_prefix_ends_before_the_first_value(template: str, prefix: str) -> None:
    prompt = Prompt(template, fields=["lines", "other"])
    assert "".join(segment.text for segment in prompt.prefix) == prefix
    assert not any(segment.is_value for segment in prompt.prefix)
    rendered = "".join(segment.text for segment in prompt.render({"lines": "x", "other": "y"}))
    assert rendered.startswith(prefix)
