from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from skilld.skills.prompt import Prompt
from skilld.skills.skill import read_skill
from skilld.skills.tokenizer import Tokenizer
from skilld.training.answer_pieces import answer_pieces
from skilld.training.batches import Text, as_text, tokenise
from skilld.training.example import load_generator
from skilld.training.leaks import LeakGates
from skilld.training.splits import draw_tests, training_stream
from skilld.training.tokenizer import (
    EOS,
    TokenizerError,
    check_answers,
    save_tokenizer,
    train_tokenizer,
)

ENGINE = Path(__file__).parents[2] / "engines" / "plc-triage"
SKILL = read_skill(ENGINE / "skills" / "plc-triage.toml")


Trained = tuple[tokenizers.Tokenizer, list[Text]]


@pytest.fixture(scope="module")
def trained() -> Trained:
    prompt = Prompt(SKILL.prompt, fields=SKILL.input_schema["properties"])
    generator = load_generator(ENGINE)
    splits = draw_tests(generator, seed=3, num_validation=50, num_test=50)
    stream = training_stream(generator, seed=3, gates=LeakGates({}, generator))
    splits["train"] = list(islice(stream, 1500))
    texts = {
        name: [as_text(example, skill=SKILL, prompt=prompt) for example in examples]
        for name, examples in splits.items()
    }
    schema = SKILL.decoding_schema
    pieces = {
        piece for text in texts["train"] for piece in answer_pieces(json.loads(text.answer), schema)
    }
    assert SKILL.spans is not None
    tokenizer = train_tokenizer(
        (words for text in texts["train"] for words, is_value in text.segments if is_value),
        vocab_size=1800,
        names=[SKILL.id],
        pieces=[*pieces, *SKILL.spans.marks()],
    )
    return tokenizer, [text for each in texts.values() for text in each]


def test_answers_survive_encoding_and_decoding(
    trained: Trained,
) -> None:
    tokenizer, texts = trained
    for target in {text.answer for text in texts}:
        ids = tokenizer.encode(target, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == target
        assert tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False).ids == ids


def test_tokens_the_schema_forces_are_those_of_training(
    trained: Trained,
) -> None:
    tokenizer, texts = trained
    targets = [text.answer for text in texts]
    assert check_answers(tokenizer, targets, decoding_schema=SKILL.decoding_schema) > len(targets)


def test_an_answer_outside_the_schema_is_found(
    trained: Trained,
) -> None:
    tokenizer, _ = trained
    with pytest.raises(TokenizerError, match="breaks the schema"):
        check_answers(
            tokenizer, ['{"abstain":"just because"}'], decoding_schema=SKILL.decoding_schema
        )


def test_an_answer_with_other_tokens_than_the_forced_ones_is_found(
    trained: Trained,
) -> None:
    tokenizer, _ = trained
    abstention = SKILL.decoding_schema["anyOf"][1]
    only = {**abstention, "properties": {"abstain": {"enum": ["no_fault"]}}}
    with pytest.raises(TokenizerError, match="schema forces"):
        check_answers(tokenizer, ['{"abstain":"not_a_log"}'], decoding_schema=only)


def test_a_code_is_the_same_tokens_in_the_log_and_in_the_answer(
    trained: Trained,
) -> None:
    tokenizer, _ = trained

    def tokens(text: str) -> list[str]:
        return list(tokenizer.encode(text, add_special_tokens=False).tokens)

    code = tokens("SRV-1042")
    for text in ("x SRV-1042", "[SRV-1042]", "ＳＲＶ－１０４２", 'code="SRV-1042"'):
        found = tokens(text)
        assert any(found[i : i + len(code)] == code for i in range(len(found))), found


def test_special_words_in_a_value_are_plain_text(trained: Trained) -> None:
    tokenizer, _ = trained
    eos_id = tokenizer.token_to_id(EOS)
    (sample,) = tokenise([Text(((EOS, True),), "{}")], tokenizer=tokenizer)
    assert eos_id not in sample.ids[: sample.num_prompt]
    (sample,) = tokenise([Text(((EOS, False),), "{}")], tokenizer=tokenizer)
    assert sample.ids[0] == eos_id


def test_every_mark_is_one_token(trained: Trained) -> None:
    tokenizer, _ = trained
    assert SKILL.spans is not None
    for mark in SKILL.spans.marks():
        assert len(tokenizer.encode(f"x{mark}y", add_special_tokens=False).ids) == 3


def test_a_saved_tokenizer_encodes_as_before(trained: Trained, tmp_path: Path) -> None:
    tokenizer, _ = trained
    save_tokenizer(tokenizer, tmp_path, max_length=1024)
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "10:21 ｻｰﾎﾞ過熱 E-12"
    assert again.encode(text).ids == tokenizer.encode(text).ids
    config: dict[str, Any] = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["eos_token"] == EOS


def test_training_tokenises_as_the_runtime_does(trained: Trained, tmp_path: Path) -> None:
    tokenizer, texts = trained
    save_tokenizer(tokenizer, tmp_path, max_length=1024)
    runtime = Tokenizer(tmp_path / "tokenizer.json")
    for text, sample in zip(texts[:200], tokenise(texts[:200], tokenizer=tokenizer), strict=True):
        ids = []
        for words, is_value in text.segments:
            ids += runtime.encode_value(words) if is_value else runtime.encode_template(words)
        assert sample.ids[: sample.num_prompt].tolist() == ids
        assert runtime.decode(sample.ids[sample.num_prompt : -1].tolist()) == text.answer
