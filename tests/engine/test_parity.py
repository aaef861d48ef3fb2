"""An engine built in f32 computes what transformers computes, however its steps are cut."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from skilld.core.batch import Batch, Row
from skilld.engine.base import Mode
from skilld.engine.openvino import OpenVINOEngine

pytestmark = pytest.mark.build

TOLERANCE = 1e-4
NUM_BLOCKS = 40
NUM_STATE_BLOCKS = 8
FAMILIES = [
    "llama-tied",
    "llama-3.2-rope",
    "qwen2",
    "qwen3",
    "gemma3",
    "opt-350m",
    "phi-1.5",
    "granite-4-hybrid",
    "granite-4-rope",
    "lfm2",
]


class Walker:
    """Feeds sequences to an engine in any cut, over blocks in shuffled order."""

    def __init__(self, engine: OpenVINOEngine, *, seed: int) -> None:
        self.engine = engine
        rng = random.Random(seed)
        self._free = rng.sample(range(NUM_BLOCKS), NUM_BLOCKS)
        self._free_states = rng.sample(range(NUM_STATE_BLOCKS), NUM_STATE_BLOCKS)
        self._has_state = any(spec.kind == "state" for spec in engine.cache_specs)
        self._blocks: dict[str, list[int]] = {}
        self._states: dict[str, tuple[int, ...]] = {}
        self._past: dict[str, int] = {}

    def step(self, rows: Mapping[str, Sequence[int]]) -> dict[str, npt.NDArray[np.float32]]:
        """Feed each named sequence its new tokens; logits `[n, vocab]` of all of them."""
        batch = []
        for name, tokens in rows.items():
            blocks = self._blocks.setdefault(name, [])
            past_len = self._past.setdefault(name, 0)
            while len(blocks) * self.engine.block_tokens < past_len + len(tokens):
                blocks.append(self._free.pop())
            if self._has_state and name not in self._states:
                self._states[name] = (self._free_states.pop(),)
            batch.append(
                Row(
                    request_id=name,
                    token_ids=tokens,
                    past_len=past_len,
                    block_ids=blocks,
                    state_block_ids=self._states.get(name, ()),
                    num_logits=len(tokens),
                )
            )
            self._past[name] = past_len + len(tokens)
        logits = self.engine.step(Batch(engine="test", rows=batch)).logits.copy()
        ends = np.cumsum([len(tokens) for tokens in rows.values()])
        return dict(zip(rows, np.split(logits, ends[:-1]), strict=True))

    def forget(self, name: str) -> None:
        """Give a sequence's blocks back, uncleared."""
        self._free += self._blocks.pop(name)
        self._free_states += self._states.pop(name, ())
        del self._past[name]


def prompt(seed: int, length: int) -> list[int]:
    return [int(id_) for id_ in np.random.default_rng(seed).integers(3, 160, length)]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, built_family: Callable[[str], Any]) -> Any:
    return built_family(request.param)


@pytest.fixture
def make_walker(
    family: Any, bound_engine: Callable[..., OpenVINOEngine]
) -> Callable[[Mode], Walker]:
    counts = {"kv_blocks": NUM_BLOCKS, "state_blocks": NUM_STATE_BLOCKS}
    return lambda mode: Walker(bound_engine(family.engine_dir, mode=mode, **counts), seed=3)


@pytest.fixture
def walker(make_walker: Callable[[Mode], Walker]) -> Walker:
    return make_walker(Mode.PARITY)


def test_prefill_in_any_chunks_gives_the_logits_of_transformers(
    family: Any, walker: Walker
) -> None:
    tokens = prompt(seed=1, length=100)
    expected = family.reference(tokens)
    for chunk in (1, 7, 32, 100):
        parts = [
            walker.step({"a": tokens[start : start + chunk]})["a"]
            for start in range(0, len(tokens), chunk)
        ]
        np.testing.assert_allclose(
            np.concatenate(parts), expected, rtol=0, atol=TOLERANCE, err_msg=f"chunks of {chunk}"
        )
        walker.forget("a")


def test_batches_that_mix_prefill_decode_and_multi_token_rows_agree(
    family: Any, walker: Walker
) -> None:
    lengths = {"a": 90, "b": 41, "c": 64, "d": 3}
    tokens = {name: prompt(seed=10 + i, length=n) for i, (name, n) in enumerate(lengths.items())}
    got: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in tokens}
    fed = dict.fromkeys(tokens, 0)
    rng = random.Random(5)
    while any(fed[name] < lengths[name] for name in tokens):
        rows = {}
        for name in rng.sample(sorted(tokens), k=rng.randint(1, len(tokens))):
            size = min(rng.choice([1, 1, 4, 7, 33]), lengths[name] - fed[name])
            if size:
                rows[name] = tokens[name][fed[name] : fed[name] + size]
        if not rows:
            continue
        for name, logits in walker.step(rows).items():
            got[name].append(logits)
            fed[name] += len(rows[name])
    for name in tokens:
        np.testing.assert_allclose(
            np.concatenate(got[name]), family.reference(tokens[name]), rtol=0, atol=TOLERANCE
        )


def test_greedy_decoding_together_gives_the_tokens_of_transformers(
    family: Any, walker: Walker
) -> None:
    prompts = {"a": prompt(21, 30), "b": prompt(22, 5), "c": prompt(23, 61)}
    num_new = 20
    answers: dict[str, list[int]] = {}
    logits = walker.step(prompts)
    for name in prompts:
        answers[name] = [int(logits[name][-1].argmax())]
    while len(answers["a"]) < num_new:
        logits = walker.step({name: answer[-1:] for name, answer in answers.items()})
        for name, answer in answers.items():
            answer.append(int(logits[name][-1].argmax()))
    for name, answer in answers.items():
        # Each token is the likeliest after those before it, so this is transformers' own walk.
        tokens = prompts[name] + answer[:-1]
        assert answer == family.reference(tokens)[-num_new:].argmax(axis=-1).tolist()
    assert len({token for answer in answers.values() for token in answer}) > 2


def test_the_fast_cache_stays_near_and_does_not_depend_on_how_blocks_were_filled(
    family: Any, make_walker: Callable[[Mode], Walker]
) -> None:
    walker = make_walker(Mode.FAST)
    tokens = prompt(seed=31, length=90)
    expected = family.reference(tokens)
    whole = walker.step({"whole": tokens})["whole"]
    cut = [walker.step({"cut": tokens[start : start + 7]})["cut"] for start in range(0, 90, 7)]
    assert np.sqrt(np.mean((whole - expected) ** 2)) < 0.05 * expected.std()
    np.testing.assert_allclose(np.concatenate(cut), whole, rtol=0, atol=0.01 * expected.std())
