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
from skilld.skills.constraint import Constraint, ConstraintCompiler, ConstraintState
from skilld.skills.decoding import Decoding, before_stop
from skilld.skills.drafting import AnswerMemory, Drafter
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

    def __init__(self, vocab_size: int, seed: int, *, num_levels: int = 0) -> None:
        self.vocab_size = vocab_size
        self.seed = seed
        self.num_levels = num_levels  # few of them make many ties

    def logits(self, tokens: list[int]) -> NDArray[np.float32]:
        random = np.random.default_rng([self.seed, *tokens])
        if self.num_levels:
            return random.integers(self.num_levels, size=self.vocab_size).astype(np.float32)
        return random.normal(scale=4.0, size=self.vocab_size).astype(np.float32)


def stepped(*logits: NDArray[np.float32]) -> StepOutput:
    """What an engine would return that computed these lines."""
    lines = np.stack(logits)
    return StepOutput(lines, lines.argmax(axis=-1).tolist(), step_ms=1.0)


def decoding_of(
    params: SamplingParams,
    vocabulary: Vocabulary,
    constraint: Constraint | None,
    drafter: Drafter | None = None,
    *,
    jump_forward: bool = True,
) -> Decoding:
    return Decoding(
        params,
        vocabulary.eos_ids,
        constraint=None if constraint is None else constraint.start(),
        drafter=drafter,
        jump_forward=jump_forward,
    )


def generate(model: HashModel, decoding: Decoding, *, max_fed: int = 99) -> tuple[list[int], int]:
    """All tokens, and how many steps they took; of a draft only the first tokens are fed."""
    tokens = decoding.start()
    num_steps = 0
    while decoding.finish_reason is None:
        draft = decoding.draft[:max_fed]
        lines = [model.logits([*tokens, *draft[:end]]) for end in range(len(draft) + 1)]
        # Its lines are not the first of the step, as beside other rows.
        lines.insert(0, np.zeros_like(lines[0]))
        tokens += decoding.advance(stepped(*lines), 1, draft)
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


@pytest.mark.parametrize("min_confidence", [1.0, 0.4, 1e-9])
def test_confidence_is_the_least_likely_free_choice(
    compiler: ConstraintCompiler, vocabulary: Vocabulary, min_confidence: float
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
        min_confidence=min_confidence,
    )
    probe = constraint.start()
    for token_id in decoding.start():
        probe.accept(token_id)
    allowed = np.flatnonzero(probe.allowed())
    assert len(allowed) >= 2
    logits = np.zeros(vocabulary.size, np.float32)
    logits[allowed[0]] = 1e-3
    decoding.advance(stepped(logits), 0, ())
    exact = pytest.approx(1 / len(allowed), rel=0.01)
    if min_confidence > 1e-9:  # below the threshold, it is exact
        assert decoding.min_probability == exact
    else:  # among the whole vocabulary, and that is enough to say it is not too small
        assert 1e-9 <= decoding.min_probability == pytest.approx(1 / vocabulary.size, rel=0.01)


