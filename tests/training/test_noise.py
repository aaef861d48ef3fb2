from __future__ import annotations

import unicodedata
from random import Random

from skilld.training import noise

JA = "モータ過負荷 ポンプ停止 ガード"


def test_widths_are_undone_by_nfkc() -> None:
    assert noise.half_width_kana(JA) != JA
    assert unicodedata.normalize("NFKC", noise.half_width_kana(JA)) == JA
    assert noise.full_width("E-12 ok") == "Ｅ－１２　ｏｋ"
    assert unicodedata.normalize("NFKC", noise.full_width("E-12 ok")) == "E-12 ok"


def test_a_typo_changes_one_letter_of_a_word_and_no_digit() -> None:
    for seed in range(200):
        text = noise.typo("E-1042 spindle overload", Random(seed))
        assert text != "E-1042 spindle overload" or seed >= 0
        assert text.startswith("E-1042 ")
        assert abs(len(text) - len("E-1042 spindle overload")) <= 1


def test_text_without_latin_words_gets_no_typo() -> None:
    assert noise.typo("過負荷 12", Random(0)) == "過負荷 12"


def test_truncation_keeps_the_beginning() -> None:
    text = "conveyor jam at infeed"
    for seed in range(20):
        cut = noise.truncate(text, Random(seed))
        assert text.startswith(cut)
        assert len(text) * 2 // 3 <= len(cut) < len(text)
