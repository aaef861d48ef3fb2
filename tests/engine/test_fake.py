from __future__ import annotations

import numpy as np
import pytest

from skilld.core.batch import Batch, Row
from skilld.core.errors import EngineError
from skilld.engine.fake import FakeEngine, answering

NUM_BLOCKS = 8


def bound(
    engine: FakeEngine,
) -> tuple[FakeEngine, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    (spec,) = engine.cache_specs
    cache = np.zeros((NUM_BLOCKS, *spec.block_shape), spec.dtype)
    engine.bind({spec.name: cache})
    return engine, cache


def favourites(engine: FakeEngine, *rows: Row) -> list[int]:
    return [int(line.argmax()) for line in engine.step(Batch("fake", rows)).logits]


def test_fake_counts_up_unless_told_otherwise() -> None:
    engine, _ = bound(FakeEngine(100))
    assert favourites(engine, Row("a", [5, 6, 7], 0, [3])) == [8]
    assert favourites(engine, Row("a", [8], 3, [3])) == [9]


def test_rule_sees_the_whole_sequence_however_it_was_fed() -> None:
    engine, _ = bound(FakeEngine(100, rule=sum))
    row = Row("a", [1, 2, 3, 4, 5], 0, [6, 1], num_logits=3)
    assert favourites(engine, row, Row("b", [9], 0, [2])) == [6, 10, 15, 9]
    # In chunks, beside another sequence, over blocks in another order.
    assert favourites(engine, Row("a", [1, 2], 0, [0], num_logits=0)) == []
    rows = Row("b", [7], 1, [2]), Row("a", [3, 4, 5], 2, [0, 7])
    assert favourites(engine, *rows) == [16, 15]


def test_answering_gives_the_script_and_then_the_end() -> None:
    rule = answering(50, lambda prompt: [token + 1 for token in prompt], end_id=99)
    assert [rule([1, 2, 50, *done]) for done in ([], [2], [2, 3])] == [2, 3, 99]
    assert rule([1, 2]) == 99


@pytest.mark.parametrize("harm", ["another sequence wrote there", "given back", "wrong order"])
def test_block_that_does_not_hold_the_sequence_fails_the_step(harm: str) -> None:
    engine, cache = bound(FakeEngine(100))
    favourites(engine, Row("a", [1, 2, 3, 4, 5, 6], 0, [0, 1]))
    block_ids = [0, 1]
    match harm:
        case "another sequence wrote there":
            favourites(engine, Row("b", [7, 8, 9], 0, [1]))
        case "given back":
            cache[1] = 0
        case "wrong order":
            block_ids = [1, 0]
    with pytest.raises(EngineError, match="do not hold its first 6 tokens"):
        favourites(engine, Row("a", [7], 6, block_ids))


def test_row_beyond_its_blocks_fails_the_step() -> None:
    engine, _ = bound(FakeEngine(100))
    with pytest.raises(EngineError, match="5 tokens do not fit 1 blocks of 4"):
        favourites(engine, Row("a", [1, 2, 3, 4, 5], 0, [0]))


def test_cache_of_another_shape_is_refused() -> None:
    engine = FakeEngine(100)
    (spec,) = engine.cache_specs
    for arrays in ({}, {spec.name: np.zeros((8, 2, 5), np.uint32)}):
        with pytest.raises(EngineError, match="must be uint32"):
            engine.bind(arrays)
