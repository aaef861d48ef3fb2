"""Steps keep their size while that is cheaper than preparing another one."""

from __future__ import annotations

import random

import pytest

from skilld.core.manifest import Geometry
from skilld.engine.step_sizes import StepSizes

NANO = Geometry(
    num_layers=6,
    hidden_size=256,
    num_heads=8,
    num_kv_heads=4,
    head_dim=32,
    vocab_size=3072,
    num_parameters=5_000_000,
)
LARGE = NANO.model_copy(update={"num_layers": 30, "num_parameters": 3_000_000_000})


def sizes(geometry: Geometry, wanted: list[int], *, room: int = 31) -> list[int]:
    chosen = StepSizes(geometry)
    return [num_tokens + chosen.padding(num_tokens, room) for num_tokens in wanted]


def test_steps_that_differ_a_little_get_the_same_size() -> None:
    assert len(set(sizes(NANO, [5, 7, 6, 8, 5, 8, 7]))) == 1


def test_single_tokens_soon_come_one_by_one_again() -> None:
    chosen = sizes(NANO, [8] + [1] * 50)
    assert chosen[-40:] == [1] * 40
    assert sum(chosen) < 8 + 50 + 2 * 22


@pytest.mark.parametrize("geometry", [NANO, LARGE], ids=["nano", "large"])
def test_prompts_of_any_length_need_few_sizes_and_little_more_work(geometry: Geometry) -> None:
    lengths = list(range(64, 512))
    chosen = sizes(geometry, random.Random(1).sample(lengths, len(lengths)))
    assert len(set(chosen)) < len(lengths) / 5
    assert sum(chosen) < 1.07 * sum(lengths)


def test_a_large_model_wastes_nothing_on_decodes() -> None:
    wanted = [1, 2, 1, 3, 1, 5, 1, 1]
    assert sizes(LARGE, wanted) == wanted


def test_padding_fits_the_room_there_is() -> None:
    rng = random.Random(2)
    chosen = StepSizes(NANO)
    for _ in range(2000):
        num_tokens, room = rng.randint(1, 90), rng.randint(0, 12)
        assert 0 <= chosen.padding(num_tokens, room) <= room
