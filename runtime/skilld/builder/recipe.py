"""`Recipe`: what people review before an engine is built."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from skilld.core.manifest import Precision
from skilld.core.toml_record import read_toml

RECIPE_NAME = "recipe.toml"


class Recipe(BaseModel):
    """`engines/<name>/recipe.toml`. Paths are relative to the recipe's folder.

    Attributes:
        name: of the engine; lower case, digits, `.`, `_`, `-`.
        version: of the engine, as the release will carry it.
        checkpoint: the Hugging Face checkpoint folder.
        licence: SPDX identifier of the weights' licence, or its words.
        runtime: the vendor runtime that will execute the engine.
        precision: of the weights.
        context_limit: most tokens of prompt and answer together; the model's own when absent.
        calibration: for int4 only: `.jsonl` with a "text" key per line, or `.txt` with one
            sample per line. Real prompts make int4 weights markedly better.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$")
    checkpoint: Path
    licence: str = Field(min_length=1)
    runtime: Literal["openvino"] = "openvino"
    precision: Precision = Precision.INT8
    context_limit: int | None = Field(default=None, ge=32)
    calibration: Path | None = None

    @model_validator(mode="after")
    def _calibration_needs_int4(self) -> Self:
        if self.calibration is not None and self.precision is not Precision.INT4:
            raise ValueError(f"`calibration` is used by int4 only, not by {self.precision}")
        return self


def read_recipe(recipe_dir: Path) -> Recipe:
    """Read the recipe of an engine.

    Raises:
        ArtefactError: reason BAD_RECIPE; names the file, the key, and the nearest known key.
    """
    return read_toml(recipe_dir / RECIPE_NAME, Recipe, reason="BAD_RECIPE")
