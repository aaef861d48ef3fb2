"""An answer under a schema is valid whatever the model says, and the same however it is fed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from numpy.typing import NDArray

from skilld.core.errors import InvalidRequestError
from skilld.core.manifest import Vocabulary
from skilld.core.request import FinishReason, SamplingParams
from skilld.engine.base import StepOutput
from skilld.skills.constraint import ConstraintCompiler
from skilld.skills.decoding import Decoding, before_stop
from skilld.skills.tokenizer import Tokenizer

SCHEMA: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "fault_code": {"anyOf": [{"type": "string", "maxLength": 6}, {"type": "null"}]},
                "subsystem": {"enum": ["drive", "power", "油圧"]},
                "count": {"type": "integer", "minimum": 1, "maximum": 8},
                "ok": {"type": "boolean"},
            },
            "required": ["fault_code", "subsystem", "count", "ok"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"abstain": {"enum": ["not_a_log"]}},
            "required": ["abstain"],
            "additionalProperties": False,
        },
    ]
}


class HashModel:
    """A model of sorts: logits that depend on every token so far and on nothing else."""

    def __init__(self, vocab_size: int, seed: int) -> None:
        self.vocab_size = vocab_size
        self.seed = seed

    def logits(self, tokens: list[int]) -> NDArray[np.float32]:
        random = np.random.default_rng([self.seed, *tokens])
        return random.normal(scale=4.0, size=self.vocab_size).astype(np.float32)


def stepped(*logits: NDArray[np.float32]) -> StepOutput:
    """What an engine would return that computed these lines."""
    lines = np.stack(logits)
    return StepOutput(lines, lines.argmax(axis=-1).tolist(), step_ms=1.0)


def generate(model: HashModel, decoding: Decoding) -> tuple[list[int], int]:
    """All tokens, and how many steps they took."""
    tokens = decoding.start()
    num_steps = 0
    while decoding.finish_reason is None:
        tokens += decoding.advance(stepped(model.logits(tokens)), 0, ())
        num_steps += 1
    return tokens, num_steps


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_any_model_gives_a_valid_answer_and_jump_forward_changes_no_token(
    compiler: ConstraintCompiler,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    seed: int,
    temperature: float,
) -> None:
    model = HashModel(vocabulary.size, seed)
    params = SamplingParams(max_tokens=200, temperature=temperature, seed=seed)
    constraint = compiler.compile(SCHEMA)
    runs = []
    for jump_forward in (True, False):
        decoding = Decoding(
            params, vocabulary.eos_ids, constraint=constraint.start(), jump_forward=jump_forward
        )
        runs.append((*generate(model, decoding), decoding))
    (tokens, num_steps, jumped), (slow_tokens, slow_steps, walked) = runs
    if temperature == 0.0:
        assert tokens == slow_tokens
    assert jumped.finish_reason is walked.finish_reason is FinishReason.STOP
    assert num_steps < slow_steps
    assert jumped.num_forced_tokens == len(tokens) - num_steps
    answer = json.loads(tokenizer.decode(tokens))
    Draft202012Validator(SCHEMA).validate(answer)


def test_a_schema_with_one_answer_needs_no_model_at_all(
    compiler: ConstraintCompiler, tokenizer: Tokenizer, vocabulary: Vocabulary
) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"const": True}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    decoding = Decoding(
        SamplingParams(max_tokens=50),
        vocabulary.eos_ids,
        constraint=compiler.compile(schema).start(),
    )
    tokens = decoding.start()
    assert tokenizer.decode(tokens) == '{"ok":true}'
    assert decoding.finish_reason is FinishReason.STOP


def test_max_tokens_bounds_forced_tokens_too(
    compiler: ConstraintCompiler, vocabulary: Vocabulary
) -> None:
    decoding = Decoding(
        SamplingParams(max_tokens=4),
        vocabulary.eos_ids,
        constraint=compiler.compile(SCHEMA).start(),
    )
    tokens, _ = generate(HashModel(vocabulary.size, 3), decoding)
    assert len(tokens) == 4
    assert decoding.finish_reason is FinishReason.LENGTH


def test_a_schema_is_compiled_once(compiler: ConstraintCompiler) -> None:
    assert compiler.compile(SCHEMA) is compiler.compile(json.loads(json.dumps(SCHEMA)))


def test_a_schema_the_compiler_refuses_names_the_keyword(compiler: ConstraintCompiler) -> None:
    with pytest.raises(InvalidRequestError, match="uniqueItems") as refused:
        compiler.compile({"type": "array", "items": {"type": "integer"}, "uniqueItems": True})
    assert refused.value.reason == "UNSUPPORTED_SCHEMA"


def test_the_end_token_ends_free_text_and_is_not_part_of_it(vocabulary: Vocabulary) -> None:
    decoding = Decoding(SamplingParams(max_tokens=10), vocabulary.eos_ids)
    logits = np.zeros(vocabulary.size, np.float32)
    logits[vocabulary.eos_ids[0]] = 9.0
    assert decoding.advance(stepped(logits), 0, ()) == []
    assert decoding.finish_reason is FinishReason.STOP


def test_a_stop_string_is_found_across_tokens(tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    ids = tokenizer.encode_value("drive; then STOP and more")
    decoding = Decoding(
        SamplingParams(max_tokens=99, stop=("STOP",)),
        vocabulary.eos_ids,
        detokenizer=tokenizer.stream(),
    )
    tokens: list[int] = []
    while decoding.finish_reason is None:
        logits = np.zeros(vocabulary.size, np.float32)
        logits[ids[len(tokens)]] = 9.0
        tokens += decoding.advance(stepped(logits), 0, ())
    assert before_stop(tokenizer.decode(tokens), ("STOP",)) == "drive; then "
    assert len(tokens) < len(ids)


def test_confidence_is_the_least_likely_free_choice(
    compiler: ConstraintCompiler, vocabulary: Vocabulary
) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    constraint = compiler.compile(schema)
    decoding = Decoding(
        SamplingParams(max_tokens=50),
        vocabulary.eos_ids,
        constraint=constraint.start(),
        measure_confidence=True,
    )
    probe = constraint.start()
    for token_id in decoding.start():
        probe.accept(token_id)
    num_choices = int(probe.allowed().sum())
    decoding.advance(stepped(np.zeros(vocabulary.size, np.float32)), 0, ())
    assert num_choices >= 2
    assert decoding.min_probability == pytest.approx(1 / num_choices)
