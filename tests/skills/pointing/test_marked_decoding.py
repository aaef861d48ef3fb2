"""Whatever a model wants, an answer with spans points at the input, or is declined."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from numpy.typing import NDArray
from tokenizers import Tokenizer as HfTokenizer

from skilld.core.errors import ArtefactError, InvalidRequestError
from skilld.core.manifest import Vocabulary
from skilld.core.request import FinishReason
from skilld.engine.base import StepOutput
from skilld.skills import Decoding, PreparedCall, RegisteredSkill
from skilld.skills.answer import UNRESOLVED, Answer, read_answer
from skilld.skills.constraint import ConstraintCompiler, ConstraintState
from skilld.skills.pointing.marks import MARKS
from skilld.skills.skill import NOTHING_TO_POINT_AT

Register = Callable[..., RegisteredSkill]
Model = Callable[[list[int]], NDArray[np.float32]]

SPANS = r"""
[spans]
fields = ["text"]
[[spans.kind]]
name = "clock"
value = "clock"
patterns = [{ pattern = '\d{1,2}:\d{2}' }]
[[spans.kind]]
name = "code"
patterns = [{ pattern = '[A-Z]+-\d+' }]
[[spans.kind]]
name = "number"
value = "number"
patterns = [{ pattern = '\d+cm', scale = 10 }, { pattern = '\d+(?:\.\d+)?' }]
[[spans.kind]]
name = "word"
patterns = [{ pattern = '[a-z]+' }]
"""
SKILL = (
    r"""
