"""What the alarm-translate data promises, over many samples of all its families."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import jsonschema
import pytest

from skilld.skills.skill import read_skill
from skilld.training.example import Draw, Example, Generator, load_generator

ENGINE = Path(__file__).parents[2] / "engines" / "alarm-translate"
SKILL = read_skill(ENGINE / "skills" / "alarm-translate.toml")
GENERATOR: Generator = load_generator(ENGINE)
assert SKILL.spans is not None
SPANS = SKILL.spans
DRAWS = {
    "usual": Draw(),
    "values": Draw(held_values=True),
    "combination": Draw(held_combination=True),
    "noisy": Draw(is_noisy=True),
}
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
HELD = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, GENERATOR.held_values))})", re.IGNORECASE
)


def draw(count: int, *, wanted: Draw = DRAWS["usual"], seed: int = 11) -> list[Example]:
    rng = Random(seed)
    families, weights = list(GENERATOR.families), list(GENERATOR.families.values())
    chosen = rng.choices(families, weights, k=count)
    return [GENERATOR.sample(rng, family=family, draw=wanted) for family in chosen]


def text_of(example: Example) -> str:
    return unicodedata.normalize("NFKC", str(example.input["text"]))


def translations(examples: list[Example]) -> list[str]:
    return [str(e.answer["translation"]) for e in examples if not e.is_abstain]


def test_a_seed_is_a_data_set() -> None:
    assert draw(200) == draw(200)
    assert draw(200) != draw(200, seed=12)


@pytest.mark.parametrize("name", DRAWS)
def test_every_translation_can_be_pointed_and_comes_back(name: str) -> None:
    input_check = jsonschema.Draft202012Validator(SKILL.input_schema)
    answer_check = jsonschema.Draft202012Validator(SKILL.public_output_schema)
    pointed_check = jsonschema.Draft202012Validator(SKILL.decoding_schema)
    for example in draw(800, wanted=DRAWS[name]):
        input_check.validate(dict(example.input))
        if example.is_abstain:
            assert example.answer["abstain"] in SKILL.abstain.reasons
            continue
        answer_check.validate(dict(example.answer))
        marked = SPANS.mark(example.input)
        pointed = marked.point(example.answer, SKILL.output_schema)
        pointed_check.validate(pointed)
        assert not re.search(r"\d", pointed["translation"])
        assert marked.resolve(pointed, SKILL.output_schema) == example.answer


def test_every_family_gives_examples() -> None:
    rng = Random(3)
    assert len(GENERATOR.families) >= 100
    reasons = set()
    for family in GENERATOR.families:
        for wanted in DRAWS.values():
            example = GENERATOR.sample(rng, family=family, draw=wanted)
            assert example.family == family
            reasons.add(example.answer.get("abstain"))
    assert reasons == {None, *SKILL.abstain.reasons}


def test_the_direction_is_that_of_the_input() -> None:
    count: Counter[bool] = Counter()
    for example in draw(1500):
        if example.is_abstain:
            continue
        from_japanese = bool(JAPANESE.search(text_of(example)))
        assert bool(JAPANESE.search(str(example.answer["translation"]))) != from_japanese, example
        count[from_japanese] += 1
    assert min(count.values()) > 0.4 * count.total()


def test_translations_keep_the_style_of_their_language() -> None:
    for translation in translations(draw(1500)):
        assert translation == unicodedata.normalize("NFKC", translation).strip()
        assert "  " not in translation
        assert not translation.endswith((".", "。", "!"))
        if JAPANESE.search(translation):
            assert not re.search(r"です|ます|でした|下さい", translation)
            assert not re.search(r"[一-鿿ぁ-んァ-ヶー] [のをがはにでと]", translation)
        else:
            assert not re.search(r"\b(the|please)\b", translation, re.IGNORECASE)
            assert "until" in translation or not re.search(r"\bis\b", translation)


def test_one_text_has_one_translation() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for example in draw(6000):
        if not example.is_abstain:
            found[text_of(example).casefold()].add(str(example.answer["translation"]))
    assert [texts for texts in found.values() if len(texts) > 1] == []


def test_about_one_line_in_eight_is_declined() -> None:
    examples = draw(3000)
    share = sum(example.is_abstain for example in examples) / len(examples)
    assert 0.10 < share < 0.15


def test_held_words_stay_out_of_usual_examples_and_come_in_held_ones() -> None:
    assert not [e for e in draw(1500) if HELD.search(text_of(e))]
    held = [e for e in draw(600, wanted=DRAWS["values"]) if not e.is_abstain]
    assert sum(bool(HELD.search(text_of(e))) for e in held) > 0.5 * len(held)


def test_held_combinations_stay_out_of_usual_examples_and_come_in_held_ones() -> None:
    usual = {e.combination for e in draw(1500)}
    assert not usual & GENERATOR.held_combinations
    held = [e for e in draw(600, wanted=DRAWS["combination"]) if e.combination]
    assert len(held) > 200
    assert all(e.combination in GENERATOR.held_combinations for e in held)


def test_a_seventh_of_the_families_is_held_out_in_both_directions_and_of_every_reason() -> None:
    held = GENERATOR.held_families
    assert held < set(GENERATOR.families)
    assert 0.12 < len(held) / len(GENERATOR.families) < 0.2
    rng = Random(4)
    answers = [GENERATOR.sample(rng, family=f, draw=Draw()).answer for f in sorted(held)]
    assert {a.get("abstain") for a in answers} == {None, *SKILL.abstain.reasons}
    assert sum(".en." in f for f in held) > 20
    assert sum(".ja." in f for f in held) > 20


def test_the_lexicon_has_its_terms_once() -> None:
    tables = tomllib.loads((ENGINE / "lexicon.toml").read_text(encoding="utf-8"))
    pairs = [
        tuple(cell.strip().removeprefix("~") for cell in line.split("|")[:2])
        for table in ("parts", "words", "quantities", "conditions")
        for name, text in tables[table].items()
        if isinstance(text, str)
        for line in text.strip().splitlines()
    ]
    assert len(set(pairs)) >= 400
    parts = [
        line.split("|")[0].strip()
        for text in tables["parts"].values()
        for line in text.strip().splitlines()
    ]
    assert len(parts) == len(set(parts))


def test_the_pairs_of_the_readme_can_be_pointed_both_ways() -> None:
    readme = (ENGINE / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| meaning |") :]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)[1:]
    assert len(rows) >= 20
    for english, japanese in rows:
        for source, target in ((english, japanese), (japanese, english)):
            marked = SPANS.mark({"text": source})
            pointed = marked.point({"translation": target}, SKILL.output_schema)
            assert marked.resolve(pointed, SKILL.output_schema) == {"translation": target}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("ALM 401: Servo axis 2 overload", ["ALM 401", "2"]),
        ("SRVO-023 stop error (G1, A2)", ["SRVO-023", "G1", "A2"]),
        ("temp 85.5°C > 80C at line A", ["85.5", "80", "A"]),
        ("A door is open, 24V supply 1,250 rpm -5 °C", ["24", "1,250", "-5"]),
        ("X軸 過負荷 3号機コンベヤCV12でワーク4個不足", ["X", "3", "CV12", "4"]),
        ("14:05 2026-11-22 192.168.0.10 no response 0x1A3F", None),
        ("Motor no.3 and pump #12 T/C AXIS 2 I/O E-stop", ["3", "12", "2"]),
    ],
)
def test_codes_and_numbers_of_any_line_are_pieces(text: str, pieces: list[str] | None) -> None:
    marked = SPANS.mark({"text": text})
    found = [piece.value for piece in marked.pieces]
    if pieces is None:
        pieces = ["14:05", "2026-11-22", "192.168.0.10", "0x1A3F"]
    assert found == pieces
