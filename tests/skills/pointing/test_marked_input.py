"""What is pointed at comes back exactly as it stands in the input, and nothing else does."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from skilld.core.errors import InvalidRequestError
from skilld.skills.pointing import MarkedInput, SpanRules
from skilld.skills.pointing.marks import MARKS, MARKS_PER_KIND, SpanError, kind_of, mark_at
from skilld.skills.pointing.schemas import marked_schema
from skilld.skills.pointing.values import clock_value, number_value

RULES = SpanRules.model_validate(
    {
        "fields": ["text", "lines"],
        "kind": [
            {
                "name": "clock",
                "value": "clock",
                "patterns": [{"pattern": r"(?<!\d)\d{1,2}:\d{2}(?!\d)"}],
            },
            {
                "name": "number",
                "value": "number",
                "patterns": [
                    {"pattern": r"\d+(?:\.\d+)? ?cm", "scale": 10},
                    {"pattern": r"-?\d+(?:[.,]\d+)*"},
                ],
            },
            {"name": "word", "patterns": [{"pattern": r"[^\W\d_]+"}]},
        ],
    }
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "word": {"type": "string", "x-span": "word"},
        "number": {"type": "number", "x-span": "number"},
        "clock": {"type": "string", "x-span": "clock"},
        "either": {"type": ["number", "string"], "x-span": ["number", "word"]},
        "phrase": {"type": "string", "x-span": ["word", "number"], "x-phrase": True},
        "name": {"type": "string", "x-span": ["word", "number"], "x-phrase": "all"},
        "maybe": {"anyOf": [{"type": "string", "x-span": "word"}, {"type": "null"}]},
        "list": {"type": "array", "items": {"type": "number", "x-span": "number"}},
        "free": {"type": "string", "x-span-text": ["word", "number", "clock"]},
        "plain": {"enum": ["a", "b"]},
    },
}
# How long a case takes says more about who else runs on the machine.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIELD_OF_KIND = {0: "clock", 1: "number", 2: "word"}

characters = st.one_of(
    st.sampled_from("abcAZ0123456789 .:,-\nあ油圧ポンプ㎝½ﬁ①"),
    st.sampled_from([chr(code) for code in range(0xDFFF + 1, 0xE000 + 400)]),
    st.characters(exclude_categories=["Cs"]),
)
texts = st.text(characters, max_size=80)
lines = st.lists(st.text(characters, max_size=20), max_size=5)


def marked_of(text: str, items: list[str] | None = None) -> MarkedInput:
    try:
        return RULES.mark({"text": text} if items is None else {"text": text, "lines": items})
    except InvalidRequestError:  # it grows too much in NFKC
        assume(False)
        raise


def mark_of(marked: MarkedInput, value: Any) -> str:
    return next(piece.mark for piece in marked.pieces if piece.value == value)


@UNHURRIED
@given(text=texts, items=lines)
def test_every_mark_stands_for_its_piece_and_every_value_has_its_mark(
    text: str, items: list[str]
) -> None:
    marked = marked_of(text, items)
    for piece in marked.pieces:
        field = FIELD_OF_KIND[kind_of(piece.mark)]
        assert marked.resolve({field: piece.mark}, SCHEMA) == {field: piece.value}
        written = marked.point({field: piece.value}, SCHEMA)
        assert marked.resolve(written, SCHEMA) == {field: piece.value}
        assert set(written[field]) <= marked.present


@UNHURRIED
@given(text=texts, items=lines)
def test_the_prompt_is_the_text_with_marks_behind_its_pieces(text: str, items: list[str]) -> None:
    marked = marked_of(text, items)
    for field, clean in marked.texts.items():
        shown = str(marked.values[field])
        assert MARKS.sub("", shown) == clean
        assert not MARKS.search(clean)
        assert len(MARKS.findall(shown)) == sum(p.field == field for p in marked.pieces)
    for piece in marked.pieces:
        before = marked.texts[piece.field][piece.start : piece.end]
        assert f"{before}{piece.mark}" in str(marked.values[piece.field])


@UNHURRIED
@given(text=texts)
def test_text_is_compared_in_its_normal_form(text: str) -> None:
    normal = unicodedata.normalize("NFKC", text)
    assume(len(normal) <= 4 * len(text))
    assert marked_of(text).values == marked_of(normal).values


@UNHURRIED
@given(text=texts, how=st.sampled_from(["phrase", "name"]), data=st.data())
def test_a_phrase_comes_back_letter_for_letter_or_is_refused(
    text: str, how: str, data: st.DataObject
) -> None:
    marked = marked_of(text)
    pieces = [piece for piece in marked.pieces if kind_of(piece.mark) > 0]
    assume(pieces)
    first = data.draw(st.integers(0, len(pieces) - 1))
    last = data.draw(st.integers(first, len(pieces) - 1))
    phrase = marked.texts["text"][pieces[first].start : pieces[last].end]
    try:
        written = marked.point({how: phrase}, SCHEMA)
    except SpanError:
        assert first != last  # one piece can always be pointed at
        return
    assert marked.resolve(written, SCHEMA) == {how: phrase}


SOME_MARKS = [mark_at(kind, i) for kind in range(4) for i in range(0, MARKS_PER_KIND, 5)]
values = st.one_of(
    st.none(),
    st.integers(),
    st.text(st.sampled_from([*SOME_MARKS, "a", "1"]), max_size=4),
)


@UNHURRIED
@given(
    text=texts,
    answer=st.dictionaries(
        st.sampled_from(sorted(SCHEMA["properties"])), values | st.lists(values, max_size=2)
    ),
)
def test_whatever_is_written_is_resolved_to_pieces_of_the_input_or_refused(
    text: str, answer: dict[str, Any]
) -> None:
    marked = marked_of(text)
    answer.pop("plain", None)
    if not isinstance(answer.get("list", []), list):
        del answer["list"]  # the schema refuses it, whatever it holds
    try:
        resolved = marked.resolve(answer, SCHEMA)
    except SpanError:
        return
    known = [piece.value for piece in marked.pieces]
    for field, value in resolved.items():
        if field in ("phrase", "name"):
            assert value in marked.texts["text"]
        elif field not in ("free", "list", "maybe"):
            assert value in known
        assert not isinstance(value, str) or not MARKS.search(value)


@pytest.mark.parametrize("empty", [{}, {"text": ""}, {"lines": []}, {"text": "", "lines": [""]}])
def test_an_empty_input_has_nothing_to_point_at(empty: dict[str, Any]) -> None:
    marked = RULES.mark(empty)
    assert marked.present == frozenset()
    with pytest.raises(SpanError):
        marked.resolve({"word": mark_at(2, 0)}, SCHEMA)
    assert marked.resolve({"maybe": ""}, SCHEMA) == {"maybe": None}


def test_equal_pieces_share_a_mark_and_only_so_many_different_ones_get_one() -> None:
    words = [f"w{'abcdefghij'[n // 10]}{'abcdefghij'[n % 10]}" for n in range(90)]
    marked = RULES.mark({"text": " ".join([*words, *words])})
    assert len(marked.present) == MARKS_PER_KIND
    assert len(marked.pieces) == 2 * MARKS_PER_KIND
    assert {piece.value for piece in marked.pieces} == set(words[:MARKS_PER_KIND])
    with pytest.raises(SpanError):
        marked.point({"word": words[MARKS_PER_KIND]}, SCHEMA)


def test_marks_count_from_the_first_in_the_order_of_the_text() -> None:
    marked = RULES.mark({"text": "pump fan pump valve"})
    words = [piece.mark for piece in marked.pieces]
    assert words == [mark_at(kind_of(words[0]), i) for i in (0, 1, 0, 2)]


def test_numbers_are_told_apart_by_value_and_words_by_spelling() -> None:
    marked = RULES.mark({"text": "12cm 120 12.5 12,5 pump Pump"})
    numbers = [piece.mark for piece in marked.pieces if kind_of(piece.mark) == 1]
    assert numbers[0] == numbers[1]
    assert numbers[2] == numbers[3]
    assert mark_of(marked, "pump") != mark_of(marked, "Pump")
    assert marked.resolve({"number": mark_of(marked, 120)}, SCHEMA) == {"number": 120}


def test_a_phrase_does_not_run_backwards_or_into_another_field() -> None:
    marked = RULES.mark({"text": "old pump", "lines": ["new valve"]})
    old, pump, valve = (mark_of(marked, word) for word in ("old", "pump", "valve"))
    assert marked.resolve({"phrase": old + pump}, SCHEMA) == {"phrase": "old pump"}
    for wrong in (pump + old, old + valve, ""):
        with pytest.raises(SpanError):
            marked.resolve({"phrase": wrong}, SCHEMA)


def test_running_text_holds_every_piece_as_often_as_the_input() -> None:
    marked = RULES.mark({"text": "pump 12 pump"})
    pump, number = mark_of(marked, "pump"), mark_of(marked, 12)
    assert marked.resolve({"free": f"{number}: {pump}/{pump}"}, SCHEMA) == {"free": "12: pump/pump"}
    for wrong in (f"{pump}{pump}", f"{pump}{number}", f"{pump}{pump}{number}{number}"):
        with pytest.raises(SpanError):
            marked.resolve({"free": wrong}, SCHEMA)


def test_the_decoding_schema_holds_marks_in_the_place_of_values() -> None:
    properties = marked_schema(SCHEMA, RULES)["properties"]
    assert properties["clock"]["type"] == properties["number"]["type"] == "string"
    assert properties["plain"] == {"enum": ["a", "b"]}
    assert properties["maybe"]["type"] == "string"  # null is the empty string
    with pytest.raises(SpanError, match="needs a"):
        marked_schema(SCHEMA, None)


@pytest.mark.parametrize(
    ("text", "scale", "value"),
    [
        ("85", 1, 85),
        ("85.0", 1, 85.0),
        ("-3.5 °C", 1, -3.5),
        ("−7", 1, -7),
        ("1,250", 1, 1250),
        ("12,5", 1, 12.5),
        ("1,250.75", 1, 1250.75),
        ("1.2.3", 1, None),
        (".5", 1, 0.5),
        ("0.1 m", 1000, 100),
        ("2.54 cm", 10, 25.4),
        ("Twelve", 1, 12),
        ("二十五", 1, 25),
        ("pump", 1, None),
        ("9" * 15, 1, int("9" * 15)),
        ("9" * 16, 1, None),
        ("9" * 400 + ".5", 1, None),
    ],
)
def test_a_number_is_read_as_it_is_written(
    text: str, scale: float, value: int | float | None
) -> None:
    found = number_value(text, scale=scale)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("14:05", "14:05"),
        ("9:05:30", "09:05"),
        ("2 pm", "14:00"),
        ("12:30 a.m.", "00:30"),
        ("午後3時半", "15:30"),
        ("14時5分", "14:05"),
        ("24:00", None),
        ("12:60", None),
        ("noon", "12:00"),
        ("pump", None),
    ],
)
def test_a_time_of_day_is_read_as_it_is_written(text: str, value: str | None) -> None:
    assert clock_value(text) == value


@UNHURRIED
@given(text=st.text(st.sampled_from("0159.,-+−:apmAPMh時分半午前後 ٣²½〇一十百千"), max_size=30))
def test_no_text_breaks_the_reading_of_values(text: str) -> None:
    number = number_value(text, scale=10)
    assert number is None or abs(number) < 1e17
    clock = clock_value(text)
    assert clock is None or len(clock) == 5
