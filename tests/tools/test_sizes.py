"""Shapes of the size curve."""

from __future__ import annotations

import argparse

import pytest

import skilld.training  # hides a torchvision that does not fit

assert skilld.training
pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("transformers", reason="needs the [train] extra")

from sizes import model_of, shapes_of  # noqa: E402

from skilld.training.settings import ModelSettings  # noqa: E402

pytestmark = pytest.mark.train


SHIPPED = ModelSettings(
    vocab_size=3072,
    hidden_size=192,
    num_layers=4,
    num_heads=3,
    num_kv_heads=1,
    head_size=64,
    feed_forward_size=512,
)


@pytest.mark.parametrize("shape", ["64x1", "128x4", "192x6", "256x6", "320x8", "384x6"])
def test_every_shape_is_a_model_whose_heads_share_keys_evenly(shape: str) -> None:
    model = model_of(shape, like=SHIPPED)
    width, layers = map(int, shape.split("x"))
    assert (model.hidden_size, model.num_layers) == (width, layers)
    assert model.vocab_size == SHIPPED.vocab_size
    assert model.num_heads * model.head_size == width
    assert model.num_heads % model.num_kv_heads == 0
    assert model.feed_forward_size % 32 == 0
    assert 2.3 * width < model.feed_forward_size < 3 * width


def test_the_shape_of_the_settings_is_the_model_of_the_settings() -> None:
    assert model_of("192x4", like=SHIPPED) == SHIPPED


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(RuntimeError, match="multiple of 64"):
        model_of("100x4", like=SHIPPED)


def test_shapes_are_read_with_commas() -> None:
    assert shapes_of("128x4, 256x6") == ["128x4", "256x6"]


@pytest.mark.parametrize("text", ["", "256", "256x0", "0x4", "ax2", "256x-1"])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        shapes_of(text)
