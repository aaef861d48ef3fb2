"""Sampling against distributions worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from skilld.core.request import SamplingParams
from skilld.skills.sampler import Sampler, probability

# Probabilities 0.5, 0.3, 0.15, 0.05.
LOGITS = np.log(np.array([0.15, 0.5, 0.05, 0.3], np.float32))
DRAWS = 4000


def drawn(params: SamplingParams, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    sampler = Sampler(params)
    counts = np.bincount([sampler.choose(LOGITS, allowed) for _ in range(DRAWS)], minlength=4)
    return counts / DRAWS


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [0.15, 0.5, 0.05, 0.3]),
        ({"top_k": 2}, [0.0, 0.625, 0.0, 0.375]),
        ({"top_p": 0.5}, [0.0, 1.0, 0.0, 0.0]),
        ({"top_p": 0.51}, [0.0, 0.625, 0.0, 0.375]),
        ({"min_p": 0.25}, [0.158, 0.526, 0.0, 0.316]),
        ({"temperature": 0.5}, [0.0616, 0.685, 0.0068, 0.2466]),
    ],
)
def test_filters_keep_the_right_share(changes: dict[str, float], expected: list[float]) -> None:
    params = SamplingParams(max_tokens=1, **{"temperature": 1.0, "seed": 5, **changes})  # type: ignore[arg-type]
    assert drawn(params) == pytest.approx(expected, abs=0.03)


def test_a_mask_leaves_the_others_their_proportions() -> None:
    allowed = np.array([True, False, True, True])
    assert drawn(SamplingParams(max_tokens=1, temperature=1.0), allowed) == pytest.approx(
        [0.3, 0.0, 0.1, 0.6], abs=0.03
    )


def test_greedy_takes_the_best_allowed_token() -> None:
    greedy = Sampler(SamplingParams(max_tokens=1))
    assert greedy.choose(LOGITS) == 1
    assert greedy.choose(LOGITS, np.array([True, False, True, True])) == 3


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    def run(seed: int) -> list[int]:
        sampler = Sampler(SamplingParams(max_tokens=1, temperature=1.0, seed=seed))
        return [sampler.choose(LOGITS) for _ in range(50)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_probability_is_among_the_allowed() -> None:
    allowed = np.array([True, False, True, False])
    assert probability(LOGITS, 0, allowed) == pytest.approx(0.75)
    assert probability(LOGITS, 1) == pytest.approx(0.5)
