from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from skilld.builder.recipe import read_recipe
from skilld.core.errors import ArtefactError
from skilld.core.manifest import Precision


def test_a_recipe_builds_int8_for_openvino_unless_it_says_otherwise(recipe_dir: Path) -> None:
    recipe = read_recipe(recipe_dir)
    assert (recipe.name, recipe.runtime, recipe.precision) == ("tiny", "openvino", Precision.INT8)


def test_an_unknown_key_is_refused_with_file_key_and_the_nearest_known_key(
    recipe_dir: Path, change_recipe: Callable[..., None]
) -> None:
    change_recipe(precison="int4")
    with pytest.raises(ArtefactError) as refused:
        read_recipe(recipe_dir)
    assert refused.value.reason == "BAD_RECIPE"
    assert refused.value.path == recipe_dir / "recipe.toml"
    assert refused.value.key == "precison"
    assert "precision" in refused.value.hint


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": "Not A Name"}, "name"),
        ({"precision": "int2"}, "precision"),
        ({"runtime": "abacus"}, "runtime"),
        ({"context_limit": 8}, "context_limit"),
        ({"licence": ""}, "licence"),
    ],
)
def test_a_wrong_value_is_refused_by_key(
    changes: dict[str, str | int],
    key: str,
    recipe_dir: Path,
    change_recipe: Callable[..., None],
) -> None:
    change_recipe(**changes)
    with pytest.raises(ArtefactError) as refused:
        read_recipe(recipe_dir)
    assert refused.value.key == key


def test_calibration_without_int4_is_refused_because_it_would_be_ignored(
    recipe_dir: Path, change_recipe: Callable[..., None]
) -> None:
    change_recipe(calibration="calibration.jsonl")
    with pytest.raises(ArtefactError, match="used by int4 only"):
        read_recipe(recipe_dir)


def test_a_folder_without_a_recipe_is_refused_by_file(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"recipe\.toml"):
        read_recipe(tmp_path)
