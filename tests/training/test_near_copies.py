from __future__ import annotations

from random import Random

import numpy as np

from skilld.training.near_copies import THRESHOLD, NearCopies, similarity
from skilld.training.ngrams import TEXT_SHIFT, gram_keys


def sentence(rng: Random) -> str:
    words = ("motor", "axis", "pump", "fan", "belt", "stopped", "warm", "leaks", "again", "x")
    return "".join(rng.choices(words, k=rng.randrange(1, 16)))


def edited(text: str, rng: Random) -> str:
    letters = list(text)
    for _ in range(rng.randrange(0, 3)):
        letters.insert(rng.randrange(len(letters) + 1), rng.choice("abcdef"))
    return "".join(letters)


def test_it_finds_what_comparing_every_pair_finds() -> None:
    rng = Random(5)
    known = [sentence(rng) for _ in range(150)]
    asked = [edited(rng.choice(known), rng) if rng.random() < 0.7 else sentence(rng) for _ in known]
    found = NearCopies(known).find(asked)
    near = [max(similarity(text, other) for other in known) >= THRESHOLD for text in asked]
    assert [place is not None for place in found] == near
    assert 30 < sum(near) < 130  # of both kinds there are many
    for text, place in zip(asked, found, strict=True):
        assert place is None or similarity(text, known[place]) >= THRESHOLD


def test_the_similarity_is_what_two_sets_share_of_all_they_have() -> None:
    assert similarity("abcdefg", "abcdefg") == 1.0
    assert similarity("abcdefg", "abcdefx") == 2 / 4  # abcde bcdef | cdefg | cdefx
    assert similarity("abcd", "abcd") == 0.0
    assert THRESHOLD == 0.8


def test_four_fifths_is_near_and_less_is_not() -> None:
    text = "abcdefghijklm"  # 9 n-grams
    assert similarity(text, text[:-1]) == 8 / 9
    assert NearCopies([text]).find([text, text[:-1], text[:-2]]) == [0, 0, None]  # 7 / 9
    exactly = "abcdefghi"  # 5 n-grams, of which "abcdefgh" has 4
    assert NearCopies([exactly]).find(["abcdefgh"]) == [0]


def test_texts_without_ngrams_are_near_to_nothing() -> None:
    assert NearCopies([]).find(["something long enough"]) == [None]
    assert NearCopies(["abc", ""]).find(["abc", "", "abcabcabc"]) == [None, None, None]


def test_ngrams_do_not_reach_into_the_next_text() -> None:
    keys = gram_keys(["abc", "de", "", "cabc"], length=3)
    assert (keys >> np.uint64(TEXT_SHIFT)).tolist() == [0, 3, 3]
    hashes = keys & np.uint64((1 << TEXT_SHIFT) - 1)
    assert hashes[0] == hashes[2]  # abc
    assert hashes[0] != hashes[1]  # cab
