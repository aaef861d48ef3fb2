from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from skilld.skills.prompt import Prompt
from skilld.skills.skill import read_skill
from skilld.training.example import load_generator
from skilld.training.splits import build_splits
from skilld.training.tokenizer import (
    EOS,
    TokenizerError,
    check_answers,
    prompt_ids,
    save_tokenizer,
    train_tokenizer,
)

ENGINE = Path(__file__).parents[2] / "engines" / "plc-triage"
SKILL = read_skill(ENGINE / "skills" / "plc-triage.toml")


@pytest.fixture(scope="module")
def trained() -> tuple[tokenizers.Tokenizer, list[str]]:
    splits = build_splits(
        load_generator(ENGINE), seed=3, num_train=1500, num_validation=50, num_test=50
    )
    tokenizer = train_tokenizer(
        ("\n".join(e.input["lines"]) for e in splits["train"]),
        vocab_size=1500,
        output_schema=SKILL.output_schema,
        reasons=SKILL.abstain.reasons,
    )
    return tokenizer, [e.target for examples in splits.values() for e in examples]


def test_answers_survive_encoding_and_decoding(
    trained: tuple[tokenizers.Tokenizer, list[str]],
) -> None:
    tokenizer, targets = trained
    for target in targets:
        ids = tokenizer.encode(target, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == target
        assert tokenizer.encode(tokenizer.decode(ids), add_special_tokens=False).ids == ids


def test_tokens_the_schema_forces_are_those_of_training(
    trained: tuple[tokenizers.Tokenizer, list[str]],
) -> None:
    tokenizer, targets = trained
    assert check_answers(tokenizer, targets, decoding_schema=SKILL.decoding_schema) > len(targets)


def test_an_answer_outside_the_schema_is_found(
    trained: tuple[tokenizers.Tokenizer, list[str]],
) -> None:
    tokenizer, _ = trained
    with pytest.raises(TokenizerError, match="breaks the schema"):
        check_answers(
            tokenizer, ['{"abstain":"just because"}'], decoding_schema=SKILL.decoding_schema
        )


def test_an_answer_with_other_tokens_than_the_forced_ones_is_found(
    trained: tuple[tokenizers.Tokenizer, list[str]],
) -> None:
    tokenizer, _ = trained
    abstention = SKILL.decoding_schema["anyOf"][1]
    only = {**abstention, "properties": {"abstain": {"enum": ["no_fault"]}}}
    with pytest.raises(TokenizerError, match="schema forces"):
        check_answers(tokenizer, ['{"abstain":"not_a_log"}'], decoding_schema=only)


def test_a_code_is_the_same_tokens_in_the_log_and_in_the_answer(
    trained: tuple[tokenizers.Tokenizer, list[str]],
) -> None:
    tokenizer, _ = trained

    def tokens(text: str) -> list[str]:
        return list(tokenizer.encode(text, add_special_tokens=False).tokens)

    code = tokens("SRV-1042")
    for text in ("x SRV-1042", "[SRV-1042]", "ＳＲＶ－１０４２", 'code="SRV-1042"'):
        found = tokens(text)
        assert any(found[i : i + len(code)] == code for i in range(len(found))), found


def test_special_words_in_a_value_are_plain_text(
    trained: tuple[tokenizers.Tokenizer, list[str]],
) -> None:
    tokenizer, _ = trained
    eos_id = tokenizer.token_to_id(EOS)
    assert eos_id in list(prompt_ids(tokenizer, [(EOS, False)]))
    assert eos_id not in list(prompt_ids(tokenizer, [(EOS, True)]))


def test_a_saved_tokenizer_encodes_as_before(
    trained: tuple[tokenizers.Tokenizer, list[str]], tmp_path: Path
) -> None:
    tokenizer, _ = trained
    save_tokenizer(tokenizer, tmp_path, max_length=1024)
    again = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "10:21 ｻｰﾎﾞ過熱 E-12"
    assert again.encode(text).ids == tokenizer.encode(text).ids
    config: dict[str, Any] = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["eos_token"] == EOS


def test_the_prompt_of_the_skill_needs_only_known_special_tokens(
    trained: tuple[tokenizers.Tokenizer, list[str]],
) -> None:
    tokenizer, _ = trained
    prompt = Prompt(SKILL.prompt, fields=SKILL.input_schema["properties"])
    ids = list(
        prompt_ids(tokenizer, [(s.text, s.is_value) for s in prompt.render({"lines": ["a", "b"]})])
    )
    assert tokenizer.id_to_token(ids[0]) == "<|input|>"
    assert tokenizer.id_to_token(ids[-1]) == "<|output|>"
