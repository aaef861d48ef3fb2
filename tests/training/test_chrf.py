from __future__ import annotations

import numpy as np
import pytest

from skilld.training.chrf import chrf, chrf_counts

# What sacrebleu 2.6.0 gives: CHRF().corpus_score([text], [[reference]]).score
CASES = [
    ("Servo axis 3 overload, stop the line.", "Servo axis 3 overloaded; stop the machine", 65.6762),
    ("主軸モータ過負荷 TT-101", "主軸のモータが過負荷 TT-101", 58.7321),
    ("ab", "abc", 63.6364),
    ("", "nothing came", 0.0),
]
TOGETHER = 55.0803


@pytest.mark.parametrize(("text", "reference", "wanted"), CASES)
def test_one_sentence_scores_as_sacrebleu_does(text: str, reference: str, wanted: float) -> None:
    assert float(chrf(chrf_counts(text, reference))) == pytest.approx(wanted, abs=1e-4)


def test_a_corpus_is_scored_on_its_summed_counts() -> None:
    counts = np.array([chrf_counts(text, reference) for text, reference, _ in CASES])
    assert float(chrf(counts.sum(axis=0))) == pytest.approx(TOGETHER, abs=1e-4)
    # Several corpora at once: twice the same one, and an empty one.
    several = chrf(np.array([counts.sum(axis=0), 2 * counts.sum(axis=0), 0 * counts.sum(axis=0)]))
    assert several == pytest.approx([TOGETHER, TOGETHER, 0.0], abs=1e-4)


def test_equal_texts_score_a_hundred_whatever_their_spaces() -> None:
    assert float(chrf(chrf_counts("motor M3 stopped", "motor  M3 stopped"))) == 100.0
