"""The cost model learns what steps cost from how long they took."""

from __future__ import annotations

import random

import pytest

from skilld.scheduler import CostModel

TRUE = (4.0, 0.3, 0.05, 0.0004)


def some_step(dice: random.Random) -> tuple[int, int, int]:
    """Rows, new tokens and cached tokens of a step: mostly decodes, now and then a prefill."""
    rows = dice.randint(1, 16)
    new_tokens = rows + (dice.randint(16, 256) if dice.random() < 0.2 else 0)
    return rows, new_tokens, rows * dice.randint(0, 900)


def learned(*, noise: float, num_steps: int = 3000, seed: int = 3) -> CostModel:
    dice = random.Random(seed)
    truth, model = CostModel(TRUE, is_fixed=True), CostModel()
    for _ in range(num_steps):
        step = some_step(dice)
        model.observe(*step, truth.predict_ms(*step) * dice.lognormvariate(0.0, noise))
    return model


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_predictions_come_to_agree_with_what_steps_cost(noise: float) -> None:
    model, truth = learned(noise=noise), CostModel(TRUE, is_fixed=True)
    dice = random.Random(9)
    for _ in range(200):
        step = some_step(dice)
        assert model.predict_ms(*step) == pytest.approx(truth.predict_ms(*step), rel=0.1)


def test_the_terms_themselves_are_found() -> None:
    model = learned(noise=0.02)
    found = (model.step_ms, model.row_ms, model.token_ms, model.cached_token_ms)
    assert found == pytest.approx(TRUE, rel=0.2)


def test_no_term_is_ever_negative() -> None:
    dice = random.Random(4)
    model = CostModel()
    for _ in range(500):  # times that have nothing to do with the steps
        model.observe(*some_step(dice), dice.uniform(0.01, 100.0))
        assert min(model.step_ms, model.row_ms, model.token_ms, model.cached_token_ms) >= 0.0


def test_nineteen_of_twenty_steps_stay_below_the_bound() -> None:
    dice = random.Random(5)
    truth, model = CostModel(TRUE, is_fixed=True), learned(noise=0.2, seed=5)
    above = 0
    for _ in range(2000):
        step = some_step(dice)
        took_ms = truth.predict_ms(*step) * dice.lognormvariate(0.0, 0.2)
        above += took_ms > model.bound_ms(*step)
        model.observe(*step, took_ms)
    assert 0.03 <= above / 2000 <= 0.08


def test_a_machine_that_became_slower_is_noticed() -> None:
    model = learned(noise=0.05)
    dice = random.Random(6)
    slower = CostModel((8.0, 0.6, 0.1, 0.0008), is_fixed=True)
    for _ in range(2500):
        step = some_step(dice)
        model.observe(*step, slower.predict_ms(*step))
    assert model.predict_ms(4, 4, 1000) == pytest.approx(slower.predict_ms(4, 4, 1000), rel=0.1)


def test_one_stolen_second_does_not_spoil_what_was_learned() -> None:
    model = learned(noise=0.02)
    before_ms = model.predict_ms(4, 4, 1000)
    model.observe(4, 4, 1000, 1000.0)
    model.fit()
    assert model.predict_ms(4, 4, 1000) == pytest.approx(before_ms, rel=0.1)


def test_as_many_tokens_fit_as_the_bound_says() -> None:
    model = CostModel((4.0, 1.0, 0.5, 0.01), is_fixed=True)
    count = model.max_new_tokens(20.0, 100)
    assert model.row_bound_ms(count, 100) <= 20.0 < model.row_bound_ms(count + 1, 100)