id = "reading"
version = "1.0.0"
description = "Reads a value."
prompt = "<|in|>{text}|{note}<|out|>"
timeout_s = 5.0
[decoding]
max_tokens = 200
[abstain]
reasons = ["no_reading", "unreadable"]
[input_schema]
type = "object"
required = ["text"]
[input_schema.properties]
text = { type = "string", maxLength = 200 }
note = { type = "string" }
[output_schema]
type = "object"
required = ["code", "value", "state", "others"]
[output_schema.properties]
code = { type = "string", x-span = "code" }
value = { anyOf = [{ type = "number", x-span = "number", maximum = 500 }, { type = "null" }] }
when = { type = "string", x-span = "clock" }
state = { enum = ["ok", "high"] }
thing = { anyOf = [{ type = "string", x-span = ["word", "code"], x-phrase = true }, {type="null"}]}
others = { type = "array", maxItems = 2, items = { type = "string", x-span = "code" } }
"""
    + SPANS
)
TEXT = "at 14:05 TT-101 shows 85.5, PT-22 shows 12cm near the old pump"
MARK = 0xE000


def wanting(vocab_size: int, *, seed: int, bonus: dict[int, float] | None = None) -> Model:
    """A model with a will of its own, and a liking for some tokens."""

    def logits(tokens: list[int]) -> NDArray[np.float32]:
        line = np.random.default_rng([seed, *tokens]).normal(scale=4.0, size=vocab_size)
        for token_id, more in (bonus or {}).items():
            line[token_id] += more
        return line.astype(np.float32)

    return logits


def run(decoding: Decoding, model: Model) -> tuple[list[int], int]:
    """All tokens of an answer, and in how many steps."""
    tokens = decoding.start()
    num_steps = 0
    while decoding.finish_reason is None:
        draft = list(decoding.draft)
        lines = np.stack([model([*tokens, *draft[:end]]) for end in range(len(draft) + 1)])
        output = StepOutput(lines, lines.argmax(axis=-1).tolist(), step_ms=1.0)
        tokens += decoding.advance(output, 0, draft)
        num_steps += 1
    return tokens, num_steps


def answer_of(entry: RegisteredSkill, values: dict[str, Any], model: Model, **how: Any) -> Answer:
    call = entry.prepare(values)
    decoding = entry.decoding(call, **how)
    tokens, _ = run(decoding, model)
    assert decoding.finish_reason is not None
    return read_answer(
        entry,
        tokens,
        marked=call.marked,
        finish_reason=decoding.finish_reason,
        min_probability=decoding.min_probability,
    )


def mark_ids(entry: RegisteredSkill, marks: Iterable[str]) -> list[int]:
    return [entry.tokenizer.encode_value(mark)[0] for mark in marks]


def saying(entry: RegisteredSkill, values: dict[str, Any], answer: Any) -> Answer:
    """What callers get when the model writes just this."""
    call = entry.prepare(values)
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return read_answer(
        entry,
        entry.tokenizer.encode_value(text),
        marked=call.marked,
        finish_reason=FinishReason.STOP,
        min_probability=1.0,
    )


texts = st.text(
    st.one_of(
        st.sampled_from('AZaz09 -:.,油圧½㎜\n"\\{}'),
        st.characters(min_codepoint=MARK, max_codepoint=MARK + 400),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)
pieces = st.lists(
    st.sampled_from(
        ["TT-1", "PT-22", "85.5", "12cm", "600", "14:05", "99:99", "pump", " ", "\ue001"]
    )
).map(" ".join)


@pytest.fixture(scope="module")
def entry(register: Register) -> RegisteredSkill:
    return register(SKILL)


@pytest.fixture(scope="module")
def hot_entry(register: Register) -> RegisteredSkill:
    return register(SKILL.replace("[decoding]", "[decoding]\ntemperature = 1.0"))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=texts | pieces,
    note=texts,
    seed=st.integers(0, 1 << 16),
    loves=st.booleans(),
    hot=st.booleans(),
)
def test_any_model_and_any_input_end_in_a_typed_answer_or_an_abstention(
    entry: RegisteredSkill,
    hot_entry: RegisteredSkill,
    text: str,
    note: str,
    seed: int,
    loves: bool,
    hot: bool,
) -> None:
    if hot:
        entry = hot_entry
    assert entry.skill.spans is not None
    size = entry.manifest.vocabulary.size
    loved = dict.fromkeys(mark_ids(entry, entry.skill.spans.marks()), 9.0)
    model = wanting(size, seed=seed, bonus=loved if loves else None)
    answer = answer_of(entry, {"text": text, "note": note}, model, seed=seed)
    if answer.abstain_reason is None:
        Draft202012Validator(entry.skill.public_output_schema).validate(answer.output)
        assert not MARKS.search(json.dumps(answer.output, ensure_ascii=False))
    else:
        assert answer.abstain_reason in {*entry.skill.abstain.reasons, UNRESOLVED}


@pytest.mark.parametrize("seed", range(10))
def test_forced_tokens_and_drafts_change_the_number_of_steps_and_no_token(
    entry: RegisteredSkill, seed: int
) -> None:
    model = wanting(entry.manifest.vocabulary.size, seed=seed)
    call = entry.prepare({"text": TEXT})
    plain = entry.decoding(call, jump_forward=False, max_draft=0)
    tokens, num_steps = run(plain, model)
    for _ in range(3):
        fast = entry.decoding(call)
        assert run(fast, model)[0] == tokens
    assert fast.num_accepted_tokens > 0
    assert run(entry.decoding(call), model)[1] < num_steps


def state_after(entry: RegisteredSkill, call: PreparedCall, text: str) -> ConstraintState:
    assert entry.mark_tokens is not None
    assert call.marked is not None
    open_tokens = entry.mark_tokens.open_for(call.marked.present)
    state = entry.constraints[call.span_kinds].start(open_tokens)
    for token_id in entry.tokenizer.encode_value(text):
        state.accept(token_id)
    return state


def test_only_marks_of_the_input_may_be_chosen_and_only_as_one_token(
    entry: RegisteredSkill,
) -> None:
    call = entry.prepare({"text": TEXT})
    assert call.marked is not None
    state = state_after(entry, call, '{"code":"')
    codes = {piece.mark for piece in call.marked.pieces if piece.value in ("TT-101", "PT-22")}
    assert len(codes) == 2
    assert set(np.flatnonzero(state.allowed()).tolist()) == set(mark_ids(entry, codes))


@pytest.mark.parametrize("begin", ["", '{"code":"', '{"code":"CODE"', '{"code":"CODE","value":'])
def test_mask_trial_and_draft_agree_on_every_token(entry: RegisteredSkill, begin: str) -> None:
    call = entry.prepare({"text": TEXT})
    assert call.marked is not None
    code = next(piece.mark for piece in call.marked.pieces if piece.value == "TT-101")
    begin = begin.replace("CODE", code)
    allowed = state_after(entry, call, begin).allowed()
    assert allowed.any()
    for token_id in range(entry.manifest.vocabulary.size):
        state = state_after(entry, call, begin)
        if allowed[token_id]:
            assert state.count_possible([token_id]) == 1
        assert state.try_accept(token_id) == allowed[token_id]


def test_a_draft_ends_before_a_mark_of_another_input(entry: RegisteredSkill) -> None:
    call = entry.prepare({"text": TEXT})
    assert call.marked is not None
    first, second = sorted({p.mark for p in call.marked.pieces if "-" in str(p.value)})
    strange = next(m for m in map(chr, range(0xE040, 0xE080)) if m not in (first, second))
    state = state_after(entry, call, '{"code":"')
    ids = mark_ids(entry, first + strange)
    assert state.count_possible(ids[:1]) == 1
    assert state.count_possible(ids[1:]) == 0
    behind = entry.tokenizer.encode_value('","value":"')
    assert state.count_possible([ids[0], *behind, ids[1]]) == 1 + len(behind)


def test_tokens_that_may_not_be_used_are_not_forced_either(
    compiler: ConstraintCompiler, vocabulary: Vocabulary
) -> None:
    constraint = compiler.compile({"const": "forced all the way"})
    open_tokens = np.ones(vocabulary.size, np.bool_)
    forced = constraint.start(open_tokens).forced_tokens()
    assert len(forced) > 1
    open_tokens[forced[1]] = False
    assert constraint.start(open_tokens).forced_tokens() == forced[:1]


def test_an_input_without_codes_can_only_be_declined(entry: RegisteredSkill) -> None:
    model = wanting(entry.manifest.vocabulary.size, seed=1)
    answer = answer_of(entry, {"text": "at 14:05 it shows 85.5"}, model)
    assert answer.abstain_reason in entry.skill.abstain.reasons


def test_a_skill_without_reasons_declines_by_itself_and_needs_no_model(register: Register) -> None:
    text = SKILL.replace('[abstain]\nreasons = ["no_reading", "unreadable"]\n', "")
    entry = register(text)
    call = entry.prepare({"text": "nothing here"})
    decoding = entry.decoding(call)
    tokens = decoding.start()
    assert decoding.finish_reason is FinishReason.STOP
    answer = read_answer(
        entry, tokens, marked=call.marked, finish_reason=FinishReason.STOP, min_probability=1.0
    )
    assert answer == Answer(None, abstain_reason=NOTHING_TO_POINT_AT)


def test_what_cannot_be_answered_is_null_or_left_out_or_empty(register: Register) -> None:
    text = SKILL.replace('required = ["code"', 'required = ["thing"').replace(
        '[abstain]\nreasons = ["no_reading", "unreadable"]\n', ""
    )
    entry = register(text)
    model = wanting(entry.manifest.vocabulary.size, seed=3)
    answer = answer_of(entry, {"text": "...!"}, model)
    assert answer.abstain_reason is None
    assert {**answer.output, "state": "ok"} == {
        "value": None,
        "state": "ok",
        "thing": None,
        "others": [],
    }


def test_marks_are_answered_with_what_they_stand_for(entry: RegisteredSkill) -> None:
    call = entry.prepare({"text": TEXT})
    assert call.marked is not None
    wanted = {
        "code": "PT-22",
        "value": 120,
        "when": "14:05",
        "state": "high",
        "thing": "old pump",
        "others": ["TT-101"],
    }
    written = call.marked.point(wanted, entry.skill.output_schema)
    assert saying(entry, {"text": TEXT}, written) == Answer(wanted)


@pytest.mark.parametrize(
    "wrong",
    [
        {"thing": "pump old"},  # ends before it begins
        {"value": "600"},  # more than the schema allows
        {"code": "\ue07f"},  # a mark that is not there
    ],
)
def test_what_is_pointed_at_badly_is_declined_as_unresolved(
    entry: RegisteredSkill, wrong: dict[str, str]
) -> None:
    text = f"{TEXT} 600"
    marked = entry.prepare({"text": text}).marked
    assert marked is not None
    mark_of = {str(piece.value): piece.mark for piece in marked.pieces}
    written: dict[str, Any] = {
        "code": mark_of["PT-22"],
        "value": mark_of["120"],
        "state": "ok",
        "thing": "",
        "others": [],
    }
    written |= {
        key: "".join(mark_of.get(word, word) for word in words.split())
        for key, words in wrong.items()
    }
    assert saying(entry, {"text": text}, written) == Answer(None, abstain_reason=UNRESOLVED)


def test_marks_that_a_caller_wrote_are_no_marks(entry: RegisteredSkill) -> None:
    evil = "".join(entry.skill.spans.marks()) if entry.skill.spans else ""
    call = entry.prepare({"text": f"TT-1 {evil[:150]}", "note": evil})
    assert call.marked is not None
    ids = set(mark_ids(entry, evil))
    assert [i for i in call.prompt if i in ids] == mark_ids(
        entry, "".join(piece.mark for piece in call.marked.pieces)
    )


def test_a_text_that_grows_beyond_its_bound_is_refused(entry: RegisteredSkill) -> None:
    with pytest.raises(InvalidRequestError, match=r"\$\.text grows from 100 to 1800 characters"):
        entry.prepare({"text": "\ufdfa" * 100})


def test_an_engine_that_does_not_know_the_marks_is_refused(
    register: Register, tokenizer_path: Path
) -> None:
    with pytest.raises(ArtefactError, match=r"skill.toml: spans: the mark U\+E000 is 3 tokens"):
        register(SKILL, tokenizer_path)


def test_an_engine_whose_marks_are_special_tokens_is_refused(
    register: Register, tokenizer_path: Path, tmp_path: Path
) -> None:
    hf = HfTokenizer.from_file(str(tokenizer_path))
    hf.add_special_tokens([chr(0xE000 + i) for i in range(256)])
    path = tmp_path / "special.json"
    hf.save(str(path))
    with pytest.raises(ArtefactError, match="not special"):
        register(SKILL, path)


def test_callers_see_a_plain_schema(entry: RegisteredSkill) -> None:
    public = json.dumps(entry.skill.public_output_schema)
    assert "x-" not in public
    assert entry.skill.public_output_schema["properties"]["code"] == {"type": "string"}
