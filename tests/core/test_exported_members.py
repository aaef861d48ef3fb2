"""Every room says what it offers, in order, and offers what it says."""

from __future__ import annotations

import importlib

import pytest

ROOMS = [
    *("builder", "engine", "kvcache", "scheduler", "service", "skills"),
    *("updates.box", "updates.bundle", "updates.machine", "updates.publishing"),
    *("updates.store", "updates.trust"),
]


@pytest.mark.parametrize("room", ROOMS)
def test_all_is_sorted_and_true(room: str) -> None:
    module = importlib.import_module(f"skilld.{room}")
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)
