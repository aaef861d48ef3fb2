"""What only the alarm-translate data promise; see test_generators.py for the rest."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter, defaultdict

import pytest
from tests.engines.conftest import DRAWS, specialist

from skilld.training.example import Example

ENGINE = specialist("alarm-translate")
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def text_of(example: Example) -> str:
    return unicodedata.normalize("NFKC", str(example.input["text"]))


def translated(count: int, wanted: str = "usual") -> list[Example]:
    return [example for example in ENGINE.draw(count, wanted) if not example.is_abstain]


@pytest.mark.parametrize("wanted", DRAWS)
def test_every_digit_of_a_translation_is_pointed_at(wanted: str) -> None:
    for example in translated(800, wanted):
        pointed = ENGINE.spans.mark(example.input).point(example.answer, ENGINE.skill.output_schema)
        assert not re.search(r"\d", pointed["translation"])


def test_the_direction_is_that_of_the_input() -> None:
    count: Counter[bool] = Counter()
    for example in translated(1500):
        from_japanese = bool(JAPANESE.search(text_of(example)))
        assert bool(JAPANESE.search(str(example.answer["translation"]))) != from_japanese, example
        count[from_japanese] += 1
    assert min(count.values()) > 0.4 * count.total()


def test_translations_keep_the_style_of_their_language() -> None:
    for example in translated(1500):
        translation = str(example.answer["translation"])
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
    for example in translated(6000):
        found[text_of(example).casefold()].add(str(example.answer["translation"]))
    assert [texts for texts in found.values() if len(texts) > 1] == []


def test_held_words_stay_out_of_usual_examples_in_any_case() -> None:
    held = "|".join(map(re.escape, ENGINE.generator.held_values))
    pattern = re.compile(rf"(?<![A-Za-z0-9])(?:{held})", re.IGNORECASE)
    assert not [example for example in ENGINE.draw(1500) if pattern.search(text_of(example))]


def test_families_are_held_out_in_both_directions() -> None:
    held = ENGINE.generator.held_families
    assert sum(".en." in family for family in held) > 20
    assert sum(".ja." in family for family in held) > 20


def test_the_lexicon_has_its_terms_once() -> None:
    tables = tomllib.loads((ENGINE.folder / "lexicon.toml").read_text(encoding="utf-8"))
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
    readme = (ENGINE.folder / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| meaning |") :]
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)[1:]
    assert len(rows) >= 20
    schema = ENGINE.skill.output_schema
    for english, japanese in rows:
        for source, target in ((english, japanese), (japanese, english)):
            marked = ENGINE.spans.mark({"text": source})
            pointed = marked.point({"translation": target}, schema)
            assert marked.resolve(pointed, schema) == {"translation": target}


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
    marked = ENGINE.spans.mark({"text": text})
    found = [piece.value for piece in marked.pieces]
    if pieces is None:
        pieces = ["14:05", "2026-11-22", "192.168.0.10", "0x1A3F"]
    assert found == pieces