def plain_tokens(
    model: HashModel, constraint: ConstraintState, vocabulary: Vocabulary
) -> tuple[list[int], float]:
    """Greedy decoding said plainly, a mask for every token; and the least probability."""
    tokens: list[int] = []
    least = 1.0
    while not constraint.is_complete:
        logits = model.logits(tokens)
        allowed = constraint.allowed()
        token_id = int(np.where(allowed, logits, -np.inf).argmax())
        least = min(least, 1.0 / float(np.exp((logits - logits[token_id])[allowed]).sum()))
        if token_id in vocabulary.eos_ids:
            break
        constraint.accept(token_id)
        tokens.append(token_id)
    return tokens, least


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("num_levels", [2, 9, 0])
def test_trying_the_likeliest_token_first_is_masking_and_then_choosing(
    compiler: ConstraintCompiler, vocabulary: Vocabulary, seed: int, num_levels: int
) -> None:
    model = HashModel(vocabulary.size, seed, num_levels=num_levels)
    constraint = compiler.compile(SCHEMA)
    expected, least = plain_tokens(model, constraint.start(), vocabulary)
    for threshold in (0.0, 0.02, 0.1, 0.3, 1.0):
        decoding = Decoding(
            SamplingParams(max_tokens=200),
            vocabulary.eos_ids,
            constraint=constraint.start(),
            min_confidence=threshold,
            jump_forward=False,
        )
        tokens, _ = generate(model, decoding)
        assert tokens == expected
        assert (decoding.min_probability < threshold) == (least < threshold)
    assert decoding.min_probability == pytest.approx(least, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_constraint_takes_one_token_exactly_if_it_allows_it_among_all(
    compiler: ConstraintCompiler, vocabulary: Vocabulary, seed: int
) -> None:
    constraint = compiler.compile(SCHEMA)
    state = constraint.start()
    tokens, _ = plain_tokens(HashModel(vocabulary.size, seed), constraint.start(), vocabulary)
    for index, token_id in enumerate(tokens):
        allowed = state.allowed()
        for candidate in np.flatnonzero(~allowed).tolist():
            assert not state.try_accept(candidate)
        for candidate in np.flatnonzero(allowed).tolist():
            assert state.count_possible([candidate]) == 1
            assert constraint_after(constraint, tokens[:index]).try_accept(candidate)
        assert state.count_possible(tokens[index:]) == len(tokens) - index
        state.accept(token_id)
    assert state.is_complete


def constraint_after(constraint: Constraint, tokens: list[int]) -> ConstraintState:
    state = constraint.start()
    for token_id in tokens:
        state.accept(token_id)
    return state


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("max_fed", [99, 1])
@pytest.mark.parametrize("is_constrained", [True, False])
def test_drafts_change_the_number_of_steps_and_no_token(
    compiler: ConstraintCompiler,
    vocabulary: Vocabulary,
    temperature: float,
    max_fed: int,
    is_constrained: bool,
) -> None:
    constraint = compiler.compile(SCHEMA) if is_constrained else None
    num_steps = num_draft_steps = num_accepted = num_drafted = 0
    for seed in range(12):
        model = HashModel(vocabulary.size, seed)
        params = SamplingParams(max_tokens=60, temperature=temperature, seed=seed)
        expected, steps = generate(model, decoding_of(params, vocabulary, constraint))
        memory = AnswerMemory()
        for other in range(3):  # so that guesses are often right, and often wrong
            strange, _ = generate(
                HashModel(vocabulary.size, 100 + other),
                decoding_of(params, vocabulary, constraint),
            )
            Drafter((), memory).accept(strange)
            Drafter((), memory).accept(expected)
        drafter = Drafter([*expected[3:9], *strange], memory, min_chance=0.01)
        decoding = decoding_of(params, vocabulary, constraint, drafter)
        tokens, draft_steps = generate(model, decoding, max_fed=max_fed)
        assert tokens == expected
        num_steps += steps
        num_draft_steps += draft_steps
        num_accepted += decoding.num_accepted_tokens
        num_drafted += decoding.num_draft_tokens
    assert num_draft_steps < 0.9 * num_steps
    assert 0 < num_accepted < num_drafted


def test_a_draft_keeps_to_the_schema_and_leaves_room_for_the_next_token(
    compiler: ConstraintCompiler, vocabulary: Vocabulary, tokenizer: Tokenizer
) -> None:
    memory = AnswerMemory()
    text = '{"fault_code":null,"subsystem":"drive","count":3,"ok":'
    right = tokenizer.encode_value(text)
    wrong = [*right, *tokenizer.encode_value("maybe")]
    for _ in range(9):
        Drafter((), memory).accept(wrong)
    constraint = compiler.compile(SCHEMA)
    params = SamplingParams(max_tokens=200)
    drafter = Drafter((), memory, max_tokens=99, min_chance=0.01)
    draft = decoding_of(params, vocabulary, constraint, drafter, jump_forward=False).draft
    assert list(draft) == right
    params = SamplingParams(max_tokens=5)
    decoding = decoding_of(params, vocabulary, constraint, Drafter((), memory), jump_forward=False)
    assert list(decoding.draft) == right[:4]


def test_the_end_token_after_a_draft_ends_the_answer(vocabulary: Vocabulary) -> None:
    memory = AnswerMemory()
    for _ in range(5):
        Drafter((), memory).accept([40, 41, 42])
    decoding = decoding_of(SamplingParams(max_tokens=10), vocabulary, None, Drafter((), memory))
    assert list(decoding.draft) == [40, 41, 42]
    lines = np.zeros((4, vocabulary.size), np.float32)
    lines[range(4), [40, 41, vocabulary.eos_ids[0], 7]] = 9.0
    assert decoding.advance(stepped(*lines), 0, decoding.draft) == [40, 41]
    assert decoding.finish_reason is FinishReason.STOP
    assert (decoding.num_draft_tokens, decoding.num_accepted_tokens) == (3, 2)
    assert list(decoding.draft) == []
