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


POINTING = r"""
id = "triage"
version = "1.0.0"
description = "Reads a log."
prompt = "<|in|>{lines}|{tools}<|out|>"
timeout_s = 1.5
[decoding]
max_tokens = 32
[input_schema]
type = "object"
[input_schema.properties]
lines = { type = "array", maxItems = 8, items = { type = "string", maxLength = 300 } }
other = { type = "string", maxLength = 300 }
tools = { type = "array" }
[spans]
fields = ["lines"]
tools = "tools"
[[spans.kind]]
name = "code"
patterns = [{ pattern = 'E\d+' }]
[[spans.kind]]
name = "number"
value = "number"
patterns = [{ pattern = '\d+mm' }, { pattern = '\d+cm', scale = 10 }]
[output_schema]
type = "object"
required = ["code"]
[output_schema.properties]
code = { type = "string", x-span = "code" }
value = { anyOf = [{ type = "number", x-span = "number" }, { type = "null" }] }
name = { type = "string", x-span = ["code", "number"], x-phrase = true }
note = { type = "string", x-span-text = "code", maxLength = 20 }
[output_schema.properties.call]
type = "object"
properties = { name = {type = "string"}, arguments = {type = "object", x-tool-arguments = true} }
[output_schema.properties.list]
type = "array"
maxItems = 2
items = { type = "string", x-span = "code" }
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


def test_a_skill_that_points_is_read_and_decodes_marks(tmp_path: Path) -> None:
    skill = read_skill(write(tmp_path, POINTING))
    assert skill.span_kinds == {"code", "number"}
    properties = skill.decoding_schema["properties"]
    assert all(properties[name]["type"] == "string" for name in ("code", "value", "name", "call"))
    # Without a code there is no answer, and the skill has no reasons of its own.
    only_numbers = skill.decoding_schema_for(["number"])
    assert only_numbers["properties"] == {"abstain": {"enum": ["nothing_to_point_at"]}}
    only_codes = skill.decoding_schema_for(["code"])["properties"]
    assert only_codes["name"]["pattern"] != properties["name"]["pattern"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('fields = ["lines"]', 'fields = ["line"]', r"spans.fields\[0\]: 'line' is not a property"),
        ('fields = ["lines"]', 'fields = ["other"]', r"spans.fields\[0\]: .* not in the prompt"),
        ('fields = ["lines"]', 'fields = ["tools"]', r"spans.fields\[0\]: .*`maxItems`"),
        ("maxItems = 8, ", "", r"spans.fields\[0\]: 'lines' needs `maxItems`"),
        ("maxLength = 300", "minLength = 3", r"spans.fields\[0\]: 'lines' needs `maxLength`"),
        ("maxLength = 300", "maxLength = 600", r"at most 4096 characters"),
        ('type = "string", maxLength', 'type = "integer", maxLength', r"must be a string or an"),
        ('tools = "tools"', 'tools = "other"', r"spans.tools: 'other' must be .* an array"),
        ("|{tools}", "", r"spans.tools: 'tools' is not in the prompt"),
        ('tools = "tools"', "", r"properties.call: `x-tool-arguments` needs the key `tools`"),
        ("E\\d+", "(?:E", r"spans.kind\[0\].patterns\[0\].pattern: .* no regular expression"),
        ("E\\d+", "(E)1", r"spans.kind\[0\].patterns\[0\].pattern: .*write `\(\?:\.\.\.\)`"),
        ("\\d+cm", "\\d*", r"spans.kind\[1\].patterns\[1\].pattern: .* matches the empty text"),
        ('name = "code"\n', 'name = "number"\n', r"spans.kind\[1\].name: 'number' is there twice"),
        ('value = "number"', 'value = "date"', r"spans.kind.1.value"),
        (
            'x-span = "code" }',
            'x-span = "cod" }',
            r"output_schema.properties.code: .*kind 'cod'",
        ),
        (
            'x-span = "code" }',
            "x-span = 3 }",
            r"output_schema.properties.code: .*name a kind",
        ),
        (
            'type = "number", x-span',
            'type = "string", x-span',
            r'output_schema.properties.value.anyOf\[0\]: `type` must be "integer" or "number"',
        ),
        ("x-phrase = true", 'x-phrase = "some"', r"properties.name: `x-phrase` must be true"),
        (
            'x-span = ["code", "number"], x-phrase',
            "x-phrase",
            r"output_schema.properties.name: `x-phrase` needs `x-span`",
        ),
        ('{ type = "null" }]', '{ type = "boolean" }]', r"anyOf\[0\]: `x-span` is understood in"),
        (
            'items = { type = "string", x-span',
            'prefixItems = [{ type = "string" }]\nitems = { type = "integer", x-span',
            r"properties.list.items: `type` must be",
        ),
        ("[decoding]", '[decoding]\nformat = "text"', r"output_schema: must be"),
        ("[spans]\n", "[span]\n", r"span: unknown key \(did you mean `spans`"),
    ],
)
def test_spans_that_cannot_work_are_refused_with_file_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in POINTING
    with pytest.raises(ArtefactError, match=message) as refused:
        read_skill(write(tmp_path, POINTING.replace(old, new, 1)))
    assert refused.value.reason == "BAD_SKILL"
    assert "triage.toml" in refused.value.message


def test_pointing_without_spans_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace('type = "boolean"', 'type = "string"\nx-span = "word"')
    with pytest.raises(ArtefactError, match=r"`x-span` needs a \[spans\] table in the skill"):
        read_skill(write(tmp_path, text))


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
